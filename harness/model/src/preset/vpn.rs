//! `vpn`: a VPN gateway as the far side of a closed user group: it admits only the sources that it knows, and
//! routes what comes back to them.

use super::{Builder, builder::Otherwise};
use crate::{
    diagnostic::Diagnostic,
    scenario::{raw::Vpn, spanned::At, words},
    topology::{Delegation, Ingress, Provided, Role},
};

pub(super) fn expand(builder: &mut Builder<'_>, name: &At<String>, vpn: &At<Vpn>) {
    let link = builder.segment(name, &vpn.value.prefix);
    let node = builder.node(name, Role::Router);
    let access = builder.plug(node, &name.with("access".to_owned()), &name.with(link), &[], Otherwise::First);
    let prefixes = builder.topology.link(link).prefixes.clone();
    let mut admits = Vec::new();
    for text in vpn.value.admits.items() {
        let Some(prefix) = words::prefix(&text, builder.findings) else { continue };
        admits.push(prefix);
        if !prefixes.iter().any(|segment| segment.contains(&prefix)) {
            builder.topology.nodes[node.0].delegations.push(Delegation { prefix, interface: access });
        }
    }
    if vpn.value.admits.items().is_empty() {
        builder.findings.push(
            Diagnostic::new(
                &vpn.value.admits.span,
                format!("VPN `{}` admits nobody", name.value),
                "expected at least one source",
            )
            .hint("name the source addresses that may pass, such as [\"203.0.113.1\"]"),
        );
    }
    builder.topology.links[link.0].provided = Some(Provided { by: node, sources: admits.clone() });
    builder.topology.nodes[node.0].ingress.push(Ingress { interface: access, admits });
    builder.connect(node, name, vpn.value.to.as_ref());
}
