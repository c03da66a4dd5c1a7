//! What becomes of a packet, and why: the desired state walked as the kernel would walk it.
//!
//! There is no second implementation of the modes here. The rules of the [`Ruleset`] are read back from
//! their text (`statement`), and chains, translations and the routing decision follow in the kernel's order
//! (`walk`, `route`). What the desired state does not know, because it belongs to the host or to chance,
//! is taken from [`Host`] if the kernel was asked, and otherwise named as an assumption. Where two answers are
//! possible, both are given.

mod choice;
mod packet;
mod question;
mod route;
mod statement;
mod text;
mod walk;

use std::net::IpAddr;

use serde::Serialize;

pub use self::question::{Connection, Endpoint, Entry, Protocol, Question, Tuple};
pub use self::statement::Unread;
use crate::desired::Desired;
use crate::host::Host;
use crate::model::Model;
use crate::nft::Ruleset;

/// The most outcomes that are looked for.
const MAX_OUTCOMES: usize = 64;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub question: Question,
    /// What may become of the packet: one outcome, or one for each way in which the unknown may turn out.
    pub outcomes: Vec<Outcome>,
    /// Whether there are more outcomes than are listed.
    pub more: bool,
}

/// One thing that may become of the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What must turn out how for this outcome; nothing when it is certain.
    pub when: Vec<String>,
    /// What becomes of the packet.
    pub fate: Fate,
    /// The source that it has at the end.
    pub source: Endpoint,
    /// The destination that it has at the end.
    pub destination: Endpoint,
    /// The packet mark, with the bits of others as zero unless the question gave them.
    pub mark: u32,
    /// The connection mark.
    pub connection_mark: u32,
    /// What decided, in order.
    pub steps: Vec<Step>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// Rules that could not be understood. They were passed over, so that the outcome may be wrong.
    pub not_understood: Vec<String>,
    /// What the last routing decision was asked with.
    pub lookup: Option<Lookup>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It leaves.
    Leaves {
        /// The uplink, if the device is that of one.
        uplink: Option<String>,
        /// The device.
        device: String,
        /// The next hop; nothing when the destination is on the link.
        gateway: Option<IpAddr>,
        /// The number of the table whose route it follows.
        table: u32,
    },
    /// It is for this host itself.
    Delivered,
    /// There is no way: the sender is told, or not.
    Refused {
        /// By what.
        by: String,
    },
    /// A rule drops it.
    Dropped {
        /// The comment of that rule.
        by: String,
    },
    /// The kernel drops it, and forgets its connection: the next packet begins a new one.
    Forgotten {
        /// The device on which the connection was masqueraded. This packet would leave by another one.
        masqueraded_on: String,
    },
    /// Nothing of ours decides: table `main` does, and its content is not known.
    LeftToMain,
}

/// What the kernel can be asked to compare a routing decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lookup {
    /// The device that the packet came in by; nothing for this host's own.
    pub iif: Option<String>,
    /// The source at that moment, if it had one.
    pub source: Option<IpAddr>,
    /// The destination at that moment.
    pub destination: IpAddr,
    /// The mark at that moment.
    pub mark: u32,
}

/// Something that was asked on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The chain, or `policy rules`, `route`, `connection tracking`.
    pub place: String,
    /// The rule or route as its program writes it.
    pub text: String,
    /// The comment of an nft rule.
    pub comment: Option<String>,
    /// Whether it applied.
    pub applied: bool,
    /// What it did, or why it did not apply.
    pub effect: String,
}

/// Answers a question.
pub fn explain(model: &Model, desired: &Desired, host: &Host, question: &Question) -> Explanation {
    let mut choices = choice::Choices::default();
    let mut outcomes = Vec::new();
    loop {
        outcomes.push(walk::walk(model, desired, host, question, &mut choices));
        if !choices.advance() {
            return Explanation { question: question.clone(), outcomes, more: false };
        }
        if outcomes.len() == MAX_OUTCOMES {
            return Explanation { question: question.clone(), outcomes, more: true };
        }
    }
}

/// The rules and verdicts of a ruleset that [`explain`] would not understand, with the reason.
pub fn not_understood(ruleset: &Ruleset) -> Vec<(String, Unread)> {
    let rules = ruleset.chains.iter().flat_map(|chain| &chain.rules);
    let rules = rules.filter_map(|rule| Some((rule.text.clone(), statement::read(&rule.text).err()?)));
    let verdicts = ruleset.maps.iter().filter(|map| map.value == "verdict").flat_map(|map| &map.elements);
    let verdicts = verdicts.filter_map(|(_, word)| Some((word.clone(), statement::verdict(word).err()?)));
    rules.chain(verdicts).collect()
}

impl Explanation {
    /// The explanation for a person. With `all`, also what was asked and did not apply.
    pub fn text(&self, all: bool) -> String {
        text::text(self, all)
    }
}

#[cfg(test)]
mod tests;
