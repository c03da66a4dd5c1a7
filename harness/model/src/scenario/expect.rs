//! What must be so after a step.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{Direction, ErrorWord, PatternProtocol, Protocol};
use crate::topology::{LinkId, NodeId};

/// What must be so after a step. Words that were not given do not judge.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// Whether the answer came.
    pub answered: Option<bool>,
    /// What the application is told instead.
    pub error: Option<ErrorWord>,
    /// The answer's source at the asking node.
    pub reply_from: Option<Endpoint>,
    /// The question's source at the far end.
    pub seen_from: Option<Endpoint>,
    /// The question's destination at the far end.
    pub seen_to: Option<Endpoint>,
    /// The node that the question reached.
    pub reached: Option<NodeId>,
    /// The link that the question crossed.
    pub by: Option<LinkId>,
    /// The link that the answer crossed.
    pub reply_by: Option<LinkId>,
    /// Every node on the question's way.
    pub path: Option<Vec<NodeId>>,
    /// Every node on the answer's way.
    pub reply_path: Option<Vec<NodeId>>,
    /// Packets and how many of them.
    pub packets: Vec<Counted>,
    /// Conntrack entries that there are.
    pub conntrack: Vec<Entries>,
    /// Conntrack entries that came and went during the step.
    pub changes: Vec<(EntryChange, Entries)>,
    /// What became of a stream.
    pub stream: StreamExpect,
    /// Exit status of a command.
    pub exit: Option<i32>,
    /// A text within a command's output.
    pub output: Option<String>,
}

/// What must have become of a stream. Words that were not given do not judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamExpect {
    /// Packets that never arrived.
    pub lost: Option<Limit<u64>>,
    /// Packets that arrived but whose answer did not come back.
    pub reply_lost: Option<Limit<u64>>,
    /// Packets of which more than one copy arrived.
    pub duplicated: Option<Limit<u64>>,
    /// Packets that arrived behind a later one.
    pub reordered: Option<Limit<u64>>,
    /// Packets on a provider's link with a source that is not the provider's.
    pub leaked: Option<Limit<u64>>,
    /// The longest time without an answered packet.
    pub outage: Option<Limit<Duration>>,
    /// The time from the last link change to the first answered packet behind a loss.
    pub recovery: Option<Limit<Duration>>,
}

/// How much of something there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// So much.
    Exactly(T),
    /// So much or less.
    AtMost(T),
    /// So much or more.
    AtLeast(T),
}

impl<T> Limit<T> {
    /// Whether only one value is admitted.
    pub fn is_exact(&self) -> bool {
        matches!(self, Limit::Exactly(_))
    }
}

impl<T: PartialOrd> Limit<T> {
    /// Whether there may be so much.
    pub fn admits(&self, value: T) -> bool {
        match self {
            Limit::Exactly(wanted) => value == *wanted,
            Limit::AtMost(most) => value <= *most,
            Limit::AtLeast(least) => value >= *least,
        }
    }
}

/// An address, with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port, where it matters.
    pub port: Option<u16>,
}

/// Packets by what they look like on the wire.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    /// Where.
    pub place: Place,
    /// Source prefix.
    pub source: Option<IpNet>,
    /// Source prefixes, none of which may match.
    pub source_not: Vec<IpNet>,
    /// Destination prefix.
    pub destination: Option<IpNet>,
    /// Protocol.
    pub protocol: Option<PatternProtocol>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// TCP flags that are all set.
    pub flags: Option<u8>,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// A text within the payload.
    pub payload: Option<String>,
    /// Only packets of the step's own exchange.
    pub own: bool,
}

/// Where a pattern looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// Everywhere.
    #[default]
    Anywhere,
    /// At either end of a link.
    Link(LinkId),
    /// At a node.
    Node {
        /// The node.
        node: NodeId,
        /// Index of one of its interfaces.
        interface: Option<usize>,
        /// Only what it receives, or only what it sends.
        direction: Option<Direction>,
    },
}

/// A pattern and how many packets may match it.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Which packets.
    pub pattern: Pattern,
    /// At least so many.
    pub at_least: u32,
    /// At most so many.
    pub at_most: Option<u32>,
}

/// What becomes of a conntrack entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryChange {
    /// It came to be.
    Created,
    /// It was forgotten.
    Destroyed,
}

/// Conntrack entries of a node.
#[derive(Debug, Clone)]
pub struct Entries {
    /// The node.
    pub node: NodeId,
    /// Protocol.
    pub protocol: Option<Protocol>,
    /// Source of the original tuple.
    pub source: Option<Endpoint>,
    /// Destination of the original tuple.
    pub destination: Option<Endpoint>,
    /// Source of the reply tuple.
    pub reply_source: Option<Endpoint>,
    /// Destination of the reply tuple.
    pub reply_destination: Option<Endpoint>,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    /// At least so many.
    pub at_least: u32,
    /// At most so many.
    pub at_most: Option<u32>,
}

impl Expect {
    /// Whether what is missing may still come, and what holds cannot be lost again but by what conntrack tables show.
    ///
    /// Packets and events that must not be, or not so many, are watched for as long as a step lasts.
    pub fn can_only_be_met(&self) -> bool {
        let packets = self.packets.iter().all(|counted| counted.at_most.is_none());
        let changes = self.changes.iter().all(|(_, entries)| entries.at_most.is_none());
        let any = !(self.packets.is_empty() && self.changes.is_empty() && self.conntrack.is_empty());
        any && packets && changes
    }
}
