//! Presets: the words of a network engineer (`lan`, `isp`, `vpn`, `internet`, `host`, `router`, `gateway`), and
//! the plain nodes and links that they stand for. One preset, one file.
//!
//! The order is that of dependence: segments first, then those who own the first address of a segment, then
//! plain nodes, then whoever takes the next free address.

use std::collections::BTreeSet;

use crate::{
    scenario::{Findings, raw::Raw},
    topology::{NodeId, Topology},
};

mod addresses;
mod builder;
mod gateway;
mod host;
mod internet;
mod isp;
mod lan;
mod names;
mod plain;
mod relayed;
#[cfg(test)]
mod tests;
mod vpn;

use builder::Builder;

/// What a reported mistake leaves unclear: findings about it would only follow from that one.
#[derive(Debug, Clone, Default)]
pub struct Doubts {
    /// Nodes whose interfaces or addresses are not all known.
    pub nodes: BTreeSet<NodeId>,
    /// Whether there is a link whose name is not known.
    pub unnamed_links: bool,
}

/// Expands all presets of a file. What cannot be expanded is left out and reported, and its neighbourhood is in
/// doubt.
pub fn expand(raw: &Raw, findings: &mut Findings) -> (Topology, Doubts) {
    let mut builder = Builder::new(findings, addresses::Book::new(raw));
    for (name, lan) in raw.lan.iter() {
        lan::expand(&mut builder, name, lan);
    }
    for (name, isp) in raw.isp.iter() {
        isp::expand(&mut builder, name, isp);
    }
    for (name, vpn) in raw.vpn.iter() {
        vpn::expand(&mut builder, name, vpn);
    }
    plain::expand(&mut builder, raw);
    for (name, gateway) in raw.gateway.iter() {
        gateway::expand(&mut builder, name, gateway);
    }
    for (name, router) in raw.router.iter() {
        host::expand(&mut builder, name, router, host::Kind::Router);
    }
    for (name, host) in raw.host.iter() {
        host::expand(&mut builder, name, host, host::Kind::Host);
    }
    internet::expand(&mut builder, raw);
    lan::name_gateways(&mut builder, raw);
    gateway::add_defaults(&mut builder, raw);
    relayed::expand(&mut builder, raw);
    builder.check_bound();
    (builder.topology, builder.doubts)
}
