//! How an uplink is asked whether packets still come through, and what is thought of one that fails often.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::family::Family;

/// What is sent through an uplink again and again, and how the answers are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Who is asked, in the order of the file; at least one, none twice, each of a family that the uplink has a leg of.
    pub targets: Vec<Target>,
    /// What a DNS server is asked for; the servers of the root when not given.
    pub name: Option<DomainName>,
    /// From one question to the next.
    pub interval: Milliseconds,
    /// How long an answer is waited for, at most `interval`.
    pub timeout: Milliseconds,
    /// As many questions in a row without an answer, and the target is lost.
    pub fall: NonZeroU8,
    /// As many answers in a row, and it is back.
    pub rise: NonZeroU8,
    /// How many targets an uplink needs.
    pub need: Need,
}

/// How many of its targets in a family an uplink needs in order to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// One is enough.
    #[default]
    Any,
    /// Every one.
    All,
}

/// Who is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// An ICMP echo request.
    Icmp(IpAddr),
    /// A TCP connection, which is reset as soon as it stands.
    Tcp(SocketAddr),
    /// A DNS question by UDP.
    Dns(SocketAddr),
}

impl Target {
    /// Where it is sent.
    pub const fn address(self) -> IpAddr {
        match self {
            Self::Icmp(address) => address,
            Self::Tcp(to) | Self::Dns(to) => to.ip(),
        }
    }

    /// Its family.
    pub const fn family(self) -> Family {
        Family::of(self.address())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(address) => address.fmt(f),
            Self::Tcp(to) => write!(f, "{to} by TCP"),
            Self::Dns(to) => write!(f, "{to} by DNS"),
        }
    }
}

/// How long a link that is lost again and again stays unused (RFC 2439, with the words of a router's interface
/// dampening). Each loss adds a penalty, which decays by half in each half-life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dampening {
    /// What one loss adds, in points.
    pub penalty: u32,
    /// When half of the points are left.
    pub half_life: Milliseconds,
    /// With as many points it is not used any more; more than `reuse`.
    pub suppress: u32,
    /// With fewer points it is used again.
    pub reuse: u32,
    /// The longest time without use after the last loss.
    pub longest: Milliseconds,
}

/// A time in milliseconds, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Milliseconds(pub u32);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// The longest domain name in bytes, as it is written without the last dot (RFC 1035, 2.3.4: 255 on the wire).
const MAX_DOMAIN_NAME: usize = 253;
/// The longest label of one in bytes.
const MAX_LABEL: usize = 63;

/// Why a word is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DomainNameError {
    /// More than the wire takes.
    #[error("a domain name has at most {MAX_DOMAIN_NAME} bytes")]
    TooLong,
    /// Nothing between two dots, or too much.
    #[error("between two dots there are 1 to {MAX_LABEL} bytes")]
    Label,
    /// Neither letter nor digit, hyphen or underscore.
    #[error("{0:?} cannot be part of a domain name")]
    Character(char),
}

/// A domain name without the last dot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainName(String);

impl DomainName {
    /// Its labels, the last one that of the top-level domain.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl FromStr for DomainName {
    type Err = DomainNameError;

    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_DOMAIN_NAME {
            return Err(DomainNameError::TooLong);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(c) = name.chars().find(|c| !allowed(*c)) {
            return Err(DomainNameError::Character(c));
        }
        if name.split('.').any(|label| label.is_empty() || label.len() > MAX_LABEL) {
            return Err(DomainNameError::Label);
        }
        Ok(Self(name.to_owned()))
    }
}
