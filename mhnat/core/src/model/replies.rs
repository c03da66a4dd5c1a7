//! How answers of this host's own servers find their way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::Ports;
use crate::family::Family;
use crate::name::IfName;

/// How answers of this host's own servers leave by the address and the link that were asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replies {
    /// What is done for datagrams.
    pub udp: Option<UdpReplies>,
    /// Interfaces of uplinks on which an arriving TCP connection is remembered; empty when not asked for.
    pub tcp: BTreeSet<IfName>,
}

/// How datagrams to any of this host's addresses are answered from the address that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "with")]
pub enum UdpReplies {
    /// Addresses on different links, all uplinks: translate to the address that a wildcard socket answers
    /// from, and mark the connection with the uplink that it came by.
    Mark(BTreeSet<IfName>),
    /// Several addresses on one link: translate to the interface's first address.
    Redirect(BTreeSet<IfName>),
    /// Addresses on different links: translate to the address that a server is bound to, and lead its answers through
    /// a veth pair, so that they are routed once more with the address that was asked.
    Loop(Loop),
}

/// Servers that are bound to an address of their own, and what is asked of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loop {
    /// The interfaces on which they are asked.
    pub interfaces: BTreeSet<IfName>,
    /// The address that they are bound to in each family, at least one. It belongs to no uplink, and some uplink has
    /// a leg of its family.
    pub servers: BTreeMap<Family, IpAddr>,
    /// The UDP ports that are theirs, in order. No two have a port in common.
    pub ports: Vec<Ports>,
}

impl UdpReplies {
    /// The interfaces on which it works, whichever way.
    pub const fn interfaces(&self) -> &BTreeSet<IfName> {
        match self {
            Self::Mark(interfaces) | Self::Redirect(interfaces) => interfaces,
            Self::Loop(it) => &it.interfaces,
        }
    }
}

impl Replies {
    /// The servers whose answers go round the loop, if there are any.
    pub const fn looped(&self) -> Option<&Loop> {
        match &self.udp {
            Some(UdpReplies::Loop(it)) => Some(it),
            Some(UdpReplies::Mark(_) | UdpReplies::Redirect(_)) | None => None,
        }
    }

    /// Interfaces on which new connections are marked with their uplink, with the protocols that are.
    pub fn marked(&self) -> (BTreeSet<&'static str>, BTreeSet<&IfName>) {
        let mut protocols = BTreeSet::new();
        let mut interfaces = BTreeSet::new();
        if let Some(UdpReplies::Mark(on)) = &self.udp {
            protocols.insert("udp");
            interfaces.extend(on);
        }
        if !self.tcp.is_empty() {
            protocols.insert("tcp");
            interfaces.extend(&self.tcp);
        }
        (protocols, interfaces)
    }
}
