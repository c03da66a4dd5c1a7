//! What leads to a sweep: a loss, a return, another address, a time without rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Drains, Leaving, Sweep, Why, is_left};
use crate::family::Family;
use crate::link::Availability;
use crate::mark::MarkMask;
use crate::model::{FlowFate, Leg, Model, Source, Uplink};
use crate::slot::Slots;

impl Sweep {
    /// What is to leave the uplinks that carry nothing now. `seen` has their addresses as they were when they did.
    pub fn of_loss(model: &Model, seen: &Model, slots: &Slots, now: &Availability, drains: &Drains) -> Self {
        let leaves = |uplink: &Uplink, family| match uplink.on_loss {
            FlowFate::Stay => false,
            FlowFate::Rehome | FlowFate::Reset => true,
            FlowFate::Drain(_) => drains.is_over_for_lost(&uplink.name, family),
        };
        let lost = model
            .legs()
            .filter(|(uplink, family, _)| leaves(uplink, *family) && is_left(model, uplink, *family, now));
        let leaving = lost.filter_map(|(uplink, family, leg)| {
            let leg = seen.uplink(&uplink.name).and_then(|it| it.legs.get(&family)).unwrap_or(leg);
            leaving(model.mask, slots, uplink, family, leg, Why::Lost)
        });
        Self::new(model, seen, leaving.collect())
    }

    /// What is to leave the uplinks that stood in for those that have come back.
    pub fn of_return(
        model: &Model,
        slots: &Slots,
        before: &Availability,
        now: &Availability,
        drains: &Drains,
    ) -> Self {
        let draws = |uplink: &Uplink, family| match uplink.on_return {
            FlowFate::Stay | FlowFate::Reset => false,
            FlowFate::Rehome => !before.usable(uplink, family),
            FlowFate::Drain(_) => drains.is_over_for_back(&uplink.name, family),
        };
        let back: Vec<(u32, Family)> = model
            .legs()
            .filter(|(uplink, family, _)| now.usable(uplink, *family) && draws(uplink, *family))
            .filter_map(|(uplink, family, _)| Some((uplink.metric?, family)))
            .collect();
        let stood_in = model.legs().filter(|(uplink, family, _)| {
            uplink.metric.is_some_and(|own| back.iter().any(|(metric, of)| of == family && *metric < own))
        });
        let leaving = stood_in
            .filter_map(|(uplink, family, leg)| leaving(model.mask, slots, uplink, family, leg, Why::StoodIn))
            .collect();
        Self::new(model, model, leaving)
    }

    /// What has a source that its uplink had before and has no more, although it carries packets: a renewed lease, a
    /// new PPP session. The kernel forgets some of these itself, but none on a point-to-point link, where it compares
    /// the peer's address (`masq_device_event()` in net/netfilter/nf_nat_masquerade.c).
    pub fn of_change(before: &Model, model: &Model, slots: &Slots, now: &Availability) -> Self {
        let leaving = model
            .legs()
            .filter(|(uplink, family, leg)| leg.source == Source::Masquerade && now.usable(uplink, *family))
            .filter_map(|(uplink, family, leg)| {
                let old = before.uplink(&uplink.name)?.legs.get(&family)?;
                let gone = old.addresses.iter().filter(|it| !leg.addresses.contains(it));
                let sources: Vec<_> = gone.map(|it| (*it, *it)).collect();
                let leaving = leaving(model.mask, slots, uplink, family, leg, Why::Changed)?;
                (!sources.is_empty()).then_some(Leaving { sources, ..leaving })
            });
        Self::new(model, model, leaving.collect())
    }

    /// The same where it is not known which addresses an uplink had: its mark tells what was translated for it. Without
    /// [pinning](Model::pinning), connections have no mark, and these are not found.
    pub fn of_stale(model: &Model, slots: &Slots, now: &Availability) -> Self {
        let legs = model.legs().filter(|(uplink, family, leg)| {
            model.pinning && leg.source == Source::Masquerade && now.usable(uplink, *family)
        });
        let leaving = legs.filter_map(|(uplink, family, leg)| {
            let mut leaving = leaving(model.mask, slots, uplink, family, leg, Why::Stale)?;
            leaving.sources.extend(model.fan_outs.iter().filter_map(|it| it.source).map(|it| (it, it)));
            Some(leaving)
        });
        Self::new(model, model, leaving.collect())
    }

    /// What began while the rules were not there, before the start or after somebody has taken them away. The kernel
    /// decides about translation once for a connection: its packets have a private source for as long as they come, and
    /// the guard stops them. Only what was never answered is taken: what was, has a way without us.
    pub fn of_gap(model: &Model) -> Self {
        let translating = model.legs().filter(|(_, _, leg)| leg.source != Source::Unchanged);
        let untranslated: BTreeSet<_> = translating.map(|(_, family, _)| family).collect();
        if untranslated.is_empty() {
            return Self::default();
        }
        Self { untranslated, ..Self::about(model, model, Vec::new()) }
    }

    /// What stays on uplinks that carry nothing now, whatever is to become of it.
    pub fn stranded(model: &Model, seen: &Model, slots: &Slots, now: &Availability) -> Self {
        let lost = model.legs().filter(|(uplink, family, _)| !now.usable(uplink, *family));
        let leaving = lost.filter_map(|(uplink, family, leg)| {
            let leg = seen.uplink(&uplink.name).and_then(|it| it.legs.get(&family)).unwrap_or(leg);
            let leaving = leaving(model.mask, slots, uplink, family, leg, Why::Lost)?;
            Some(Leaving { resets: false, ..leaving })
        });
        // Whoever asked an address of it waits as well.
        Self { bound: BTreeSet::new(), ..Self::new(model, seen, leaving.collect()) }
    }

    fn new(model: &Model, seen: &Model, leaving: Vec<Leaving>) -> Self {
        if leaving.is_empty() {
            return Self::default();
        }
        Self::about(model, seen, leaving)
    }

    fn about(model: &Model, seen: &Model, leaving: Vec<Leaving>) -> Self {
        let own =
            [model, seen].into_iter().flat_map(Model::legs).flat_map(|(_, _, leg)| leg.addresses.iter());
        let fixed = model.fan_outs.iter().filter(|it| it.uplink.is_some()).map(|it| &it.dummy);
        let bound = own.chain(fixed).copied().collect();
        let probes = [model, seen].into_iter().flat_map(probes).collect();
        let peers = model.sync.iter().flat_map(|it| it.peer_addresses.iter().copied()).collect();
        Self {
            leaving,
            mask: model.mask.bits(),
            marked: model.pinning,
            by_mark: model.pinning || model.has_shares(),
            bound,
            probes,
            peers,
            untranslated: BTreeSet::new(),
            some_redirected_stay: [model, seen].into_iter().any(|it| {
                it.fan_outs.iter().any(|it| it.uplink.is_some())
                    || it.forwards.iter().any(|it| it.full_nat.is_some() || it.hairpin)
            }),
        }
    }
}

fn probes(model: &Model) -> impl Iterator<Item = (IpAddr, IpAddr)> {
    model.legs().flat_map(|(uplink, family, leg)| {
        let targets = uplink.probe.iter().flat_map(|it| &it.targets).map(|it| it.address());
        let of_family = targets.filter(move |it| Family::of(*it) == family);
        of_family.flat_map(|target| leg.addresses.iter().map(move |own| (*own, target)))
    })
}

/// The sources that connections may have been given by this leg, as ranges.
pub(crate) fn given_as_source(leg: &Leg) -> Vec<(IpAddr, IpAddr)> {
    match leg.source {
        Source::Unchanged => Vec::new(),
        Source::Masquerade => leg.addresses.iter().map(|it| (*it, *it)).collect(),
        Source::Fixed(address) => vec![(address, address)],
        Source::Pool { first, last } => vec![(first, last)],
    }
}

fn leaving(
    mask: MarkMask,
    slots: &Slots,
    uplink: &Uplink,
    family: Family,
    leg: &Leg,
    why: Why,
) -> Option<Leaving> {
    Some(Leaving {
        uplink: uplink.name.clone(),
        family,
        mark: mask.mark(slots.get(&uplink.name)?)?.bits(),
        sources: given_as_source(leg),
        why,
        resets: why == Why::Lost && uplink.on_loss == FlowFate::Reset,
        own: leg.addresses.clone(),
        keeps: if why == Why::StoodIn { uplink.prefixes.iter().copied().collect() } else { Vec::new() },
    })
}
