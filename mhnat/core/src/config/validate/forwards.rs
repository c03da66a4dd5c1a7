//! `[[forward]]`: ports, targets and uplinks that agree with each other.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::super::raw;
use super::super::words::{alternatives, nearest};
use super::addresses::{Placed, is_link_local, of_string, some_words};
use super::ports;
use super::uplinks::Known;
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::Forward;
use crate::name::UplinkName;

/// A forward with the places of what others may contradict.
struct Accepted {
    forward: Forward,
    port: Range<usize>,
    to: Range<usize>,
}

pub(super) fn forwards(
    raw: &[Spanned<raw::Forward>],
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Vec<Forward> {
    let mut accepted: Vec<Accepted> = Vec::new();
    for it in raw {
        let Some(it) = forward(it.get_ref(), uplinks, found) else { continue };
        contradictions(&it, &accepted, found);
        accepted.push(it);
    }
    accepted.into_iter().map(|it| it.forward).collect()
}

fn forward(raw: &raw::Forward, uplinks: &[Known], found: &mut Vec<Diagnostic>) -> Option<Accepted> {
    let asked = raw.port.as_ref().and_then(|text| {
        let word = Placed { value: text.get_ref().as_str(), span: text.span() };
        ports::ports(&word, found).map(|it| it.value)
    });
    let to = raw.to.as_ref().and_then(|text| target(text, found));
    let family = to.as_ref().map(|(to, _)| Family::of(to.value));
    let on = raw.on.as_ref().map(|names| on(names, family, uplinks, found)).unwrap_or_default();
    let full_nat = raw.full_nat.as_ref().and_then(|text| of_string(text, "a source address", found));
    if let (Some((to, _)), Some(seen)) = (&to, &full_nat) {
        seen_by_target(to, seen, found);
    }
    if let (Some((_, ports)), Some((to, Some(_)))) = (asked, &to)
        && ports.is_range()
    {
        found.push(
            Diagnostic::new("a range of ports keeps its ports", to.span.clone(), "one port for all of them")
                .related(raw.port.as_ref()?.span(), format!("the range {ports}"))
                .hint(format!("write `to = \"{}\"`", to.value)),
        );
    }
    let ((protocol, ports), (to, to_port)) = (asked?, to?);
    Some(Accepted {
        forward: Forward {
            on,
            protocol,
            ports,
            to: to.value,
            to_port,
            full_nat: full_nat.map(|it| it.value),
            hairpin: raw.hairpin.as_ref().is_some_and(|it| *it.get_ref()),
        },
        port: raw.port.as_ref()?.span(),
        to: to.span,
    })
}

/// Address and port of a text such as `10.5.5.201:22`, `[2001:db8::1]:22` or `10.5.5.201`.
fn target(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<(Placed<IpAddr>, Option<u16>)> {
    let (to, port) = ports::socket(text, "a host to forward to", found)?;
    if is_link_local(to.value) {
        found.push(
            Diagnostic::new(
                format!("{} means something on one link only", to.value),
                text.span(),
                "a link-local address cannot be forwarded to",
            )
            .hint("give the global or private address of the host"),
        );
    }
    Some((to, port))
}

fn on(
    names: &Spanned<raw::OneOrMany>,
    family: Option<Family>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<UplinkName> {
    let mut on = BTreeSet::new();
    let words = some_words(
        names,
        "a forward needs an uplink",
        "name the uplinks at whose addresses the port is asked",
        found,
    );
    for word in words {
        let Some(known) = uplinks.iter().find(|known| known.uplink.name.as_str() == word.value) else {
            found.push(unknown(&word, uplinks));
            continue;
        };
        if !on.insert(known.uplink.name.clone()) {
            found.push(Diagnostic::new(
                format!("uplink `{}` is listed twice", word.value),
                word.span.clone(),
                "given again here",
            ));
        }
        if let (Some(family), Some(first)) = (family, known.addresses.first())
            && !known.uplink.legs.contains_key(&family)
        {
            found.push(
                Diagnostic::new(
                    format!("uplink `{}` has no {family} address", word.value),
                    word.span,
                    format!("this forward is {family}"),
                )
                .related(first.span.clone(), "its addresses")
                .hint("a forward stays within one address family")
                .follows_from(&["address"]),
            );
        }
    }
    on
}

fn unknown(word: &Placed<&str>, uplinks: &[Known]) -> Diagnostic {
    let names = || uplinks.iter().map(|known| known.uplink.name.as_str());
    let label = nearest(word.value, names())
        .map_or_else(|| "not known".to_owned(), |meant| format!("perhaps `{meant}` was meant"));
    let hint = if uplinks.is_empty() {
        "the file has no `[[uplink]]`".to_owned()
    } else if let Some(known) = uplinks.iter().find(|it| it.uplink.interface.as_str() == word.value) {
        format!("that is the interface of uplink `{}`", known.uplink.name)
    } else {
        let distinct: BTreeSet<&str> = names().collect();
        format!("expected {}", alternatives(distinct.into_iter()))
    };
    Diagnostic::new(format!("there is no uplink `{}`", word.value), word.span.clone(), label)
        .hint(hint)
        .follows_from(&["name", "uplink"])
}

fn seen_by_target(to: &Placed<IpAddr>, seen: &Placed<IpAddr>, found: &mut Vec<Diagnostic>) {
    let (own, others) = (Family::of(to.value), Family::of(seen.value));
    if own != others {
        found.push(
            Diagnostic::new(
                "a forward stays within one address family",
                seen.span.clone(),
                format!("this is {others}"),
            )
            .related(to.span.clone(), format!("this is {own}")),
        );
    } else if to.value == seen.value {
        found.push(
            Diagnostic::new(
                format!("{} would be asked from its own address", to.value),
                seen.span.clone(),
                "expected an address of this host",
            )
            .related(to.span.clone(), "the host that is asked")
            .hint("`full-nat` is the address on this side, to which the answer comes back"),
        );
    }
}

/// What two forwards cannot both mean.
fn contradictions(it: &Accepted, earlier: &[Accepted], found: &mut Vec<Diagnostic>) {
    let own = &it.forward;
    let alike =
        |other: &&Accepted| other.forward.family() == own.family() && other.forward.protocol == own.protocol;
    let taken = earlier.iter().filter(alike).find_map(|other| {
        let uplink = own.on.intersection(&other.forward.on).next()?;
        own.ports.overlaps(other.forward.ports).then_some((uplink, other))
    });
    if let Some((uplink, other)) = taken {
        found.push(
            Diagnostic::new(
                format!("two forwards have {} {}/{} in common", uplink, own.protocol, own.ports),
                it.port.clone(),
                "given again here",
            )
            .related(other.port.clone(), "given first here")
            .hint("a port of an uplink leads to one host of each address family"),
        );
    }
    let disagreeing = earlier.iter().filter(alike).find(|other| {
        other.forward.to == own.to
            && other.forward.full_nat != own.full_nat
            && other.forward.target_ports().overlaps(own.target_ports())
    });
    if let Some(other) = disagreeing {
        found.push(
            Diagnostic::new(
                format!("two forwards to {} differ in `full-nat`", own.to),
                it.to.clone(),
                "asked from another address here",
            )
            .related(other.to.clone(), "given first here")
            .hint("one port of a host is asked from one address, or always from the client's own")
            .follows_from(&["full-nat"]),
        );
    }
}
