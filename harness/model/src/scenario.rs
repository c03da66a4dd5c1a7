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

use crate::{
    diagnostic::Diagnostic,
    relay::Faults,
    topology::{NodeId, Topology},
};

mod expect;
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
mod variant;
pub(crate) mod words;

#[cfg(test)]
mod tests;

pub use expect::{Counted, Endpoint, Entries, EntryChange, Expect, Limit, Pattern, Place, StreamExpect};
pub use flap::{Break, Drawn, Flap, Happening, Random, Repeat, Timed, What};
pub use parse::{MAX_BYTES, parse};
pub use raw::{Direction, ErrorWord, Family, PatternProtocol, Protocol, SubjectAction};
pub use schema::schema;
pub use spanned::At;
pub use variant::{Content, Part, PartKind, Requirement, Variant};

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

/// An invariant over all packets of the run.
#[derive(Debug, Clone)]
pub struct Always {
    /// Unique among steps and invariants.
    pub name: String,
    /// What must never be seen.
    pub never: Pattern,
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

    /// Whether a verdict on a variant depends on how soon something happens: it has to come in time, or by a process that may
    /// be late.
    pub fn is_timed(&self, variant: &Variant) -> bool {
        self.measures_time() || variant.stays() || self.steps.iter().any(|step| step.within.is_some())
    }

    /// How long a variant waits for what it must break: that does not come, so each of these steps takes its whole time.
    pub fn patience(&self, variant: &Variant) -> Duration {
        let broken = self.steps.iter().filter(|step| variant.breaks.contains(&step.name));
        let limits = broken.filter_map(|step| match step.action {
            Action::Wait(limit) => Some(limit),
            Action::Run { until, .. } => until,
            _ => step.within,
        });
        limits.sum()
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
