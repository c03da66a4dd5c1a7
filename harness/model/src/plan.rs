//! The lab that a topology needs: every namespace, device, address, route and neighbour, in order.
//!
//! A plan leaves no choice to its execution. Interface indexes and hardware addresses are given here, unique in
//! the whole lab: equal indexes at both ends of a veth pair delay its carrier by a second (`linkwatch` in
//! net/core/link_watch.c takes an event as urgent only if a device's index differs from its peer's).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    relay::{ETHERNET, Faults},
    topology::{Service, Topology},
};

mod build;
mod index;
mod routes;
#[cfg(test)]
mod tests;

pub use build::{build, mac};
pub use index::{index_in_life, planned_index};

/// Everything that is built for a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabPlan {
    /// Whether IPv6 is used at all. If not, it is switched off in all namespaces.
    pub ipv6: bool,
    /// Network namespaces, in the order of the topology's nodes.
    pub nodes: Vec<NodePlan>,
    /// Bridges in the namespace that holds the lab together, one for each link that is not a mere cable.
    pub switches: Vec<Switch>,
    /// What joins devices with each other, or with switches.
    pub cables: Vec<Cable>,
}

/// One network namespace and all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePlan {
    /// The namespace's name.
    pub name: String,
    /// Written below /proc/sys/net before any device exists, so that `default` values reach the devices.
    pub sysctls: Vec<(String, String)>,
    /// Devices, made by the cables; addresses are assigned here.
    pub devices: Vec<Device>,
    /// Addresses on the loopback device, each with host length.
    pub loopback: Vec<IpAddr>,
    /// Routes, in the order in which they can be added.
    pub routes: Vec<Route>,
    /// Policy rules.
    pub rules: Vec<Rule>,
    /// Neighbours, so that no first packet waits for an answer.
    pub neighbours: Vec<Neighbour>,
    /// What it serves.
    pub services: Vec<Service>,
}

impl NodePlan {
    /// A node with nothing in it.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sysctls: Vec::new(),
            devices: Vec::new(),
            loopback: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            neighbours: Vec::new(),
            services: Vec::new(),
        }
    }
}

/// A device in a node, whose cable is made elsewhere in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Interface name.
    pub name: String,
    /// Interface index, unique in the lab; of a device that was restored, that of its first life ([`index_in_life`]).
    pub index: u32,
    /// Index of the topology's link that it is plugged into.
    pub link: usize,
    /// Addresses with their prefix length; IPv6 ones without duplicate address detection.
    pub addresses: Vec<IpNet>,
    /// Of a point-to-point device the address at the other end, one a family.
    pub peers: Vec<IpAddr>,
}

impl Device {
    /// The address at the other end of a point-to-point device, in the family of one of its own.
    pub fn peer_of(&self, own: IpAddr) -> Option<IpAddr> {
        self.peers.iter().copied().find(|peer| peer.is_ipv4() == own.is_ipv4())
    }
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Switch {
    /// Interface name.
    pub name: String,
    /// Interface index, unique in the lab.
    pub index: u32,
    /// Bytes.
    pub mtu: u32,
}

/// Two devices that are joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cable {
    /// The end that is brought up first.
    pub near: CableEnd,
    /// The other end.
    pub far: CableEnd,
    /// Bytes.
    pub mtu: u32,
    /// What it is made of.
    pub wire: Wire,
}

/// What a cable is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Wire {
    /// A veth pair.
    Veth,
    /// Two devices whose frames are carried from one to the other in user space.
    Relayed {
        /// The link's name, from which its chances come.
        link: String,
        /// What they carry.
        layer: Layer,
        /// What becomes of frames from the beginning: from near to far, and from far to near.
        faults: Box<[Faults; 2]>,
        /// Of a tunnel, what carries it.
        over: Option<Over>,
    },
}

/// What carries a tunnel: UDP, between sockets of its ends' nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Over {
    /// An address of the near end's node, and one of the far end's.
    pub addresses: [IpAddr; 2],
    /// The port of both sockets.
    pub port: u16,
}

/// Ports of tunnels: WireGuard's, and those that follow.
pub const TUNNEL_PORTS: std::ops::Range<u16> = 51_820..52_820;

/// What a relayed device carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Layer {
    /// Ethernet frames: a TAP device.
    Ethernet,
    /// IP packets, between two points: a TUN device.
    Ip,
}

impl Layer {
    /// Bytes in front of the IP header.
    pub fn header(self) -> usize {
        match self {
            Layer::Ethernet => ETHERNET,
            Layer::Ip => 0,
        }
    }
}

impl Cable {
    /// The end that is not the device of an index.
    pub fn other(&self, index: u32) -> &CableEnd {
        if self.near.index == index { &self.far } else { &self.near }
    }
}

/// One end of a cable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CableEnd {
    /// Where it is.
    pub place: Place,
    /// Interface name.
    pub name: String,
    /// Interface index, unique in the lab.
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
}

/// Where an end of a cable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Place {
    /// In a node: an index into the plan's nodes.
    Node(usize),
    /// A port of a bridge: an index into the plan's switches.
    Switch(usize),
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Destination; zero length for the default route.
    pub to: IpNet,
    /// Next hop. None: the destination is on the link.
    pub via: Option<IpAddr>,
    /// The source that the node prefers by this route. None: the kernel's choice.
    pub source: Option<IpAddr>,
    /// Index of the outgoing interface.
    pub device: u32,
    /// The next hop is on the link although no prefix says so.
    pub onlink: bool,
    /// Lower is preferred; 0 for the kernel's default.
    pub metric: u32,
}

/// A policy rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Lower is looked at first.
    pub priority: u32,
    /// Incoming interface name.
    pub iif: String,
    /// Source prefix. None: any of the family.
    pub from: Option<IpNet>,
    /// Whether the rule is for IPv6.
    pub ipv6: bool,
    /// What happens.
    pub action: RuleAction,
}

/// What a policy rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RuleAction {
    /// Look the destination up in the main table.
    Main,
    /// Drop without a word.
    Blackhole,
}

/// A neighbour entry, valid until the kernel finds otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// Index of the interface.
    pub device: u32,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

impl LabPlan {
    /// The node and device of an interface index.
    pub fn device(&self, index: u32) -> Option<(usize, &Device)> {
        self.nodes.iter().enumerate().find_map(|(at, node)| {
            node.devices.iter().find(|device| device.index == index).map(|device| (at, device))
        })
    }

    /// The cable that ends in the device of an index.
    pub fn cable_of(&self, index: u32) -> Option<&Cable> {
        self.cables.iter().find(|cable| cable.near.index == index || cable.far.index == index)
    }
}

/// The plan's name for a person: how many of what.
pub fn summary(plan: &LabPlan, topology: &Topology) -> String {
    format!(
        "{} namespaces, {} links, {} routes",
        plan.nodes.len(),
        topology.links.len(),
        plan.nodes.iter().map(|node| node.routes.len()).sum::<usize>()
    )
}
