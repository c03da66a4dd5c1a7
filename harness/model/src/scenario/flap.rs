//! Links that break for a while, again and again: when which of them breaks how, and when that is undone.

use std::time::Duration;

use super::LinkChange;
use crate::{
    relay::{Dice, lane_seed},
    topology::{LinkId, NodeId},
};

#[cfg(test)]
mod tests;

/// Between the end of a link's break and its next one.
const REST: Duration = Duration::from_millis(1);

/// A change of a link, at a moment of its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// Since the step began.
    pub at: Duration,
    /// Whose interface.
    pub node: NodeId,
    /// Index of the interface.
    pub interface: usize,
    /// What happens.
    pub change: LinkChange,
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
        let timed = |at, change: &LinkChange| Timed { at, node, interface, change: change.clone() };
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
    /// What happens.
    pub change: LinkChange,
    /// What undoes it.
    pub back: LinkChange,
}

/// Breaks at random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flap {
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

impl Flap {
    /// Every change, in the order of time, from the scenario's seed and the step's name.
    pub fn schedule(&self, seed: u64, step: &str) -> Vec<Timed> {
        let seed = lane_seed(seed, step, 0);
        // Until when each link is broken, or rests.
        let mut busy: Vec<(LinkId, Duration)> = Vec::new();
        let mut timed = Vec::new();
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
            let end = now + between(&mut dice, self.lasting.0, self.lasting.1);
            busy.push((place.link, end + REST));
            let mut at = |at, change: &LinkChange| {
                let (node, interface, change) = (place.node, place.interface, change.clone());
                timed.push(Timed { at, node, interface, change });
            };
            at(now, &way.change);
            at(end, &way.back);
        }
        timed.sort_by_key(|timed| timed.at);
        timed
    }
}

fn between(dice: &mut Dice, least: Duration, most: Duration) -> Duration {
    let range = most.saturating_sub(least).as_micros();
    least + Duration::from_micros(dice.below(u64::try_from(range).unwrap_or(u64::MAX).saturating_add(1)))
}

fn pick<'a, T>(dice: &mut Dice, among: &'a [T]) -> Option<&'a T> {
    among.get(dice.below(among.len() as u64) as usize)
}
