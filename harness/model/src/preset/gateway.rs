//! `gateway`: several ways out, and no route but those given. The place for an implementation under test.

use ipnet::IpNet;

use super::{Builder, builder::Otherwise};
use crate::{
    diagnostic::{Diagnostic, hint_known},
    scenario::{
        raw::{Gateway, Raw},
        spanned::At,
    },
    topology::{Role, Routing, StaticRoute, default_route},
};

pub(super) fn expand(builder: &mut Builder<'_>, name: &At<String>, gateway: &At<Gateway>) {
    let node = builder.node(name, Role::Gateway);
    let value = &gateway.value;
    builder.topology.nodes[node.0].forward = value.forward.unwrap_or(true);
    builder.topology.nodes[node.0].routing = Routing::Static(Vec::new());
    builder.loopback(node, value.loopback.as_ref());
    builder.services(node, &value.serve);
    for (device, segment) in value.lan.iter().chain(value.uplink.iter()) {
        let Some(link) = builder.find_segment(node, segment) else { continue };
        let wanted = builder.addresses(node, value.address.get(&device.value));
        builder.plug(node, device, &link, &wanted, Otherwise::From(1));
    }
    for (device, _) in value.address.iter() {
        if value.lan.get(&device.value).is_none() && value.uplink.get(&device.value).is_none() {
            let finding = Diagnostic::new(
                &device.span,
                format!("`{}` has no interface `{}`", name.value, device.value),
                "addresses of an interface that is not there",
            );
            let known = value.lan.names().chain(value.uplink.names());
            builder.findings.push(hint_known(finding, &device.value, known));
        }
    }
    if value.lan.is_empty() && value.uplink.is_empty() {
        builder.findings.push(
            Diagnostic::new(
                &name.span,
                format!("gateway `{}` has no interface", name.value),
                "expected `lan` or `uplink`",
            )
            .hint("such as `uplink = { eth0 = \"isp-a\" }`"),
        );
    }
}

/// Adds the default routes of the main table, once every provider has its address.
pub(super) fn add_defaults(builder: &mut Builder<'_>, raw: &Raw) {
    for (name, gateway) in raw.gateway.iter() {
        let Some(node) = builder.topology.node_named(&name.value) else { continue };
        let mut routes = Vec::new();
        for (rank, uplink) in gateway.value.default.iter().flat_map(At::items).enumerate() {
            routes.extend(default(builder, name, &gateway.value, &uplink, 100 * (rank as u32 + 1)));
        }
        builder.topology.nodes[node.0].routing = Routing::Static(routes);
    }
}

/// The default routes by one uplink, one a family.
fn default(
    builder: &mut Builder<'_>,
    name: &At<String>,
    gateway: &Gateway,
    uplink: &At<String>,
    metric: u32,
) -> Vec<StaticRoute> {
    let known: Vec<&str> = gateway.uplink.iter().map(|(_, segment)| segment.value.as_str()).collect();
    if !known.contains(&uplink.value.as_str()) {
        // If an uplink is mistyped, this one may be right.
        if known.iter().all(|segment| builder.topology.link_named(segment).is_some()) {
            let finding = Diagnostic::new(
                &uplink.span,
                format!("`{}` is no uplink of gateway `{}`", uplink.value, name.value),
                "expected the provider of one of its uplinks",
            );
            let finding = match gateway.uplink.get(&uplink.value) {
                Some(segment) => {
                    finding.hint(format!("interface `{}` leads to `{}`", uplink.value, segment.value))
                }
                None => hint_known(finding, &uplink.value, known),
            };
            builder.findings.push(finding);
        }
        return Vec::new();
    }
    let Some(link) = builder.topology.link_named(&uplink.value) else { return Vec::new() };
    // The provider is the first router on the segment.
    let ends = &builder.topology.link(link).ends;
    let provider = ends.iter().find(|(end, _)| builder.topology.node(*end).is_transit());
    let Some((provider, interface)) = provider else {
        builder.findings.push(Diagnostic::new(
            &uplink.span,
            format!("there is no router on `{}` that a default route could name", uplink.value),
            "expected a segment with a router",
        ));
        return Vec::new();
    };
    let addresses = &builder.topology.node(*provider).interfaces[*interface].addresses;
    let of_family = |ipv6: bool| addresses.iter().map(IpNet::addr).find(|address| address.is_ipv6() == ipv6);
    let routes = [false, true]
        .into_iter()
        .filter_map(|ipv6| Some(StaticRoute { to: default_route(ipv6), via: of_family(ipv6)?, metric }));
    routes.collect()
}
