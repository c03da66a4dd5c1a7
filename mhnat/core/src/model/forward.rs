//! Ports of an uplink that lead to hosts behind this one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::{Ports, Transport};
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

/// Addresses that several nodes share, and that each keeps to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArpFilter {
    /// The ports of bridges that lead to other nodes, at least one.
    pub devices: BTreeSet<IfName>,
    /// The shared addresses, at least one.
    pub addresses: BTreeSet<IpAddr>,
}
