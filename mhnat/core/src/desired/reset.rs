//! TCP of a lost uplink with `on-loss = "reset"`: whoever sends the next segment is told at once to begin anew.
//!
//! The rules are there always; that an uplink is lost, and another can be taken, is elements of their sets. Which
//! connections were its own is known as long as conntrack knows them, so that they are not forgotten as others are:
//! by the uplink that they remember, and otherwise by the source that they were given.
//!
//! With a device that goes down or away, or loses its address, the kernel itself forgets what was masqueraded there
//! (`masq_device_event()` in net/netfilter/nf_nat_masquerade.c). A segment of such a connection is the first of another
//! one, in the middle of a stream, and would get a source that the far end has never heard of. So while such an
//! uplink is lost, what begins like that is reset where it would leave by another one.
//!
//! This part follows that of fan-outs, which have only their own way, and comes before packets are led by marks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Context;
use super::connections::Memory;
use super::ruleset::{Part, quoted, rule};
use crate::family::Family;
use crate::link::Unusable;
use crate::model::{FlowFate, Leg, Source, Uplink};
use crate::nft::Set;
use crate::rehome::{given_as_source, takes_any};

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    for family in Family::ALL {
        let legs: Vec<_> = context
            .legs(family)
            .filter(|(it, _)| it.uplink.on_loss == FlowFate::Reset)
            .map(|(it, leg)| (it.uplink, leg))
            .collect();
        if legs.is_empty() {
            continue;
        }
        if Memory::of(context.model).remembers_outgoing() {
            by_mark(&mut part, context, family);
        } else {
            by_source(&mut part, context, family, &legs);
        }
        if legs.iter().any(|(_, leg)| leg.source == Source::Masquerade) {
            unknown(&mut part, context, family, &legs);
        }
    }
    if !part.forward.is_empty() {
        let begins = rule("tcp flags syn return", "reset: connections begin with SYN");
        part.forward.insert(0, begins);
    }
    part
}

fn by_mark(part: &mut Part, context: &Context<'_>, family: Family) {
    let lost = context
        .legs(family)
        .map(|(it, _)| it)
        .filter(|it| it.uplink.on_loss == FlowFate::Reset && context.is_left(it.uplink, family));
    let set = Set::new(
        format!("reset_marks_{}", family.digit()),
        "mark",
        lost.map(|it| it.mark.to_string()).collect(),
    );
    part.mark_prerouting.push(rule(
        format!(
            "iifname != @uplinks meta nfproto {} meta l4proto tcp ct direction original ct mark & {} @{} \
             reject with tcp reset",
            family.nft_protocol(),
            context.model.mask,
            set.name
        ),
        format!("reset: {family} connections that remember a lost uplink are reset"),
    ));
    part.sets.push(set);
}

fn by_source(part: &mut Part, context: &Context<'_>, family: Family, legs: &[(&Uplink, &Leg)]) {
    let sources = |lost: bool| {
        let legs = legs.iter().filter(|(uplink, _)| !lost || context.is_left(uplink, family));
        ranges(legs.flat_map(|(_, leg)| given_as_source(leg)).collect())
    };
    let all = sources(false);
    if all.is_empty() {
        return;
    }
    let set = Set::within(
        format!("reset_sources_{}", family.digit()),
        family.nft_address_type(),
        &all,
        sources(true),
    );
    part.mark_prerouting.push(rule(
        format!(
            "iifname != @uplinks meta l4proto tcp ct direction original ct reply {} daddr @{} reject with tcp reset",
            family.nft_keyword(),
            set.name
        ),
        format!("reset: {family} connections that were given a source of a lost uplink are reset"),
    ));
    part.sets.push(set);
}

/// What the kernel has forgotten. Where a source stays what it was, a connection may be one that began elsewhere.
fn unknown(part: &mut Part, context: &Context<'_>, family: Family, legs: &[(&Uplink, &Leg)]) {
    let forgotten = legs.iter().any(|(uplink, leg)| {
        leg.source == Source::Masquerade
            && context.is_left(uplink, family)
            && context
                .availability
                .why(&uplink.name, family)
                .is_some_and(|why| !why.link_is_well() && why != Unusable::NoCarrier)
    });
    let others = context.legs(family).filter(|(it, leg)| {
        forgotten && leg.source != Source::Unchanged && takes_any(it.uplink, family, context.availability)
    });
    let set = Set::new(
        format!("reset_unknown_{}", family.digit()),
        "ifname",
        others.map(|(it, _)| quoted(&it.uplink.interface)).collect(),
    );
    part.forward.push(rule(
        format!(
            "iifname != @uplinks oifname @{} meta nfproto {} meta l4proto tcp ct state new reject with tcp reset",
            set.name,
            family.nft_protocol()
        ),
        format!("reset: {family} connections that the kernel has forgotten are reset"),
    ));
    part.sets.push(set);
}

/// As nft writes them, without overlaps, which it refuses.
fn ranges(all: BTreeSet<(IpAddr, IpAddr)>) -> Vec<String> {
    let mut merged: Vec<(IpAddr, IpAddr)> = Vec::new();
    for (first, last) in all {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    let text = |(first, last): (IpAddr, IpAddr)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    merged.into_iter().map(text).collect()
}
