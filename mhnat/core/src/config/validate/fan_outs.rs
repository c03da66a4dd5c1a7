//! `[[fan-out]]`: addresses that agree with each other and with the uplinks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::super::raw;
use super::super::words::{alternatives, nearest};
use super::addresses::{Placed, of_string, some_words};
use super::ports::{ports, socket};
use super::uplinks::Known;
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::{FanOut, Ports, Transport};
use crate::name::UplinkName;

/// What one fan-out takes of a dummy address, and where it says so.
struct Claim {
    /// The ports; everything when none.
    ports: Option<(Transport, Ports)>,
    /// Where the ports are given, or the address when none are.
    span: Range<usize>,
    /// Where the address is given.
    dummy: Range<usize>,
}

pub(super) fn fan_outs(
    raw: &[Spanned<raw::FanOut>],
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Vec<FanOut> {
    let mut dummies: BTreeMap<IpAddr, Vec<Claim>> = BTreeMap::new();
    let mut targets: Vec<Placed<IpAddr>> = Vec::new();
    let mut out = Vec::new();
    for it in raw {
        let it = it.get_ref();
        let dummy = it.dummy.as_ref().and_then(|text| of_string(text, "a dummy address", found));
        let asked = it.port.as_ref().and_then(|list| asked(list, found));
        let to = it.to.as_ref().and_then(|text| socket(text, "a far host", found));
        let source = it.source.as_ref().and_then(|text| of_string(text, "a source address", found));
        let family = dummy.as_ref().map(|dummy| Family::of(dummy.value));
        let uplink = it.uplink.as_ref().and_then(|text| uplink(text, family, uplinks, found));
        if let Some(dummy) = &dummy {
            for other in [to.as_ref().map(|(to, _)| to), source.as_ref()].into_iter().flatten() {
                same_family(dummy, other, found);
            }
            // Of ports that cannot be read, nothing is known to be taken twice.
            if it.port.is_none() || asked.is_some() {
                claim(dummy, asked.as_deref().unwrap_or_default(), &mut dummies, found);
            }
            not_taken(dummy, uplinks, found);
        }
        if let (Some((to, Some(_))), Some(asked)) =
            (&to, asked.as_deref().or(it.port.is_none().then_some(&[])))
        {
            one_port(to, asked, found);
        }
        targets.extend(to.as_ref().map(|(to, _)| to.clone()));
        if let (Some(dummy), Some((to, to_port))) = (dummy, to) {
            let source = source.map(|source| source.value);
            let ports = asked.unwrap_or_default().into_iter().map(|it| it.value).collect();
            out.push(FanOut { dummy: dummy.value, ports, to: to.value, to_port, source, uplink });
        }
    }
    for target in &targets {
        if let Some(first) = dummies.get(&target.value).and_then(|claims| claims.first()) {
            found.push(
                Diagnostic::new(
                    format!("{} is both a far host and a dummy address", target.value),
                    target.span.clone(),
                    "a far host must exist",
                )
                .related(first.dummy.clone(), "a dummy address must not")
                .hint("addresses from 192.0.2.0/24 and 2001:db8::/32 are never in use elsewhere"),
            );
        }
    }
    out
}

/// The ports that a fan-out names; nothing when one of them makes no sense.
fn asked(
    list: &Spanned<raw::OneOrMany>,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<Placed<(Transport, Ports)>>> {
    let words =
        some_words(list, "a fan-out has no port", "leave `port` out for every protocol and port", found);
    if words.is_empty() {
        return None;
    }
    let read: Vec<_> = words.iter().map(|word| ports(word, found)).collect();
    read.into_iter().collect()
}

/// Every packet to a dummy address must know its one way.
fn claim(
    dummy: &Placed<IpAddr>,
    asked: &[Placed<(Transport, Ports)>],
    dummies: &mut BTreeMap<IpAddr, Vec<Claim>>,
    found: &mut Vec<Diagnostic>,
) {
    let claims = dummies.entry(dummy.value).or_default();
    let mut new: Vec<Claim> = asked
        .iter()
        .map(|it| Claim { ports: Some(it.value), span: it.span.clone(), dummy: dummy.span.clone() })
        .collect();
    if new.is_empty() {
        new.push(Claim { ports: None, span: dummy.span.clone(), dummy: dummy.span.clone() });
    }
    for claim in new {
        if let Some(first) = claims.iter().find(|first| overlap(first, &claim)) {
            found.push(given_again(dummy.value, first, &claim));
        }
        claims.push(claim);
    }
}

fn overlap(one: &Claim, other: &Claim) -> bool {
    match (one.ports, other.ports) {
        (Some((protocol, ports)), Some((same, others))) => protocol == same && ports.overlaps(others),
        (None, _) | (_, None) => true,
    }
}

fn given_again(dummy: IpAddr, first: &Claim, again: &Claim) -> Diagnostic {
    let (title, hint) = match (first.ports, again.ports) {
        (None, None) => (
            format!("two fan-outs have the dummy address {dummy}"),
            "a dummy address stands for one way to one host",
        ),
        (Some(_), None) | (None, Some(_)) => (
            format!("two fan-outs have the dummy address {dummy}, and only one of them has a port"),
            "without `port` a fan-out is for every port; give one to each",
        ),
        (Some((protocol, ports)), Some((_, others))) => {
            let title = if ports == others {
                format!("{protocol}/{ports} of {dummy} is given twice")
            } else {
                format!("{protocol}/{ports} and {protocol}/{others} of {dummy} have ports in common")
            };
            (title, "each port of a dummy address stands for one way to one host")
        }
    };
    Diagnostic::new(title, again.span.clone(), "given again here")
        .related(first.span.clone(), "given first here")
        .hint(hint)
}

/// A port of the far host can stand for one port only.
fn one_port(to: &Placed<IpAddr>, asked: &[Placed<(Transport, Ports)>], found: &mut Vec<Diagnostic>) {
    if let [one] = asked
        && !one.value.1.is_range()
    {
        return;
    }
    let complaint = Diagnostic::new(
        "a far host has a port, and the dummy address has not just one",
        to.span.clone(),
        "which port of the dummy address is this?",
    );
    found.push(match asked.first() {
        Some(first) => complaint
            .related(first.span.clone(), "more than one")
            .hint("give each port a `[[fan-out]]` of its own, or leave the far host's out to keep the ports"),
        None => complaint
            .hint("give one `port`, for example \"tcp/5001\", or leave the far host's out")
            .follows_from(&["port"]),
    });
}

fn same_family(dummy: &Placed<IpAddr>, other: &Placed<IpAddr>, found: &mut Vec<Diagnostic>) {
    let (own, others) = (Family::of(dummy.value), Family::of(other.value));
    if own != others {
        found.push(
            Diagnostic::new(
                "a fan-out stays within one address family",
                other.span.clone(),
                format!("this is {others}"),
            )
            .related(dummy.span.clone(), format!("this is {own}")),
        );
    }
}

fn not_taken(dummy: &Placed<IpAddr>, uplinks: &[Known], found: &mut Vec<Diagnostic>) {
    for known in uplinks {
        for (taken, what) in [(&known.addresses, "an address"), (&known.gateways, "the gateway")] {
            if let Some(other) = taken.iter().find(|other| other.value == dummy.value) {
                found.push(
                    Diagnostic::new(
                        format!("{} is not a dummy address", dummy.value),
                        dummy.span.clone(),
                        "a dummy address must exist nowhere",
                    )
                    .related(other.span.clone(), format!("{what} of uplink `{}`", known.uplink.name))
                    .hint("addresses from 192.0.2.0/24 and 2001:db8::/32 are never in use elsewhere"),
                );
            }
        }
    }
}

fn uplink(
    text: &Spanned<String>,
    family: Option<Family>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Option<UplinkName> {
    let word = text.get_ref().as_str();
    let names = || uplinks.iter().map(|known| known.uplink.name.as_str());
    let Some(known) = uplinks.iter().find(|known| known.uplink.name.as_str() == word) else {
        let label = nearest(word, names())
            .map_or_else(|| "not known".to_owned(), |meant| format!("perhaps `{meant}` was meant"));
        let hint = if uplinks.is_empty() {
            "the file has no `[[uplink]]`".to_owned()
        } else {
            let distinct: BTreeSet<&str> = names().collect();
            format!("expected {}", alternatives(distinct.into_iter()))
        };
        found.push(
            Diagnostic::new(format!("there is no uplink `{word}`"), text.span(), label)
                .hint(hint)
                .follows_from(&["name", "uplink"]),
        );
        return None;
    };
    if let (Some(family), Some(first)) = (family, known.addresses.first())
        && !known.uplink.legs.contains_key(&family)
    {
        found.push(
            Diagnostic::new(
                format!("uplink `{word}` has no {family} address"),
                text.span(),
                format!("this fan-out is {family}"),
            )
            .related(first.span.clone(), "its addresses")
            .follows_from(&["address"]),
        );
    }
    Some(known.uplink.name.clone())
}
