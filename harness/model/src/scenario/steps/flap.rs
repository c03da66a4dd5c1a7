//! Links that break at random.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{
    super::{
        Break, Findings, Flap, LinkAction, LinkChange,
        flap::Place,
        names::Names,
        raw::{self, FlapKind, LinkWord},
        spanned::At,
        words,
    },
    change::{MOST_BREAKS, own, positive, silence, undoes},
    links::{End, Links, link_of},
};
use crate::{diagnostic::Diagnostic, topology::Topology};

pub(super) fn flap(
    at: &At<raw::Flap>,
    links: &Links,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Flap> {
    let raw::Flap { at: texts, kinds, breaks, every, lasting, at_once } = &at.value;
    if !(1..=MOST_BREAKS).contains(&breaks.value) {
        let message = format!("{} breaks are not possible", breaks.value);
        findings.push(Diagnostic::new(&breaks.span, message, format!("expected 1 to {MOST_BREAKS}")));
    }
    let every = positive(every, findings);
    let lasting = match lasting {
        None => every.map(|every| (Duration::from_millis(1).min(every), every)),
        Some(texts) => {
            let times: Vec<_> = texts.items().iter().map(|text| words::duration(text, findings)).collect();
            match times.as_slice() {
                [one] => one.map(|one| (one, one)),
                [least, most] => least.zip(*most),
                _ => {
                    let label = "expected a time, or the shortest and the longest";
                    findings.push(Diagnostic::new(&texts.span, "these are too many times", label));
                    None
                }
            }
        }
    };
    let default = [FlapKind::Cut];
    let kinds: Vec<(FlapKind, _)> = match kinds.as_slice() {
        [] => default.iter().map(|kind| (*kind, &at.span)).collect(),
        given => given.iter().map(|kind| (kind.value, &kind.span)).collect(),
    };
    let mut places: Vec<Place> = Vec::new();
    for text in texts.items() {
        let Some(end) = names.interface(&text, findings) else { continue };
        links.must_be_there(&text, end, findings);
        if places.iter().any(|place| (place.node, place.interface) == end) {
            findings.push(Diagnostic::new(&text.span, "this one is named already", "second time"));
            continue;
        }
        let ways = kinds.iter().filter_map(|(kind, span)| way(*kind, span, &text, end, names, findings));
        let ways = ways.collect();
        places.push(Place { node: end.0, interface: end.1, link: link_of(end, names), ways });
    }
    if places.is_empty() && texts.items().is_empty() {
        findings.push(Diagnostic::new(&texts.span, "no interface is named", "expected \"NODE:INTERFACE\""));
    }
    let mut all: Vec<_> = places.iter().map(|place| place.link).collect();
    all.sort();
    all.dedup();
    let at_once = match at_once {
        None => (all.len().saturating_sub(1)).max(1),
        Some(number) => {
            if number.value == 0 {
                findings.push(Diagnostic::new(
                    &number.span,
                    "then nothing ever breaks",
                    "expected 1 or more",
                ));
            }
            number.value as usize
        }
    };
    Some(Flap { places, breaks: breaks.value, every: every?, lasting: lasting?, at_once })
}

/// How an interface breaks in one of the ways.
fn way(
    kind: FlapKind,
    span: &std::ops::Range<usize>,
    text: &At<String>,
    end: End,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Break> {
    let (word, change) = match kind {
        FlapKind::Cut => (LinkWord::Cut, LinkChange::State(LinkAction::Cut)),
        FlapKind::Down => (LinkWord::Down, LinkChange::State(LinkAction::Down)),
        FlapKind::Remove => (LinkWord::Remove, LinkChange::State(LinkAction::Remove)),
        FlapKind::Mute => (LinkWord::Mute, LinkChange::State(LinkAction::Mute)),
        FlapKind::Silence => {
            silence(&text.span, end, names, findings)?;
            (LinkWord::Silence, LinkChange::State(LinkAction::Silence))
        }
        FlapKind::Address => {
            let Some(others) = others(end, names) else {
                let message = format!("no address of its link is free for \"{}\"", text.value);
                findings
                    .push(Diagnostic::new(span, message, "not possible there").related(&text.span, "there"));
                return None;
            };
            (LinkWord::Readdress, LinkChange::Addresses(others))
        }
    };
    Some(Break { change, back: undoes(word, end, names)? })
}

/// For each address of an interface another one that nobody has: the highest of its prefix that is free.
fn others(end: End, names: Names<'_>) -> Option<Vec<IpAddr>> {
    let link = names.topology.link(link_of(end, names));
    let own = own(end, names);
    let other = |own: &IpAddr| {
        let prefix = link.prefixes.iter().find(|prefix| prefix.contains(own))?;
        free(*prefix, names.topology)
    };
    let others: Option<Vec<IpAddr>> = own.iter().map(other).collect();
    others.filter(|others| !others.is_empty())
}

/// The highest address of a prefix that nobody has; not the last one of all, which is a broadcast address.
fn free(prefix: IpNet, topology: &Topology) -> Option<IpAddr> {
    const LOOK: u32 = 64;
    let nth = |below: u32| match prefix {
        IpNet::V4(v4) => u32::from(v4.broadcast()).checked_sub(below).map(|bits| IpAddr::V4(bits.into())),
        IpNet::V6(v6) => {
            u128::from(v6.broadcast()).checked_sub(below.into()).map(|bits| IpAddr::V6(bits.into()))
        }
    };
    let candidates = (1..LOOK).filter_map(nth).take_while(|address| {
        // Nor the first one of all, which is the network's.
        prefix.contains(address) && *address != prefix.network()
    });
    candidates.into_iter().find(|address| topology.owner(*address).is_none())
}
