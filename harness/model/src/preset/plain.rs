//! `node` and `link`: no preset at all, but the same findings.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use ipnet::IpNet;

use super::{
    Builder,
    names::{Kind, check},
};
use crate::{
    diagnostic::{Diagnostic, hint_known, listed},
    scenario::{
        raw::{self, Raw},
        spanned::At,
        words,
    },
    topology::{LinkId, NodeId, Role, Routing, StaticRoute, default_route},
};

/// The default MTU of a tunnel, in bytes: that of WireGuard, which leaves room for what carries it over Ethernet.
const TUNNEL_MTU: u32 = 1420;

/// A node and one of its interfaces, by name.
type Socket = (String, String);

/// An interface that waits for its link.
struct Waiting {
    node: NodeId,
    device: At<String>,
    addresses: Vec<At<IpNet>>,
    /// The end of a link that took it.
    used: Option<Range<usize>>,
}

/// The interfaces of plain nodes, and the ends of links that name none of them.
#[derive(Default)]
struct Sockets {
    waiting: BTreeMap<Socket, Waiting>,
    /// Nodes of which an end may have meant another interface. None: an end that names no node.
    mistaken: BTreeSet<Option<String>>,
}

pub(super) fn expand(builder: &mut Builder<'_>, raw: &Raw) {
    let mut sockets = Sockets::default();
    for (name, node) in raw.node.iter() {
        let id = declare(builder, name, node);
        for (device, texts) in node.value.interface.iter() {
            let mut addresses = Vec::new();
            for text in texts.items() {
                match words::interface_address(&text, builder.findings) {
                    Some(address) => addresses.push(text.with(address)),
                    None => {
                        builder.doubts.nodes.insert(id);
                    }
                }
            }
            let waiting = Waiting { node: id, device: device.clone(), addresses, used: None };
            sockets.waiting.insert((name.value.clone(), device.value.clone()), waiting);
        }
    }
    for link in &raw.link {
        plug_link(builder, raw, link, &mut sockets);
    }
    unplugged(builder, &sockets);
    for (name, node) in raw.node.iter() {
        static_routes(builder, name, node);
    }
}

fn declare(builder: &mut Builder<'_>, name: &At<String>, node: &At<raw::Node>) -> NodeId {
    let value = &node.value;
    let forward = value.forward.unwrap_or(false);
    let computed = value.computed.unwrap_or(value.route.is_empty());
    let role = match (forward, computed) {
        (true, true) => Role::Router,
        (true, false) => Role::Gateway,
        (false, _) => Role::Host,
    };
    let id = builder.node(name, role);
    builder.loopback(id, value.loopback.as_ref());
    builder.services(id, &value.serve);
    if !computed {
        builder.topology.nodes[id.0].routing = Routing::Static(Vec::new());
    }
    if let Some(route) = value.route.first().filter(|_| value.computed == Some(true)) {
        builder.findings.push(
            Diagnostic::new(
                &route.span,
                format!("`{}` has static and computed routes", name.value),
                "static route",
            )
            .hint("leave out `computed = true`, or the routes"),
        );
    }
    id
}

/// Interfaces that no link names, unless a mistaken end may have meant them.
fn unplugged(builder: &mut Builder<'_>, sockets: &Sockets) {
    for ((node, device), waiting) in sockets.waiting.iter().filter(|(_, waiting)| waiting.used.is_none()) {
        builder.doubts.nodes.insert(waiting.node);
        if sockets.mistaken.contains(&None) || sockets.mistaken.contains(&Some(node.clone())) {
            continue;
        }
        builder.findings.push(
            Diagnostic::new(
                &waiting.device.span,
                format!("interface `{node}:{device}` is on no link"),
                "not plugged in",
            )
            .hint(format!("add a `[[link]]` with `ends = [\"{node}:{device}\", \"NODE:INTERFACE\"]`")),
        );
    }
}

fn plug_link(builder: &mut Builder<'_>, raw: &Raw, link: &At<raw::Link>, sockets: &mut Sockets) {
    let ends = &link.value.ends;
    let mut plugged: Vec<(Range<usize>, Socket)> = Vec::new();
    for end in &ends.value {
        if let Some(socket) = find_end(builder, raw, end, sockets) {
            plugged.push((end.span.clone(), socket));
        }
    }
    if ends.value.len() < 2 {
        builder.findings.push(
            Diagnostic::new(&ends.span, "a link has two ends or more", "expected another end")
                .hint("such as [\"router:eth0\", \"client:eth0\"]"),
        );
    }
    if let [(first, (node, _)), (second, (other, _))] = plugged.as_slice()
        && node == other
    {
        builder.findings.push(
            Diagnostic::new(second, format!("a link from `{node}` to itself"), "same node as the other end")
                .related(first, "the other end"),
        );
    }
    let Some(name) = name(link) else {
        builder.doubts.unnamed_links = true;
        return;
    };
    if link.value.name.is_some() {
        check(&name, Kind::Link, builder.findings);
    }
    let addresses: Vec<At<IpNet>> =
        plugged.iter().flat_map(|(_, socket)| sockets.waiting[socket].addresses.iter().cloned()).collect();
    let prefixes = common_prefixes(builder, &name.value, &addresses);
    let id = builder.link(&name, prefixes);
    if link.value.kind.as_ref().is_some_and(|kind| kind.value == raw::LinkKind::Tunnel) {
        builder.topology.links[id.0].mtu = TUNNEL_MTU;
    }
    if let Some(mtu) = &link.value.mtu {
        // RFC 791: the least that an IPv4 link may have; above, what veth takes (ETH_MAX_MTU).
        if !(68..=65_535).contains(&mtu.value) {
            builder.findings.push(Diagnostic::new(
                &mtu.span,
                format!("an MTU of {} bytes is not possible", mtu.value),
                "expected 68 to 65535; IPv6 needs 1280",
            ));
        }
        builder.topology.links[id.0].mtu = mtu.value;
    }
    for (_, socket) in plugged {
        plug_end(builder, &sockets.waiting[&socket], id);
    }
}

/// The interface that an end names, or a finding.
fn find_end(builder: &mut Builder<'_>, raw: &Raw, end: &At<String>, sockets: &mut Sockets) -> Option<Socket> {
    let Some((node, device)) = end.value.split_once(':') else {
        sockets.mistaken.insert(raw.node.get(&end.value).map(|_| end.value.clone()));
        let message = format!("\"{}\" is not an end of a link", end.value);
        builder.findings.push(
            Diagnostic::new(&end.span, message, "expected \"NODE:INTERFACE\"")
                .hint("such as \"router:eth0\""),
        );
        return None;
    };
    let Some(owner) = raw.node.get(node) else {
        sockets.mistaken.insert(None);
        let finding = if builder.topology.node_named(node).is_some() || raw.host.get(node).is_some() {
            Diagnostic::new(
                &end.span,
                format!("`{node}` is a preset, whose links are made for it"),
                "expected a `node`",
            )
        } else {
            let message = format!("there is no node named `{node}`");
            hint_known(Diagnostic::new(&end.span, message, "expected a `node`"), node, raw.node.names())
        };
        builder.findings.push(finding);
        return None;
    };
    let socket = (node.to_owned(), device.to_owned());
    let Some(waiting) = sockets.waiting.get_mut(&socket) else {
        sockets.mistaken.insert(Some(node.to_owned()));
        let message = format!("`{node}` has no interface `{device}`");
        let finding = Diagnostic::new(&end.span, message, format!("expected an interface of `{node}`"));
        builder.findings.push(hint_known(finding, device, owner.value.interface.names()));
        return None;
    };
    if let Some(former) = &waiting.used {
        builder.findings.push(
            Diagnostic::new(
                &end.span,
                format!("interface `{node}:{device}` is plugged in twice"),
                "second time",
            )
            .related(former, "first time"),
        );
        return None;
    }
    waiting.used = Some(end.span.clone());
    Some(socket)
}

/// The name of a link: as given, or after its first two ends.
pub(super) fn name(link: &At<raw::Link>) -> Option<At<String>> {
    if let Some(name) = &link.value.name {
        return Some(name.clone());
    }
    let mut nodes = link.value.ends.value.iter().map(|end| end.value.split_once(':').map(|(node, _)| node));
    let (first, second) = (nodes.next()??, nodes.next()??);
    Some(At { value: format!("{first}-{second}"), span: link.value.ends.span.clone() })
}

/// The prefixes that the ends of a link share, one a family.
fn common_prefixes(builder: &mut Builder<'_>, link: &str, addresses: &[At<IpNet>]) -> Vec<IpNet> {
    let mut prefixes: Vec<At<IpNet>> = Vec::new();
    for address in addresses {
        let own = address.value;
        let Some(known) = prefixes.iter().find(|known| known.value.addr().is_ipv4() == own.addr().is_ipv4())
        else {
            prefixes.push(address.with(own.trunc()));
            continue;
        };
        if known.value == own.trunc() {
            continue;
        }
        let (message, expected) = if known.value.contains(&own.addr()) {
            let fitting = IpNet::new(own.addr(), known.value.prefix_len()).unwrap_or(own);
            (
                format!("{own} and {} on link `{link}` have different lengths", known.value),
                format!("{fitting}"),
            )
        } else {
            let message = format!("{own} is outside of link `{link}`, whose prefix is {}", known.value);
            (message, format!("an address of {}", known.value))
        };
        builder.findings.push(
            Diagnostic::new(&address.span, message, format!("expected {expected}"))
                .related(&known.span, "the prefix comes from here"),
        );
    }
    prefixes.retain(|prefix| builder.book.claim(prefix, builder.findings));
    prefixes.into_iter().map(|prefix| prefix.value).collect()
}

/// Plugs one end in. An interface without address of a family stays without it.
fn plug_end(builder: &mut Builder<'_>, waiting: &Waiting, link: LinkId) {
    let known = &builder.topology.link(link).prefixes;
    let (fitting, others): (Vec<_>, Vec<_>) =
        waiting.addresses.iter().cloned().partition(|address| known.contains(&address.value.trunc()));
    if !others.is_empty() {
        builder.doubts.nodes.insert(waiting.node);
    }
    builder.attach(waiting.node, &waiting.device, link, &fitting, false);
}

fn static_routes(builder: &mut Builder<'_>, name: &At<String>, node: &At<raw::Node>) {
    let Some(id) = builder.topology.node_named(&name.value) else { return };
    let routes = node.value.route.iter().filter_map(|route| static_route(builder, (id, name), &route.value));
    let routes: Vec<StaticRoute> = routes.collect();
    if let Routing::Static(target) = &mut builder.topology.nodes[id.0].routing {
        *target = routes;
    }
}

fn static_route(
    builder: &mut Builder<'_>,
    (node, name): (NodeId, &At<String>),
    route: &raw::Route,
) -> Option<StaticRoute> {
    let via = words::address(&route.via, builder.findings);
    let to = match (route.to.value.as_str(), via) {
        ("default", via) => default_route(via?.is_ipv6()),
        _ => words::prefix(&route.to, builder.findings)?,
    };
    let via = via?;
    if to.addr().is_ipv4() != via.is_ipv4() {
        builder.findings.push(
            Diagnostic::new(
                &route.via.span,
                format!("{to} and {via} are of different families"),
                "expected a next hop of the destination's family",
            )
            .related(&route.to.span, "the destination"),
        );
        return None;
    }
    let links = builder.topology.node(node).interfaces.iter().map(|interface| interface.link);
    let prefixes: Vec<IpNet> = links.flat_map(|link| builder.topology.link(link).prefixes.clone()).collect();
    if !prefixes.iter().any(|prefix| prefix.contains(&via)) {
        if !builder.in_doubt(node) {
            let finding = Diagnostic::new(
                &route.via.span,
                format!("next hop {via} is on no link of `{}`", name.value),
                "expected an address of a neighbour",
            );
            let hint = format!("its links have {}", listed(prefixes.iter(), "and"));
            builder.findings.push(if prefixes.is_empty() { finding } else { finding.hint(hint) });
        }
        return None;
    }
    Some(StaticRoute { to, via, metric: route.metric.unwrap_or(0) })
}
