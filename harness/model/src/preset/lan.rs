//! `lan`: an Ethernet segment. A cable if two are on it, else a switch.

use super::{
    Builder,
    names::{Kind, check},
};
use crate::{
    diagnostic::{Diagnostic, hint_known},
    scenario::{
        raw::{Lan, Raw},
        spanned::At,
    },
};

pub(super) fn expand(builder: &mut Builder<'_>, name: &At<String>, lan: &At<Lan>) {
    check(name, Kind::Link, builder.findings);
    builder.segment(name, &lan.value.prefix);
}

/// Resolves the gateways that segments name, once everybody is on them.
pub(super) fn name_gateways(builder: &mut Builder<'_>, raw: &Raw) {
    for (name, lan) in raw.lan.iter() {
        let Some(gateway) = &lan.value.gateway else { continue };
        let Some(link) = builder.topology.link_named(&name.value) else { continue };
        let members = &builder.topology.link(link).ends;
        let found = members.iter().find(|(node, _)| builder.topology.node(*node).name == gateway.value);
        if let Some((node, _)) = found.copied() {
            builder.topology.links[link.0].gateway = Some(node);
            continue;
        }
        if builder.topology.node_named(&gateway.value).is_some_and(|node| builder.in_doubt(node)) {
            continue;
        }
        let known = members.iter().map(|(node, _)| builder.topology.node(*node).name.as_str());
        let finding = Diagnostic::new(
            &gateway.span,
            format!("`{}` is not on lan `{}`", gateway.value, name.value),
            "expected a member of this segment",
        );
        let finding = hint_known(finding, &gateway.value, known);
        builder.findings.push(finding);
    }
}
