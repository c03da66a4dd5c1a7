//! `[[fan-out]]`: addresses that agree with each other and with the uplinks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::super::raw;
use super::super::words::{alternatives, nearest};
use super::addresses::{Placed, of_string};
use super::uplinks::Known;
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::FanOut;
use crate::name::UplinkName;

pub(super) fn fan_outs(
    raw: &[Spanned<raw::FanOut>],
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Vec<FanOut> {
    let mut dummies: BTreeMap<IpAddr, Range<usize>> = BTreeMap::new();
    let mut targets: Vec<Placed<IpAddr>> = Vec::new();
    let mut out = Vec::new();
    for it in raw {
        let it = it.get_ref();
        let dummy = it.dummy.as_ref().and_then(|text| of_string(text, "a dummy address", found));
        let to = it.to.as_ref().and_then(|text| of_string(text, "a far host", found));
        let source = it.source.as_ref().and_then(|text| of_string(text, "a source address", found));
        let family = dummy.as_ref().map(|dummy| Family::of(dummy.value));
        let uplink = it.uplink.as_ref().and_then(|text| uplink(text, family, uplinks, found));
        if let Some(dummy) = &dummy {
            for other in [&to, &source].into_iter().flatten() {
                same_family(dummy, other, found);
            }
            if let Some(first) = dummies.get(&dummy.value) {
                found.push(
                    Diagnostic::new(
                        format!("two fan-outs have the dummy address {}", dummy.value),
                        dummy.span.clone(),
                        "given again here",
                    )
                    .related(first.clone(), "given first here")
                    .hint("a dummy address stands for one way to one host"),
                );
            } else {
                dummies.insert(dummy.value, dummy.span.clone());
            }
            not_taken(dummy, uplinks, found);
        }
        targets.extend(to.clone());
        if let (Some(dummy), Some(to)) = (dummy, to) {
            let source = source.map(|source| source.value);
            out.push(FanOut { dummy: dummy.value, to: to.value, source, uplink });
        }
    }
    for target in &targets {
        if let Some(dummy) = dummies.get(&target.value) {
            found.push(
                Diagnostic::new(
                    format!("{} is both a far host and a dummy address", target.value),
                    target.span.clone(),
                    "a far host must exist",
                )
                .related(dummy.clone(), "a dummy address must not")
                .hint("addresses from 192.0.2.0/24 and 2001:db8::/32 are never in use elsewhere"),
            );
        }
    }
    out
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
