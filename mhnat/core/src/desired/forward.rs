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

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    for family in Family::ALL {
        let forwards: Vec<_> = context.model.forwards.iter().filter(|it| it.family() == family).collect();
        if forwards.is_empty() {
            continue;
        }
        // Apart, because a range of ports keeps its ports.
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
    let ip = family.nft_keyword();
    let what = if ranges { "port ranges" } else { "ports" };
    let outside: Vec<_> = forwards
        .iter()
        .flat_map(|it| {
            let on = it.on.iter().filter_map(|name| context.model.uplink(name));
            on.map(|uplink| (key(&quoted(&uplink.interface), it.protocol, it.ports), *it))
        })
        .collect();
    if !outside.is_empty() {
        let words = ("iifname . meta l4proto . th dport", "ifname . inet_proto . inet_service");
        let dnat = dnat(part, family, ("forward", ranges), words, &outside);
        part.nat_prerouting.push(rule(
            format!("fib daddr type local {dnat}"),
            format!("forward: {family} {what} of an uplink lead to hosts behind this one"),
        ));
    }

    let inside: Vec<_> = forwards
        .iter()
        .filter(|it| it.hairpin)
        .flat_map(|it| {
            let on = it.on.iter().filter_map(|name| context.model.uplink(name));
            let legs = on.filter_map(|uplink| uplink.legs.get(&family));
            legs.flat_map(|leg| &leg.addresses).map(|address| (key(address, it.protocol, it.ports), *it))
        })
        .collect();
    if !inside.is_empty() {
        let words = (format!("{ip} daddr . meta l4proto . th dport"), target_type(family));
        let dnat = dnat(part, family, ("hairpin", ranges), (&words.0, words.1), &inside);
        part.nat_prerouting.push(rule(
            format!("iifname != @uplinks {dnat}"),
            format!("forward: {family} {what} of an uplink's address lead there from inside as well"),
        ));
        part.nat_output.push(rule(
            dnat,
            format!("forward: {family} {what} of an uplink's address lead there from this host as well"),
        ));
    }
}

/// The statement that looks the target up by a key, with the maps that it reads. A map of addresses with ports would
/// be one, but does not load with nft 0.9.8.
fn dnat(
    part: &mut Part,
    family: Family,
    (name, ranges): (&str, bool),
    (key, kind): (&str, &'static str),
    forwards: &[(String, &Forward)],
) -> String {
    let (ip, digit) = (family.nft_keyword(), family.digit());
    let mut map = |what: &str, value, of: &dyn Fn(&Forward) -> String| {
        let name = format!("{name}_{what}_{digit}");
        let elements = forwards.iter().map(|(key, it)| (key.clone(), of(it))).collect();
        part.maps.push(Map { name: name.clone(), key: kind, value, elements });
        format!("{key} map @{name}")
    };
    let what = if ranges { "range" } else { "to" };
    let mut to = map(what, family.nft_address_type(), &|it| it.to.to_string());
    if !ranges {
        to = format!("{to} : {}", map("port", "inet_service", &|it| it.target_ports().to_string()));
    }
    format!("{WITH_PORTS} dnat {ip} to {to}")
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
    part.sets.push(Set::new(set, target_type(family), elements));
}

/// What belongs to each target, by address, protocol and port. Several forwards may lead to one target, and
/// the kernel takes no intervals that overlap, so those become one.
pub(super) fn by_target<'a, T: Copy + Ord>(
    forwards: impl Iterator<Item = (&'a Forward, T)>,
) -> Vec<(String, T)> {
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

pub(super) const fn target_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr . inet_proto . inet_service",
        Family::V6 => "ipv6_addr . inet_proto . inet_service",
    }
}

#[cfg(test)]
mod tests;
