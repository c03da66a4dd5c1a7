//! The nft table: chains are put together here, from what each mode contributes.
//!
//! Chains and their priorities: what conntrack is not to see is taken out at -300; marks are set at -150 (where nft calls it `mangle`), after conntrack (-200)
//! has found the connection and before NAT (-100) changes addresses and the packet is routed. The guard at 300
//! sees what really leaves.

use std::collections::BTreeSet;

use super::{Context, answers, balance, connections, fan_out, forward, guard, mtu, release, reset, sync};
use crate::family::Family;
use crate::mark::Mark;
use crate::model::Source;
use crate::name::UplinkName;
use crate::nft::{Chain, Hook, Map, Rule, Ruleset, Set, StickySet};

pub(super) const RAW: i32 = -300;
const MARK: i32 = -150;
const DESTINATION: i32 = -100;
const SOURCE: i32 = 100;
const LAST: i32 = 300;

/// What a mode adds to the table.
#[derive(Default)]
pub(super) struct Part {
    pub(super) sets: Vec<Set>,
    pub(super) sticky: Vec<StickySet>,
    pub(super) maps: Vec<Map>,
    /// Chains that the mode's own verdicts lead to.
    pub(super) chains: Vec<Chain>,
    /// What conntrack is not to see of what comes in.
    pub(super) raw_prerouting: Vec<Rule>,
    /// Marks on what comes in.
    pub(super) mark_prerouting: Vec<Rule>,
    /// Marks on what this host sends.
    pub(super) mark_output: Vec<Rule>,
    /// What is not sent on.
    pub(super) forward: Vec<Rule>,
    /// Marks on connections whose packets have been routed.
    pub(super) mark_postrouting: Vec<Rule>,
    /// Destinations of what comes in.
    pub(super) nat_prerouting: Vec<Rule>,
    /// Destinations of what this host sends.
    pub(super) nat_output: Vec<Rule>,
    /// Sources of what leaves.
    pub(super) nat_postrouting: Vec<Rule>,
    /// What may not leave.
    pub(super) guard: Vec<Rule>,
}

/// The chain that marks a packet with an uplink. No name of an uplink makes it that of a base chain.
pub(super) fn mark_chain(uplink: &UplinkName) -> String {
    format!("leave_by_{uplink}")
}

/// The statement that marks a packet with an uplink and leaves the bits of others.
pub(super) fn set_mark(mark: Mark) -> String {
    format!("meta mark set meta mark & {:#010x} | {mark}", !mark.mask().bits())
}

/// An interface or other word between the quotes that nft wants.
pub(super) fn quoted(word: impl std::fmt::Display) -> String {
    format!("\"{word}\"")
}

pub(super) fn rule(text: impl Into<String>, comment: impl Into<String>) -> Rule {
    Rule { text: text.into(), comment: comment.into() }
}

pub(super) fn ruleset(context: &Context<'_>) -> Ruleset {
    // The order of parts is the order of rules in a chain. A fan-out's source comes before the uplink's.
    let parts = [
        // Before any rule that decides what becomes of the packet.
        mtu::part(context),
        // Before anything that marks.
        sync::part(context),
        fan_out::part(context),
        reset::part(context),
        forward::part(context),
        release::part(context),
        connections::part(context),
        answers::part(context),
        // What nothing else has given an uplink.
        balance::part(context),
        sources(context),
        guard::part(context),
    ];
    let mut out = Ruleset::default();
    out.sets.extend(uplinks(context));
    let mut called = mark_chains(context);
    let mut raw_prerouting = base("raw_prerouting", "filter", "prerouting", RAW);
    let mut mark_prerouting = base("mark_prerouting", "filter", "prerouting", MARK);
    // Only a chain of type `route` has the packet routed again when its mark changes.
    let mut mark_output = base("mark_output", "route", "output", MARK);
    let mut forward = base("forward", "filter", "forward", MARK);
    let mut mark_postrouting = base("mark_postrouting", "filter", "postrouting", MARK);
    let mut nat_prerouting = base("nat_prerouting", "nat", "prerouting", DESTINATION);
    let mut nat_output = base("nat_output", "nat", "output", DESTINATION);
    let mut nat_postrouting = base("nat_postrouting", "nat", "postrouting", SOURCE);
    let mut guard = base("guard", "filter", "postrouting", LAST);
    for part in parts {
        out.sets.extend(part.sets);
        out.sticky.extend(part.sticky);
        out.maps.extend(part.maps);
        called.extend(part.chains);
        raw_prerouting.rules.extend(part.raw_prerouting);
        mark_prerouting.rules.extend(part.mark_prerouting);
        mark_output.rules.extend(part.mark_output);
        forward.rules.extend(part.forward);
        mark_postrouting.rules.extend(part.mark_postrouting);
        nat_prerouting.rules.extend(part.nat_prerouting);
        nat_output.rules.extend(part.nat_output);
        nat_postrouting.rules.extend(part.nat_postrouting);
        guard.rules.extend(part.guard);
    }
    out.chains.extend(
        [
            raw_prerouting,
            mark_prerouting,
            mark_output,
            forward,
            mark_postrouting,
            nat_prerouting,
            nat_output,
            nat_postrouting,
            guard,
        ]
        .into_iter()
        .filter(|chain| !chain.rules.is_empty()),
    );
    // Last, because a replacement keeps base chains and makes these anew: so the listing stays the same.
    out.chains.extend(called);
    out
}

/// The interfaces of all uplinks.
fn uplinks(context: &Context<'_>) -> Option<Set> {
    let elements: Vec<String> = context.uplinks().map(|it| quoted(&it.uplink.interface)).collect();
    (!elements.is_empty()).then(|| Set::new("uplinks", "ifname", elements))
}

fn base(name: &str, kind: &'static str, hook: &'static str, priority: i32) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, hook, priority }), rules: Vec::new() }
}

/// One chain for each uplink whose mark is used. The bits outside the mask stay: constants of one register
/// load everywhere, arithmetic of two marks does not before nft 1.1 and Linux 6.18.
fn mark_chains(context: &Context<'_>) -> Vec<Chain> {
    let used: BTreeSet<&UplinkName> =
        Family::ALL.into_iter().flat_map(|family| context.marked(family)).collect();
    context
        .uplinks()
        .filter(|it| used.contains(&it.uplink.name))
        .map(|it| Chain {
            name: mark_chain(&it.uplink.name),
            hook: None,
            rules: vec![rule(
                set_mark(it.mark),
                format!("mark: this packet belongs to uplink {}", it.uplink.name),
            )],
        })
        .collect()
}

/// Source translation of everything that leaves by an uplink.
fn sources(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    let mut masquerading = BTreeSet::new();
    for family in Family::ALL {
        let mut fixed = Vec::new();
        // A link-local source is for the link, where its owner is known by it.
        let condition = match family {
            Family::V4 => "",
            Family::V6 => "ip6 saddr != fe80::/10 ",
        };
        for (it, leg) in context.legs(family) {
            match leg.source {
                Source::Unchanged => {}
                Source::Masquerade => {
                    masquerading.insert(quoted(&it.uplink.interface));
                }
                Source::Fixed(address) => fixed.push((quoted(&it.uplink.interface), address.to_string())),
                // A rule for each: what loads a map to ranges differs between versions of nft.
                // `persistent` chooses by the client's address alone.
                Source::Pool { first, last } => part.nat_postrouting.push(rule(
                    format!(
                        "oifname {} {condition}snat {} to {first}-{last} persistent",
                        quoted(&it.uplink.interface),
                        family.nft_keyword()
                    ),
                    format!("uplink: {family} clients share the pool of uplink {}", it.uplink.name),
                )),
            }
        }
        if fixed.is_empty() {
            continue;
        }
        let map = format!("uplink_source_{}", family.digit());
        part.nat_postrouting.push(rule(
            format!("{condition}snat {} to oifname map @{map}", family.nft_keyword()),
            format!("uplink: {family} packets take the fixed source of the uplink that they leave by"),
        ));
        part.maps.push(Map { name: map, key: "ifname", value: family.nft_address_type(), elements: fixed });
    }
    if !masquerading.is_empty() {
        // A source that the device itself owns stays: a server's second address is there on purpose.
        part.nat_postrouting.push(rule(
            "oifname @masquerade_on fib saddr . oif type != local masquerade",
            "uplink: packets take the address of the uplink that they leave by",
        ));
        part.sets.push(Set::new("masquerade_on", "ifname", masquerading.into_iter().collect()));
    }
    part
}
