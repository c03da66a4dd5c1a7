//! Packets of connections that remember a lost uplink and are to begin anew: the kernel forgets each with its next packet.
//!
//! A connection that was masqueraded, and of which a packet leaves by another device than then, is forgotten by the kernel
//! together with that packet (`nf_nat_oif_changed()` in net/netfilter/nf_nat_core.c); the next one begins anew. So these
//! packets are not led to their uplink, and take the way of whoever remembers none. That is an element of a set, and takes
//! no longer however many connections there are, while to find those of an uplink takes a look at all. They are
//! looked for all the same ([`crate::rehome`]): the silent ones, and those with another source.

use super::Context;
use super::connections::Memory;
use super::ruleset::{Part, rule};
use crate::family::Family;
use crate::model::{FlowFate, Source};
use crate::nft::Set;

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    // Without memory they take the right way by themselves. Marks of another node's connections mean something else.
    if !Memory::of(context.model).remembers_outgoing() || context.model.sync.is_some() {
        return part;
    }
    for family in Family::ALL {
        let legs: Vec<_> = context
            .legs(family)
            .filter(|(it, leg)| {
                leg.source == Source::Masquerade
                    && matches!(it.uplink.on_loss, FlowFate::Rehome | FlowFate::Reset)
            })
            .collect();
        if legs.is_empty() {
            continue;
        }
        let left = legs.iter().filter(|(it, _)| context.is_left(it.uplink, family));
        let set = Set::new(
            format!("released_{}", family.digit()),
            "mark",
            left.map(|(it, _)| it.mark.to_string()).collect(),
        );
        part.mark_prerouting.push(rule(
            format!(
                "ct state != related ct direction original ct status snat iifname != @uplinks meta nfproto {} \
                 ct mark & {} @{} return",
                family.nft_protocol(),
                context.model.mask,
                set.name
            ),
            format!("release: {family} connections that remember a lost uplink are not led there"),
        ));
        part.sets.push(set);
    }
    part
}
