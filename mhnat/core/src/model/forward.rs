//! Ports of an uplink that lead to hosts behind this one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::family::Family;
use crate::name::{IfName, UplinkName};

/// Ports of uplinks' addresses that lead to a host behind this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    /// The uplinks on which it works, at least one; each has a leg of the target's family. No two forwards of
    /// one family have an uplink, a protocol and a port in common.
    pub on: BTreeSet<UplinkName>,
    /// The transport protocol.
    pub protocol: Transport,
    /// The ports that clients ask.
    pub ports: Ports,
    /// The host that answers.
    pub to: IpAddr,
    /// Its port; the port that was asked when not given. Only with a single port.
    pub to_port: Option<u16>,
    /// What the target sees as the source, of its family; the client's own address when not given. All
    /// forwards to one port of one target agree in it.
    pub full_nat: Option<IpAddr>,
    /// Whether those inside may ask the uplink's address as well.
    pub hairpin: bool,
}

impl Forward {
    /// The family of all its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.to)
    }

    /// Whether it is a range, whose ports stay as they are.
    pub fn keeps_ports(&self) -> bool {
        self.ports.is_range()
    }

    /// The target's ports.
    pub fn target_ports(&self) -> Ports {
        self.to_port.map_or(self.ports, Ports::one)
    }
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// As nft names it.
    pub const fn nft_keyword(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.nft_keyword())
    }
}

/// A run of ports, none of them zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// All ports from the first to the last, if there are any and none is zero.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first == 0 || last < first { None } else { Some(Self { first, last }) }
    }

    /// A single port.
    pub(crate) const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether there is more than one.
    pub const fn is_range(self) -> bool {
        self.first < self.last
    }

    /// All ports from the lowest of both to the highest.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// Whether some port is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// `22` or `8000-8010`, as nft takes it.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_range() { write!(f, "{}-{}", self.first, self.last) } else { write!(f, "{}", self.first) }
    }
}

/// Addresses that several nodes share, and that each keeps to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArpFilter {
    /// The ports of bridges that lead to other nodes, at least one.
    pub devices: BTreeSet<IfName>,
    /// The shared addresses, at least one.
    pub addresses: BTreeSet<IpAddr>,
}
