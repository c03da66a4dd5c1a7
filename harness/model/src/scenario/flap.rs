//! Links that break for a while, again and again: when which of them breaks how, and when that is undone. And a subject
//! that is killed meanwhile.

use std::time::Duration;

use super::{LinkChange, raw::FlapKind};
use crate::{
    relay::{Dice, lane_seed},
    topology::{LinkId, NodeId},
};

mod rewrite;
#[cfg(test)]
mod tests;

pub use rewrite::{Breaks, drawn, rewritten};

/// Between the end of a link's break and its next one.
const REST: Duration = Duration::from_millis(1);

/// What happens at a moment of its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// Since the step began.
    pub at: Duration,
    /// What happens then.
    pub what: Happening,
}

/// What happens at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A link changes.
    Link {
        /// Whose interface.
        node: NodeId,
        /// Index of the interface.
        interface: usize,
        /// What becomes of it.
        change: LinkChange,
    },
    /// The subject is killed.
    Killed,
    /// The subject is started again, and not waited for.
    Started,
}

/// A change that is undone after a while, and made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// What undoes it.
    pub back: LinkChange,
    /// How long it lasts.
    pub lasting: Duration,
    /// Between two times.
    pub pause: Duration,
    /// How many times it happens.
    pub times: u32,
}

impl Repeat {
    /// Every change, in the order of time.
    pub fn schedule(&self, node: NodeId, interface: usize, change: &LinkChange) -> Vec<Timed> {
        let timed = |at, change: &LinkChange| Timed {
            at,
            what: Happening::Link { node, interface, change: change.clone() },
        };
        let pairs = (0..self.times).map(|time| {
            let at = (self.lasting + self.pause) * time;
            [timed(at, change), timed(at + self.lasting, &self.back)]
        });
        pairs.flatten().collect()
    }
}

/// A way in which an interface can break, and how that is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// What it is called.
    pub kind: FlapKind,
    /// What happens.
    pub change: LinkChange,
    /// What undoes it.
    pub back: LinkChange,
}

/// Breaks that are all undone before their step ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flap {
    /// At random.
    Random(Random),
    /// These, in any order; no link breaks again before it is good.
    Listed(Vec<Drawn>),
}

/// Breaks at random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    /// The interfaces, and how each can break.
    pub places: Vec<Place>,
    /// How many breaks there are in all.
    pub breaks: u32,
    /// From one to the next, on the average.
    pub every: Duration,
    /// The shortest and the longest.
    pub lasting: (Duration, Duration),
    /// Links that are broken at a time, at most.
    pub at_once: usize,
    /// How many times the subject is killed besides.
    pub kills: u32,
}

/// An interface that can break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub node: NodeId,
    /// Its index.
    pub interface: usize,
    /// Its link: no other end of that breaks at the same time.
    pub link: LinkId,
    /// The ways in which it can break.
    pub ways: Vec<Break>,
}

/// A break that is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Since the step began.
    pub after: Duration,
    /// Until it is undone.
    pub lasting: Duration,
    /// What it is.
    pub what: What,
}

/// What breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A link.
    Link {
        /// Whose interface.
        node: NodeId,
        /// Index of the interface.
        interface: usize,
        /// How, and how that is undone.
        way: Break,
    },
    /// The subject: it is killed, and started again.
    Subject,
}

impl Flap {
    /// Every break, in the order of time. What is random follows from the scenario's seed and the step's name.
    pub fn draw(&self, seed: u64, step: &str) -> Vec<Drawn> {
        let mut drawn = match self {
            Flap::Random(random) => random.draw(lane_seed(seed, step, 0)),
            Flap::Listed(breaks) => breaks.clone(),
        };
        drawn.sort_by_key(|drawn| drawn.after);
        drawn
    }

    /// Every change, in the order of time.
    pub fn schedule(&self, seed: u64, step: &str) -> Vec<Timed> {
        let pairs = self.draw(seed, step).into_iter().flat_map(|Drawn { after, lasting, what }| {
            let (first, then) = match what {
                What::Subject => (Happening::Killed, Happening::Started),
                What::Link { node, interface, way: Break { kind: _, change, back } } => (
                    Happening::Link { node, interface, change },
                    Happening::Link { node, interface, change: back },
                ),
            };
            [Timed { at: after, what: first }, Timed { at: after + lasting, what: then }]
        });
        let mut timed: Vec<Timed> = pairs.collect();
        timed.sort_by_key(|timed| timed.at);
        timed
    }
}

impl Random {
    fn draw(&self, seed: u64) -> Vec<Drawn> {
        // Until when each link is broken, or rests.
        let mut busy: Vec<(LinkId, Duration)> = Vec::new();
        let mut drawn = Vec::new();
        let mut now = Duration::ZERO;
        for number in 0..self.breaks {
            let mut dice = Dice::new(seed, u64::from(number));
            now += between(&mut dice, Duration::ZERO, self.every * 2);
            let free = loop {
                busy.retain(|(_, until)| *until > now);
                let is_free = |place: &&Place| !busy.iter().any(|(link, _)| *link == place.link);
                let free: Vec<&Place> = self.places.iter().filter(is_free).collect();
                match busy.iter().map(|(_, until)| *until).min() {
                    Some(next) if busy.len() >= self.at_once || free.is_empty() => now = next,
                    _ => break free,
                }
            };
            let Some(place) = pick(&mut dice, &free) else { break };
            let Some(way) = pick(&mut dice, &place.ways) else { continue };
            let lasting = between(&mut dice, self.lasting.0, self.lasting.1);
            busy.push((place.link, now + lasting + REST));
            let what = What::Link { node: place.node, interface: place.interface, way: way.clone() };
            drawn.push(Drawn { after: now, lasting, what });
        }
        drawn.extend(self.draw_kills(seed, now));
        drawn
    }

    /// Kills until a moment: which has no influence on what links do.
    fn draw_kills(&self, seed: u64, until: Duration) -> Vec<Drawn> {
        let kill = |number| {
            let mut dice = Dice::new(seed, u64::from(self.breaks) + u64::from(number));
            let after = between(&mut dice, Duration::ZERO, until);
            let lasting = between(&mut dice, self.lasting.0, self.lasting.1);
            Drawn { after, lasting, what: What::Subject }
        };
        let mut kills: Vec<Drawn> = (0..self.kills).map(kill).collect();
        kills.sort_by_key(|kill| kill.after);
        let mut free = Duration::ZERO;
        for kill in &mut kills {
            kill.after = kill.after.max(free);
            free = kill.after + kill.lasting + REST;
        }
        kills
    }
}

fn between(dice: &mut Dice, least: Duration, most: Duration) -> Duration {
    let range = most.saturating_sub(least).as_micros();
    least + Duration::from_micros(dice.below(u64::try_from(range).unwrap_or(u64::MAX).saturating_add(1)))
}

fn pick<'a, T>(dice: &mut Dice, among: &'a [T]) -> Option<&'a T> {
    among.get(dice.below(among.len() as u64) as usize)
}
