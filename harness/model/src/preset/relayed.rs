//! Links whose frames are carried in user space, from the beginning: point-to-point ones, tunnels, and those with faults.

use std::{net::IpAddr, ops::Range};

use super::Builder;
use crate::{
    diagnostic::Diagnostic,
    scenario::{
        faults,
        raw::{AccessKind, Impair, Link, LinkKind, Raw},
        spanned::At,
        words,
    },
    topology::{LinkId, Relayed},
};

/// Once every link has its ends.
pub(super) fn expand(builder: &mut Builder<'_>, raw: &Raw) {
    for (name, isp) in raw.isp.iter() {
        access(builder, name, isp.value.link.as_ref(), &isp.value.impair);
    }
    for (name, vpn) in raw.vpn.iter() {
        access(builder, name, vpn.value.link.as_ref(), &vpn.value.impair);
    }
    for link in &raw.link {
        if let Some(name) = super::plain::name(link) {
            plain(builder, &name, &link.value);
        }
    }
}

fn access(
    builder: &mut Builder<'_>,
    name: &At<String>,
    kind: Option<&At<AccessKind>>,
    impair: &[At<Impair>],
) {
    let ppp = kind.filter(|kind| kind.value == AccessKind::Ppp).map(|kind| &kind.span);
    one(builder, name, ppp, impair);
}

fn plain(builder: &mut Builder<'_>, name: &At<String>, link: &Link) {
    let of_kind = |wanted| link.kind.as_ref().filter(|kind| kind.value == wanted).map(|kind| &kind.span);
    let tunnel = of_kind(LinkKind::Tunnel);
    one(builder, name, of_kind(LinkKind::Ppp).or(tunnel), &link.impair);
    match (tunnel, &link.over) {
        (None, None) => {}
        (None, Some(over)) => builder.findings.push(Diagnostic::new(
            &over.span,
            "`over` says nothing about a link that is no tunnel",
            "expected with `kind = \"tunnel\"` only",
        )),
        (Some(kind), None) => builder.findings.push(
            Diagnostic::new(kind, "what carries the tunnel is not told", "expected `over` as well")
                .hint("such as `over = [\"198.51.100.2\", \"192.0.2.1\"]`, an address of each end's node"),
        ),
        (Some(_), Some(over)) => {
            let Some(id) = builder.topology.link_named(&name.value) else { return };
            let over = self::over(builder, id, over);
            if let Some(relayed) = &mut builder.topology.links[id.0].relayed {
                relayed.over = over;
            }
        }
    }
}

/// The addresses between which a tunnel is carried: one of each end's node, of one family, and not on the tunnel itself.
fn over(builder: &mut Builder<'_>, id: LinkId, texts: &At<Vec<At<String>>>) -> Option<[IpAddr; 2]> {
    let [first, second] = texts.value.as_slice() else {
        let label = "expected one of each end's node";
        builder.findings.push(Diagnostic::new(
            &texts.span,
            "a tunnel is carried between two addresses",
            label,
        ));
        return None;
    };
    let addresses = [first, second].map(|text| words::address(text, builder.findings));
    let [Some(near), Some(far)] = addresses else { return None };
    if near.is_ipv4() != far.is_ipv4() {
        let message = format!("{near} and {far} are of different families");
        builder.findings.push(Diagnostic::new(&texts.span, message, "expected two of one family"));
        return None;
    }
    let link = builder.topology.link(id).clone();
    for ((address, text), (node, at)) in [(near, first), (far, second)].into_iter().zip(&link.ends) {
        let owner = builder.topology.node(*node);
        if builder.in_doubt(*node) {
            continue;
        }
        let inside = owner.interfaces[*at].addresses.iter().any(|own| own.addr() == address);
        let message = if inside {
            format!("{address} is on the tunnel itself")
        } else if owner.addresses().all(|own| own != address) {
            format!("{address} is not an address of `{}`", owner.name)
        } else {
            continue;
        };
        let finding = Diagnostic::new(&text.span, message, "expected another address of that end's node");
        builder.findings.push(finding);
    }
    Some([near, far])
}

fn one(
    builder: &mut Builder<'_>,
    name: &At<String>,
    point_to_point: Option<&Range<usize>>,
    impair: &[At<Impair>],
) {
    let Some(place) = point_to_point.or(impair.first().map(|impair| &impair.span)) else { return };
    let Some(id) = builder.topology.link_named(&name.value) else { return };
    let doubtful = !builder.doubts.nodes.is_empty();
    if builder.topology.link(id).ends.len() != 2 && doubtful {
        return;
    }
    if faults::between_two(place, id, &builder.topology, builder.findings) {
        let relayed = relayed(builder, id, point_to_point.is_some(), impair);
        builder.topology.links[id.0].relayed = Some(relayed);
    }
}

fn relayed(builder: &mut Builder<'_>, link: LinkId, point_to_point: bool, impair: &[At<Impair>]) -> Relayed {
    let mut relayed = Relayed { point_to_point, ..Relayed::default() };
    for impair in impair {
        let wrong = faults::faults(impair, builder.findings);
        let towards = faults::towards(impair, link, &builder.topology, &builder.doubts, builder.findings);
        for (faults, _) in relayed.faults.iter_mut().zip(towards).filter(|(_, towards)| *towards) {
            faults.clone_from(&wrong);
        }
    }
    relayed
}
