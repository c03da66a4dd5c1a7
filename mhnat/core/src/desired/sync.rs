//! Connections that another node knows of as well, and that either may carry.
//!
//! Who asks the other node for a host behind this one is answered through here: conntrack has the connection from
//! there, and gives the answer the address that was asked. Four things stand in the way of that:
//!
//! - The mark of such a connection is the other node's, and says nothing of the uplinks here. Its packets are known
//!   by the other node's address, on one side of the connection or the other, and pass by everything that marks.
//! - The guard would not let the other node's address leave. It does for connections that conntrack knows.
//! - An answer may be here before the connection is. Sent on, it would begin a connection of its own, which keeps
//!   the other one out for as long as it lives: so it stays here, and is sent again.
//! - In the other direction, this node sees half of a connection, and a TCP segment may come in before it is known
//!   that the question was answered. Such a segment is invalid and not translated; this host would refuse it.

use std::net::IpAddr;

use super::Context;
use super::forward::{by_target, target_type};
use super::ruleset::{Part, RAW, rule};
use crate::family::Family;
use crate::model::Model;
use crate::nft::{Chain, Hook, Ruleset, Set};
use crate::sysctl::Demand;

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    let Some(sync) = &context.model.sync else { return part };
    part.mark_prerouting.push(rule(
        "iifname @uplinks ct state invalid meta l4proto tcp drop",
        "sync: a segment that is ahead of what the other node tells is not refused",
    ));
    for family in Family::ALL {
        let (ip, digit) = (family.nft_keyword(), family.digit());
        let peers: Vec<IpAddr> =
            sync.peer_addresses.iter().copied().filter(|it| Family::of(*it) == family).collect();
        if peers.is_empty() {
            continue;
        }
        let set = format!("peer_{digit}");
        let asked = format!("ct original {ip} daddr @{set} return");
        let translated = format!("ct reply {ip} daddr @{set} return");
        part.mark_prerouting.extend([
            rule(
                asked.clone(),
                format!("sync: {family} connections to the other node have marks of its own"),
            ),
            rule(
                translated.clone(),
                format!("sync: {family} connections from the other node have marks of its own"),
            ),
        ]);
        part.mark_output.extend([
            rule(asked, format!("sync: {family} packets to the other node are not led by marks")),
            rule(translated, format!("sync: {family} packets from the other node are not led by marks")),
        ]);
        part.guard.push(rule(
            format!("oifname @uplinks {ip} saddr @{set} ct state established,related return"),
            format!("sync: the other node's {family} addresses leave in connections that are known"),
        ));
        part.sets.push(Set::new(
            set,
            family.nft_address_type(),
            peers.iter().map(IpAddr::to_string).collect(),
        ));
        early(&mut part, context, family);
    }
    part
}

/// The other node's questions to hosts behind this one, where they pass a bridge here: a host with `br_netfilter`, as
/// Docker and libvirt load it, tracks what it only bridges, and takes such a question for the beginning of a connection
/// that nothing has translated. Bridges know nothing of uplinks, but of the ports that lead to other nodes.
pub(super) fn bridge(out: &mut Ruleset, model: &Model) {
    if model.sync.is_none() {
        return;
    }
    let mut rules = Vec::new();
    for family in Family::ALL {
        let Some(set) = asked(model, family) else { continue };
        rules.push(rule(
            format!(
                "iifname @filtered_on meta l4proto {{ tcp, udp }} {} daddr . meta l4proto . th dport @{} notrack",
                family.nft_keyword(),
                set.name
            ),
            format!("sync: {family} questions that the other node sends on are its own connections"),
        ));
        out.sets.push(set);
    }
    if !rules.is_empty() {
        let hook = Hook { kind: "filter", hook: "prerouting", priority: RAW };
        out.chains.push(Chain { name: "entering".to_owned(), hook: Some(hook), rules });
    }
}

/// Where hosts behind this one are asked. With full NAT they answer to whoever was asked.
fn asked(model: &Model, family: Family) -> Option<Set> {
    let here = model.forwards.iter().filter(|it| it.family() == family && it.full_nat.is_none());
    let elements: Vec<_> = by_target(here.map(|it| (it, ()))).into_iter().map(|(key, ())| key).collect();
    let name = format!("asked_{}", family.digit());
    (!elements.is_empty()).then(|| Set::new(name, target_type(family), elements))
}

/// Answers of hosts behind this one to questions that only the other node knows of so far.
fn early(part: &mut Part, context: &Context<'_>, family: Family) {
    let Some(set) = asked(context.model, family) else { return };
    part.mark_postrouting.push(rule(
        format!(
            "oifname @uplinks ct state new,invalid meta l4proto {{ tcp, udp }} \
             {} saddr . meta l4proto . th sport @{} drop",
            family.nft_keyword(),
            set.name
        ),
        format!("sync: {family} answers wait for the connection that the other node tells of"),
    ));
    part.sets.push(set);
}

/// Half of a connection has no window to be checked by, and changes are told only of connections that were begun
/// while somebody listens or while this is set (`net.netfilter.nf_conntrack_events`, nf_conntrack-sysctl).
pub(super) fn sysctls(shared: bool) -> impl Iterator<Item = Demand> {
    let demands = [Demand::ConntrackEvents, Demand::LiberalWindows];
    demands.into_iter().filter(move |_| shared)
}
