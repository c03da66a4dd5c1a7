//! What a host has beside what is ours: addresses, policy rules and routes of others, as far as known.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::family::Family;
use crate::routing::TableId;

/// The kernel's table of local addresses (`RT_TABLE_LOCAL`).
pub const LOCAL: TableId = TableId::from_number(255);

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Whether the kernel was asked. If not, everything here is what a person said, or assumed.
    pub asked: bool,
    /// Addresses by device, in the order of the kernel.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Policy rules that are not ours.
    pub rules: Vec<HostRule>,
    /// Routes that are not ours.
    pub routes: Vec<HostRoute>,
}

/// A policy rule that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostRule {
    /// Its family.
    pub family: Family,
    /// Its place among all rules of its family.
    pub priority: u32,
    /// Sources that it is about; all when not given.
    pub from: Option<IpNet>,
    /// Destinations that it is about; all when not given.
    pub to: Option<IpNet>,
    /// Value and mask of the packet mark.
    pub mark: Option<(u32, u32)>,
    /// The interface that the packet came in by; `lo` is this host itself.
    pub iif: Option<String>,
    /// What it does.
    pub action: HostAction,
    /// Selectors that are not looked into here, such as ports: nothing when there is none.
    pub beyond: Option<String>,
}

/// What a policy rule of others does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostAction {
    /// Ask a table, ignoring routes with a prefix of at most this length.
    Lookup(TableId, Option<u32>),
    /// End the search: `unreachable`, `blackhole` or `prohibit`.
    Refuse(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "priority {}", self.priority)?;
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        if let Some(beyond) = &self.beyond {
            write!(f, " {beyond}")?;
        }
        match &self.action {
            HostAction::Lookup(table, suppress) => {
                write!(f, " lookup {}", table_name(*table))?;
                suppress.map_or(Ok(()), |length| write!(f, " suppress_prefixlength {length}"))
            }
            HostAction::Refuse(word) | HostAction::Other(word) => write!(f, " {word}"),
        }
    }
}

/// The name that ip(8) gives to a table.
pub fn table_name(table: TableId) -> String {
    match table.number() {
        253 => "default".to_owned(),
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        number => number.to_string(),
    }
}

/// A route, ours or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostRoute {
    /// The table that it is in.
    pub table: TableId,
    /// Its destinations.
    pub to: IpNet,
    /// Lower is preferred among routes to the same destinations.
    pub metric: u32,
    /// `unicast`, `local`, `unreachable` and so on, in the words of ip-route(8).
    pub kind: String,
    /// Where it leads; more than one when it shares, none when it refuses.
    pub hops: Vec<Hop>,
    /// The source of what this host itself sends.
    pub source: Option<IpAddr>,
    /// The number of the program that made it.
    pub protocol: u8,
}

/// One next hop of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The device.
    pub device: String,
    /// The next hop; nothing when the destination is on the link.
    pub gateway: Option<IpAddr>,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gateway) = self.gateway {
            write!(f, "via {gateway} ")?;
        }
        write!(f, "dev {}", self.device)
    }
}

impl fmt::Display for HostRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != "unicast" {
            write!(f, "{} ", self.kind)?;
        }
        if self.to.prefix_len() == 0 {
            f.write_str("default")?
        } else {
            write!(f, "{}", self.to)?
        }
        for hop in &self.hops {
            write!(f, " {hop}")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        write!(f, " metric {} table {}", self.metric, table_name(self.table))
    }
}

impl Host {
    /// Whether the address is one of this host's own, as far as known.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.values().flatten().any(|it| *it == address)
    }
}
