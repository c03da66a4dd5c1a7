//! Addresses that several nodes share: what resolves them to a link-layer address stays on its node.
//!
//! A bridge carries ARP and neighbour discovery from node to node. So all nodes would answer a guest that asks
//! for the gateway address, and the last answer would win. Frames that ask for a shared address, and frames
//! that tell of one, are dropped where they would leave for another node. A table of family `bridge` does it
//! on every kernel and nft, and knows devices by name, whether they exist yet or not; the egress hook of
//! `netdev` came with Linux 5.16 and nft 1.0, and sees no more of a bridge's port.

use std::net::IpAddr;

use super::ruleset::{quoted, rule};
use super::sync;
use crate::family::Family;
use crate::model::{ArpFilter, Model};
use crate::nft::{Chain, Hook, Rule, Ruleset, Set, Table};

/// Where nft puts filters of bridges by default, `NF_BR_PRI_FILTER_BRIDGED` (linux/netfilter_bridge.h).
const FILTER: i32 = -200;

pub(super) fn ruleset(model: &Model) -> Ruleset {
    let mut out = Ruleset { table: Table::Bridge, ..Ruleset::default() };
    let Some(filter) = &model.arp_filter else { return out };
    let mut rules = Vec::new();
    out.sets.push(Set::new("filtered_on", "ifname", filter.devices.iter().map(quoted).collect()));
    for family in Family::ALL {
        let shared: Vec<IpAddr> =
            filter.addresses.iter().copied().filter(|it| Family::of(*it) == family).collect();
        if shared.is_empty() {
            continue;
        }
        rules.extend(match family {
            Family::V4 => arp(),
            Family::V6 => discovery(filter),
        });
        out.sets.push(Set::new(
            format!("shared_{}", family.digit()),
            family.nft_address_type(),
            shared.iter().map(IpAddr::to_string).collect(),
        ));
    }
    // Postrouting sees what the bridge forwards and what this host itself sends through it.
    let hook = Hook { kind: "filter", hook: "postrouting", priority: FILTER };
    out.chains.push(Chain { name: "leaving".to_owned(), hook: Some(hook), rules });
    sync::bridge(&mut out, model);
    out
}

fn arp() -> Vec<Rule> {
    vec![
        rule(
            "oifname @filtered_on arp daddr ip @shared_4 drop",
            "arp-filter: nobody on other nodes is asked for a shared IPv4 address",
        ),
        rule(
            "oifname @filtered_on arp saddr ip @shared_4 drop",
            "arp-filter: nobody on other nodes is told of a shared IPv4 address",
        ),
    ]
}

/// Neighbour discovery (RFC 4861): the target follows eight bytes of ICMPv6 header in solicitations and
/// advertisements alike. nft has a word for it only since 1.0.8, and compares raw bytes with numbers only.
fn discovery(filter: &ArpFilter) -> Vec<Rule> {
    let targets: Vec<String> = filter
        .addresses
        .iter()
        .filter_map(|it| match it {
            IpAddr::V6(address) => Some(format!("{:#034x}", address.to_bits())),
            IpAddr::V4(_) => None,
        })
        .collect();
    vec![
        rule(
            format!(
                "oifname @filtered_on icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} \
                 @th,64,128 {{ {} }} drop",
                targets.join(", ")
            ),
            "arp-filter: nobody on other nodes is asked for or told of a shared IPv6 address",
        ),
        rule(
            "oifname @filtered_on icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } \
             ip6 saddr @shared_6 drop",
            "arp-filter: a shared IPv6 address asks and tells nobody on other nodes",
        ),
    ]
}
