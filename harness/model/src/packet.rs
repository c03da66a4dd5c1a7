//! Frames, in and out of bytes.
//!
//! [`parse`] reads what a capture saw; [`build`] writes what an injection sends. Probes carry a [`Token`] at the
//! head of their payload, which no address translation touches, so that one packet is recognised wherever it goes.

use std::net::IpAddr;

pub mod build;
pub mod flags;
mod read;
#[cfg(test)]
mod tests;
mod token;

pub use read::{parse, parse_ip};
pub use token::{Token, TokenKind};

/// What one frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// IPv4 or IPv6.
    Ip(Ip),
    /// ARP for IPv4.
    Arp {
        /// 1 asks, 2 answers.
        operation: u16,
        /// Sender's protocol address.
        sender: IpAddr,
        /// Target's protocol address.
        target: IpAddr,
    },
    /// Anything else, by its EtherType.
    Other(u16),
}

/// An IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Length in bytes, with the IP header.
    pub length: u16,
    /// What it carries.
    pub transport: Transport,
    /// The mark of a probe, at the head of its payload.
    pub token: Option<Token>,
    /// The first bytes of the payload.
    pub payload: Vec<u8>,
}

/// What an IP packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// TCP.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// See [`flags`].
        flags: u8,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number.
        acknowledgement: u32,
    },
    /// ICMP or ICMPv6 echo.
    Echo {
        /// Whether it asks.
        request: bool,
        /// Identifier, which address translation may rewrite as it does a port.
        identifier: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// An ICMP or ICMPv6 error about another packet.
    Error {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The packet that it is about, as far as it is quoted.
        about: Option<Box<Ip>>,
    },
    /// Another ICMP or ICMPv6 message, such as neighbour discovery.
    Control {
        /// Type.
        kind: u8,
    },
    /// Another protocol, by its number.
    Other(u8),
}

impl Ip {
    /// Source port, or the identifier of an echo.
    pub fn source_port(&self) -> Option<u16> {
        match self.transport {
            Transport::Udp { source, .. } | Transport::Tcp { source, .. } => Some(source),
            Transport::Echo { identifier, request: true, .. } => Some(identifier),
            _ => None,
        }
    }

    /// Destination port.
    pub fn destination_port(&self) -> Option<u16> {
        match self.transport {
            Transport::Udp { destination, .. } | Transport::Tcp { destination, .. } => Some(destination),
            _ => None,
        }
    }

    /// "192.0.2.1:4000 > 198.51.100.1:53", with ports where there are any.
    pub fn addresses(&self) -> String {
        let end = |address: IpAddr, port: Option<u16>| match (address, port) {
            (_, None) => address.to_string(),
            (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
            (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
        };
        format!(
            "{} > {}",
            end(self.source, self.source_port()),
            end(self.destination, self.destination_port())
        )
    }

    /// The token of this packet, or of the packet that an error quotes.
    pub fn traced(&self) -> Option<Token> {
        match &self.transport {
            Transport::Error { about: Some(about), .. } => about.token,
            _ => self.token,
        }
    }
}
