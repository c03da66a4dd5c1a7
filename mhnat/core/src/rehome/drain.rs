//! Connections that may stay for a time, and when it is over.

use std::collections::BTreeMap;

use crate::family::Family;
use crate::health::Moment;
use crate::link::Availability;
use crate::model::{FlowFate, Model};
use crate::name::UplinkName;

/// A leg.
type Key = (UplinkName, Family);

/// For each leg with `drain` that was lost or has come back, when those that may stay have to leave. Like the state of
/// links it is a level: what is asked again is answered alike, until the leg changes once more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    lost: BTreeMap<Key, Moment>,
    back: BTreeMap<Key, Moment>,
    /// When it was looked last.
    now: Moment,
}

impl Drains {
    /// Takes note of what the legs are now, and were before. Whether a time has run out since it was called last.
    pub fn note(
        &mut self,
        model: &Model,
        before: Option<&Availability>,
        after: &Availability,
        now: Moment,
    ) -> bool {
        let (mut lost, mut back) = (BTreeMap::new(), BTreeMap::new());
        for (uplink, family, _) in model.legs() {
            let key = (uplink.name.clone(), family);
            if !after.usable(uplink, family) {
                if let FlowFate::Drain(time) = uplink.on_loss {
                    let ends = self.lost.get(&key).copied().unwrap_or_else(|| now.after(time));
                    lost.insert(key, ends);
                }
            } else if let FlowFate::Drain(time) = uplink.on_return {
                let returns = before.is_some_and(|it| !it.usable(uplink, family));
                let ends = if returns { Some(now.after(time)) } else { self.back.get(&key).copied() };
                back.extend(ends.map(|it| (key, it)));
            }
        }
        (self.lost, self.back) = (lost, back);
        let since = std::mem::replace(&mut self.now, now);
        self.times().any(|it| since < it && it <= now)
    }

    /// When the next of these times runs out.
    pub fn deadline(&self) -> Option<Moment> {
        self.times().filter(|it| self.now < *it).min()
    }

    /// Whether those of a leg that is lost have to leave.
    pub(super) fn is_over_for_lost(&self, uplink: &UplinkName, family: Family) -> bool {
        self.lost.get(&(uplink.clone(), family)).is_some_and(|it| *it <= self.now)
    }

    /// Whether those that went elsewhere for want of a leg have to come back to it.
    pub(super) fn is_over_for_back(&self, uplink: &UplinkName, family: Family) -> bool {
        self.back.get(&(uplink.clone(), family)).is_some_and(|it| *it <= self.now)
    }

    /// Those that have been sent back are at home.
    pub fn forget_returned(&mut self) {
        self.back.retain(|_, it| self.now < *it);
    }

    fn times(&self) -> impl Iterator<Item = Moment> {
        self.lost.values().chain(self.back.values()).copied()
    }
}
