//! What has become of the uplinks while somebody watches: their last transitions, with cause and duration, and counts.
//!
//! It takes a bounded place, whatever happens, and knows no clock. Whoever watches tells it what happens; what it knows
//! is given away as [`History`], for `status`, and as [`metrics`].

pub mod metrics;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::family::Family;
use crate::link::Unusable;
use crate::model::Model;
use crate::name::{IfName, UplinkName};
use crate::stamp::Stamp;

/// So many transitions are remembered of each family of an uplink.
pub const REMEMBERED: usize = 16;

/// Upper limits of the classes of durations, in microseconds.
const CLASSES: [u32; 11] =
    [500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// Why an uplink is used or not, as a word for programs. The words stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It could be used when somebody began to watch.
    Started,
    /// Nothing speaks against it any more.
    Returned,
    /// There is no such device.
    Absent,
    /// The device is administratively down.
    Down,
    /// The device has no carrier.
    NoCarrier,
    /// The device does not have the address, or none at all.
    NoAddress,
    /// Nobody has told its next hop.
    NoGateway,
    /// The address is not known to be unique.
    Tentative,
    /// Probes are not answered.
    Unanswered,
    /// Its link is back, and probes not yet answered often enough.
    Unproven,
    /// It was lost too often.
    Dampened,
}

impl Cause {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Returned => "returned",
            Self::Absent => "absent",
            Self::Down => "down",
            Self::NoCarrier => "no-carrier",
            Self::NoAddress => "no-address",
            Self::NoGateway => "no-gateway",
            Self::Tentative => "tentative",
            Self::Unanswered => "unanswered",
            Self::Unproven => "unproven",
            Self::Dampened => "dampened",
        }
    }
}

impl From<Unusable> for Cause {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::Absent => Self::Absent,
            Unusable::Down => Self::Down,
            Unusable::NoCarrier => Self::NoCarrier,
            Unusable::NoAddress(_) | Unusable::Nothing => Self::NoAddress,
            Unusable::NoGateway => Self::NoGateway,
            Unusable::Tentative(_) => Self::Tentative,
            Unusable::Unanswered { .. } => Self::Unanswered,
            Unusable::Unproven { .. } => Self::Unproven,
            Unusable::Dampened => Self::Dampened,
        }
    }
}

/// One family of an uplink.
pub type Key = (UplinkName, Family);

/// Everything since somebody began to watch.
#[derive(Clone, Debug)]
pub struct Chronicle {
    started: Stamp,
    legs: BTreeMap<Key, Leg>,
    /// Times that the kernel was looked at.
    looks: u64,
    turns: Durations,
    /// Times that the kernel was brought back although no uplink had changed.
    reasserted: u64,
    /// Changes that did not succeed.
    failed: u64,
    /// Sockets of the watching host that were closed.
    closed: u64,
}

#[derive(Clone, Debug)]
struct Leg {
    interface: IfName,
    transitions: VecDeque<Past>,
    totals: BTreeMap<Cause, u64>,
    rehomed: u64,
    probes: Probes,
}

#[derive(Clone, Copy, Debug)]
struct Past {
    time: Stamp,
    cause: Cause,
    why: Option<Unusable>,
    /// Until what follows from it was in the kernel; not known yet while that is on its way.
    took: Option<Duration>,
}

/// What became of probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probes {
    sent: u64,
    answered: u64,
    lost: u64,
    round_trips: Duration,
}

/// How many durations there were in each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Durations {
    classes: [u64; CLASSES.len()],
    count: u64,
    sum: Duration,
}

impl Chronicle {
    /// Nothing has happened yet.
    pub const fn new(started: Stamp) -> Self {
        let turns = Durations { classes: [0; CLASSES.len()], count: 0, sum: Duration::ZERO };
        Self { started, legs: BTreeMap::new(), looks: 0, turns, reasserted: 0, failed: 0, closed: 0 }
    }

    /// Forgets what is not in the model any more.
    pub fn keep(&mut self, model: &Model) {
        self.legs.retain(|(name, family), leg| {
            model.uplink(name).is_some_and(|it| it.legs.contains_key(family) && it.interface == leg.interface)
        });
    }

    /// One family of an uplink can be used from now on, or cannot, for a reason.
    pub fn transition(&mut self, model: &Model, key: &Key, why: Option<Unusable>, time: Stamp) {
        let Some(uplink) = model.uplink(&key.0) else { return };
        let leg = self.legs.entry(key.clone()).or_insert_with(|| Leg {
            interface: uplink.interface.clone(),
            transitions: VecDeque::new(),
            totals: BTreeMap::new(),
            rehomed: 0,
            probes: Probes::default(),
        });
        let first = leg.transitions.is_empty();
        let cause = why.map_or(if first { Cause::Started } else { Cause::Returned }, Cause::from);
        if leg.transitions.len() == REMEMBERED {
            leg.transitions.pop_front();
        }
        leg.transitions.push_back(Past { time, cause, why, took: None });
        // What was found in the beginning is no change.
        if !first {
            *leg.totals.entry(cause).or_default() += 1;
        }
    }

    /// The kernel was looked at.
    pub const fn looked(&mut self) {
        self.looks += 1;
    }

    /// What has changed the kernel took so long, from the first look to the last change.
    pub fn in_force(&mut self, took: Duration) {
        self.turns.add(took);
        for leg in self.legs.values_mut() {
            // Of what could not be put in force at once, only the last counts.
            for past in leg.transitions.iter_mut().filter(|it| it.took.is_none()) {
                past.took = Some(took);
            }
        }
    }

    /// The kernel was brought back although no uplink had changed.
    pub const fn reasserted(&mut self) {
        self.reasserted += 1;
    }

    /// A change did not succeed.
    pub const fn failed(&mut self) {
        self.failed += 1;
    }

    /// Sockets of the watching host were closed.
    pub const fn closed(&mut self, number: u64) {
        self.closed += number;
    }

    /// Connections of an uplink begin anew.
    pub fn rehomed(&mut self, key: &Key, number: u64) {
        if let Some(leg) = self.legs.get_mut(key) {
            leg.rehomed += number;
        }
    }

    /// A probe was sent.
    pub fn probed(&mut self, key: &Key) {
        if let Some(leg) = self.legs.get_mut(key) {
            leg.probes.sent += 1;
        }
    }

    /// A probe was answered after this time, or nobody waits for its answer any more.
    pub fn probe_ended(&mut self, key: &Key, round_trip: Option<Duration>) {
        let Some(Leg { probes, .. }) = self.legs.get_mut(key) else { return };
        match round_trip {
            Some(time) => {
                probes.answered += 1;
                probes.round_trips += time;
            }
            None => probes.lost += 1,
        }
    }

    /// Whether any of them cannot be used now.
    pub fn any_lost(&self) -> bool {
        self.legs.values().any(|leg| leg.transitions.back().is_some_and(|it| it.why.is_some()))
    }

    /// What `status` shows.
    pub fn history(&self) -> History {
        let mut uplinks: BTreeMap<UplinkName, BTreeMap<Family, LegHistory>> = BTreeMap::new();
        for ((name, family), leg) in &self.legs {
            uplinks.entry(name.clone()).or_default().insert(*family, leg.history());
        }
        History {
            started: self.started.to_string(),
            looks: self.looks,
            turns: self.turns.count,
            reasserted: self.reasserted,
            failed: self.failed,
            closed: self.closed,
            uplinks,
        }
    }
}

impl Leg {
    fn history(&self) -> LegHistory {
        let view = |past: &Past| Transition {
            time: past.time.to_string(),
            usable: past.why.is_none(),
            cause: past.cause,
            why: past.why.map(|it| it.to_string()),
            milliseconds: past.took.map(|it| it.as_secs_f64() * 1e3),
        };
        let transitions: Vec<_> = self.transitions.iter().map(view).collect();
        LegHistory {
            since: transitions.last().map(|it| it.time.clone()).unwrap_or_default(),
            rehomed: self.rehomed,
            probes_sent: self.probes.sent,
            probes_lost: self.probes.lost,
            transitions,
        }
    }
}

impl Durations {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took;
        let limits = CLASSES.iter().zip(&mut self.classes);
        for (_, count) in limits.filter(|(limit, _)| took <= Duration::from_micros(u64::from(**limit))) {
            *count += 1;
        }
    }
}

/// What a watching process has seen. Times are of RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct History {
    /// Since when it watches.
    pub started: String,
    /// How often it looked at the kernel.
    pub looks: u64,
    /// How often it changed something there.
    pub turns: u64,
    /// How often that was although no uplink had changed.
    pub reasserted: u64,
    /// How often it did not succeed.
    pub failed: u64,
    /// Sockets of this host that it has closed.
    pub closed: u64,
    /// What became of the uplinks.
    pub uplinks: BTreeMap<UplinkName, BTreeMap<Family, LegHistory>>,
}

/// What became of one family of an uplink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LegHistory {
    /// Since when it is as it is now, or since somebody watches.
    pub since: String,
    /// Connections that had to leave it and begin anew.
    pub rehomed: u64,
    /// Probes that were sent.
    pub probes_sent: u64,
    /// Those of them that were not answered.
    pub probes_lost: u64,
    /// The last ones, oldest first.
    pub transitions: Vec<Transition>,
}

/// One family of an uplink could be used from here on, or could not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transition {
    /// When it was noticed.
    pub time: String,
    /// Whether it could be used.
    pub usable: bool,
    /// Why, in a word.
    pub cause: Cause,
    /// Why not, in words.
    pub why: Option<String>,
    /// From the first look at it to the last change that followed from it; nothing while that is on its way.
    pub milliseconds: Option<f64>,
}

#[cfg(test)]
mod tests;
