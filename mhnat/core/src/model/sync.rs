//! Connections that are shared with another node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::name::IfName;

/// What is shared with which node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sync {
    /// The other node's address on the link between both.
    pub peer: IpAddr,
    /// This node's address there, of the same family.
    pub address: IpAddr,
    /// The interface of that link, which is no uplink's.
    pub interface: IfName,
    /// The other node's addresses on its uplinks, at least one; none of them is an uplink's here.
    pub peer_addresses: BTreeSet<IpAddr>,
    /// The UDP port of both nodes, not zero.
    pub port: u16,
    /// What becomes of lost messages.
    pub mode: SyncMode,
    /// Whose own connections are not shared, beside this node's on its uplinks and on the link.
    pub ignore: BTreeSet<IpNet>,
    /// How many connections there is room for.
    pub connections: u32,
    /// How many messages wait for the other node at most.
    pub queue: u32,
    /// The size of the socket buffers in bytes; 0 for what the kernel gives everybody.
    pub buffer: u32,
}

/// What becomes of messages between the nodes that are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncMode {
    /// They are numbered and acknowledged, and sent again.
    #[default]
    Ftfw,
    /// Nobody notices.
    Notrack,
}
