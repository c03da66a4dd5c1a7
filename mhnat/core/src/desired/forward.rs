//! Forwards: ports of an uplink's address that lead to hosts behind this one.
//!
//! One lookup by interface, protocol and port finds the target, however many forwards there are. The
//! connection remembers the uplink that it came by (see `connections`), so that the target's answers, which
//! come in from the LAN, leave by it; packets towards the target carry no mark, and are routed as any other
//! for the LAN.
//!
//! `full-nat` and `hairpin` change sources after routing, where the original destination is gone. Both are
//! properties of the target, and are looked up by it.

use std::net::IpAddr;

use super::Context;
use super::ruleset::{Part, quoted, rule};
use crate::family::Family;
use crate::model::{Forward, Ports, Transport};
use crate::nft::{Map, Set};

/// Without it, nft takes no port as a key.
const WITH_PORTS: &str = "meta l4proto { tcp, udp }";

/// How nft 0.9.8 and all later ones take a map from whatever to address and port.
const ADDRESS_AND_PORT: &str = "addr . port ";

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    for family in Family::ALL {
        let forwards: Vec<_> = context.model.forwards.iter().filter(|it| it.family() == family).collect();
        if forwards.is_empty() {
            continue;
        }
        // Two maps, because a range of ports keeps its ports, and the values of a map are all of one type.
        for ranges in [false, true] {
            let here: Vec<_> = forwards.iter().copied().filter(|it| it.keeps_ports() == ranges).collect();
            translate(&mut part, context, family, ranges, &here);
        }
        full_nat(&mut part, family, &forwards);
        answer_through_here(&mut part, family, &forwards);
    }
    part
}

/// Destinations: of what comes in by an uplink, and with `hairpin` of what asks for its address from inside.
fn translate(part: &mut Part, context: &Context<'_>, family: Family, ranges: bool, forwards: &[&Forward]) {
    let (ip, digit) = (family.nft_keyword(), family.digit());
    let (name, to, what) =
        if ranges { ("range", "", "port ranges") } else { ("to", ADDRESS_AND_PORT, "ports") };
    let value = value_type(family, ranges);
    let outside: Vec<_> = forwards
        .iter()
        .flat_map(|it| {
            let on = it.on.iter().filter_map(|name| context.model.uplink(name));
            on.map(|uplink| (key(&quoted(&uplink.interface), it.protocol, it.ports), target(it)))
        })
        .collect();
    if !outside.is_empty() {
        let map = format!("forward_{name}_{digit}");
        part.nat_prerouting.push(rule(
            format!(
                "fib daddr type local {WITH_PORTS} dnat {ip} {to}to \
                 iifname . meta l4proto . th dport map @{map}"
            ),
            format!("forward: {family} {what} of an uplink lead to hosts behind this one"),
        ));
        part.maps.push(Map {
            name: map,
            key: "ifname . inet_proto . inet_service",
            value,
            elements: outside,
        });
    }

    let inside: Vec<_> = forwards
        .iter()
        .filter(|it| it.hairpin)
        .flat_map(|it| {
            let on = it.on.iter().filter_map(|name| context.model.uplink(name));
            let legs = on.filter_map(|uplink| uplink.legs.get(&family));
            legs.flat_map(|leg| &leg.addresses)
                .map(|address| (key(address, it.protocol, it.ports), target(it)))
        })
        .collect();
    if !inside.is_empty() {
        let map = format!("hairpin_{name}_{digit}");
        let dnat = format!("{WITH_PORTS} dnat {ip} {to}to {ip} daddr . meta l4proto . th dport map @{map}");
        part.nat_prerouting.push(rule(
            format!("iifname != @uplinks {dnat}"),
            format!("forward: {family} {what} of an uplink's address lead there from inside as well"),
        ));
        part.nat_output.push(rule(
            dnat,
            format!("forward: {family} {what} of an uplink's address lead there from this host as well"),
        ));
        part.maps.push(Map { name: map, key: target_type(family), value, elements: inside });
    }
}

/// The target sees an address of this host, so that its answer comes back here and not to another gateway.
fn full_nat(part: &mut Part, family: Family, forwards: &[&Forward]) {
    let (ip, map) = (family.nft_keyword(), format!("forward_source_{}", family.digit()));
    let elements: Vec<_> = by_target(forwards.iter().filter_map(|it| Some((*it, it.full_nat?))))
        .into_iter()
        .map(|(key, seen)| (key, seen.to_string()))
        .collect();
    if elements.is_empty() {
        return;
    }
    part.nat_postrouting.push(rule(
        format!("ct status dnat {WITH_PORTS} snat {ip} to {ip} daddr . meta l4proto . th dport map @{map}"),
        format!("forward: the {family} host behind answers to this one"),
    ));
    part.maps.push(Map { name: map, key: target_type(family), value: family.nft_address_type(), elements });
}

/// A client on the target's own link would be answered directly, from an address that it did not ask.
fn answer_through_here(part: &mut Part, family: Family, forwards: &[&Forward]) {
    let (ip, set) = (family.nft_keyword(), format!("hairpin_{}", family.digit()));
    let plain = forwards.iter().filter(|it| it.hairpin && it.full_nat.is_none()).map(|it| (*it, ()));
    let elements: Vec<_> = by_target(plain).into_iter().map(|(key, ())| key).collect();
    if elements.is_empty() {
        return;
    }
    part.nat_postrouting.push(rule(
        format!(
            "ct status dnat iifname != @uplinks {WITH_PORTS} \
             {ip} daddr . meta l4proto . th dport @{set} masquerade"
        ),
        format!("forward: {family} clients inside are answered through this host"),
    ));
    part.sets.push(Set { name: set, key: target_type(family), elements });
}

/// What belongs to each target, by address, protocol and port. Several forwards may lead to one target, and
/// the kernel takes no intervals that overlap, so those become one.
fn by_target<'a, T: Copy + Ord>(forwards: impl Iterator<Item = (&'a Forward, T)>) -> Vec<(String, T)> {
    let mut sorted: Vec<_> =
        forwards.map(|(it, value)| (it.to, it.protocol, value, it.target_ports())).collect();
    sorted.sort();
    let mut merged: Vec<(IpAddr, Transport, T, Ports)> = Vec::new();
    for (to, protocol, value, ports) in sorted {
        match merged.last_mut() {
            Some((last, same, with, run))
                if (*last, *same, *with) == (to, protocol, value) && run.overlaps(ports) =>
            {
                *run = run.hull(ports);
            }
            _ => merged.push((to, protocol, value, ports)),
        }
    }
    merged.into_iter().map(|(to, protocol, value, ports)| (key(&to, protocol, ports), value)).collect()
}

fn key(place: &impl std::fmt::Display, protocol: Transport, ports: Ports) -> String {
    format!("{place} . {protocol} . {ports}")
}

fn target(forward: &Forward) -> String {
    if forward.keeps_ports() {
        forward.to.to_string()
    } else {
        format!("{} . {}", forward.to, forward.target_ports())
    }
}

const fn value_type(family: Family, ranges: bool) -> &'static str {
    match (family, ranges) {
        (Family::V4, false) => "ipv4_addr . inet_service",
        (Family::V6, false) => "ipv6_addr . inet_service",
        (_, true) => family.nft_address_type(),
    }
}

const fn target_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr . inet_proto . inet_service",
        Family::V6 => "ipv6_addr . inet_proto . inet_service",
    }
}

#[cfg(test)]
mod tests;
