//! Expectations, patterns, invariants.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Protocol;
use crate::scenario::spanned::{At, NumberOrText, OneOrMany};

/// What must be so after a step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// Whether the answer came back to the asking socket, from the address and port that was asked.
    #[serde(default)]
    pub answered: Option<At<bool>>,
    /// What the asking application is told instead of an answer.
    #[serde(default)]
    pub error: Option<At<ErrorWord>>,
    /// The answer's source as the asking node sees it: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub reply_from: Option<At<String>>,
    /// The question's source as the far end sees it: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub seen_from: Option<At<String>>,
    /// The question's destination as the far end sees it: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub seen_to: Option<At<String>>,
    /// The node that the question reached.
    #[serde(default)]
    pub reached: Option<At<String>>,
    /// The link that the question crossed.
    #[serde(default)]
    pub by: Option<At<String>>,
    /// The link that the answer crossed.
    #[serde(default)]
    pub reply_by: Option<At<String>>,
    /// Every node on the question's way, in order.
    #[serde(default)]
    pub path: Option<At<Vec<At<String>>>>,
    /// Every node on the answer's way, in order.
    #[serde(default)]
    pub reply_path: Option<At<Vec<At<String>>>>,
    /// Packets that must have been seen during the step.
    #[serde(default)]
    pub seen: Vec<At<Pattern>>,
    /// Packets that must not have been seen during the step.
    #[serde(default)]
    pub never: Vec<At<Pattern>>,
    /// Conntrack entries that must exist after the step.
    #[serde(default)]
    pub conntrack: Vec<At<Conntrack>>,
    /// Conntrack entries that came to be during the step.
    #[serde(default)]
    pub created: Vec<At<Conntrack>>,
    /// Conntrack entries that were forgotten during the step, whoever did it, and for whatever reason.
    #[serde(default)]
    pub destroyed: Vec<At<Conntrack>>,
    /// Packets of the stream that never arrived: a number, "<= 3" or ">= 3".
    #[serde(default)]
    pub lost: Option<At<NumberOrText>>,
    /// Packets of the stream that arrived but whose answer did not come back.
    #[serde(default)]
    pub reply_lost: Option<At<NumberOrText>>,
    /// Packets of the stream of which more than one copy arrived, there or back.
    #[serde(default)]
    pub duplicated: Option<At<NumberOrText>>,
    /// Packets of the stream that arrived behind a later one, there or back.
    #[serde(default)]
    pub reordered: Option<At<NumberOrText>>,
    /// The longest time from an answered packet to the next one, if any between them was not: "<= 50ms".
    #[serde(default)]
    pub outage: Option<At<String>>,
    /// The time from the last link change to the first answered packet behind a loss: "<= 50ms".
    #[serde(default)]
    pub recovery: Option<At<String>>,
    /// Packets of the stream on a provider's link with a source that this provider did not give.
    #[serde(default)]
    pub leaked: Option<At<NumberOrText>>,
    /// The command's exit status. Default: 0.
    #[serde(default)]
    pub exit: Option<At<i32>>,
    /// A text that the command's output must contain.
    #[serde(default)]
    pub output: Option<At<String>>,
}

/// What an application can be told instead of an answer.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorWord {
    /// Connection refused: RST, or ICMP port unreachable.
    Refused,
    /// Network or host unreachable.
    Unreachable,
    /// Connection reset.
    Reset,
}

/// Packets by what they look like on the wire; every word given must match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pattern {
    /// A link: either end.
    #[serde(default)]
    pub on: Option<At<String>>,
    /// A node or one of its interfaces: "NODE" or "NODE:INTERFACE".
    #[serde(default)]
    pub at: Option<At<String>>,
    /// "in" or "out", seen from the node. Needs `at`.
    #[serde(default)]
    pub direction: Option<At<Direction>>,
    /// Source address or prefix.
    #[serde(default)]
    pub source: Option<At<String>>,
    /// Source addresses or prefixes, none of which may match.
    #[serde(default)]
    pub source_not: Option<At<OneOrMany>>,
    /// Destination address or prefix.
    #[serde(default)]
    pub destination: Option<At<String>>,
    /// Protocol.
    #[serde(default)]
    pub protocol: Option<At<PatternProtocol>>,
    /// Source port.
    #[serde(default)]
    pub source_port: Option<At<u16>>,
    /// Destination port.
    #[serde(default)]
    pub destination_port: Option<At<u16>>,
    /// TCP flags that are all set, such as "syn" or "syn+ack".
    #[serde(default)]
    pub flags: Option<At<String>>,
    /// TTL or hop limit.
    #[serde(default)]
    pub ttl: Option<At<u8>>,
    /// A text within the payload.
    #[serde(default)]
    pub payload: Option<At<String>>,
    /// Only the packets of this step's exchange.
    #[serde(default)]
    pub own: Option<At<bool>>,
    /// Exactly so many. Default for `seen`: at least one.
    #[serde(default)]
    pub count: Option<At<u32>>,
    /// At least so many.
    #[serde(default)]
    pub at_least: Option<At<u32>>,
    /// At most so many.
    #[serde(default)]
    pub at_most: Option<At<u32>>,
}

/// Protocols of a pattern.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum PatternProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// ICMP or ICMPv6, whatever type.
    Icmp,
    /// ARP.
    Arp,
}

/// Direction, seen from a node.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Received by the node.
    In,
    /// Sent by the node.
    Out,
}

/// Conntrack entries of a node.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conntrack {
    /// The node.
    pub at: At<String>,
    /// Protocol.
    #[serde(default)]
    pub protocol: Option<At<Protocol>>,
    /// Source of the original tuple: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub source: Option<At<String>>,
    /// Destination of the original tuple.
    #[serde(default)]
    pub destination: Option<At<String>>,
    /// Source of the reply tuple.
    #[serde(default)]
    pub reply_source: Option<At<String>>,
    /// Destination of the reply tuple.
    #[serde(default)]
    pub reply_destination: Option<At<String>>,
    /// The entry's mark: "VALUE" or "VALUE/MASK".
    #[serde(default)]
    pub mark: Option<At<String>>,
    /// Exactly so many entries. Default: at least one.
    #[serde(default)]
    pub count: Option<At<u32>>,
    /// At least so many.
    #[serde(default)]
    pub at_least: Option<At<u32>>,
    /// At most so many.
    #[serde(default)]
    pub at_most: Option<At<u32>>,
}

/// An invariant over all packets of the run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Always {
    /// Its name in reports and in `breaks`.
    pub name: At<String>,
    /// Packets that must never be seen.
    pub never: At<Pattern>,
}
