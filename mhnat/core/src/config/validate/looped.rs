//! `udp = "loop"` of `[replies]`: the server's addresses and ports, and what contradicts them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::super::raw;
use super::addresses::{Placed, address, is_link_local, some_words};
use super::ports;
use super::uplinks::Known;
use crate::device::{LOOP_IN, LOOP_OUT};
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::{FanOut, Forward, Loop, Ports, Replies, Transport};
use crate::name::IfName;

/// What the words beside `udp = "loop"` say.
pub(super) fn looped(
    text: &Spanned<String>,
    raw: &raw::Replies,
    interfaces: BTreeSet<IfName>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Option<Loop> {
    if raw.server.is_none() {
        let why = "its answers are known by the address that the server is bound to";
        found.push(
            Diagnostic::new("`loop` needs `server`", text.span(), why)
                .hint("for example `server = \"10.255.0.1\"`")
                .follows_from(&["server"]),
        );
    }
    if raw.port.is_none() {
        let why = "without a list, every UDP service of this host would be led to the server";
        found.push(
            Diagnostic::new("`loop` needs `port`", text.span(), why)
                .hint("for example `port = \"udp/53\"`")
                .follows_from(&["port"]),
        );
    }
    let servers = raw.server.as_ref().map(|it| servers(it, uplinks, found)).unwrap_or_default();
    let ports = raw.port.as_ref().map(|it| server_ports(it, found)).unwrap_or_default();
    for name in uplinks.iter().map(|it| &it.uplink.interface).chain(&interfaces).collect::<BTreeSet<_>>() {
        if [LOOP_IN, LOOP_OUT].contains(&name.as_str()) {
            found.push(
                Diagnostic::new(
                    format!("{name} is the name of a device that mhnat makes"),
                    text.span(),
                    "for the loop that is asked for here",
                )
                .hint("give the interface another name"),
            );
        }
    }
    (!servers.is_empty() && !ports.is_empty()).then_some(Loop { interfaces, servers, ports })
}

/// Words that only the loop has a use for.
pub(super) fn without_loop(raw: &raw::Replies, found: &mut Vec<Diagnostic>) {
    let given = [("server", &raw.server), ("port", &raw.port)];
    for (word, value) in given.into_iter().filter_map(|(word, value)| Some((word, value.as_ref()?))) {
        found.push(
            Diagnostic::new(format!("`{word}` is for `loop` only"), value.span(), "nothing is done with it")
                .hint("write `udp = \"loop\"`, or leave it out: `mark` and `redirect` find the server by its socket")
                .follows_from(&["udp"]),
        );
    }
}

fn servers(
    value: &Spanned<raw::OneOrMany>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<Family, IpAddr> {
    let mut servers: BTreeMap<Family, Placed<IpAddr>> = BTreeMap::new();
    let words = some_words(
        value,
        "`server` names no address",
        "for example `server = [\"10.255.0.1\", \"fd00:255::1\"]`",
        found,
    );
    for word in words {
        let Some(it) = address(&word, "the address of a server", found) else { continue };
        let family = Family::of(it.value);
        if let Some(first) = servers.get(&family) {
            found.push(
                Diagnostic::new(
                    format!("two {family} servers"),
                    it.span.clone(),
                    "a question has one answer",
                )
                .related(first.span.clone(), "given first here")
                .hint("one address for each family; a server behind this host is a `[[forward]]`"),
            );
            continue;
        }
        contradictions(&it, uplinks, found);
        servers.insert(family, it);
    }
    servers.into_iter().map(|(family, it)| (family, it.value)).collect()
}

fn contradictions(server: &Placed<IpAddr>, uplinks: &[Known], found: &mut Vec<Diagnostic>) {
    let family = Family::of(server.value);
    let title = |what: &str| format!("{} is {what}", server.value);
    if is_link_local(server.value) {
        found.push(
            Diagnostic::new(
                title("a link-local address"),
                server.span.clone(),
                "answers from it are never routed",
            )
            .hint("choose a private address that nobody else uses, such as 10.255.0.1 or fd00:255::1"),
        );
    }
    let places = |of: fn(&Known) -> &Vec<Placed<IpAddr>>| {
        let all = uplinks.iter().flat_map(move |known| of(known).iter().map(move |it| (known, it)));
        all.filter(|(_, it)| it.value == server.value)
    };
    for (known, it) in places(|known| &known.addresses) {
        found.push(
            Diagnostic::new(
                title(&format!("an address of uplink `{}`", known.uplink.name)),
                server.span.clone(),
                "its own traffic would go round the loop",
            )
            .related(it.span.clone(), "given to the uplink here")
            .hint("bind the server to a private address that nobody else uses, and name that here")
            .follows_from(&["address"]),
        );
    }
    for (known, it) in places(|known| &known.gateways) {
        found.push(
            Diagnostic::new(
                title(&format!("the next hop of uplink `{}`", known.uplink.name)),
                server.span.clone(),
                "the server is on this host",
            )
            .related(it.span.clone(), "given as `gateway` here")
            .follows_from(&["gateway"]),
        );
    }
    if !uplinks.iter().any(|known| known.uplink.legs.contains_key(&family)) {
        found.push(
            Diagnostic::new(
                format!("no uplink has an {family} address"),
                server.span.clone(),
                format!("no {family} answer could leave"),
            )
            .hint(format!("leave it out, or give an `[[uplink]]` an {family} address"))
            .follows_from(&["address", "uplink"]),
        );
    }
}

/// nft refuses intervals that overlap.
fn server_ports(value: &Spanned<raw::OneOrMany>, found: &mut Vec<Diagnostic>) -> Vec<Ports> {
    let mut known: Vec<(Ports, Range<usize>)> = Vec::new();
    let words = some_words(
        value,
        "`port` names no port",
        "for example `port = [\"udp/53\", \"udp/5060-5061\"]`",
        found,
    );
    for word in words {
        let Some(Placed { value: (protocol, ports), span }) = ports::ports(&word, found) else { continue };
        if protocol != Transport::Udp {
            found.push(
                Diagnostic::new("only UDP goes round the loop", span, format!("this is {protocol}"))
                    .hint("a TCP server answers from the address that was asked by itself"),
            );
            continue;
        }
        if let Some((other, first)) = known.iter().find(|(it, _)| it.overlaps(ports)) {
            found.push(
                Diagnostic::new(
                    format!("udp/{other} and udp/{ports} overlap"),
                    span,
                    "a port is led to the server once",
                )
                .related(first.clone(), "given first here")
                .hint("write one range, or ranges without a port in common"),
            );
            continue;
        }
        known.push((ports, span));
    }
    known.sort_by_key(|(ports, _)| *ports);
    known.into_iter().map(|(ports, _)| ports).collect()
}

/// What other tables of the file say against it.
pub(super) fn beside(
    raw: &raw::Config,
    replies: &Replies,
    (fan_outs, forwards): (&[FanOut], &[Forward]),
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) {
    let (Some(looped), Some(words)) = (replies.looped(), raw.replies.as_ref().map(Spanned::get_ref)) else {
        return;
    };
    if let (Some(forwarding), Some(server), true) = (
        raw.forwarding.as_ref().filter(|it| !*it.get_ref()),
        words.server.as_ref(),
        looped.servers.contains_key(&Family::V6),
    ) {
        found.push(
            Diagnostic::new(
                "IPv6 answers cannot go round the loop",
                forwarding.span(),
                "they are forwarded, and this forbids it",
            )
            .related(server.span(), "an IPv6 server")
            .hint("leave `forwarding` out, or use `mark`, which forwards nothing"),
        );
    }
    let dummy =
        fan_outs.iter().map(|it| it.dummy).find(|it| looped.servers.values().any(|server| server == it));
    if let (Some(dummy), Some(server)) = (dummy, &words.server) {
        found.push(
            Diagnostic::new(
                format!("{dummy} is the dummy address of a fan-out"),
                server.span(),
                "no server is bound to it",
            )
            .hint("choose a private address that nobody else uses"),
        );
    }
    let asked = |forward: &Forward| {
        let on = uplinks.iter().filter(|known| forward.on.contains(&known.uplink.name));
        forward.protocol == Transport::Udp
            && looped.servers.contains_key(&forward.family())
            && on.into_iter().any(|known| looped.interfaces.contains(&known.uplink.interface))
    };
    for forward in forwards.iter().filter(|forward| asked(forward)) {
        let Some(ports) = looped.ports.iter().find(|ports| ports.overlaps(forward.ports)) else { continue };
        let Some(port) = &words.port else { continue };
        found.push(
            Diagnostic::new(
                format!("udp/{ports} leads to two places"),
                port.span(),
                format!("a `[[forward]]` has udp/{} for {}", forward.ports, forward.to),
            )
            .hint("leave the port out here or there, or name other `interfaces`"),
        );
    }
}
