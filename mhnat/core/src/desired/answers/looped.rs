//! Servers that are bound to an address of their own, whose answers are routed twice.
//!
//! ```text
//! question   nat_prerouting      to the server's address
//! answer     rule 15700          by its source into one end of a veth pair of ours
//!            nat_postrouting     conntrack: this is an answer, so its source becomes what was asked
//!            guard               what still has the server's address stays here
//!            raw_prerouting      it comes in by the other end, and is no new connection
//!            rule 11xxx          by its source to the uplink that was asked
//! ```
//!
//! What a server begins by itself takes the same way, from the address of the preferred uplink. Without one it has
//! no source that anybody could answer, and the guard keeps it here; were it let through, it would only come in with
//! the address that led it into the loop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::Context;
use super::super::ruleset::{Part, quoted, rule};
use super::anchor;
use crate::device::{LOOP_IN, LOOP_OUT, VethPair};
use crate::family::Family;
use crate::model::Loop;
use crate::name::IfName;
use crate::nft::{Rule, Set};
use crate::routing::{ONLY_METRIC, Route, TableId};

/// Which datagrams are the servers'.
pub(super) const ABOUT: &str = "udp dport @loop_ports ";

/// Next hops that are nowhere: neither end of the pair resolves addresses, so that whatever is routed to them comes
/// in by the other end. With a next hop the kernel keeps one neighbour for the route, and not one for each client.
const NOWHERE_4: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
const NOWHERE_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The devices that answers go round by.
pub(in super::super) fn pair(context: &Context<'_>) -> Option<VethPair> {
    let it = context.model.replies.looped()?;
    Some(VethPair::for_answers(it.servers.values().copied().collect()))
}

/// The way into the loop.
pub(in super::super) fn route(context: &Context<'_>, family: Family) -> Option<Route> {
    context.model.replies.looped()?.servers.get(&family)?;
    // The least of what uplinks are said to carry: only here does the server's socket learn of it.
    let mtu = context.legs(family).filter_map(|(it, _)| it.uplink.mtu).min_by_key(|it| it.bytes());
    Some(Route {
        table: TableId::LOOP,
        family,
        destination: family.everywhere(),
        metric: ONLY_METRIC,
        device: IfName::ours(LOOP_OUT),
        gateway: Some(match family {
            Family::V4 => IpAddr::V4(NOWHERE_4),
            Family::V6 => IpAddr::V6(NOWHERE_6),
        }),
        source: None,
        mtu,
    })
}

/// Translations to the servers.
pub(super) fn to_servers(it: &Loop) -> Vec<Rule> {
    let servers = it.servers.iter();
    servers
        .map(|(family, server)| {
            rule(
                format!("dnat {} to {server}", family.nft_keyword()),
                format!("answers: {family} datagrams go to the address that the server is bound to"),
            )
        })
        .collect()
}

/// What becomes of what the servers send.
pub(super) fn add(part: &mut Part, context: &Context<'_>, it: &Loop) {
    part.sets.push(Set::new(
        "loop_ports",
        "inet_service",
        it.ports.iter().map(ToString::to_string).collect(),
    ));
    // Conntrack would take it for a connection to the client, and give it another port.
    part.raw_prerouting.push(rule(
        format!("iifname {} notrack", quoted(LOOP_IN)),
        "answers: what has gone round the loop is no new connection",
    ));
    for (family, server) in &it.servers {
        let from_server = format!("oifname {} {} saddr {server}", quoted(LOOP_OUT), family.nft_keyword());
        if let Some(anchor) = anchor(context, *family) {
            part.nat_postrouting.push(rule(
                format!("{from_server} snat {} to {anchor}", family.nft_keyword()),
                format!("answers: {family} packets that the server began leave by the preferred uplink"),
            ));
        }
        part.guard.push(rule(
            format!("{from_server} drop"),
            format!("guard: nothing goes round the loop with the {family} address of the server"),
        ));
    }
}
