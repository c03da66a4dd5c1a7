//! The names that steps use, looked up in the topology.
//!
//! A name that may be right, were it not for a mistake that has been told already, is not reported once more.

use std::net::IpAddr;

use super::{Endpoint, Family, Findings, Protocol, spanned::At, words};
use crate::{
    diagnostic::{Diagnostic, hint_known, listed},
    preset::Doubts,
    topology::{LinkId, Node, NodeId, Topology},
};

/// Nodes, links and interfaces by name.
#[derive(Clone, Copy)]
pub(super) struct Names<'t> {
    pub(super) topology: &'t Topology,
    pub(super) doubts: &'t Doubts,
}

impl Names<'_> {
    /// Whether a node's interfaces and addresses are not all known.
    pub(super) fn in_doubt(&self, node: NodeId) -> bool {
        self.doubts.nodes.contains(&node)
    }

    pub(super) fn node(&self, name: &At<String>, findings: &mut Findings) -> Option<NodeId> {
        let found = self.topology.node_named(&name.value);
        if found.is_none() {
            let message = format!("there is no node named `{}`", name.value);
            let finding = Diagnostic::new(&name.span, message, "expected a node");
            let owner = name.value.parse().ok().and_then(|address| self.topology.owner(address));
            findings.push(match owner {
                Some(owner) => finding
                    .hint(format!("the node with this address is `{}`", self.topology.node(owner).name)),
                None => hint_known(
                    finding,
                    &name.value,
                    self.topology.nodes.iter().map(|node| node.name.as_str()),
                ),
            });
        }
        found
    }

    pub(super) fn link(&self, name: &At<String>, findings: &mut Findings) -> Option<LinkId> {
        let found = self.topology.link_named(&name.value);
        if found.is_none() && !self.doubts.unnamed_links {
            let message = format!("there is no link named `{}`", name.value);
            let finding = Diagnostic::new(&name.span, message, "expected a link");
            let known = self.topology.links.iter().map(|link| link.name.as_str());
            findings.push(hint_known(finding, &name.value, known));
        }
        found
    }

    /// "NODE" or "NODE:INTERFACE".
    pub(super) fn place(
        &self,
        text: &At<String>,
        findings: &mut Findings,
    ) -> Option<(NodeId, Option<usize>)> {
        let Some((node, device)) = text.value.split_once(':') else {
            return Some((self.node(text, findings)?, None));
        };
        let node = self.node(&text.with(node.to_owned()), findings)?;
        let owner = self.topology.node(node);
        let found = owner.interface_named(device);
        if found.is_none() && !self.in_doubt(node) {
            let message = format!("`{}` has no interface `{device}`", owner.name);
            let finding =
                Diagnostic::new(&text.span, message, format!("expected an interface of `{}`", owner.name));
            findings.push(hint_known(finding, device, owner.interfaces.iter().map(|i| i.name.as_str())));
        }
        Some((node, Some(found?)))
    }

    /// "NODE:INTERFACE".
    pub(super) fn interface(&self, text: &At<String>, findings: &mut Findings) -> Option<(NodeId, usize)> {
        match self.place(text, findings)? {
            (node, Some(interface)) => Some((node, interface)),
            (node, None) => {
                let owner = self.topology.node(node);
                let message = format!("\"{}\" names a node, not an interface", text.value);
                let finding = Diagnostic::new(&text.span, message, "expected \"NODE:INTERFACE\"");
                let places = owner.interfaces.iter().map(|i| format!("\"{}:{}\"", owner.name, i.name));
                findings.push(match owner.interfaces.as_slice() {
                    [] => finding,
                    _ => finding.hint(format!("did you mean {}?", listed(places, "or"))),
                });
                None
            }
        }
    }

    /// "ADDRESS" or "ADDRESS:PORT".
    pub(super) fn endpoint(&self, text: &At<String>, findings: &mut Findings) -> Option<Endpoint> {
        let host = text.value.split_once(':').map_or(text.value.as_str(), |(host, _)| host);
        match self.topology.node_named(host) {
            Some(node) => {
                let message = format!("`{host}` is a node, and a node may have several addresses");
                let finding = Diagnostic::new(&text.span, message, "expected ADDRESS or ADDRESS:PORT");
                findings.push(with_addresses(finding, self.topology.node(node)));
                None
            }
            None => words::endpoint(text, findings),
        }
    }

    /// "NODE:PORT", "ADDRESS:PORT" or `[IPV6]:PORT`; without port for ICMP.
    pub(super) fn target(
        &self,
        text: &At<String>,
        protocol: Protocol,
        family: Option<&At<Family>>,
        findings: &mut Findings,
    ) -> Option<(IpAddr, u16)> {
        let (host, port) = if protocol == Protocol::Icmp {
            (self.host_without_port(text, findings)?, 0)
        } else {
            host_and_port(text, findings)?
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            if let Some(family) = family.filter(|family| (family.value == Family::Ipv6) != address.is_ipv6())
            {
                findings.push(
                    Diagnostic::new(
                        &family.span,
                        format!("{address} is not of this family"),
                        "contradicts `to`",
                    )
                    .related(&text.span, "the address"),
                );
                return None;
            }
            return Some((address, port));
        }
        if bare.starts_with(|c: char| c.is_ascii_digit()) && bare.contains('.') {
            words::address(&text.with(bare.to_owned()), findings);
            return None;
        }
        let node = self.node(&text.with(host.to_owned()), findings)?;
        let owner = self.topology.node(node);
        let wanted = family.map(|family| family.value == Family::Ipv6);
        let mut addresses: Vec<IpAddr> = owner.addresses().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        let found = addresses.into_iter().find(|address| wanted.is_none_or(|v6| address.is_ipv6() == v6));
        if found.is_none() && !self.in_doubt(node) {
            let what = match wanted {
                None => "address",
                Some(false) => "IPv4 address",
                Some(true) => "IPv6 address",
            };
            let message = format!("`{host}` has no {what}");
            let finding = Diagnostic::new(&text.span, message, format!("expected a node with an {what}"));
            let finding = match family {
                Some(family) => finding.related(&family.span, "asked for here"),
                None => finding,
            };
            findings.push(with_addresses(finding, owner));
        }
        Some((found?, port))
    }

    fn host_without_port<'a>(&self, text: &'a At<String>, findings: &mut Findings) -> Option<&'a str> {
        let host = text.value.as_str();
        match host.rsplit_once(':') {
            Some((before, port)) if host.parse::<IpAddr>().is_err() && port.parse::<u16>().is_ok() => {
                findings.push(
                    Diagnostic::new(&text.span, "ICMP has no ports", "expected a node or an address alone")
                        .hint(format!("did you mean \"{before}\"?")),
                );
                None
            }
            _ => Some(host),
        }
    }
}

fn host_and_port<'a>(text: &'a At<String>, findings: &mut Findings) -> Option<(&'a str, u16)> {
    let example = "such as \"server:7000\", \"192.0.2.80:7000\" or \"[2001:db8::80]:7000\"";
    let (host, port) = match text.value.rsplit_once(':') {
        Some((host, port)) if text.value.ends_with(|c: char| c != ']') => (host, port),
        _ => {
            findings.push(
                Diagnostic::new(
                    &text.span,
                    format!("\"{}\" names no port", text.value),
                    "expected \"NODE:PORT\" or \"ADDRESS:PORT\"",
                )
                .hint(example),
            );
            return None;
        }
    };
    if host.contains(':') && !host.starts_with('[') {
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("where the port of \"{}\" begins is not clear", text.value),
                "expected brackets around an IPv6 address",
            )
            .hint(format!("such as \"[{host}]:{port}\" or \"[{}]:7000\"", text.value)),
        );
        return None;
    }
    match port.parse::<u16>().ok().filter(|port| *port > 0) {
        Some(port) => Some((host, port)),
        None => {
            findings.push(
                Diagnostic::new(
                    &text.span,
                    format!("\"{port}\" is not a port"),
                    "expected a port from 1 to 65535",
                )
                .hint(example),
            );
            None
        }
    }
}

/// The same finding with the addresses of a node.
pub(super) fn with_addresses(finding: Diagnostic, node: &Node) -> Diagnostic {
    let own: Vec<IpAddr> = node.addresses().collect();
    match own.as_slice() {
        [] => finding,
        [only] => finding.hint(format!("its address is {only}")),
        _ => finding.hint(format!("its addresses are {}", listed(own, "and"))),
    }
}
