//! Policy rules and routes, and the numbers by which ours are known.
//!
//! The kernel keeps for each rule and route the number of the program that made it (`FRA_PROTOCOL`,
//! `RTA_PROTOCOL`; linux/rtnetlink.h). Ours is [`PROTOCOL`], and only by it are our objects recognised: what
//! another program puts into our tables or between our priorities stays.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::family::Family;
use crate::mtu::Mtu;
use crate::name::IfName;
use crate::slot::Slot;

/// The protocol number of our rules and routes: `m` in ASCII, in use by no routing daemon that
/// linux/rtnetlink.h or iproute2's `rt_protos` knows.
pub const PROTOCOL: u8 = 109;

/// The metric of a route that has no rival: the default route in an uplink's own table, or a prefix of one
/// uplink. IPv6 has no zero: it would become 1024.
pub const ONLY_METRIC: u32 = 1;

/// Priorities of our policy rules, 10000 to 15999. Lower is asked first; `main` is at 32766.
pub mod priority {
    use crate::slot::Slot;

    /// How many addresses an uplink may have in each family.
    pub const MAX_ADDRESSES: usize = 8;

    /// `lookup main suppress_prefixlength 0`.
    pub const MAIN: u32 = 10_000;

    /// `lookup` of the table of the loop for answers, by the address of a server. Its guard follows at the next
    /// number.
    pub const LOOP: u32 = 15_700;

    /// `lookup` of our table of prefixes.
    pub const PREFIXES: u32 = 15_800;

    /// `lookup` of our default table.
    pub const DEFAULT: u32 = 15_900;

    /// The lookup by an uplink's mark. Its guard follows at the next number.
    pub const fn by_mark(slot: Slot) -> u32 {
        10_100 + 2 * slot.number() as u32
    }

    /// The lookup by the `index`-th address of an uplink. Its guard follows at the next number.
    pub const fn by_address(slot: Slot, index: u32) -> u32 {
        11_000 + 2 * MAX_ADDRESSES as u32 * slot.number() as u32 + 2 * index
    }
}

/// The number of a routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId(u32);

impl TableId {
    /// The kernel's main table (`RT_TABLE_MAIN`).
    pub const MAIN: Self = Self(254);

    /// Our table of the loop for answers.
    pub const LOOP: Self = Self(10_700);

    /// Our table of the destinations that have an uplink of their own.
    pub const PREFIXES: Self = Self(10_800);

    /// Our table of default routes, one for each uplink that has a metric.
    pub const DEFAULT: Self = Self(10_900);

    /// The table of one uplink.
    pub const fn of(slot: Slot) -> Self {
        Self(Self::DEFAULT.0 + slot.number() as u32)
    }

    /// Whether packets ask the table whose uplink neither mark nor source has chosen.
    pub const fn is_for_anybody(self) -> bool {
        self.0 == Self::PREFIXES.0 || self.0 == Self::DEFAULT.0
    }

    /// A table by number, as the kernel reports it.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether the number is [`TableId::LOOP`], [`TableId::PREFIXES`], or one that [`TableId::DEFAULT`] or [`TableId::of`] can
    /// give.
    pub const fn in_our_range(self) -> bool {
        self.0 == Self::LOOP.0
            || self.0 == Self::PREFIXES.0
            || self.0 >= Self::DEFAULT.0 && self.0 <= Self::DEFAULT.0 + Slot::MAX as u32
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MAIN { f.write_str("main") } else { write!(f, "{}", self.0) }
    }
}

/// Which packets a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// All.
    All,
    /// Those whose mark, under the mask, has this value.
    Mark {
        /// The value.
        mark: u32,
        /// The mask.
        mask: u32,
    },
    /// Those from one address.
    From(IpAddr),
    /// Those that this host itself sends from one address (`FRA_IIFNAME` of `lo`).
    SentFrom(IpAddr),
}

/// What a rule does. The order is that of installing: what finds a route before what guards it, so that no
/// packet meets a guard whose lookup is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Ask a table, without its default route: of prefix length 0 (`FRA_SUPPRESS_PREFIXLEN`).
    LookupWithoutDefault(TableId),
    /// Ask a table.
    Lookup(TableId),
    /// Refuse with `ENETUNREACH`.
    Unreachable,
}

/// A policy rule of ours. The order is that of installing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// Its place among all rules of its family.
    pub priority: u32,
    /// Which packets it is about.
    pub selector: Selector,
    /// Its family.
    pub family: Family,
}

/// The rule as ip-rule(8) takes it, without the leading `ip [-6] rule add`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "priority {} ", self.priority)?;
        match self.selector {
            Selector::All => {}
            Selector::Mark { mark, mask } => write!(f, "fwmark {mark:#x}/{mask:#x} ")?,
            Selector::From(address) => write!(f, "from {address} ")?,
            Selector::SentFrom(address) => write!(f, "from {address} iif lo ")?,
        }
        match self.action {
            Action::LookupWithoutDefault(table) => write!(f, "lookup {table} suppress_prefixlength 0")?,
            Action::Lookup(table) => write!(f, "lookup {table}")?,
            Action::Unreachable => f.write_str("unreachable")?,
        }
        write!(f, " protocol {PROTOCOL}")
    }
}

/// A route of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The table that it is in.
    pub table: TableId,
    /// Its family.
    pub family: Family,
    /// The destinations, of that family; all of them for a default route.
    pub destination: IpNet,
    /// Lower is preferred; no two routes of ours share table, destination and metric.
    pub metric: u32,
    /// The device that it leaves by.
    pub device: IfName,
    /// The next hop, taken as reachable on the device (`RTNH_F_ONLINK`): it need not be in a connected
    /// prefix, and the route does not depend on one.
    pub gateway: Option<IpAddr>,
    /// The source of what this host itself sends (`RTA_PREFSRC`).
    pub source: Option<IpAddr>,
    /// The largest packet that the way carries (`RTAX_MTU`); that of the device when not given.
    pub mtu: Option<Mtu>,
}

impl Route {
    /// What the kernel tells our routes apart by: a route with the same key replaces another.
    pub const fn key(&self) -> (TableId, IpNet, u32) {
        (self.table, self.destination, self.metric)
    }
}

/// A destination as ip-route(8) takes it.
#[derive(Clone, Copy, Debug)]
pub struct Destination(pub IpNet);

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == 0 { f.write_str("default") } else { self.0.fmt(f) }
    }
}

/// The route as ip-route(8) takes it, without the leading `ip [-6] route add`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Destination(self.destination))?;
        if let Some(gateway) = self.gateway {
            write!(f, "via {gateway} ")?;
        }
        write!(f, "dev {} ", self.device)?;
        if let Some(source) = self.source {
            write!(f, "src {source} ")?;
        }
        write!(f, "metric {} ", self.metric)?;
        if let Some(mtu) = self.mtu {
            write!(f, "mtu {} ", mtu.bytes())?;
        }
        write!(f, "table {}", self.table)?;
        if self.gateway.is_some() {
            f.write_str(" onlink")?;
        }
        write!(f, " protocol {PROTOCOL}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_of_two_slots_never_meet() {
        let top = Slot::new(Slot::MAX).unwrap();
        let one = Slot::new(1).unwrap();
        let two = Slot::new(2).unwrap();
        let last = u32::try_from(priority::MAX_ADDRESSES).unwrap() - 1;
        assert!(priority::MAIN < priority::by_mark(one));
        assert!(priority::by_mark(top) + 1 < priority::by_address(one, 0));
        assert!(priority::by_address(one, last) + 1 < priority::by_address(two, 0));
        assert!(priority::by_address(top, last) + 1 < priority::LOOP);
        const { assert!(priority::LOOP + 1 < priority::PREFIXES) };
        const { assert!(priority::PREFIXES < priority::DEFAULT) };
    }

    #[test]
    fn rules_and_routes_read_as_ip_takes_them() {
        let rule = Rule {
            action: Action::Lookup(TableId::of(Slot::new(1).unwrap())),
            priority: 10_102,
            selector: Selector::Mark { mark: 0x100, mask: 0xff00 },
            family: Family::V4,
        };
        assert_eq!(rule.to_string(), "priority 10102 fwmark 0x100/0xff00 lookup 10901 protocol 109");
        let rule = Rule { selector: Selector::SentFrom("10.255.0.1".parse().unwrap()), ..rule };
        assert_eq!(rule.to_string(), "priority 10102 from 10.255.0.1 iif lo lookup 10901 protocol 109");
        let route = Route {
            table: TableId::DEFAULT,
            family: Family::V6,
            destination: Family::V6.everywhere(),
            metric: 10,
            device: "eth0".parse().unwrap(),
            gateway: Some("fe80::1".parse().unwrap()),
            source: None,
            mtu: Mtu::new(1400),
        };
        assert_eq!(
            route.to_string(),
            "default via fe80::1 dev eth0 metric 10 mtu 1400 table 10900 onlink protocol 109"
        );
        let route = Route {
            table: TableId::PREFIXES,
            family: Family::V4,
            destination: "196.21.0.0/19".parse().unwrap(),
            gateway: None,
            ..route
        };
        assert_eq!(route.to_string(), "196.21.0.0/19 dev eth0 metric 10 mtu 1400 table 10800 protocol 109");
    }
}
