//! `isp`: an access network whose first address is the provider's, and a router from there to the internet.

use super::{Builder, builder::Otherwise};
use crate::{
    scenario::{
        raw::{Filter, Isp},
        spanned::At,
        words,
    },
    topology::{Delegation, Ingress, Provided, Role},
};

pub(super) fn expand(builder: &mut Builder<'_>, name: &At<String>, isp: &At<Isp>) {
    let link = builder.segment(name, &isp.value.prefix);
    let node = builder.node(name, Role::Router);
    let access = builder.plug(node, &name.with("access".to_owned()), &name.with(link), &[], Otherwise::First);
    let mut admits = builder.topology.link(link).prefixes.clone();
    for text in isp.value.routes.iter().flat_map(At::items) {
        if let Some(prefix) = words::prefix(&text, builder.findings) {
            builder.topology.nodes[node.0].delegations.push(Delegation { prefix, interface: access });
            admits.push(prefix);
        }
    }
    builder.topology.links[link.0].provided = Some(Provided { by: node, sources: admits.clone() });
    if isp.value.filter.as_ref().is_some_and(|filter| filter.value == Filter::Source) {
        builder.topology.nodes[node.0].ingress.push(Ingress { interface: access, admits });
    }
    builder.connect(node, name, isp.value.to.as_ref());
}
