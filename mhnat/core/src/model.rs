//! The model: what a valid configuration says, with nothing left to check.
//!
//! Only [`crate::config`] builds it, so every reader may rely on what is written at the fields.

mod balance;
mod forward;
mod ports;
mod probe;
mod replies;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::family::Family;
use crate::mark::MarkMask;
use crate::mtu::Mtu;
use crate::name::{IfName, UplinkName};

pub use self::balance::{Balance, BalanceBy, Seconds};
pub use self::forward::{ArpFilter, Forward};
pub use self::ports::{Ports, Transport};
pub use self::probe::{Dampening, DomainName, DomainNameError, Milliseconds, Need, Probe, Target};
pub use self::replies::{Loop, Replies, UdpReplies};
pub use self::sync::{Sync, SyncMode};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// The bits of packet and connection marks that are ours; enough of them for all uplinks.
    pub mask: MarkMask,
    /// Whether packets may be forwarded for each family: what the file says, or what its content implies.
    pub forwarding: BTreeSet<Family>,
    /// Whether `forwarding` is only implied, so that a family which turns out to be empty needs none.
    pub forwarding_implied: bool,
    /// Whether every connection keeps the uplink that it began on.
    pub pinning: bool,
    /// In the order of the file. Names, interfaces and addresses are unique.
    pub uplinks: Vec<Uplink>,
    /// How uplinks with the same metric share what leaves.
    pub balance: Balance,
    /// In the order of the file. Dummy addresses belong to nobody else; two that are equal have ports, and
    /// no port in common.
    pub fan_outs: Vec<FanOut>,
    /// In the order of the file.
    pub forwards: Vec<Forward>,
    /// Addresses that other nodes have as well.
    pub arp_filter: Option<ArpFilter>,
    /// How answers find their way.
    pub replies: Replies,
    /// Which connections another node knows of as well.
    pub sync: Option<Sync>,
}

impl Model {
    /// The uplink of that name.
    pub fn uplink(&self, name: &UplinkName) -> Option<&Uplink> {
        self.uplinks.iter().find(|uplink| uplink.name == *name)
    }

    /// Every uplink in every family that it has.
    pub fn legs(&self) -> impl Iterator<Item = (&Uplink, Family, &Leg)> {
        self.uplinks
            .iter()
            .flat_map(|uplink| uplink.legs.iter().map(move |(family, leg)| (uplink, *family, leg)))
    }

    /// Whether any uplink shares its metric with another one.
    pub fn has_shares(&self) -> bool {
        Family::ALL.iter().any(|family| self.uplinks.iter().any(|it| self.shares(it, *family)))
    }

    /// Whether an uplink shares its metric with another one that has a leg in this family.
    pub fn shares(&self, uplink: &Uplink, family: Family) -> bool {
        let same = |it: &&Uplink| it.metric == uplink.metric && it.legs.contains_key(&family);
        uplink.metric.is_some() && self.uplinks.iter().filter(same).count() > 1
    }
}

/// A way out of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    /// Its name in the file, in comments and in chains.
    pub name: UplinkName,
    /// The device that it uses, alone.
    pub interface: IfName,
    /// Its place among the default routes, lower preferred, never zero. Without one, only what names the
    /// uplink or its address uses it.
    pub metric: Option<u32>,
    /// Its share among the uplinks with the same metric, 1 to 100.
    pub weight: u8,
    /// The largest packet that it carries, where that is less than its interface says.
    pub mtu: Option<Mtu>,
    /// What it has in each family; at least one.
    pub legs: BTreeMap<Family, Leg>,
    /// What of its legs the kernel is asked for, by [`crate::resolve`].
    pub dynamic: Dynamic,
    /// Destinations that use it while it can carry packets, each of a family that it has a leg of, and none
    /// of length 0. Where two uplinks share one, both have a metric.
    pub prefixes: BTreeSet<IpNet>,
    /// What becomes of its connections when it is lost.
    pub on_loss: FlowFate,
    /// What becomes of those that went elsewhere meanwhile when it is back.
    pub on_return: FlowFate,
    /// How it is asked whether packets come through; by nothing but its link when not given.
    pub probe: Option<Probe>,
    /// Whether it rests when it is lost too often.
    pub dampening: Option<Dampening>,
}

/// What becomes of connections when the state of an uplink changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowFate {
    /// They keep the uplink that they have.
    Stay,
    /// They begin anew, by the uplink that a new one would take.
    Rehome,
    /// They begin anew, and TCP is told so by a reset. Only when an uplink is lost.
    Reset,
    /// They keep the uplink that they have for this time, and then begin anew.
    Drain(Milliseconds),
}

/// What a DHCP client, a PPP daemon or router advertisements give to the kernel, and not the file to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dynamic {
    /// The addresses of its legs.
    pub address: bool,
    /// The next hops of its legs.
    pub gateway: bool,
}

/// One family of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// The addresses that this host has there, all of one family; the first is the source of what this host
    /// itself sends. At least one, unless they are dynamic and there is none (yet).
    pub addresses: Vec<IpAddr>,
    /// The next hop; nothing on a point-to-point device, or while a dynamic one is not known.
    pub gateway: Option<IpAddr>,
    /// What leaving packets get as their source.
    pub source: Source,
}

impl Leg {
    /// The source of what this host itself sends there.
    pub fn preferred(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }
}

/// What packets that leave by an uplink get as their source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Their own: the uplink is routed.
    Unchanged,
    /// The address that the device has at that moment.
    Masquerade,
    /// A fixed address, which may belong to no device.
    Fixed(IpAddr),
    /// One address of a range for each client, always the same while the range is.
    Pool {
        /// The lowest address.
        first: IpAddr,
        /// The highest address, of the same family.
        last: IpAddr,
    },
}

/// One far host, under a dummy address of its own for each way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FanOut {
    /// The address that applications use. It exists nowhere.
    pub dummy: IpAddr,
    /// The ports that it is for, with their protocol; every protocol when empty.
    pub ports: Vec<(Transport, Ports)>,
    /// The far host; the family of `dummy`.
    pub to: IpAddr,
    /// Its port; the one that was asked when not given. Only with a single port in `ports`.
    pub to_port: Option<u16>,
    /// The source that the far side admits on this way; the uplink's own when not given.
    pub source: Option<IpAddr>,
    /// The uplink to use, which has a leg of this family; the route to `to` when not given.
    pub uplink: Option<UplinkName>,
}

impl FanOut {
    /// The family of all its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.dummy)
    }
}
