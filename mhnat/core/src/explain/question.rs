//! What can be asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Serialize;

use crate::family::Family;

/// The transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6, without ports.
    Icmp,
}

impl Protocol {
    /// The number in the IP header.
    pub const fn number(self, family: Family) -> u8 {
        match (self, family) {
            (Self::Tcp, _) => 6,
            (Self::Udp, _) => 17,
            (Self::Icmp, Family::V4) => 1,
            (Self::Icmp, Family::V6) => 58,
        }
    }

    /// The word of nft.
    pub const fn word(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Tcp, _) => "tcp",
            (Self::Udp, _) => "udp",
            (Self::Icmp, Family::V4) => "icmp",
            (Self::Icmp, Family::V6) => "ipv6-icmp",
        }
    }
}

/// An address, and a port where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]:53`.
impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self { address, port: None });
        }
        let it: SocketAddr = text.parse().map_err(|_| {
            format!(
                "{text:?} is neither an address nor one with a port, such as 192.0.2.1:80 or [2001:db8::1]:80"
            )
        })?;
        Ok(Self { address: it.ip(), port: Some(it.port()) })
    }
}

/// Both ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tuple {
    /// The sender.
    pub source: Endpoint,
    /// The receiver.
    pub destination: Endpoint,
}

impl Tuple {
    /// The other way round.
    pub const fn reverse(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

/// What the connection tracking table holds of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The first packet, as it came.
    pub original: Tuple,
    /// An answer to it, as it comes.
    pub reply: Tuple,
    /// The connection mark.
    pub mark: u32,
    /// Whether it is one of TCP.
    pub tcp: bool,
    /// Whether an answer has come.
    pub answered: bool,
}

/// What is known of the packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// It begins with this packet.
    New,
    /// It is there already.
    Established {
        /// Its mark.
        mark: u32,
        /// Whether the packet goes to the side that began.
        answer: bool,
        /// Its entry, if the kernel was asked.
        entry: Option<Entry>,
    },
}

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The device that it comes in by; nothing when this host itself sends it.
    pub entry: Option<String>,
    /// The sender. Only this host itself may leave it to the kernel.
    pub source: Option<Endpoint>,
    /// The receiver, of the sender's family.
    pub destination: Endpoint,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Its connection.
    pub connection: Connection,
}

impl Question {
    /// The family of all its addresses.
    pub const fn family(&self) -> Family {
        Family::of(self.destination.address)
    }
}

impl Question {
    /// The mark of the connection when the packet comes; zero for a new one.
    pub(super) const fn connection_mark(&self) -> u32 {
        match self.connection {
            Connection::New => 0,
            Connection::Established { mark, .. } => mark,
        }
    }
}
