//! The topology while it grows, and the findings about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
};

use ipnet::IpNet;

use super::{
    Doubts,
    addresses::{self, Book},
    internet,
    names::{Kind, check},
};
use crate::{
    diagnostic::{Diagnostic, hint_known, listed},
    scenario::{
        Findings,
        spanned::{At, OneOrMany},
        words,
    },
    topology::{Interface, Link, LinkId, Node, NodeId, Role, Routing, Topology},
};

/// A topology under construction.
pub(super) struct Builder<'f> {
    pub(super) topology: Topology,
    pub(super) findings: &'f mut Findings,
    pub(super) doubts: Doubts,
    pub(super) book: Book,
    /// Links whose prefixes could not all be read: whatever seems to be outside of them may be not.
    unclear: BTreeSet<LinkId>,
    node_places: BTreeMap<String, Range<usize>>,
    link_places: BTreeMap<String, Range<usize>>,
    /// Services that are bound to an address.
    bound: Vec<(NodeId, At<IpAddr>)>,
    /// Who is on the internet.
    pub(super) members: Vec<Member>,
}

/// An interface that leads to the internet; its link still lacks the other end.
pub(super) struct Member {
    pub(super) node: NodeId,
    pub(super) interface: usize,
}

/// Which addresses an interface gets of a family in which the file gives it none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// The first one of the prefix.
    First,
    /// The next free one, counted from here.
    From(u32),
}

impl<'f> Builder<'f> {
    pub(super) fn new(findings: &'f mut Findings, book: Book) -> Self {
        Builder {
            topology: Topology::default(),
            findings,
            doubts: Doubts::default(),
            book,
            unclear: BTreeSet::new(),
            node_places: BTreeMap::new(),
            link_places: BTreeMap::new(),
            bound: Vec::new(),
            members: Vec::new(),
        }
    }

    /// A node of a new name.
    pub(super) fn node(&mut self, name: &At<String>, role: Role) -> NodeId {
        check(name, Kind::Node, self.findings);
        if let Some(former) = self.node_places.insert(name.value.clone(), name.span.clone()) {
            self.findings.push(
                Diagnostic::new(
                    &name.span,
                    format!("there are two nodes named `{}`", name.value),
                    "second one",
                )
                .related(&former, "first one")
                .hint("an isp, a vpn, a host, a router, a gateway and a node share one set of names"),
            );
        }
        self.topology.nodes.push(Node {
            name: name.value.clone(),
            role,
            interfaces: Vec::new(),
            loopback: Vec::new(),
            forward: role != Role::Host,
            routing: Routing::Computed,
            services: Vec::new(),
            ingress: Vec::new(),
            delegations: Vec::new(),
        });
        NodeId(self.topology.nodes.len() - 1)
    }

    /// A link of a new name.
    pub(super) fn link(&mut self, name: &At<String>, prefixes: Vec<IpNet>) -> LinkId {
        if let Some(former) = self.link_places.insert(name.value.clone(), name.span.clone()) {
            self.findings.push(
                Diagnostic::new(
                    &name.span,
                    format!("there are two links named `{}`", name.value),
                    "second one",
                )
                .related(&former, "first one")
                .hint("a lan, an isp, a vpn and a link share one set of names"),
            );
        }
        self.topology.links.push(Link {
            name: name.value.clone(),
            mtu: 1500,
            prefixes,
            ends: Vec::new(),
            gateway: None,
            switched: false,
            relayed: None,
            provided: None,
        });
        LinkId(self.topology.links.len() - 1)
    }

    /// The link of a segment: one prefix a family, not overlapping any other segment's.
    pub(super) fn segment(&mut self, name: &At<String>, texts: &At<OneOrMany>) -> LinkId {
        let items = texts.items();
        let mut prefixes: Vec<IpNet> = Vec::new();
        for text in &items {
            let Some(prefix) = words::prefix(text, self.findings) else { continue };
            if prefixes.iter().any(|other| other.addr().is_ipv4() == prefix.addr().is_ipv4()) {
                self.findings.push(
                    Diagnostic::new(
                        &text.span,
                        "a segment has one prefix a family",
                        "second one of its family",
                    )
                    .hint("make it two segments; a node can be on both"),
                );
            } else if self.book.claim(&text.with(prefix), self.findings) {
                prefixes.push(prefix);
            }
        }
        if items.is_empty() {
            let message = format!("`{}` has no prefix", name.value);
            self.findings.push(Diagnostic::new(&texts.span, message, "expected one a family"));
        }
        let unclear = prefixes.is_empty() || prefixes.len() < items.len();
        let link = self.link(name, prefixes);
        if unclear {
            self.unclear.insert(link);
        }
        link
    }

    /// Plugs a new interface of a node into a segment. Of each family it gets the wanted addresses, or a default.
    pub(super) fn plug(
        &mut self,
        node: NodeId,
        device: &At<String>,
        segment: &At<LinkId>,
        wanted: &[At<IpAddr>],
        otherwise: Otherwise,
    ) -> usize {
        let link = self.topology.link(segment.value);
        let (name, prefixes) = (link.name.clone(), link.prefixes.clone());
        if self.unclear.contains(&segment.value) {
            self.doubts.nodes.insert(node);
        }
        let mut addresses = Vec::new();
        for prefix in &prefixes {
            let length = prefix.prefix_len();
            let given = wanted.iter().filter(|address| prefix.contains(&address.value));
            let own: Vec<At<IpNet>> = given
                .filter_map(|address| Some(address.with(IpNet::new(address.value, length).ok()?)))
                .collect();
            if wanted.iter().any(|address| address.value.is_ipv4() == prefix.addr().is_ipv4()) {
                addresses.extend(own);
                continue;
            }
            let found = match otherwise {
                Otherwise::First => addresses::first(*prefix),
                Otherwise::From(from) => self.book.free(*prefix, from),
            };
            match found.and_then(|address| IpNet::new(address, length).ok()) {
                Some(address) => addresses.push(segment.with(address)),
                None => self.findings.push(Diagnostic::new(
                    &segment.span,
                    format!("no address of {prefix} is free for `{}`", self.topology.node(node).name),
                    "this needs one",
                )),
            }
        }
        let index = self.attach(node, device, segment.value, &addresses, wanted.is_empty());
        let outside =
            wanted.iter().filter(|wanted| !prefixes.iter().any(|prefix| prefix.contains(&wanted.value)));
        for address in outside.filter(|_| !self.unclear.contains(&segment.value)) {
            self.doubts.nodes.insert(node);
            self.findings.push(Diagnostic::new(
                &address.span,
                format!("{} is outside of link `{name}`", address.value),
                format!("expected an address of {}", listed(prefixes.iter(), "or")),
            ));
        }
        index
    }

    /// Plugs a new interface of a node into a link, with these addresses.
    pub(super) fn attach(
        &mut self,
        node: NodeId,
        device: &At<String>,
        link: LinkId,
        addresses: &[At<IpNet>],
        by_default: bool,
    ) -> usize {
        check(device, Kind::Interface, self.findings);
        let owner = self.topology.node(node);
        let name = owner.name.clone();
        if owner.interface_named(&device.value).is_some() {
            let message = format!("`{name}` has two interfaces named `{}`", device.value);
            self.findings.push(Diagnostic::new(&device.span, message, "second one"));
        }
        for address in addresses {
            self.book.take(&name, &address.with(address.value.addr()), by_default, self.findings);
            addresses::check_host_part(address, self.findings);
        }
        let addresses = addresses.iter().map(|address| address.value).collect();
        self.topology.nodes[node.0].interfaces.push(Interface {
            name: device.value.clone(),
            link,
            addresses,
        });
        let index = self.topology.node(node).interfaces.len() - 1;
        self.topology.links[link.0].ends.push((node, index));
        index
    }

    /// Gives a node addresses on its loopback device.
    pub(super) fn loopback(&mut self, node: NodeId, texts: Option<&At<OneOrMany>>) {
        let name = self.topology.node(node).name.clone();
        for text in texts.iter().flat_map(|texts| texts.items()) {
            match words::address(&text, self.findings) {
                Some(address) => {
                    self.book.take(&name, &text.with(address), false, self.findings);
                    self.topology.nodes[node.0].loopback.push(address);
                }
                None => {
                    self.doubts.nodes.insert(node);
                }
            }
        }
    }

    /// The services of a list.
    pub(super) fn services(&mut self, node: NodeId, texts: &[At<String>]) {
        for text in texts {
            let Some(service) = words::service(text, self.findings) else { continue };
            self.topology.nodes[node.0].services.push(service);
            if let Some(address) = service.address {
                self.bound.push((node, text.with(address)));
            }
        }
    }

    /// Reports services that are bound to an address that their node does not have, once all addresses are known.
    pub(super) fn check_bound(&mut self) {
        for (node, address) in std::mem::take(&mut self.bound) {
            let owner = self.topology.node(node);
            if self.in_doubt(node) || owner.addresses().any(|own| own == address.value) {
                continue;
            }
            let message = format!("{} is not an address of `{}`", address.value, owner.name);
            let finding =
                Diagnostic::new(&address.span, message, "a service is bound to an address of its own node");
            let own = listed(owner.addresses(), "and");
            self.findings.push(if own.is_empty() { finding } else { finding.hint(format!("it has {own}")) });
        }
    }

    /// The addresses of a list.
    pub(super) fn addresses(&mut self, node: NodeId, texts: Option<&At<OneOrMany>>) -> Vec<At<IpAddr>> {
        let mut found = Vec::new();
        for text in texts.iter().flat_map(|texts| texts.items()) {
            match words::address(&text, self.findings) {
                Some(address) => found.push(text.with(address)),
                None => {
                    self.doubts.nodes.insert(node);
                }
            }
        }
        found
    }

    /// The segment of a name, or a finding; then what follows about the node is in doubt.
    pub(super) fn find_segment(&mut self, node: NodeId, name: &At<String>) -> Option<At<LinkId>> {
        let found = self.topology.link_named(&name.value);
        if found.is_none() {
            self.doubts.nodes.insert(node);
            let known = self.topology.links.iter().map(|link| link.name.as_str()).chain([internet::NAME]);
            let message = format!("there is no segment named `{}`", name.value);
            let finding = Diagnostic::new(&name.span, message, "expected a lan, an isp or a vpn");
            self.findings.push(hint_known(finding, &name.value, known));
        }
        found.map(|link| name.with(link))
    }

    /// Whether anything about a node is in doubt.
    pub(super) fn in_doubt(&self, node: NodeId) -> bool {
        self.doubts.nodes.contains(&node)
    }

    /// Connects a router to what lies behind it: the internet, or a segment.
    pub(super) fn connect(&mut self, node: NodeId, name: &At<String>, to: Option<&At<String>>) {
        let device = |span: &Range<usize>| At { value: "out".to_owned(), span: span.clone() };
        match to.filter(|to| to.value != internet::NAME) {
            None => internet::join(self, node, &device(&name.span), &[]),
            Some(to) => {
                if let Some(segment) = self.find_segment(node, to) {
                    self.plug(node, &device(&to.span), &segment, &[], Otherwise::From(1));
                }
            }
        }
    }
}
