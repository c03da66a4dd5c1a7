//! A scenario, checked: every name resolved, every address parsed, every contradiction reported.
//!
//! [`parse`] reads a text in three passes, each of which reports all that it finds: syntax (toml), shape (every
//! word and type, against the schema) and sense (names, addresses, steps). Only a text without findings becomes a
//! [`Scenario`], so whoever holds one need not check again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    diagnostic::Diagnostic,
    relay::Faults,
    topology::{LinkId, NodeId, Topology},
};

pub(crate) mod faults;
pub mod flap;
mod names;
mod parse;
pub mod raw;
mod schema;
mod shape;
pub mod spanned;
mod steps;
mod subject;
pub(crate) mod words;

#[cfg(test)]
mod tests;

pub use flap::{Break, Drawn, Flap, Happening, Random, Repeat, Timed, What};
pub use parse::{MAX_BYTES, parse};
pub use raw::{Direction, ErrorWord, Family, PatternProtocol, Protocol, SubjectAction};
pub use schema::schema;
pub use spanned::At;

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub title: String,
    /// Why it exists.
    pub about: Option<String>,
    /// Where the system comes from.
    pub source: Option<String>,
    /// Words to select it by.
    pub tags: BTreeSet<String>,
    /// What the machine must offer.
    pub requires: BTreeSet<Requirement>,
    /// Where all chance comes from.
    pub seed: u64,
    /// Where in the text that stands, if it does.
    pub seed_written: Option<std::ops::Range<usize>>,
    /// Nodes and links.
    pub topology: Topology,
    /// Where the implementation under test runs.
    pub subject: NodeId,
    /// The implementations to try, by name.
    pub variants: Vec<Variant>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must hold over all packets.
    pub always: Vec<Always>,
    /// Whether any address is IPv6.
    pub ipv6: bool,
}

/// Something that a machine may or may not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The program nft.
    Nft,
    /// The programs iptables-restore and ip6tables-restore.
    Iptables,
    /// The device /dev/net/tun.
    Tun,
    /// The program ip.
    Ip,
    /// The program conntrack.
    Conntrack,
    /// The program conntrackd.
    Conntrackd,
    /// The program mhnat.
    Mhnat,
}

impl Requirement {
    /// All, with the words that a scenario uses for them.
    pub const ALL: [(Requirement, &'static str); 7] = [
        (Requirement::Nft, "nft"),
        (Requirement::Iptables, "iptables"),
        (Requirement::Tun, "tun"),
        (Requirement::Ip, "ip"),
        (Requirement::Conntrack, "conntrack"),
        (Requirement::Conntrackd, "conntrackd"),
        (Requirement::Mhnat, "mhnat"),
    ];

    /// The word that a scenario uses for it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(requirement, _)| *requirement == self).map_or("", |(_, word)| word)
    }
}

/// One implementation under test.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Unique in its scenario.
    pub name: String,
    /// What it is to show.
    pub about: Option<String>,
    /// How it is applied. Empty: nothing is applied.
    pub parts: Vec<Part>,
    /// Names of the steps and invariants that must fail with it: a control.
    pub breaks: BTreeSet<String>,
}

/// One piece of an implementation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub kind: PartKind,
    /// Its text, or where it is.
    pub content: Content,
}

/// What a piece of an implementation is for, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// Called with `apply`, `reload` or `stop`.
    Script,
    /// A script that stays until it is stopped.
    Daemon,
    /// For `nft -f`.
    Nft,
    /// For `iptables-restore`.
    Iptables,
    /// For `ip6tables-restore`.
    Ip6tables,
    /// For `mhnat apply`.
    Mhnat,
    /// For `mhnat run`, which stays until it is stopped.
    MhnatRun,
}

impl PartKind {
    /// What a machine must offer to apply it.
    pub fn requires(self) -> &'static [Requirement] {
        match self {
            PartKind::Script | PartKind::Daemon => &[],
            PartKind::Nft => &[Requirement::Nft],
            PartKind::Iptables | PartKind::Ip6tables => &[Requirement::Iptables],
            PartKind::Mhnat | PartKind::MhnatRun => &[Requirement::Mhnat, Requirement::Nft],
        }
    }

    /// Whether a process of it stays, and can be told to reload, to stop, or be killed.
    pub fn stays(self) -> bool {
        match self {
            PartKind::Daemon | PartKind::MhnatRun => true,
            PartKind::Script | PartKind::Nft | PartKind::Iptables | PartKind::Ip6tables | PartKind::Mhnat => {
                false
            }
        }
    }
}

impl Variant {
    /// Whether a process of it stays as long as it is in place.
    pub fn stays(&self) -> bool {
        self.parts.iter().any(|part| part.kind.stays())
    }
}

/// A text, in the scenario or beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The text itself.
    Text(String),
    /// A path relative to the scenario file, with its place for errors.
    File(At<String>),
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// What must be so.
    pub expect: Expect,
    /// What must be so with these variants instead.
    pub instead: BTreeMap<String, Expect>,
    /// How long an answer may take. None: until the network is quiet.
    pub within: Option<Duration>,
}

impl Step {
    /// What must be so with a variant.
    pub fn expects(&self, variant: &str) -> &Expect {
        self.instead.get(variant).unwrap_or(&self.expect)
    }
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// A question from a fresh socket, which is closed afterwards.
    Request(Exchange),
    /// A question from a fresh socket, which stays open under a name.
    Open {
        /// The name.
        flow: String,
        /// The question.
        exchange: Exchange,
    },
    /// A question on an open flow.
    Say {
        /// The flow's name.
        flow: String,
    },
    /// The end of a flow.
    Close {
        /// The flow's name.
        flow: String,
    },
    /// Datagrams at a steady pace, until the stream is ended.
    Stream {
        /// The stream's name.
        stream: String,
        /// Who sends what to whom.
        exchange: Exchange,
        /// Packets a second.
        rate: u32,
    },
    /// The end of a stream.
    End {
        /// The stream's name.
        stream: String,
    },
    /// A hand-made frame.
    Inject(Injection),
    /// A command.
    Run {
        /// Where.
        on: NodeId,
        /// A line for /bin/sh.
        command: String,
        /// How long it is run again until it ends as expected. None: it is run once.
        until: Option<Duration>,
    },
    /// A change of a link's state.
    Link {
        /// Whose interface.
        node: NodeId,
        /// Index of the interface.
        interface: usize,
        /// What happens.
        change: LinkChange,
        /// How often, and how it is undone. None: it happens once, and stays.
        repeat: Option<Repeat>,
    },
    /// Links break for a while.
    Flap {
        /// Which, when, and how.
        flap: Flap,
        /// Where in the text that stands.
        written: std::ops::Range<usize>,
    },
    /// Something is done to the subject.
    Subject(SubjectAction),
    /// Nothing is done until all that is expected has been seen, at most so long.
    Wait(Duration),
}

/// What the state of an interface or of its link becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkAction {
    /// The far end goes away: carrier is lost.
    Cut,
    /// The far end is back.
    Mend,
    /// The interface is set administratively down.
    Down,
    /// It is set administratively up.
    Up,
    /// The device is deleted, and with it the other end of its cable.
    Remove,
    /// A removed device is there again, under another interface index.
    Restore,
    /// A silent black hole: carrier stays at both ends, but nothing passes, in neither direction.
    Mute,
    /// Packets pass again.
    Unmute,
    /// Its neighbours forget it, and hear no more of it.
    Silence,
    /// Its neighbours may hear of it.
    Speak,
}

/// What happens to an interface and its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// The state of the interface or its link changes.
    State(LinkAction),
    /// Other things are wrong with the link: with what leaves by the interface, and with what comes in by it. None: as
    /// before.
    Faults {
        /// What leaves.
        leaving: Option<Box<Faults>>,
        /// What comes in.
        coming: Option<Box<Faults>>,
    },
    /// The interface has other addresses: of each family that is named, these alone.
    Addresses(Vec<IpAddr>),
    /// A removed device is there again, with other addresses.
    Returns(Vec<IpAddr>),
}

/// A question and, hopefully, its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Who asks.
    pub from: NodeId,
    /// Which address is asked.
    pub to: IpAddr,
    /// Which port is asked; 0 for ICMP.
    pub port: u16,
    /// By which protocol.
    pub protocol: Protocol,
    /// The local address, where it matters.
    pub source: Option<IpAddr>,
    /// The local port; 0 for the kernel's choice.
    pub source_port: u16,
    /// Bytes of payload.
    pub size: u16,
}

/// A hand-made frame.
#[derive(Debug, Clone)]
pub struct Injection {
    /// Who sends.
    pub node: NodeId,
    /// Index of the interface that it leaves by.
    pub interface: usize,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Source port, or ICMP identifier.
    pub source_port: u16,
    /// Destination port, or ICMP sequence number.
    pub destination_port: u16,
    /// TCP flags.
    pub flags: u8,
    /// TCP sequence number.
    pub sequence: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Text behind the token.
    pub payload: String,
    /// The neighbour that it is addressed to. None: the next hop.
    pub via: Option<NodeId>,
}

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

/// An invariant over all packets of the run.
#[derive(Debug, Clone)]
pub struct Always {
    /// Unique among steps and invariants.
    pub name: String,
    /// What must never be seen.
    pub never: Pattern,
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

impl Scenario {
    /// The nodes whose conntrack entries are watched as they come and go.
    pub fn watched(&self) -> BTreeSet<NodeId> {
        let expects =
            self.steps.iter().flat_map(|step| [&step.expect].into_iter().chain(step.instead.values()));
        expects.flat_map(|expect| &expect.changes).map(|(_, entries)| entries.node).collect()
    }

    /// What a variant needs of the machine, beyond namespaces.
    pub fn requirements(&self, variant: &Variant) -> BTreeSet<Requirement> {
        let parts = variant.parts.iter().flat_map(|part| part.kind.requires().iter().copied());
        let relayed = self.topology.links.iter().any(|link| link.relayed.is_some());
        let tun = relayed.then_some(Requirement::Tun);
        self.requires.iter().copied().chain(parts).chain(tun).collect()
    }

    /// Whether it measures times, which other tests of the machine prolong.
    pub fn measures_time(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Stream { .. }))
    }

    /// Whether chance has a say in it.
    pub fn is_random(&self) -> bool {
        let relayed = self.topology.links.iter().filter_map(|link| link.relayed.as_ref());
        let begins = relayed.flat_map(|relayed| &relayed.faults).any(Faults::is_random);
        let becomes = self.steps.iter().any(|step| match &step.action {
            Action::Link { change: LinkChange::Faults { leaving, coming }, .. } => {
                [leaving, coming].into_iter().flatten().any(|faults| faults.is_random())
            }
            _ => false,
        });
        let flaps =
            self.steps.iter().any(|step| matches!(step.action, Action::Flap { flap: Flap::Random(_), .. }));
        begins || becomes || flaps
    }

    /// Every file that the scenario names, with the place where it does.
    pub fn files(&self) -> impl Iterator<Item = &At<String>> {
        self.variants.iter().flat_map(|variant| &variant.parts).filter_map(|part| match &part.content {
            Content::File(path) => Some(path),
            Content::Text(_) => None,
        })
    }
}

/// The findings of a text that is no scenario.
pub type Findings = Vec<Diagnostic>;
