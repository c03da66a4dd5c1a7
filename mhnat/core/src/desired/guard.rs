//! What leaves by an uplink carries a source of that uplink, or stays here.
//!
//! Whatever the reason for a wrong source - a connection that began before the ruleset was there or on another
//! uplink, a packet that conntrack makes no sense of and so is not translated, a device that has lost its
//! address - the provider would drop the packet, or the answer would come in elsewhere. The guard stands
//! behind source translation and sees what would really leave.
//!
//! Questions in this order:
//!
//! 0. Is it of the pool of this uplink? Then it may leave; of another's, then it is dropped.
//! 1. Does the source belong to an uplink, but not to this one? Then it is dropped, in both directions of a
//!    connection, and on routed uplinks too.
//! 2. Is it an answer? Its source is what was asked: a service address, or a host in a routed prefix.
//! 3. Does the uplink translate, and the source is none of its own? Then nothing translated it.
//!
//! An uplink's own sources are its addresses, its fixed source, those of its fan-outs, and whatever addresses
//! its device has at that moment. What is dropped is counted by the uplink that it would have left by; sets of counters
//! outlive a replacement of the table. A host without address (DHCP) and link-local sources pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Context;
use super::ruleset::{Part, quoted, rule};
use crate::family::Family;
use crate::model::Source;
use crate::name::IfName;
use crate::nft::{Chain, Rule, STICKY, Set, StickySet};

/// Room for the interfaces of all uplinks, and of those that there were.
const COUNTERS: u32 = 1024;

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    let mut untranslated = Vec::new();
    for family in Family::ALL {
        let (own_pools, other_pools): (Vec<_>, Vec<_>) = pools(context, family).into_iter().unzip();
        let dropped = dropped(family);
        part.guard.extend(own_pools);
        part.guard.extend(other_pools.into_iter().flatten());
        let own = own(context, family);
        let (ip, digit, address) = (family.nft_keyword(), family.digit(), family.nft_address_type());
        let foreign = format!("oifname . {ip} saddr != @uplink_own_{digit}");
        if own.len() > 1 {
            let all: BTreeSet<IpAddr> = own.values().flatten().copied().collect();
            part.guard.push(rule(
                format!("oifname @uplinks {ip} saddr @uplink_any_{digit} {foreign} goto {dropped}"),
                format!("guard: an {family} source of one uplink leaves by no other"),
            ));
            part.sets.push(Set::new(
                format!("uplink_any_{digit}"),
                address,
                all.iter().map(IpAddr::to_string).collect(),
            ));
        }
        let translating: Vec<String> = context
            .legs(family)
            .filter(|(_, leg)| leg.source != Source::Unchanged)
            .map(|(it, _)| quoted(&it.uplink.interface))
            .collect();
        if !translating.is_empty() {
            let unowned = match family {
                Family::V4 => "ip saddr != 0.0.0.0",
                Family::V6 => "ip6 saddr != { ::, fe80::/10 }",
            };
            untranslated.push(rule(
                format!(
                    "oifname @translating_{digit} {foreign} {unowned} fib saddr . oif type != local goto {dropped}"
                ),
                format!("guard: {family} packets that nothing translated do not leave by an uplink that translates"),
            ));
            part.sets.push(Set::new(format!("translating_{digit}"), "ifname", translating));
        }
        let key = match family {
            Family::V4 => "ifname . ipv4_addr",
            Family::V6 => "ifname . ipv6_addr",
        };
        let elements = own.iter().flat_map(|(interface, own)| {
            own.iter().map(move |address| format!("{} . {address}", quoted(interface)))
        });
        part.sets.push(Set::new(format!("uplink_own_{digit}"), key, elements.collect()));
    }
    if !untranslated.is_empty() {
        part.guard
            .push(rule("ct direction reply return", "guard: an answer carries the address that was asked"));
        part.guard.extend(untranslated);
    }
    for family in Family::ALL {
        let called = format!(" goto {}", dropped(family));
        if part.guard.iter().any(|rule| rule.text.ends_with(&called)) {
            count(&mut part, family);
        }
    }
    // Sets that no rule names would only be in the way of whoever reads the table.
    part.sets.retain(|set| {
        let name = format!("@{} ", set.name);
        part.guard.iter().any(|rule| rule.text.contains(&name))
    });
    part
}

/// The set that counts by interface what the guard keeps back.
pub fn counters(family: Family) -> String {
    format!("{STICKY}_leaked_{}", family.digit())
}

/// The chain for what may not leave.
fn dropped(family: Family) -> String {
    format!("kept_back_{}", family.digit())
}

/// In two rules: where a packet cannot be counted, it is not to leave either.
fn count(part: &mut Part, family: Family) {
    let set = counters(family);
    part.chains.push(Chain {
        name: dropped(family),
        hook: None,
        rules: vec![
            rule(
                format!("add @{set} {{ oifname counter }}"),
                format!("guard: {family} packets that stay here are counted"),
            ),
            rule("drop", format!("guard: {family} packets that may not leave stay here")),
        ],
    });
    part.sticky.push(StickySet { name: set, key: "ifname", time: None, size: COUNTERS });
}

/// For each pool: what lets its sources leave by the uplink, and what keeps them from leaving by others. Two
/// uplinks may share a pool, so all of the former come first.
fn pools(context: &Context<'_>, family: Family) -> Vec<(Rule, Option<Rule>)> {
    let several = context.model.uplinks.len() > 1;
    context
        .legs(family)
        .filter_map(|(it, leg)| {
            let Source::Pool { first, last } = leg.source else { return None };
            let (name, source) = (&it.uplink.name, format!("{} saddr {first}-{last}", family.nft_keyword()));
            let own = rule(
                format!("oifname {} {source} return", quoted(&it.uplink.interface)),
                format!("guard: {family} sources of the pool of uplink {name} leave by it"),
            );
            let others = rule(
                format!("oifname @uplinks {source} goto {}", dropped(family)),
                format!("guard: {family} sources of the pool of uplink {name} leave by no other"),
            );
            Some((own, several.then_some(others)))
        })
        .collect()
}

/// The sources of each uplink, by interface.
fn own<'a>(context: &Context<'a>, family: Family) -> BTreeMap<&'a IfName, BTreeSet<IpAddr>> {
    let mut own: BTreeMap<&IfName, BTreeSet<IpAddr>> = BTreeMap::new();
    for (it, leg) in context.legs(family) {
        let sources = own.entry(&it.uplink.interface).or_default();
        sources.extend(&leg.addresses);
        if let Source::Fixed(address) = leg.source {
            sources.insert(address);
        }
        // A fan-out that names no uplink may leave by any.
        let here = context
            .model
            .fan_outs
            .iter()
            .filter(|fan_out| fan_out.uplink.as_ref().is_none_or(|name| *name == it.uplink.name));
        sources.extend(here.filter_map(|fan_out| fan_out.source).filter(|it| Family::of(*it) == family));
    }
    own
}
