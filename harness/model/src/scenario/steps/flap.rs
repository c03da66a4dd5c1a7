//! Links that break for a while, at random or by a list.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{
    super::{
        Break, Drawn, Findings, Flap, LinkAction, LinkChange, Random, What,
        flap::Place,
        names::Names,
        raw::{self, FlapKind, LinkWord},
        spanned::At,
        words,
    },
    change::{MOST_BREAKS, own, positive, silence, undoes},
    links::{End, Links, link_of},
};
use crate::{
    diagnostic::Diagnostic,
    topology::{LinkId, Topology},
};

/// Either chance or a list.
pub(super) fn flap(
    at: &At<raw::Flap>,
    links: &Links,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Flap> {
    let raw::Flap { at: places, kinds, breaks, every, lasting, at_once, kills, list } = &at.value;
    let Some(list) = list else {
        return random(at, links, names, findings).map(Flap::Random);
    };
    let others = [
        ("at", places.as_ref().map(|at| &at.span)),
        ("kinds", kinds.first().map(|at| &at.span)),
        ("breaks", breaks.as_ref().map(|at| &at.span)),
        ("every", every.as_ref().map(|at| &at.span)),
        ("for", lasting.as_ref().map(|at| &at.span)),
        ("at-once", at_once.as_ref().map(|at| &at.span)),
        ("kills", kills.as_ref().map(|at| &at.span)),
    ];
    for (word, span) in others {
        if let Some(span) = span {
            let message = format!("`{word}` is about breaks at random, and there is a list");
            findings.push(Diagnostic::new(span, message, "not possible beside `list`"));
        }
    }
    listed(&list.value, links, names, findings).map(Flap::Listed)
}

/// Each break of a list. None of them breaks what is broken already.
fn listed(
    list: &[At<raw::FlapBreak>],
    links: &Links,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Vec<Drawn>> {
    let mut drawn: Vec<(Drawn, Option<LinkId>, &At<raw::FlapBreak>)> = Vec::new();
    for one in list {
        let raw::FlapBreak { at, kind, after, lasting } = &one.value;
        let after = words::duration(after, findings);
        let lasting = words::duration(lasting, findings);
        let what = match (kind.value.of_link(), at) {
            (None, None) => Some((What::Subject, None)),
            (None, Some(at)) => {
                let label = "expected no place: the subject is killed";
                findings.push(Diagnostic::new(&at.span, "`kill` happens to no interface", label));
                None
            }
            (Some(_), None) => {
                let message = "what breaks is not told";
                findings.push(Diagnostic::new(&one.span, message, "expected `at` as well"));
                None
            }
            (Some(link), Some(at)) => names.interface(at, findings).and_then(|end| {
                links.must_be_there(at, end, findings);
                let way = way(link, &kind.span, at, end, names, findings)?;
                Some((What::Link { node: end.0, interface: end.1, way }, Some(link_of(end, names))))
            }),
        };
        if let (Some(after), Some(lasting), Some((what, link))) = (after, lasting, what) {
            drawn.push((Drawn { after, lasting, what }, link, one));
        }
    }
    drawn.sort_by_key(|(drawn, _, _)| drawn.after);
    for (at, (later, link, place)) in drawn.iter().enumerate() {
        let same = drawn[..at].iter().rfind(|(_, other, _)| other == link);
        if let Some((former, _, first)) = same.filter(|(it, _, _)| it.after + it.lasting > later.after) {
            let message = format!("it is broken until {:?}", former.after + former.lasting);
            findings.push(
                Diagnostic::new(&place.span, message, "expected later").related(&first.span, "by this one"),
            );
        }
    }
    Some(drawn.into_iter().map(|(drawn, _, _)| drawn).collect())
}

fn random(at: &At<raw::Flap>, links: &Links, names: Names<'_>, findings: &mut Findings) -> Option<Random> {
    let raw::Flap { at: texts, kinds, breaks, every, lasting, at_once, kills, list: _ } = &at.value;
    let (Some(texts), Some(breaks), Some(every)) = (texts, breaks, every) else {
        let words = [("at", texts.is_none()), ("breaks", breaks.is_none()), ("every", every.is_none())];
        for (word, _) in words.iter().filter(|(_, lacks)| *lacks) {
            let message = format!("`{word}` is missing");
            let finding = Diagnostic::new(&at.span, message, "breaks at random need it");
            findings.push(finding.hint("or `list` tells every break with its moment"));
        }
        return None;
    };
    if !(1..=MOST_BREAKS).contains(&breaks.value) {
        let message = format!("{} breaks are not possible", breaks.value);
        findings.push(Diagnostic::new(&breaks.span, message, format!("expected 1 to {MOST_BREAKS}")));
    }
    if let Some(kills) = kills.as_ref().filter(|kills| !(1..=MOST_BREAKS).contains(&kills.value)) {
        let message = format!("{} times are not possible", kills.value);
        findings.push(Diagnostic::new(&kills.span, message, format!("expected 1 to {MOST_BREAKS}")));
    }
    let kills = kills.as_ref().map_or(0, |kills| kills.value);
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
    Some(Random { places, breaks: breaks.value, every: every?, lasting: lasting?, at_once, kills })
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
    Some(Break { kind, change, back: undoes(word, end, names)? })
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
