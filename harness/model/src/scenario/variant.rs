//! The implementations under test, and what they need of the machine.

use std::collections::BTreeSet;

use super::At;

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
