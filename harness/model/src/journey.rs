//! The way of one packet through nodes and translations.
//!
//! A packet is recognised at every device that it passes: a probe by its [`Token`], which no translation touches,
//! and the handshake of a TCP connection, which carries no payload, by its sequence numbers, which no translation
//! touches either. The records of one packet, in the order of time, are its journey.

use std::collections::BTreeSet;

use crate::{
    observation::{Record, Stamp},
    packet::{Ip, Packet, Token, TokenKind, Transport, flags},
};

#[cfg(test)]
mod tests;

/// How a packet is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// By its mark.
    Probe(Token),
    /// The first packet of a TCP connection, by its sequence number.
    Connect(u32),
    /// Its answer, by the sequence number that it acknowledges.
    Accept(u32),
    /// An ICMP error about a probe, by the mark that it quotes.
    ErrorAbout(u32),
    /// An ICMP error about the first packet of a TCP connection.
    ErrorAboutConnect(u32),
}

impl Identity {
    /// The question of a probe.
    pub fn question(id: u32) -> Identity {
        Identity::Probe(Token { kind: TokenKind::Question, id })
    }

    /// The answer to a probe.
    pub fn answer(id: u32) -> Identity {
        Identity::Probe(Token { kind: TokenKind::Answer, id })
    }

    /// Whether a packet is the one.
    pub fn matches(self, ip: &Ip) -> bool {
        match (self, &ip.transport) {
            (Identity::ErrorAbout(id), Transport::Error { about: Some(about), .. }) => {
                about.token.is_some_and(|token| token.id == id)
            }
            (Identity::ErrorAboutConnect(isn), Transport::Error { about: Some(about), .. }) => {
                matches!(about.transport, Transport::Tcp { sequence, .. } if sequence == isn)
            }
            (_, Transport::Error { .. }) => false,
            // An echo reply repeats the question's payload to the letter: only its type tells them apart.
            (Identity::Probe(token), Transport::Echo { request, .. }) => {
                let kind = if *request { TokenKind::Question } else { TokenKind::Answer };
                kind == token.kind && ip.token.is_some_and(|own| own.id == token.id)
            }
            (Identity::Probe(token), _) => ip.token == Some(token),
            (Identity::Connect(isn), Transport::Tcp { flags: set, sequence, .. }) => {
                *sequence == isn && set & (flags::SYN | flags::ACK) == flags::SYN
            }
            (Identity::Accept(isn), Transport::Tcp { flags: set, acknowledgement, .. }) => {
                *acknowledgement == isn.wrapping_add(1)
                    && set & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK
            }
            _ => false,
        }
    }
}

/// The way of one packet.
#[derive(Debug, Clone)]
pub struct Journey {
    /// Each node on it, in order.
    pub hops: Vec<Hop>,
}

/// One node on a packet's way.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Index of the node in the topology.
    pub node: usize,
    /// Interface index that it came in by. None: it began here.
    pub came_in: Option<u32>,
    /// Interface index that it went out by. None: it ended here.
    pub went_out: Option<u32>,
    /// As it came in, or as it began.
    pub before: Ip,
    /// As it went out, or as it ended.
    pub after: Ip,
    /// When it was first seen here.
    pub at: Stamp,
}

impl Journey {
    /// The nodes, in order, each once in a row.
    pub fn nodes(&self) -> Vec<usize> {
        let mut nodes: Vec<usize> = self.hops.iter().map(|hop| hop.node).collect();
        nodes.dedup();
        nodes
    }

    /// The interface indexes that it passed, in order.
    pub fn devices(&self) -> impl Iterator<Item = u32> + '_ {
        self.hops.iter().flat_map(|hop| [hop.came_in, hop.went_out]).flatten()
    }

    /// The node where it came in and did not go out again.
    pub fn end(&self) -> Option<&Hop> {
        self.hops.last().filter(|hop| hop.went_out.is_none())
    }
}

/// All journeys of a packet: more than one if it was sent again or duplicated.
///
/// `records` are in the order of time.
pub fn follow(records: &[Record], identity: Identity) -> Vec<Journey> {
    let mut journeys: Vec<Journey> = Vec::new();
    let mut passed: BTreeSet<(usize, u32, bool)> = BTreeSet::new();
    for record in records.iter().filter(|record| !record.overheard) {
        let Packet::Ip(ip) = &record.packet else { continue };
        if !identity.matches(ip) {
            continue;
        }
        // Passing the same device in the same direction again is another copy.
        if journeys.is_empty() || !passed.insert((record.node, record.device, record.sent)) {
            journeys.push(Journey { hops: Vec::new() });
            passed = BTreeSet::from([(record.node, record.device, record.sent)]);
        }
        let Some(journey) = journeys.last_mut() else { continue };
        match journey.hops.last_mut() {
            Some(hop) if record.sent && hop.node == record.node && hop.went_out.is_none() => {
                hop.went_out = Some(record.device);
                hop.after = ip.clone();
            }
            _ => journey.hops.push(Hop {
                node: record.node,
                came_in: (!record.sent).then_some(record.device),
                went_out: record.sent.then_some(record.device),
                before: ip.clone(),
                after: ip.clone(),
                at: record.at,
            }),
        }
    }
    journeys
}
