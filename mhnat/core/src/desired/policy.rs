//! Policy routing: which table a packet asks, and what each table holds.
//!
//! ```text
//! 10000   lookup main suppress_prefixlength 0    what this host reaches directly or by a route of its own
//! 101xx   fwmark MARK lookup TABLE, unreachable  packets for which an uplink was chosen
//! 11xxx   from ADDRESS lookup TABLE, unreachable packets that carry an uplink's address
//! 157xx   from SERVER iif lo lookup 10700, ...   answers that are routed once more, see `answers`
//! 15800   lookup 10800                           destinations that have an uplink of their own
//! 15900   lookup 10900                           everything else: default routes by metric
//! ```
//!
//! Marks come before addresses: an answer is marked while it still carries the address of the preferred
//! uplink, and only translated to the address that was asked after it has been routed. The guard behind each
//! lookup keeps packets of a lost uplink from leaving by another with a source that is not that one's.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Context, Numbered, answers};
use crate::family::Family;
use crate::model::{UdpReplies, Uplink};
use crate::routing::{Action, ONLY_METRIC, Route, Rule, Selector, TableId, priority};

pub(super) fn rules(context: &Context<'_>) -> BTreeSet<Rule> {
    Family::ALL.into_iter().flat_map(|family| family_rules(context, family)).collect()
}

fn family_rules(context: &Context<'_>, family: Family) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut add = |priority, selector, action| rules.push(Rule { action, priority, selector, family });
    let marked = context.marked(family);
    for (it, leg) in context.legs(family) {
        let table = TableId::of(it.slot);
        if marked.contains(&it.uplink.name) {
            let selector = Selector::Mark { mark: it.mark.bits(), mask: it.mark.mask().bits() };
            let priority = priority::by_mark(it.slot);
            add(priority, selector, Action::Lookup(table));
            add(priority + 1, selector, Action::Unreachable);
        }
        for (index, address) in (0..).zip(&leg.addresses) {
            let priority = priority::by_address(it.slot, index);
            add(priority, Selector::From(*address), Action::Lookup(table));
            add(priority + 1, Selector::From(*address), Action::Unreachable);
        }
    }
    if let Some(server) = context.model.replies.looped().and_then(|it| it.servers.get(&family)) {
        // This host's own packets only: whatever comes in again, from whatever address, goes on from there.
        let selector = Selector::SentFrom(*server);
        add(priority::LOOP, selector, Action::Lookup(TableId::LOOP));
        add(priority::LOOP + 1, selector, Action::Unreachable);
    }
    if context.uplinks().any(|it| prefixes(it.uplink, family).next().is_some()) {
        add(priority::PREFIXES, Selector::All, Action::Lookup(TableId::PREFIXES));
    }
    if context.legs(family).any(|(it, _)| it.uplink.metric.is_some()) {
        add(priority::DEFAULT, Selector::All, Action::Lookup(TableId::DEFAULT));
    }
    if context.legs(family).next().is_some() {
        add(priority::MAIN, Selector::All, Action::LookupWithoutDefault(TableId::MAIN));
    }
    rules
}

pub(super) fn routes(context: &Context<'_>) -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    routes.extend(Family::ALL.into_iter().filter_map(|family| answers::route(context, family)));
    for family in Family::ALL {
        let mut metrics = BTreeSet::new();
        let open = |it: &Numbered<'_>| context.availability.link_is_well(it.uplink, family);
        for (it, leg) in context.legs(family).filter(|(it, _)| open(it)) {
            let mut add = |table, destination, metric| {
                routes.insert(Route {
                    table,
                    family,
                    destination,
                    metric,
                    device: it.uplink.interface.clone(),
                    mtu: it.uplink.mtu,
                    gateway: leg.gateway,
                    // `redirect` translates to the interface's own first address, so that the kernel's own
                    // choice of a source must stand.
                    source: leg.preferred().filter(|_| !redirected(context, it.uplink)),
                })
            };
            // Probes go this way, answers to those who came by it, and connections that may move nowhere else.
            add(TableId::of(it.slot), family.everywhere(), ONLY_METRIC);
            if !context.availability.usable(it.uplink, family) {
                continue;
            }
            // Of those that share a metric, the first takes what was not given to another.
            if let Some(metric) = it.uplink.metric.filter(|it| metrics.insert(*it)) {
                add(TableId::DEFAULT, family.everywhere(), metric);
            }
            // A prefix of two uplinks is there twice, and the kernel takes the lower metric.
            for prefix in prefixes(it.uplink, family) {
                add(TableId::PREFIXES, prefix, it.uplink.metric.unwrap_or(ONLY_METRIC));
            }
        }
    }
    routes
}

fn prefixes(uplink: &Uplink, family: Family) -> impl Iterator<Item = IpNet> {
    uplink.prefixes.iter().copied().filter(move |prefix| Family::of(prefix.addr()) == family)
}

fn redirected(context: &Context<'_>, uplink: &Uplink) -> bool {
    matches!(&context.model.replies.udp, Some(UdpReplies::Redirect(on)) if on.contains(&uplink.interface))
}
