//! `[sync]`: two ends of a link that nothing else uses, and what the other node answers with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::super::raw;
use super::super::words::one_of;
use super::addresses::{Placed, address, is_link_local, of_string, some_words};
use super::uplinks::{Known, interface};
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::{Sync, SyncMode};
use crate::name::IfName;

const PORT: u16 = 3780;
const CONNECTIONS: u32 = 262_144;
const QUEUE: u32 = 131_072;
const BUFFER: u32 = 2_097_152;

pub(super) fn sync(
    raw: Option<&Spanned<raw::Sync>>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Option<Sync> {
    let spanned = raw?;
    let raw = spanned.get_ref();
    if uplinks.is_empty() {
        found.push(
            Diagnostic::new("there is no uplink to share connections of", spanned.span(), "asked for here")
                .hint("add an `[[uplink]]` for each way out")
                .follows_from(&["uplink"]),
        );
    }
    let peer = raw.peer.as_ref().and_then(|it| end(it, "the other node's address", found));
    let own = raw.address.as_ref().and_then(|it| end(it, "an address of this host", found));
    if let (Some(peer), Some(own)) = (&peer, &own) {
        ends_agree(peer, own, found);
    }
    for it in own.iter().chain(&peer) {
        no_uplinks(it, uplinks, "the link between the nodes has addresses of its own", found);
    }
    let interface = raw.interface.as_ref().and_then(|it| link(it, uplinks, found));
    let peer_addresses = peer_addresses(raw, uplinks, found);
    let mode = raw.mode.as_ref().and_then(|it| mode(it, found)).unwrap_or_default();
    let ignore = ignore(raw, found);
    // The schema has seen to the ranges.
    let number = |it: &Option<Spanned<i64>>, default: u32| {
        it.as_ref().and_then(|it| u32::try_from(*it.get_ref()).ok()).unwrap_or(default)
    };
    Some(Sync {
        peer: peer?.value,
        address: own?.value,
        interface: interface?,
        peer_addresses,
        port: u16::try_from(number(&raw.port, PORT.into())).unwrap_or(PORT),
        mode,
        ignore,
        connections: number(&raw.connections, CONNECTIONS),
        queue: number(&raw.queue, QUEUE),
        buffer: number(&raw.buffer, BUFFER),
    })
}

fn end(text: &Spanned<String>, what: &str, found: &mut Vec<Diagnostic>) -> Option<Placed<IpAddr>> {
    let it = of_string(text, what, found)?;
    not_of_one_link(&it, found).then_some(it)
}

fn not_of_one_link(it: &Placed<IpAddr>, found: &mut Vec<Diagnostic>) -> bool {
    let fine = !is_link_local(it.value);
    if !fine {
        found.push(
            Diagnostic::new(
                format!("{} means something on one link only", it.value),
                it.span.clone(),
                "this is a link-local address",
            )
            .hint("give both ends of the link addresses of a small private prefix"),
        );
    }
    fine
}

fn ends_agree(peer: &Placed<IpAddr>, own: &Placed<IpAddr>, found: &mut Vec<Diagnostic>) {
    let (family, other) = (Family::of(own.value), Family::of(peer.value));
    let complaint = if peer.value == own.value {
        Diagnostic::new(format!("both nodes have the address {}", own.value), own.span.clone(), "this node's")
            .hint("the files of the two nodes have `address` and `peer` the other way round")
    } else if family != other {
        Diagnostic::new(
            format!("an {family} address cannot reach an {other} one"),
            own.span.clone(),
            family.to_string(),
        )
        .hint("give both ends of the link an address of one family")
    } else {
        return;
    };
    found.push(complaint.related(peer.span.clone(), "the other node's"));
}

fn no_uplinks(it: &Placed<IpAddr>, uplinks: &[Known], hint: &str, found: &mut Vec<Diagnostic>) -> bool {
    let own = uplinks.iter().flat_map(|known| &known.addresses).find(|own| own.value == it.value);
    if let Some(own) = own {
        found.push(
            Diagnostic::new(
                format!("{} is an address of an uplink of this node", it.value),
                it.span.clone(),
                "given here",
            )
            .related(own.span.clone(), "the uplink's")
            .hint(hint),
        );
    }
    own.is_none()
}

/// Messages between the nodes are not authenticated.
fn link(text: &Spanned<String>, uplinks: &[Known], found: &mut Vec<Diagnostic>) -> Option<IfName> {
    let interface = interface(text, found)?;
    if let Some(known) = uplinks.iter().find(|known| known.uplink.interface == interface) {
        found.push(
            Diagnostic::new(
                format!("{interface} is the interface of uplink {}", known.uplink.name),
                text.span(),
                "expected a link to the other node alone",
            )
            .hint("whoever reaches the port of conntrackd can change what this node knows of connections"),
        );
    }
    Some(interface)
}

fn peer_addresses(raw: &raw::Sync, uplinks: &[Known], found: &mut Vec<Diagnostic>) -> BTreeSet<IpAddr> {
    let mut out = BTreeSet::new();
    let Some(list) = &raw.peer_addresses else { return out };
    let hint = "for example `peer-addresses = [\"192.0.2.12\", \"2001:db8:1::12\"]`";
    for word in some_words(list, "the other node has no address that it is asked at", hint, found) {
        let Some(it) = address(&word, "an address of the other node", found) else { continue };
        if !not_of_one_link(&it, found) {
            continue;
        }
        no_uplinks(&it, uplinks, "each node names the addresses of the other", found);
        let family = Family::of(it.value);
        if !uplinks.is_empty() && !uplinks.iter().any(|known| known.uplink.legs.contains_key(&family)) {
            found.push(
                Diagnostic::new(
                    format!("no uplink here has {family}"),
                    it.span.clone(),
                    "nothing could leave with this address",
                )
                .hint(format!("give an uplink an {family} address, or leave this one out"))
                .follows_from(&["address", "uplink"]),
            );
        }
        if !out.insert(it.value) {
            found.push(Diagnostic::new(
                format!("address {} is listed twice", it.value),
                it.span,
                "given again here",
            ));
        }
    }
    out
}

fn mode(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<SyncMode> {
    one_of(text, &[("ftfw", SyncMode::Ftfw), ("notrack", SyncMode::Notrack)], found, |word| {
        (
            format!("connections are not shared by {word:?}"),
            "`ftfw` sends lost messages again; `notrack` does not notice them",
        )
    })
}

fn ignore(raw: &raw::Sync, found: &mut Vec<Diagnostic>) -> BTreeSet<IpNet> {
    let mut out = BTreeSet::new();
    for text in raw.ignore.iter().flat_map(|list| list.get_ref()) {
        let word = text.get_ref();
        let net = word.parse::<IpNet>().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
        let complaint = match net {
            Err(_) => Diagnostic::new(
                format!("{word:?} is neither an address nor a prefix"),
                text.span(),
                "expected an IPv4 or IPv6 address or prefix",
            ),
            Ok(net) if net.trunc() != net => Diagnostic::new(
                format!("{net} has bits behind its prefix"),
                text.span(),
                format!("perhaps {} or {} was meant", net.trunc(), net.addr()),
            ),
            Ok(net) if !out.insert(net) => {
                Diagnostic::new(format!("{net} is listed twice"), text.span(), "given again here")
            }
            Ok(_) => continue,
        };
        found.push(complaint);
    }
    out
}
