//! What a change of a link comes to, and what undoes it.

use std::{net::IpAddr, time::Duration};

use super::{
    super::{
        Findings, LinkAction, LinkChange, Repeat, faults,
        names::Names,
        raw::{self, LinkWord},
        spanned::{At, OneOrMany},
        words,
    },
    links::{End, link_of},
};
use crate::diagnostic::{Diagnostic, listed};

/// Breaks that a step may have: an hour of them, one each ten milliseconds.
pub(super) const MOST_BREAKS: u32 = 360_000;

/// What happens to an interface.
pub(super) fn change(
    change: &raw::LinkChange,
    end: End,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<LinkChange> {
    let raw::LinkChange { at: _, action, with, address, lasting: _, times: _, pause: _ } = change;
    let word = action.value;
    if let Some(with) = with.as_ref().filter(|_| word != LinkWord::Impair) {
        let label = "expected with `do = \"impair\"` only";
        findings.push(Diagnostic::new(&with.span, "`with` says nothing about this", label));
    }
    if let Some(address) =
        address.as_ref().filter(|_| !matches!(word, LinkWord::Readdress | LinkWord::Restore))
    {
        let label = "expected with `do = \"readdress\"` or `do = \"restore\"` only";
        findings.push(Diagnostic::new(&address.span, "`address` says nothing about this", label));
    }
    match word {
        LinkWord::Impair => impair(change, end, names, findings),
        LinkWord::Silence => {
            silence(&action.span, end, names, findings)?;
            Some(LinkChange::State(LinkAction::Silence))
        }
        LinkWord::Readdress => match address {
            Some(address) => Some(LinkChange::Addresses(addresses(address, end, names, findings)?)),
            None => {
                findings.push(
                    Diagnostic::new(
                        &action.span,
                        "the new address is not told",
                        "expected `address` as well",
                    )
                    .hint("such as `do = \"readdress\", address = \"198.51.100.77\"`"),
                );
                None
            }
        },
        LinkWord::Restore => match address {
            Some(address) => Some(LinkChange::Returns(addresses(address, end, names, findings)?)),
            None => Some(LinkChange::State(LinkAction::Restore)),
        },
        LinkWord::Repair => Some(original(end, names)),
        LinkWord::Cut => Some(LinkChange::State(LinkAction::Cut)),
        LinkWord::Mend => Some(LinkChange::State(LinkAction::Mend)),
        LinkWord::Down => Some(LinkChange::State(LinkAction::Down)),
        LinkWord::Up => Some(LinkChange::State(LinkAction::Up)),
        LinkWord::Remove => Some(LinkChange::State(LinkAction::Remove)),
        LinkWord::Mute => Some(LinkChange::State(LinkAction::Mute)),
        LinkWord::Unmute => Some(LinkChange::State(LinkAction::Unmute)),
        LinkWord::Speak => Some(LinkChange::State(LinkAction::Speak)),
    }
}

/// How often, and how it is undone: None within if it happens once and stays.
pub(super) fn repeat(
    change: &raw::LinkChange,
    end: End,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Option<Repeat>> {
    let raw::LinkChange { at: _, action, with: _, address: _, lasting, times, pause } = change;
    let Some(lasting) = lasting else {
        let words =
            [("times", times.as_ref().map(|at| &at.span)), ("pause", pause.as_ref().map(|at| &at.span))];
        for (word, span) in words {
            if let Some(span) = span {
                let message = format!("`{word}` says nothing about what is not undone");
                findings.push(Diagnostic::new(span, message, "expected with `for` only"));
            }
        }
        return Some(None);
    };
    let back = undoes(action.value, end, names);
    if back.is_none() {
        let words = ["cut", "down", "remove", "mute", "impair", "silence", "readdress"];
        findings.push(
            Diagnostic::new(
                &lasting.span,
                "what undoes a break does not last for a time",
                "not possible here",
            )
            .hint(format!("it is said of {}", listed(words.map(|word| format!("`{word}`")), "or"))),
        );
    }
    if let Some(times) = times.as_ref().filter(|times| !(1..=MOST_BREAKS).contains(&times.value)) {
        let message = format!("{} times are not possible", times.value);
        findings.push(Diagnostic::new(&times.span, message, format!("expected 1 to {MOST_BREAKS}")));
    }
    let lasting = words::duration(lasting, findings);
    let pause = match pause {
        Some(pause) => words::duration(pause, findings),
        None => lasting,
    };
    let times = times.as_ref().map_or(1, |times| times.value);
    Some(Some(Repeat { back: back?, lasting: lasting?, pause: pause?, times }))
}

/// What undoes a break. None: it is none, but undoes one.
pub(super) fn undoes(word: LinkWord, end: End, names: Names<'_>) -> Option<LinkChange> {
    let state = match word {
        LinkWord::Cut => LinkAction::Mend,
        LinkWord::Down => LinkAction::Up,
        LinkWord::Remove => LinkAction::Restore,
        LinkWord::Mute => LinkAction::Unmute,
        LinkWord::Silence => LinkAction::Speak,
        LinkWord::Impair => return Some(original(end, names)),
        LinkWord::Readdress => return Some(LinkChange::Addresses(own(end, names))),
        LinkWord::Mend
        | LinkWord::Up
        | LinkWord::Restore
        | LinkWord::Unmute
        | LinkWord::Speak
        | LinkWord::Repair => return None,
    };
    Some(LinkChange::State(state))
}

/// Whether an interface can keep silent: its link is Ethernet, between two ends.
pub(super) fn silence(
    place: &std::ops::Range<usize>,
    end: End,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<()> {
    let id = link_of(end, names);
    if !faults::between_two(place, id, names.topology, findings) {
        return None;
    }
    if names.topology.link(id).is_point_to_point() {
        let message = "nobody asks for a neighbour on a point-to-point link";
        findings.push(
            Diagnostic::new(place, message, "expected on an Ethernet link")
                .hint("`mute` is a silent black hole"),
        );
        return None;
    }
    Some(())
}

/// The addresses that an interface has in the beginning.
pub(super) fn own((node, interface): End, names: Names<'_>) -> Vec<IpAddr> {
    let addresses = &names.topology.node(node).interfaces[interface].addresses;
    addresses.iter().map(|net| net.addr()).collect()
}

/// What is wrong with a link in the beginning.
fn original(end: End, names: Names<'_>) -> LinkChange {
    let (link, own) = oriented(end, names);
    let faults = names.topology.link(link).relayed.clone().unwrap_or_default().faults;
    let to = |at: usize| Some(Box::new(faults[at].clone()));
    LinkChange::Faults { leaving: to(1 - own), coming: to(own) }
}

/// The link of an end, and its place among the link's ends. Faults are told by the end that frames are on their way to.
fn oriented(end: End, names: Names<'_>) -> (crate::topology::LinkId, usize) {
    let id = link_of(end, names);
    (id, usize::from(names.topology.link(id).ends.first() != Some(&end)))
}

fn impair(
    change: &raw::LinkChange,
    end: End,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<LinkChange> {
    let action = &change.action;
    let Some(with) = &change.with else {
        let message = "what is wrong with the link is not told";
        findings.push(
            Diagnostic::new(&action.span, message, "expected `with` as well")
                .hint("such as `do = \"impair\", with = { loss = \"30%\" }`"),
        );
        return None;
    };
    let (id, own) = oriented(end, names);
    let fits = faults::between_two(&action.span, id, names.topology, findings);
    let wrong = faults::faults(with, findings);
    let towards = faults::towards(with, id, names.topology, names.doubts, findings);
    let to = |at: usize| towards[at].then(|| Box::new(wrong.clone()));
    fits.then(|| LinkChange::Faults { leaving: to(1 - own), coming: to(own) })
}

/// New addresses of an interface: one a family that it has, within its link's prefix, and nobody else's.
fn addresses(
    texts: &At<OneOrMany>,
    end: End,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Vec<IpAddr>> {
    let before = findings.len();
    let prefixes = &names.topology.link(link_of(end, names)).prefixes;
    let mut found: Vec<IpAddr> = Vec::new();
    for text in texts.items() {
        let Some(address) = words::address(&text, findings) else { continue };
        let owner = names.topology.owner(address).filter(|owner| *owner != end.0);
        if found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            findings.push(Diagnostic::new(
                &text.span,
                "expected one address a family",
                "second one of its family",
            ));
        } else if let Some(owner) = owner {
            let message = format!("{address} is an address of `{}`", names.topology.node(owner).name);
            findings.push(Diagnostic::new(&text.span, message, "expected one that nobody has"));
        } else if !prefixes.iter().any(|prefix| prefix.contains(&address)) && !names.in_doubt(end.0) {
            let message = format!("{address} is outside of the link");
            let label = format!("expected an address of {}", listed(prefixes.iter(), "or"));
            findings.push(Diagnostic::new(&text.span, message, label));
        }
        found.push(address);
    }
    (findings.len() == before && !found.is_empty()).then_some(found)
}

/// A time that is at least one.
pub(super) fn positive(text: &At<String>, findings: &mut Findings) -> Option<Duration> {
    let time = words::duration(text, findings)?;
    if time.is_zero() {
        findings.push(Diagnostic::new(&text.span, "this takes no time at all", "expected more than none"));
        return None;
    }
    Some(time)
}
