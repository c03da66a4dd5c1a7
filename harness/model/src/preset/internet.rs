//! `internet`: one core router; a link without prefix to each provider and each far host.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Builder, addresses::transit_range, builder::Member};
use crate::{
    diagnostic::Diagnostic,
    scenario::{raw::Raw, spanned::At},
    topology::{Interface, LinkId, Node, NodeId, Role, Routing},
};

/// The core's name.
pub(super) const NAME: &str = "internet";

/// Puts a node on the internet, with its public addresses; the other end of its link is made at the end.
pub(super) fn join(builder: &mut Builder<'_>, node: NodeId, device: &At<String>, addresses: &[At<IpAddr>]) {
    let owner = builder.topology.node(node).name.clone();
    let link = builder.link(&device.with(format!("{owner}-{NAME}")), Vec::new());
    for address in addresses {
        if let Some(segment) = builder.book.segment_of(address.value) {
            builder.findings.push(
                Diagnostic::new(
                    &address.span,
                    format!(
                        "`{owner}` is on the internet, but {} belongs to {}",
                        address.value, segment.value
                    ),
                    "expected an address outside of every segment",
                )
                .related(&segment.span, "this segment has it"),
            );
        }
    }
    let own: Vec<At<IpNet>> =
        addresses.iter().map(|address| address.with(IpNet::from(address.value))).collect();
    let interface = builder.attach(node, device, link, &own, false);
    builder.members.push(Member { node, interface });
}

/// Makes the core and the other ends, if anything is on the internet.
pub(super) fn expand(builder: &mut Builder<'_>, raw: &Raw) {
    let members = std::mem::take(&mut builder.members);
    if members.is_empty() && raw.internet.is_none() {
        return;
    }
    let core = core(builder, raw);
    let prefixes = builder.topology.links.iter().flat_map(|link| &link.prefixes);
    let on_interfaces = builder.topology.nodes.iter().flat_map(Node::addresses);
    let ipv6 = prefixes.map(IpNet::addr).chain(on_interfaces).any(|address| address.is_ipv6());
    for (at, Member { node, interface }) in members.into_iter().enumerate() {
        let Interface { link, addresses, .. } = builder.topology.node(node).interfaces[interface].clone();
        let mut own = addresses;
        let router = builder.topology.node(node).role == Role::Router;
        // A host with a public address of one family only is of that family only.
        let both = router || own.is_empty();
        for v6 in [false, true] {
            let has = own.iter().any(|address| address.addr().is_ipv6() == v6);
            if !has && both && (!v6 || ipv6) {
                own.extend(transit(builder, v6));
            }
        }
        let families = [false, true].into_iter();
        let families = families.filter(|v6| own.iter().any(|address| address.addr().is_ipv6() == *v6));
        let far: Vec<IpNet> = families.filter_map(|v6| transit(builder, v6)).collect();
        builder.topology.nodes[node.0].interfaces[interface].addresses = own;
        plug_core(builder, core, &format!("port{at}"), link, far);
    }
}

/// The next address for a link without prefix; where a segment takes them all, that is reported once.
fn transit(builder: &mut Builder<'_>, ipv6: bool) -> Option<IpNet> {
    let found = builder.book.transit(ipv6);
    if found.is_none() {
        let range = transit_range(ipv6);
        let taken = builder.book.segment_of(range.network()).map_or(0..0, |segment| segment.span.clone());
        let message = format!("no address of {range} is left for the links of the internet");
        let finding = Diagnostic::new(&taken, message, "expected a prefix that leaves some of it");
        if !builder.findings.contains(&finding) {
            builder.findings.push(finding);
        }
    }
    found.map(IpNet::from)
}

fn core(builder: &mut Builder<'_>, raw: &Raw) -> NodeId {
    builder.topology.nodes.push(Node {
        name: NAME.to_owned(),
        role: Role::Router,
        interfaces: Vec::new(),
        loopback: Vec::new(),
        forward: true,
        routing: Routing::Computed,
        services: Vec::new(),
        ingress: Vec::new(),
        delegations: Vec::new(),
    });
    let core = NodeId(builder.topology.nodes.len() - 1);
    builder.loopback(core, raw.internet.as_ref().and_then(|internet| internet.value.address.as_ref()));
    core
}

fn plug_core(builder: &mut Builder<'_>, core: NodeId, device: &str, link: LinkId, addresses: Vec<IpNet>) {
    let interfaces = &mut builder.topology.nodes[core.0].interfaces;
    interfaces.push(Interface { name: device.to_owned(), link, addresses });
    let index = interfaces.len() - 1;
    builder.topology.links[link.0].ends.push((core, index));
}
