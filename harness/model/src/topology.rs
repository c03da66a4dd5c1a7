//! A topology in plain terms: nodes with interfaces, links between them. Presets expand to this, and the plan
//! is made from this; neither knows the other.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use crate::relay::Faults;

/// Index of a node in its topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Index of a link in its topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// Nodes and links.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// In order of introduction.
    pub nodes: Vec<Node>,
    /// In order of introduction.
    pub links: Vec<Link>,
}

/// A machine: one network namespace.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique.
    pub name: String,
    /// What it is in the picture.
    pub role: Role,
    /// In order: the first one is the preferred way out of a host.
    pub interfaces: Vec<Interface>,
    /// Addresses of its own, on the loopback device.
    pub loopback: Vec<IpAddr>,
    /// Whether it forwards from the start.
    pub forward: bool,
    /// Where its routes come from.
    pub routing: Routing,
    /// What it serves.
    pub services: Vec<Service>,
    /// Source address validation by interface.
    pub ingress: Vec<Ingress>,
    /// Prefixes that it routes to whoever is at the other side of one of its links.
    pub delegations: Vec<Delegation>,
}

/// What a node is in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An end system.
    Host,
    /// Forwards; others may compute routes through it.
    Router,
    /// Forwards for its own segments only; nobody computes a route through it.
    Gateway,
}

/// A network device of a node.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Unique in its node.
    pub name: String,
    /// What it is plugged into.
    pub link: LinkId,
    /// Each with the prefix length that the device gets.
    pub addresses: Vec<IpNet>,
}

/// Where a node's routes come from.
#[derive(Debug, Clone)]
pub enum Routing {
    /// Shortest paths over the routers of the topology.
    Computed,
    /// As given.
    Static(Vec<StaticRoute>),
}

/// A route as given.
#[derive(Debug, Clone)]
pub struct StaticRoute {
    /// Destination; zero length for the default route.
    pub to: IpNet,
    /// Next hop, on one of the node's links.
    pub via: IpAddr,
    /// Lower is preferred.
    pub metric: u32,
}

/// A service that answers each question: with its echo, or as a DNS server that knows no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Service {
    /// By which protocol.
    pub protocol: ServiceProtocol,
    /// Its port.
    pub port: u16,
    /// The one address that it is bound to. None: the wildcard address, with one socket a family.
    pub address: Option<IpAddr>,
}

/// What services speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ServiceProtocol {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
    /// Datagrams that are questions to a DNS server.
    Dns,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (protocol, what) = match self.protocol {
            ServiceProtocol::Udp => ("udp", "echo"),
            ServiceProtocol::Tcp => ("tcp", "echo"),
            ServiceProtocol::Dns => ("udp", "dns"),
        };
        write!(f, "{protocol}/{} {what}", self.port)?;
        self.address.map_or(Ok(()), |address| write!(f, " at {address}"))
    }
}

/// Only these sources may enter by this interface (BCP 38, RFC 2827).
#[derive(Debug, Clone)]
pub struct Ingress {
    /// Index into the node's interfaces.
    pub interface: usize,
    /// What may enter.
    pub admits: Vec<IpNet>,
}

/// A prefix that is routed to the members of a link that are not routers: the customer.
#[derive(Debug, Clone)]
pub struct Delegation {
    /// The prefix.
    pub prefix: IpNet,
    /// Index into the node's interfaces.
    pub interface: usize,
}

/// A cable between two ends, or a switch with any number of them.
#[derive(Debug, Clone)]
pub struct Link {
    /// Unique.
    pub name: String,
    /// Bytes.
    pub mtu: u32,
    /// Shared prefixes. Empty: the two ends know each other's addresses as host routes.
    pub prefixes: Vec<IpNet>,
    /// Each as node and index into that node's interfaces.
    pub ends: Vec<(NodeId, usize)>,
    /// The member that hosts use as their default gateway, where it was named.
    pub gateway: Option<NodeId>,
    /// Whether there is a switch even between two ends, so that one of them can be muted.
    pub switched: bool,
    /// How its frames are carried in user space. None: by the kernel.
    pub relayed: Option<Relayed>,
    /// Who provides it and which sources its customers may have there. None: it is nobody's access network.
    pub provided: Option<Provided>,
}

/// A link whose frames are carried in user space.
#[derive(Debug, Clone, Default)]
pub struct Relayed {
    /// Whether it carries IP packets between two points, and no Ethernet.
    pub point_to_point: bool,
    /// What becomes of frames on their way to the first end, and to the second one.
    pub faults: [Faults; 2],
    /// Of a tunnel, the addresses of the two ends' nodes between which it is carried.
    pub over: Option<[IpAddr; 2]>,
}

/// What a provider gives its customers.
#[derive(Debug, Clone)]
pub struct Provided {
    /// The provider.
    pub by: NodeId,
    /// The source addresses that are its customers'.
    pub sources: Vec<IpNet>,
}

impl Link {
    /// Whether it carries IP packets between two points, and no Ethernet.
    pub fn is_point_to_point(&self) -> bool {
        self.relayed.as_ref().is_some_and(|relayed| relayed.point_to_point)
    }

    /// Whether one cable joins its two ends, so that neither is there without the other.
    pub fn is_cable(&self) -> bool {
        self.ends.len() == 2 && (!self.switched || self.relayed.is_some())
    }
}

impl Topology {
    /// The node of an index.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The link of an index.
    pub fn link(&self, id: LinkId) -> &Link {
        &self.links[id.0]
    }

    /// The node of a name.
    pub fn node_named(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The link of a name.
    pub fn link_named(&self, name: &str) -> Option<LinkId> {
        self.links.iter().position(|link| link.name == name).map(LinkId)
    }

    /// The node that owns an address, and nobody else does.
    pub fn owner(&self, address: IpAddr) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.addresses().any(|own| own == address)).map(NodeId)
    }
}

impl Node {
    /// All addresses, those of the loopback device last.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let on_links =
            self.interfaces.iter().flat_map(|interface| interface.addresses.iter().map(|net| net.addr()));
        on_links.chain(self.loopback.iter().copied())
    }

    /// The index of the interface of a name.
    pub fn interface_named(&self, name: &str) -> Option<usize> {
        self.interfaces.iter().position(|interface| interface.name == name)
    }

    /// Whether others may compute routes through it.
    pub fn is_transit(&self) -> bool {
        self.role == Role::Router && self.forward
    }
}

/// The destination of a family's default route.
pub fn default_route(ipv6: bool) -> IpNet {
    if ipv6 { IpNet::V6(Ipv6Net::default()) } else { IpNet::V4(Ipv4Net::default()) }
}
