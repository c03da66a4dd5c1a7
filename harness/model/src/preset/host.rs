//! `host` and `router`: on one segment or several, with the next free addresses.

use std::net::IpAddr;

use super::{Builder, builder::Otherwise, internet};
use crate::{
    diagnostic::{Diagnostic, listed},
    scenario::{raw::Host, spanned::At},
    topology::Role,
};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Router,
}

pub(super) fn expand(builder: &mut Builder<'_>, name: &At<String>, host: &At<Host>, kind: Kind) {
    let role = if kind == Kind::Router { Role::Router } else { Role::Host };
    let node = builder.node(name, role);
    builder.services(node, &host.value.serve);
    builder.loopback(node, host.value.loopback.as_ref());
    let mut wanted = builder.addresses(node, host.value.address.as_ref());
    let segments = host.value.on.items();
    if segments.is_empty() {
        builder.doubts.nodes.insert(node);
        builder.findings.push(Diagnostic::new(
            &host.value.on.span,
            format!("`{}` is on no segment", name.value),
            "expected at least one",
        ));
    }
    // Routers take the first free addresses, hosts those from the tenth on: so a reader tells them apart.
    let otherwise = Otherwise::From(if kind == Kind::Router { 1 } else { 10 });
    // What no segment has is for the internet.
    let public: Vec<At<IpAddr>> = match segments.iter().any(|segment| segment.value == internet::NAME) {
        true => wanted.extract_if(.., |address| !on_any(builder, &segments, address.value)).collect(),
        false => Vec::new(),
    };
    let mut prefixes = Vec::new();
    let mut joined = false;
    for (index, segment) in segments.iter().enumerate() {
        let device = segment.with(format!("eth{index}"));
        if segment.value == internet::NAME {
            if std::mem::replace(&mut joined, true) {
                builder.findings.push(Diagnostic::new(
                    &segment.span,
                    format!("`{}` is on the internet twice", name.value),
                    "expected once",
                ));
            } else {
                internet::join(builder, node, &device, &public);
            }
            continue;
        }
        let Some(link) = builder.find_segment(node, segment) else { continue };
        let here = builder.topology.link(link.value).prefixes.clone();
        let own: Vec<At<IpAddr>> = wanted
            .extract_if(.., |address| here.iter().any(|prefix| prefix.contains(&address.value)))
            .collect();
        builder.plug(node, &device, &link, &own, otherwise);
        prefixes.extend(here);
    }
    // An address may be right, and the segment's name or prefix wrong: that has been said.
    if builder.in_doubt(node) {
        return;
    }
    for outside in wanted {
        builder.doubts.nodes.insert(node);
        builder.findings.push(Diagnostic::new(
            &outside.span,
            format!("{} is outside of every segment that `{}` is on", outside.value, name.value),
            format!("expected an address of {}", listed(prefixes.iter(), "or")),
        ));
    }
}

fn on_any(builder: &Builder<'_>, segments: &[At<String>], address: IpAddr) -> bool {
    let links = segments.iter().filter_map(|segment| builder.topology.link_named(&segment.value));
    links.flat_map(|link| &builder.topology.link(link).prefixes).any(|prefix| prefix.contains(&address))
}
