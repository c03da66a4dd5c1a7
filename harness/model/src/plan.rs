//! The lab that a topology needs: every namespace, device, address, route and neighbour, in order.
//!
//! A plan leaves no choice to its execution. Interface indexes and hardware addresses are given here, unique in
//! the whole lab: equal indexes at both ends of a veth pair delay its carrier by a second (`linkwatch` in
//! net/core/link_watch.c takes an event as urgent only if a device's index differs from its peer's).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::topology::{Service, Topology};

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
    /// veth pairs.
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

/// A veth pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cable {
    /// The end that is brought up first.
    pub near: CableEnd,
    /// The other end.
    pub far: CableEnd,
    /// Bytes.
    pub mtu: u32,
}

impl Cable {
    /// The end that is not the device of an index.
    pub fn other(&self, index: u32) -> &CableEnd {
        if self.near.index == index { &self.far } else { &self.near }
    }
}

/// One end of a veth pair.
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
