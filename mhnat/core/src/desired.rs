//! The desired state: everything that the kernel should hold for a model.

mod answers;
mod arp_filter;
mod balance;
mod connections;
mod fan_out;
mod forward;
mod guard;
mod mtu;
mod policy;
mod release;
mod reset;
mod ruleset;
mod sync;

use std::collections::BTreeSet;

use serde::Serialize;

use self::connections::Memory;
pub use self::guard::counters;
use crate::converge::Routing;
use crate::device::VethPair;
use crate::family::Family;
use crate::link::Availability;
use crate::mark::Mark;
use crate::model::{Leg, Model, Uplink};
use crate::name::UplinkName;
use crate::nft::{Inventories, Ruleset};
use crate::rehome::is_left;
use crate::routing::{Route, Rule};
use crate::slot::{Slot, Slots};
use crate::sysctl::Demand;

/// Everything that the kernel should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// The content of our nft table for what is routed.
    pub ruleset: Ruleset,
    /// The content of our nft table for what passes bridges.
    pub bridge: Ruleset,
    /// Our network devices.
    pub devices: BTreeSet<VethPair>,
    /// Our policy rules.
    pub rules: BTreeSet<Rule>,
    /// Our routes.
    pub routes: BTreeSet<Route>,
    /// What the kernel's settings must allow.
    pub sysctls: BTreeSet<Demand>,
}

impl Desired {
    /// The tables that are not empty, in the order of loading.
    pub fn rulesets(&self) -> impl Iterator<Item = &Ruleset> {
        [&self.ruleset, &self.bridge].into_iter().filter(|it| !it.is_empty())
    }

    /// Its policy rules and routes.
    pub fn routing(&self) -> Routing {
        Routing { rules: self.rules.clone(), routes: self.routes.clone() }
    }

    /// What turns the tables of `present` into these, if they differ in elements only: see [`Ruleset::update`].
    pub fn update(&self, present: &Self) -> Option<String> {
        Some(self.ruleset.update(&present.ruleset)? + &self.bridge.update(&present.bridge)?)
    }

    /// What stands in our tables once all is loaded.
    pub fn inventories(&self) -> Inventories {
        self.rulesets().map(|it| (it.table, it.inventory())).collect()
    }
}

/// Derives the desired state. The same arguments give the same state, to the byte.
pub fn desired(model: &Model, slots: &Slots, availability: &Availability) -> Desired {
    let context = Context { model, slots, availability };
    Desired {
        ruleset: ruleset::ruleset(&context),
        bridge: arp_filter::ruleset(model),
        devices: answers::pair(&context).into_iter().collect(),
        rules: policy::rules(&context),
        routes: policy::routes(&context),
        sysctls: sysctls(model),
    }
}

/// What every part of the derivation reads.
struct Context<'a> {
    model: &'a Model,
    slots: &'a Slots,
    availability: &'a Availability,
}

/// An uplink with the numbers that follow from its slot.
#[derive(Clone, Copy)]
struct Numbered<'a> {
    uplink: &'a Uplink,
    slot: Slot,
    mark: Mark,
}

impl<'a> Context<'a> {
    /// Every uplink with its numbers, in the order of the file.
    fn uplinks(&self) -> impl Iterator<Item = Numbered<'a>> {
        let (model, slots) = (self.model, self.slots);
        model.uplinks.iter().filter_map(move |uplink| {
            let slot = slots.get(&uplink.name)?;
            Some(Numbered { uplink, slot, mark: model.mask.mark(slot)? })
        })
    }

    /// The uplinks that have a leg in this family, with it.
    fn legs(&self, family: Family) -> impl Iterator<Item = (Numbered<'a>, &'a Leg)> {
        self.uplinks().filter_map(move |it| it.uplink.legs.get(&family).map(|leg| (it, leg)))
    }

    /// Whether what this uplink carried is to begin anew: it carries nothing, and another does.
    fn is_left(&self, uplink: &Uplink, family: Family) -> bool {
        is_left(self.model, uplink, family, self.availability)
    }

    /// The uplinks whose mark is set on packets of this family.
    fn marked(&self, family: Family) -> BTreeSet<&'a UplinkName> {
        let memory = Memory::of(self.model);
        let fan_outs = self.model.fan_outs.iter().filter(|it| it.family() == family);
        self.legs(family)
            .map(|(it, _)| it.uplink)
            .filter(|uplink| memory.may_carry(&uplink.interface))
            .map(|uplink| &uplink.name)
            .chain(fan_outs.filter_map(|it| it.uplink.as_ref()))
            .collect()
    }
}

fn sysctls(model: &Model) -> BTreeSet<Demand> {
    // Answers to a fan-out, and requests to an address of another link, come in where the route back to
    // their source does not point.
    let loose = model
        .uplinks
        .iter()
        .filter(|uplink| uplink.legs.contains_key(&Family::V4))
        .map(|uplink| Demand::LooseReversePath(uplink.interface.clone()));
    // IPv6 has one switch for all devices, and answers that go round the loop are forwarded.
    let looped = model.replies.looped().is_some_and(|it| it.servers.contains_key(&Family::V6));
    let forwarding = model.forwarding.iter().copied().chain(looped.then_some(Family::V6));
    let shared = sync::sysctls(model.sync.is_some());
    loose.chain(forwarding.map(Demand::Forwarding)).chain(shared).collect()
}

#[cfg(test)]
mod tests;
