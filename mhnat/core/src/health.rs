//! Whether an uplink whose link is well carries packets as well: what probes say, and how often it was lost.
//!
//! Nothing here sends or waits. Time is an argument, and so is what became of a question:
//!
//! ```text
//!  links, time ──► observe ─┐                    ┌─► ailments: which legs are not to be used, and why
//!  time ─────────► due ─────┼─► legs ─► targets ─┤─► questions to send now
//!  an answer ────► answered ┘                    └─► deadline: when to call `due` again, if nothing happens
//! ```
//!
//! Each leg (an uplink in one family) has a `detector::Phase` for each of its targets, and perhaps a
//! `damping::Damper`. Whoever calls compares the ailments with those that it has acted upon: like everything else
//! that leads to a change they are a level, and not an event.

mod damping;
mod detector;
mod leg;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::leg::Tracked;
use crate::family::Family;
use crate::link::{Availability, Unusable};
use crate::model::{DomainName, Milliseconds, Model, Target};
use crate::name::UplinkName;

/// A time in milliseconds since the machine was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// So much later.
    #[must_use]
    pub fn after(self, time: Milliseconds) -> Self {
        Self(self.0.saturating_add(u64::from(time.0)))
    }

    /// How much later it is than another.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The next multiple of a time. Questions of all uplinks with the same interval fall into one, so that a machine
    /// wakes up for them once.
    #[must_use]
    fn next_tick(self, interval: Milliseconds) -> Self {
        let interval = u64::from(interval.0.max(1));
        Self((self.0 / interval).saturating_add(1).saturating_mul(interval))
    }
}

/// What speaks against a leg whose link is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ailment {
    /// What it is.
    pub why: Unusable,
    /// When nothing spoke against it.
    pub well: Moment,
}

/// Everything that speaks against legs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ailments(BTreeMap<UplinkName, BTreeMap<Family, Ailment>>);

impl Ailments {
    /// What speaks against this leg.
    pub fn get(&self, uplink: &UplinkName, family: Family) -> Option<Ailment> {
        self.0.get(uplink)?.get(&family).copied()
    }

    /// All, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&UplinkName, Family, Ailment)> {
        self.0.iter().flat_map(|(name, legs)| legs.iter().map(move |(family, it)| (name, *family, *it)))
    }

    /// Whether nothing speaks against anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(UplinkName, Family, Ailment)> for Ailments {
    fn from_iter<I: IntoIterator<Item = (UplinkName, Family, Ailment)>>(all: I) -> Self {
        let mut out = Self::default();
        for (name, family, ailment) in all {
            out.0.entry(name).or_default().insert(family, ailment);
        }
        out
    }
}

/// The number of a question, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionId(pub u64);

/// Something to send now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its number, by which it is answered.
    pub id: QuestionId,
    /// By which uplink.
    pub uplink: UplinkName,
    /// To whom.
    pub target: Target,
    /// What a DNS server is asked for.
    pub name: Option<DomainName>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Whoever was asked has answered.
    Answered,
    /// It is known that no answer will come.
    Missed,
    /// It was never sent, for a reason that has nothing to do with the uplink.
    Unasked,
}

/// Watches over all legs that have probes or dampening.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    legs: BTreeMap<(UplinkName, Family), Tracked>,
    /// What was known before, of legs that were not observed since.
    remembered: Ailments,
    next: u64,
}

impl Monitor {
    /// Takes up where another one ended: what was lost then still is until it answers. Everything else is taken for
    /// well until it does not answer, so that a start disturbs nothing.
    pub fn new(remembered: Ailments) -> Self {
        Self { remembered, ..Self::default() }
    }

    /// Takes notice of what the links are now, and of what the model wants to know.
    pub fn observe(&mut self, model: &Model, links: &Availability, now: Moment) {
        let wanted = |name: &UplinkName, family: Family| {
            let uplink = model.uplink(name)?;
            let tracked =
                uplink.dampening.is_some() || targets(uplink.probe.as_ref(), family).next().is_some();
            (tracked && uplink.legs.contains_key(&family)).then_some(uplink)
        };
        self.legs.retain(|(name, family), _| wanted(name, *family).is_some());
        for uplink in &model.uplinks {
            for family in uplink.legs.keys().copied() {
                if wanted(&uplink.name, family).is_none() {
                    continue;
                }
                let key = (uplink.name.clone(), family);
                let before = self.remembered.get(&uplink.name, family);
                let leg = self.legs.entry(key).or_insert_with(|| Tracked::new(before, now));
                leg.configure(uplink.probe.as_ref(), uplink.dampening, family, now);
                leg.link(links.link_is_well(uplink, family), now);
            }
        }
        // Those of other legs mean nothing any more, and these know it themselves now.
        self.remembered = Ailments::default();
    }

    /// What is to be asked now. What was not answered in time counts as unanswered from here on.
    pub fn due(&mut self, now: Moment) -> Vec<Question> {
        let mut out = Vec::new();
        for ((uplink, _), leg) in &mut self.legs {
            leg.pass(now);
            for target in leg.ask(now, &mut self.next) {
                let (id, target) = target;
                out.push(Question { id, uplink: uplink.clone(), target, name: leg.name().cloned() });
            }
        }
        out
    }

    /// When [`Monitor::due`] is due if nothing happens before; never when there is nothing to watch.
    pub fn deadline(&self) -> Option<Moment> {
        self.legs.values().filter_map(Tracked::deadline).min()
    }

    /// What became of a question. One that nobody waits for any more is of no account.
    pub fn answered(&mut self, id: QuestionId, outcome: Outcome, now: Moment) {
        for leg in self.legs.values_mut() {
            leg.answered(id, outcome, now);
        }
    }

    /// Whether the answer to this question still counts.
    pub fn awaits(&self, id: QuestionId) -> bool {
        self.legs.values().any(|leg| leg.awaits(id))
    }

    /// What speaks against legs whose links are well.
    pub fn ailments(&self) -> Ailments {
        self.legs
            .iter()
            .filter_map(|((name, family), leg)| Some((name.clone(), *family, leg.ailment()?)))
            .collect()
    }
}

/// The targets of one family.
fn targets(probe: Option<&crate::model::Probe>, family: Family) -> impl Iterator<Item = Target> {
    let all = probe.into_iter().flat_map(|it| &it.targets).copied();
    all.filter(move |it| it.family() == family)
}

#[cfg(test)]
mod tests;
