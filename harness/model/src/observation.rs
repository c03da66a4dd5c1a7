//! What was seen: every frame, at every device, in the order of time.

use std::net::{IpAddr, SocketAddr};

use crate::{
    packet::Packet,
    scenario::{EntryChange, Protocol},
    stream::Measures,
};

/// Nanoseconds since the Unix epoch, as the kernel stamped them.
pub type Stamp = u64;

/// One frame at one device.
#[derive(Debug, Clone)]
pub struct Record {
    /// When.
    pub at: Stamp,
    /// Index of the node in the topology.
    pub node: usize,
    /// Interface index in the node, as planned; 1 is the loopback device.
    pub device: u32,
    /// Whether the node sent it.
    pub sent: bool,
    /// Whether it was addressed to somebody else and only overheard (`PACKET_OTHERHOST`).
    pub overheard: bool,
    /// What it says.
    pub packet: Packet,
    /// How many frames it stands for: those of a stream that are alike but for their number are told once a step.
    pub times: u32,
}

/// One conntrack entry of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// IP protocol number.
    pub protocol: u8,
    /// The tuple of the direction that opened it.
    pub original: Tuple,
    /// The tuple that answers are expected to have.
    pub reply: Tuple,
    /// Its mark.
    pub mark: u32,
    /// Its zone; 0 is the default one.
    pub zone: u16,
    /// `IPS_` flags. See linux/netfilter/nf_conntrack_common.h.
    pub status: u32,
    /// Seconds until it is forgotten.
    pub timeout: u32,
}

/// A conntrack entry that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryEvent {
    /// What became of it.
    pub change: EntryChange,
    /// The entry as it was then; without its status and time where it went.
    pub entry: Entry,
}

/// One direction of a conntrack entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port, or the identifier of an ICMP echo; 0 where the protocol has neither.
    pub source_port: u16,
    /// Destination port; 0 where the protocol has none.
    pub destination_port: u16,
}

/// What an exchange's socket was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketResult {
    /// The answer.
    Answered,
    /// Connection refused.
    Refused,
    /// Network or host unreachable.
    Unreachable,
    /// Connection reset.
    Reset,
    /// Another error, by its number (errno).
    Failed(i32),
    /// Nothing.
    Silence,
}

/// One exchange, as its own socket saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeSeen {
    /// Index of the asking node in the topology.
    pub node: usize,
    /// Number of the probe.
    pub probe: u32,
    /// By which protocol.
    pub protocol: Protocol,
    /// The socket's own end.
    pub local: SocketAddr,
    /// Whom it asked.
    pub remote: SocketAddr,
    /// What it was told.
    pub result: SocketResult,
}

/// A stream that has ended.
#[derive(Debug, Clone)]
pub struct StreamSeen {
    /// What it amounts to.
    pub measures: Measures,
    /// Frames on a provider's link with a source that is not the provider's.
    pub leaked: u64,
    /// The first of them.
    pub leak: Option<Record>,
    /// The probe whose way tells where packets went, by the number of its token.
    pub telling: Option<u32>,
    /// Where that one was seen, in the order of time.
    pub trail: Vec<Record>,
}

/// A command, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSeen {
    /// Exit status; 128 + n after signal n.
    pub status: i32,
    /// Both streams.
    pub output: String,
}
