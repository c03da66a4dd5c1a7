//! A packet on its way, and the values that rules may ask of it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::question::{Connection, Endpoint, Protocol, Tuple};
use super::statement::number;
use crate::family::Family;

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) family: Family,
    pub(super) protocol: Protocol,
    /// Nothing until the kernel has chosen one.
    pub(super) source: Option<Endpoint>,
    pub(super) destination: Endpoint,
    pub(super) iif: Option<String>,
    pub(super) oif: Option<String>,
    pub(super) mark: u32,
    pub(super) connection_mark: u32,
    pub(super) connection: Connection,
    /// The connection's first packet as it came; nothing when that is not known.
    pub(super) original: Option<Tuple>,
    /// Whether conntrack was told not to look at it.
    pub(super) untracked: bool,
    pub(super) destination_translated: bool,
    pub(super) source_translated: bool,
}

/// What a rule has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Address(IpAddr),
    Number(u32),
    Word(String),
    /// Matches when one of the words is asked for.
    Flags(Vec<&'static str>),
    Tuple(Vec<Self>),
    Chance {
        what: String,
        modulus: u32,
    },
}

/// Whether a value is what a piece of nft text stands for: one value, a prefix or a range. `Err` when the
/// text cannot be compared with such a value.
pub(super) fn is(value: &Value, text: &str) -> Result<bool, String> {
    let unread = || format!("{text} cannot be compared");
    let text = text.trim();
    match value {
        Value::Tuple(parts) => {
            let texts: Vec<&str> = text.split(" . ").collect();
            if texts.len() != parts.len() {
                return Err(unread());
            }
            // All are looked at, so that what cannot be compared is said even where another differs.
            parts.iter().zip(texts).try_fold(true, |all, (part, text)| Ok(is(part, text)? && all))
        }
        Value::Address(address) => {
            let (text, _) = text.split_once(' ').unwrap_or((text, ""));
            if let Ok(one) = text.parse::<IpAddr>() {
                return Ok(one == *address);
            }
            if let Ok(prefix) = text.parse::<IpNet>() {
                return Ok(prefix.contains(address));
            }
            let (low, high) = text.split_once('-').ok_or_else(unread)?;
            let low: IpAddr = low.parse().map_err(|_| unread())?;
            let high: IpAddr = high.parse().map_err(|_| unread())?;
            Ok((low..=high).contains(address))
        }
        Value::Number(it) => {
            if let Some(one) = number(text) {
                return Ok(one == *it);
            }
            let (low, high) = text.split_once('-').ok_or_else(unread)?;
            let (low, high) = (number(low).ok_or_else(unread)?, number(high).ok_or_else(unread)?);
            Ok((low..=high).contains(it))
        }
        Value::Word(word) => {
            let text = text.trim_matches('"');
            let same = match text {
                "icmpv6" => word == "ipv6-icmp",
                _ => word == text,
            };
            Ok(same || text.strip_suffix('*').is_some_and(|start| word.starts_with(start)))
        }
        Value::Flags(flags) => Ok(flags.contains(&text)),
        Value::Chance { .. } => Err(unread()),
    }
}
