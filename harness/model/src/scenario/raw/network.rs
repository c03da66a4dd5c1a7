//! Segments, nodes and links.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::scenario::spanned::{At, Named, OneOrMany};

/// An Ethernet segment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lan {
    /// One prefix a family, such as "10.0.0.0/24".
    pub prefix: At<OneOrMany>,
    /// The member that the hosts use as their default gateway. Default: the only gateway or router on the segment.
    #[serde(default)]
    pub gateway: Option<At<String>>,
}

/// An internet provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Isp {
    /// The access network, one prefix a family; the provider has its first address.
    pub prefix: At<OneOrMany>,
    /// "source" drops what customers send with a source that is not theirs (BCP 38); "none" lets all pass.
    #[serde(default)]
    pub filter: Option<At<Filter>>,
    /// Further prefixes that the provider routes to its customer.
    #[serde(default)]
    pub routes: Option<At<OneOrMany>>,
    /// What it is to its customer: "ethernet" (the default) or "ppp", a point-to-point device that goes when it hangs up.
    #[serde(default)]
    pub link: Option<At<AccessKind>>,
    /// What is wrong with its link.
    #[serde(default)]
    pub impair: Vec<At<Impair>>,
    /// What lies behind the provider: "internet" (the default) or a lan.
    #[serde(default)]
    pub to: Option<At<String>>,
}

/// Whether a provider checks its customers' source addresses.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Source address validation as in BCP 38.
    Source,
    /// No check.
    None,
}

/// A VPN gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vpn {
    /// The network between the customer and this VPN gateway, one prefix a family.
    pub prefix: At<OneOrMany>,
    /// The only source addresses or prefixes that pass; replies to them come back through here.
    pub admits: At<OneOrMany>,
    /// What it is to its customer: "ethernet" (the default) or "ppp", a point-to-point device that goes when it hangs up.
    #[serde(default)]
    pub link: Option<At<AccessKind>>,
    /// What is wrong with its link.
    #[serde(default)]
    pub impair: Vec<At<Impair>>,
    /// What lies behind the VPN: "internet" (the default) or a lan.
    #[serde(default)]
    pub to: Option<At<String>>,
}

/// The internet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Internet {
    /// The core router's own addresses, one a family. Default: from the benchmarking range of RFC 2544 and RFC 5180.
    #[serde(default)]
    pub address: Option<At<OneOrMany>>,
}

/// A host or a router.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// The segments that it is on: lans, or "internet". Its interfaces are eth0, eth1, ... in this order.
    pub on: At<OneOrMany>,
    /// Its addresses. Default: the next free one of each prefix of its segments.
    #[serde(default)]
    pub address: Option<At<OneOrMany>>,
    /// Further addresses of its own, on the loopback device: reached over all its segments.
    #[serde(default)]
    pub loopback: Option<At<OneOrMany>>,
    /// Services: "udp/7000 echo", "tcp/7000 echo", "udp/53 dns"; with "at ADDRESS" bound to that address only.
    #[serde(default)]
    pub serve: Vec<At<String>>,
}

/// A gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gateway {
    /// Interfaces towards local segments: `{ eth0 = "home" }`. It has the first address there.
    #[serde(default)]
    pub lan: Named<String>,
    /// Interfaces towards providers and VPNs: `{ wan0 = "isp-a" }`.
    #[serde(default)]
    pub uplink: Named<String>,
    /// Addresses of an interface, where the next free one of its segment is not what you want.
    #[serde(default)]
    pub address: Named<OneOrMany>,
    /// Which uplink's provider the main table's default route names; several: by falling preference. Default: none.
    #[serde(default)]
    pub default: Option<At<OneOrMany>>,
    /// Further addresses of its own, on the loopback device.
    #[serde(default)]
    pub loopback: Option<At<OneOrMany>>,
    /// Whether it forwards before the subject is applied. Default: true.
    #[serde(default)]
    pub forward: Option<bool>,
    /// Services: "udp/7000 echo", "tcp/7000 echo", "udp/53 dns"; with "at ADDRESS" bound to that address only.
    #[serde(default)]
    pub serve: Vec<At<String>>,
}

/// A node in plain words.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// Addresses with prefix length by interface: `{ eth0 = "192.0.2.1/24" }`. Links name the interfaces.
    #[serde(default)]
    pub interface: Named<OneOrMany>,
    /// Further addresses of its own, on the loopback device.
    #[serde(default)]
    pub loopback: Option<At<OneOrMany>>,
    /// Whether it forwards. Default: false.
    #[serde(default)]
    pub forward: Option<bool>,
    /// Static routes; they replace the computed ones.
    #[serde(default)]
    pub route: Vec<At<Route>>,
    /// Whether routes are computed for it. Default: true, unless it has static ones.
    #[serde(default)]
    pub computed: Option<bool>,
    /// Services: "udp/7000 echo", "tcp/7000 echo", "udp/53 dns"; with "at ADDRESS" bound to that address only.
    #[serde(default)]
    pub serve: Vec<At<String>>,
}

/// A static route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// Destination prefix, or "default".
    pub to: At<String>,
    /// The next hop's address.
    pub via: At<String>,
    /// Lower is preferred.
    #[serde(default)]
    pub metric: Option<u32>,
}

/// A link in plain words: a cable between two ends, or a switch with more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// Its name in expectations. Default: "NODE-NODE" of its first two ends.
    #[serde(default)]
    pub name: Option<At<String>>,
    /// Two ends or more, as "NODE:INTERFACE".
    pub ends: At<Vec<At<String>>>,
    /// MTU in bytes. Default: 1500; of a tunnel 1420.
    #[serde(default)]
    pub mtu: Option<At<u32>>,
    /// "ethernet" (the default), "ppp", point-to-point devices that go when they hang up, or "tunnel".
    #[serde(default)]
    pub kind: Option<At<LinkKind>>,
    /// Of a tunnel, the addresses between which UDP carries it: one of each end's node, in the order of `ends`.
    #[serde(default)]
    pub over: Option<At<Vec<At<String>>>>,
    /// What is wrong with it.
    #[serde(default)]
    pub impair: Vec<At<Impair>>,
}

/// What a provider's link is to its customer.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum AccessKind {
    /// Ethernet.
    Ethernet,
    /// Point-to-point devices, as of PPP.
    Ppp,
}

/// What a link is to its ends.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Ethernet.
    Ethernet,
    /// Point-to-point devices, as of PPP.
    Ppp,
    /// Point-to-point devices whose packets UDP carries over other links, which may be broken.
    Tunnel,
}

/// What a link between two ends does to frames, in both directions or in one of them. What chance decides comes from the
/// scenario's seed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Impair {
    /// The node at the end that the frames are on their way to. Default: both directions, each for itself.
    #[serde(default)]
    pub towards: Option<At<String>>,
    /// How long a frame takes, such as "10ms".
    #[serde(default)]
    pub delay: Option<At<String>>,
    /// So much less or more than that, such as "2ms"; no frame overtakes another by it.
    #[serde(default)]
    pub jitter: Option<At<String>>,
    /// The part of all frames that is lost, such as "1%".
    #[serde(default)]
    pub loss: Option<At<String>>,
    /// Numbers of packets that are lost, from 1; ARP, neighbour discovery and multicast membership do not count.
    #[serde(default)]
    pub lose: Vec<At<u64>>,
    /// The part that arrives twice.
    #[serde(default)]
    pub duplicate: Option<At<String>>,
    /// The part that arrives behind the next frame.
    #[serde(default)]
    pub reorder: Option<At<String>>,
    /// The part of which one bit is turned.
    #[serde(default)]
    pub corrupt: Option<At<String>>,
    /// Bits a second, such as "10Mbit".
    #[serde(default)]
    pub rate: Option<At<String>>,
    /// IP packets of more bytes than this vanish, and nobody is told.
    #[serde(default)]
    pub black_hole: Option<At<u32>>,
}
