//! What connections remember of the uplinks, and which of their packets it leads.
//!
//! Several modes want a connection to keep an uplink, for reasons of their own. They say so in [`Memory`],
//! and nowhere else; the chains, maps and rules for it exist once:
//!
//! ```text
//! mark_prerouting    packets of hosts behind this one: the connection's mark goes on the packet
//!                    a new connection that comes in by an uplink gets the uplink's mark
//! mark_output        this host's packets: the connection's mark goes on the packet
//! mark_postrouting   a new connection that goes out without a mark gets that of the uplink which routing chose
//! ```
//!
//! What comes in by an uplink is never led by the mark of its connection: it is on its way to a host behind
//! this one, and the mark would send it back.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use super::ruleset::{Part, mark_chain, quoted, rule};
use crate::model::Model;
use crate::name::{IfName, UplinkName};
use crate::nft::{Chain, Map};

/// What connections remember, and whose packets it leads. This host's own packets are led in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory<'a> {
    /// The interfaces on which a new connection remembers the uplink that it came in by.
    incoming: BTreeSet<&'a IfName>,
    /// The transport protocols of which it does.
    protocols: Protocols,
    /// Whether a new connection remembers the uplink that it goes out by.
    outgoing: bool,
    /// Whether packets that hosts behind this one send are led.
    forwarded: bool,
}

/// Transport protocols, as nft names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protocols {
    /// Every one, with and without ports.
    All,
    /// These alone.
    Only(BTreeSet<&'static str>),
}

impl Default for Protocols {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl<'a> Memory<'a> {
    /// What all modes of the model want together.
    pub(super) fn of(model: &'a Model) -> Self {
        let mut memory = Self::default();
        let (protocols, interfaces) = model.replies.marked();
        memory.remember_incoming(Protocols::Only(protocols), interfaces);
        for forward in &model.forwards {
            let on = forward.on.iter().filter_map(|name| model.uplink(name));
            let protocol = BTreeSet::from([forward.protocol.nft_keyword()]);
            memory.remember_incoming(Protocols::Only(protocol), on.map(|it| &it.interface));
            memory.forwarded = true;
        }
        // A choice is made once for a connection, so it has to be remembered.
        if model.has_shares() {
            memory.outgoing = true;
            memory.forwarded = true;
        }
        if model.pinning {
            memory.remember_incoming(Protocols::All, model.uplinks.iter().map(|it| &it.interface));
            memory.outgoing = true;
            memory.forwarded = true;
        }
        memory
    }

    /// New connections of these protocols that come in by these interfaces are to be remembered.
    fn remember_incoming(&mut self, protocols: Protocols, on: impl IntoIterator<Item = &'a IfName>) {
        self.incoming.extend(on);
        match (&mut self.protocols, protocols) {
            (Protocols::All, _) => {}
            (Protocols::Only(known), Protocols::Only(more)) => known.extend(more),
            (known, Protocols::All) => *known = Protocols::All,
        }
    }

    /// Whether every connection that goes out remembers by which uplink.
    pub(super) const fn remembers_outgoing(&self) -> bool {
        self.outgoing
    }

    /// Whether some connection may carry the mark of the uplink with this interface.
    pub(super) fn may_carry(&self, interface: &IfName) -> bool {
        self.outgoing || self.incoming.contains(interface)
    }
}

/// The chain that has a connection remember an uplink. No name of an uplink makes it that of another chain.
pub(super) fn remember_chain(uplink: &UplinkName) -> String {
    format!("came_by_{uplink}")
}

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    let memory = Memory::of(context.model);
    let mut leave_by = Vec::new();
    let mut remember = BTreeMap::new();
    for it in context.uplinks().filter(|it| memory.may_carry(&it.uplink.interface)) {
        let name = &it.uplink.name;
        leave_by.push((it.mark.to_string(), format!("goto {}", mark_chain(name))));
        remember.insert(&it.uplink.interface, format!("goto {}", remember_chain(name)));
        part.chains.push(Chain {
            name: remember_chain(name),
            hook: None,
            rules: vec![rule(
                format!("ct mark set ct mark & {:#010x} | {}", !it.mark.mask().bits(), it.mark),
                format!("connections: this one belongs to uplink {name}"),
            )],
        });
    }
    if leave_by.is_empty() {
        return part;
    }
    lead(&mut part, context, &memory);
    part.maps.push(Map { name: "leave_by".into(), key: "mark", value: "verdict", elements: leave_by });
    let by_interface = |wanted: &dyn Fn(&IfName) -> bool| -> Vec<_> {
        remember
            .iter()
            .filter(|(interface, _)| wanted(interface))
            .map(|(interface, verdict)| (quoted(interface), verdict.clone()))
            .collect()
    };
    if !memory.incoming.is_empty() {
        let protocols = match &memory.protocols {
            Protocols::All => String::new(),
            Protocols::Only(some) => {
                format!("meta l4proto {{ {} }} ", some.iter().copied().collect::<Vec<_>>().join(", "))
            }
        };
        // Only the first packet of a connection: one of a connection that this host opened may come in
        // anywhere.
        part.mark_prerouting.push(rule(
            format!("ct state new {protocols}iifname vmap @came_by"),
            "connections: a new one remembers the uplink that it came by",
        ));
        let elements = by_interface(&|interface| memory.incoming.contains(interface));
        part.maps.push(Map { name: "came_by".into(), key: "ifname", value: "verdict", elements });
    }
    if memory.outgoing {
        // One with a mark came in by an uplink, or had its uplink chosen before it was routed.
        part.mark_postrouting.push(rule(
            format!("ct state new ct mark & {} == 0 oifname vmap @went_by", context.model.mask),
            "connections: a new one remembers the uplink that routing chose for it",
        ));
        let elements = by_interface(&|_| true);
        part.maps.push(Map { name: "went_by".into(), key: "ifname", value: "verdict", elements });
    }
    part
}

/// Packets take the uplink that their connection remembers, and so do the ICMP errors that belong to it.
fn lead(part: &mut Part, context: &Context<'_>, memory: &Memory<'_>) {
    let lead = format!("ct mark & {} vmap @leave_by", context.model.mask);
    if memory.forwarded {
        part.mark_prerouting.push(rule(
            format!("iifname != @uplinks {lead}"),
            "connections: packets of hosts behind this one leave by the uplink that it remembers",
        ));
    }
    part.mark_output
        .push(rule(lead, "connections: this host's packets leave by the uplink that it remembers"));
}
