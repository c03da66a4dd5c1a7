//! The mirror of a scenario file: what TOML can say, before anything has been checked for sense.
//!
//! The JSON Schema is generated from these types, and the shape check walks a file against that schema, so this
//! is the only place where a word of the language is introduced. Doc comments here are what editors show.

use schemars::JsonSchema;
use serde::Deserialize;

use super::spanned::{At, Named, OneOrMany};

/// A scenario of mhlab: a topology, an implementation under test, and steps that are judged from packets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "mhlab scenario, version 1")]
pub struct Raw {
    /// Version of the scenario language: 1.
    #[serde(default)]
    pub version: Option<At<u32>>,
    /// One sentence: what this scenario shows.
    pub title: At<String>,
    /// Why the scenario exists, in a paragraph.
    #[serde(default)]
    pub about: Option<String>,
    /// Where the system comes from: an article, an RFC, a bug report.
    #[serde(default)]
    pub source: Option<String>,
    /// Words to select scenarios by.
    #[serde(default)]
    pub tags: Vec<At<String>>,
    /// What the machine must offer, beyond what the scenario visibly uses. Missing: the scenario is skipped.
    #[serde(default)]
    pub requires: Vec<At<String>>,
    /// Ethernet segments, by name.
    #[serde(default)]
    pub lan: Named<Lan>,
    /// Internet providers, by name: an access network and a router towards the internet.
    #[serde(default)]
    pub isp: Named<Isp>,
    /// VPN gateways, by name: they admit only the source addresses that they know and route them back.
    #[serde(default)]
    pub vpn: Named<Vpn>,
    /// The internet between providers and far hosts. It exists whenever something is on it.
    #[serde(default)]
    pub internet: Option<At<Internet>>,
    /// End systems, by name.
    #[serde(default)]
    pub host: Named<Host>,
    /// Plain routers with computed routes, by name.
    #[serde(default)]
    pub router: Named<Host>,
    /// Gateways, by name: several ways out, routes only as given here; the place for an implementation under test.
    #[serde(default)]
    pub gateway: Named<Gateway>,
    /// Nodes in plain words, by name, for whatever the presets do not cover.
    #[serde(default)]
    pub node: Named<Node>,
    /// Links in plain words.
    #[serde(default)]
    pub link: Vec<At<Link>>,
    /// The implementation under test and its variants.
    pub subject: At<Subject>,
    /// What happens, in order.
    #[serde(default)]
    pub step: Vec<At<Step>>,
    /// What must hold over all packets of the run.
    #[serde(default)]
    pub always: Vec<At<Always>>,
}

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
    /// Services: "udp/7000 echo", "tcp/7000 echo"; with "at ADDRESS" bound to that address only.
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
    /// Services: "udp/7000 echo", "tcp/7000 echo"; with "at ADDRESS" bound to that address only.
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
    /// Services: "udp/7000 echo", "tcp/7000 echo"; with "at ADDRESS" bound to that address only.
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
    /// MTU in bytes. Default: 1500.
    #[serde(default)]
    pub mtu: Option<At<u32>>,
}

/// The implementation under test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subject {
    /// The node that it runs on.
    pub on: At<String>,
    /// The implementations to try, by name; each makes a test of its own.
    pub variant: Named<Variant>,
}

/// One implementation. A value with a line break is the text itself, any other is a file beside the scenario.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// A configuration of mhnat.
    #[serde(default)]
    pub mhnat: Option<At<String>>,
    /// An nft ruleset.
    #[serde(default)]
    pub nft: Option<At<String>>,
    /// A shell script; it is called with the argument `apply`, `reload` or `stop`.
    #[serde(default)]
    pub script: Option<At<String>>,
    /// Input for iptables-restore; alone or beside `ip6tables` and `script`.
    #[serde(default)]
    pub iptables: Option<At<String>>,
    /// Input for ip6tables-restore.
    #[serde(default)]
    pub ip6tables: Option<At<String>>,
    /// What this variant is to show, in a sentence.
    #[serde(default)]
    pub about: Option<String>,
    /// The steps and invariants that must fail with this variant: it is a control.
    #[serde(default)]
    pub breaks: Vec<At<String>>,
}

/// One step: exactly one action, and what is expected of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Its name in reports and in `breaks`.
    pub name: At<String>,
    /// One exchange through real sockets: a question and, hopefully, its answer.
    #[serde(default)]
    pub request: Option<At<Request>>,
    /// Open a flow that lives across steps, with one exchange.
    #[serde(default)]
    pub open: Option<At<Open>>,
    /// One more exchange on an open flow.
    #[serde(default)]
    pub say: Option<At<FlowRef>>,
    /// Close a flow.
    #[serde(default)]
    pub close: Option<At<FlowRef>>,
    /// Send a hand-made frame.
    #[serde(default)]
    pub inject: Option<At<Inject>>,
    /// Run a command in a node.
    #[serde(default)]
    pub run: Option<At<Run>>,
    /// Change a link's state.
    #[serde(default)]
    pub link: Option<At<LinkChange>>,
    /// Drive the subject. Without any such step it is applied before the first one.
    #[serde(default)]
    pub subject: Option<At<SubjectAction>>,
    /// What must be so.
    #[serde(default)]
    pub expect: Option<At<Expect>>,
    /// How long an answer may take, such as "3s". Default: until the network is quiet.
    #[serde(default)]
    pub within: Option<At<String>>,
}

/// One exchange.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// The node that asks.
    pub from: At<String>,
    /// Whom: "NODE:PORT", "ADDRESS:PORT", "[IPV6]:PORT"; for ICMP without port.
    pub to: At<String>,
    /// Default: udp.
    #[serde(default)]
    pub protocol: Option<At<Protocol>>,
    /// The address family, where a node has both. Default: ipv4 if it has one.
    #[serde(default)]
    pub family: Option<At<Family>>,
    /// The local port. Default: the kernel's choice.
    #[serde(default)]
    pub source_port: Option<At<u16>>,
    /// The local address. Default: the kernel's choice.
    #[serde(default)]
    pub source: Option<At<String>>,
    /// Bytes of payload, at least 16. Default: 16.
    #[serde(default)]
    pub size: Option<At<u16>>,
}

/// Open a flow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Open {
    /// The flow's name for later steps.
    pub flow: At<String>,
    /// The node that asks.
    pub from: At<String>,
    /// Whom: "NODE:PORT", "ADDRESS:PORT", "[IPV6]:PORT".
    pub to: At<String>,
    /// Default: udp.
    #[serde(default)]
    pub protocol: Option<At<Protocol>>,
    /// The address family, where a node has both. Default: ipv4 if it has one.
    #[serde(default)]
    pub family: Option<At<Family>>,
    /// The local port. Default: the kernel's choice.
    #[serde(default)]
    pub source_port: Option<At<u16>>,
    /// The local address. Default: the kernel's choice.
    #[serde(default)]
    pub source: Option<At<String>>,
}

/// A flow that an earlier step opened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlowRef {
    /// Its name.
    pub flow: At<String>,
}

/// A hand-made frame, sent as if the node's own stack had.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inject {
    /// The interface that it leaves by, as "NODE:INTERFACE".
    pub at: At<String>,
    /// Source address.
    pub source: At<String>,
    /// Destination address.
    pub destination: At<String>,
    /// Default: udp.
    #[serde(default)]
    pub protocol: Option<At<Protocol>>,
    /// Source port. Default: 40000.
    #[serde(default)]
    pub source_port: Option<At<u16>>,
    /// Destination port. Default: 7.
    #[serde(default)]
    pub destination_port: Option<At<u16>>,
    /// TCP flags, such as "syn" or "rst+ack". Default: syn.
    #[serde(default)]
    pub flags: Option<At<String>>,
    /// TCP sequence number.
    #[serde(default)]
    pub sequence: Option<At<u32>>,
    /// TTL or hop limit. Default: 64.
    #[serde(default)]
    pub ttl: Option<At<u8>>,
    /// Payload as text, behind the mark that identifies the packet.
    #[serde(default)]
    pub payload: Option<At<String>>,
    /// The neighbour that the frame is addressed to, where it is not the next hop of the destination.
    #[serde(default)]
    pub via: Option<At<String>>,
}

/// A command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// The node.
    pub on: At<String>,
    /// A line for /bin/sh.
    pub command: At<String>,
}

/// A change of a link's state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkChange {
    /// The interface, as "NODE:INTERFACE".
    pub at: At<String>,
    /// What happens to it.
    #[serde(rename = "do")]
    pub action: At<LinkAction>,
}

/// What can happen to an interface.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LinkAction {
    /// The far end goes away: carrier is lost.
    Cut,
    /// The far end is back.
    Mend,
    /// Set administratively down.
    Down,
    /// Set administratively up.
    Up,
    /// The device is deleted.
    Remove,
}

/// What is done to the subject.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectAction {
    /// Put it in place.
    Apply,
    /// Put it in place again.
    Reload,
    /// Take it away.
    Stop,
}

/// Transport protocols.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// ICMP echo; ICMPv6 echo between IPv6 addresses.
    Icmp,
}

/// Address families.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What must be so after a step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// Whether the answer came back to the asking socket, from the address and port that was asked.
    #[serde(default)]
    pub answered: Option<At<bool>>,
    /// What the asking application is told instead of an answer.
    #[serde(default)]
    pub error: Option<At<ErrorWord>>,
    /// The answer's source as the asking node sees it: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub reply_from: Option<At<String>>,
    /// The question's source as the far end sees it: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub seen_from: Option<At<String>>,
    /// The question's destination as the far end sees it: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub seen_to: Option<At<String>>,
    /// The node that the question reached.
    #[serde(default)]
    pub reached: Option<At<String>>,
    /// The link that the question crossed.
    #[serde(default)]
    pub by: Option<At<String>>,
    /// The link that the answer crossed.
    #[serde(default)]
    pub reply_by: Option<At<String>>,
    /// Every node on the question's way, in order.
    #[serde(default)]
    pub path: Option<At<Vec<At<String>>>>,
    /// Every node on the answer's way, in order.
    #[serde(default)]
    pub reply_path: Option<At<Vec<At<String>>>>,
    /// Packets that must have been seen during the step.
    #[serde(default)]
    pub seen: Vec<At<Pattern>>,
    /// Packets that must not have been seen during the step.
    #[serde(default)]
    pub never: Vec<At<Pattern>>,
    /// Conntrack entries that must exist after the step.
    #[serde(default)]
    pub conntrack: Vec<At<Conntrack>>,
    /// The command's exit status. Default: 0.
    #[serde(default)]
    pub exit: Option<At<i32>>,
    /// A text that the command's output must contain.
    #[serde(default)]
    pub output: Option<At<String>>,
}

/// What an application can be told instead of an answer.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorWord {
    /// Connection refused: RST, or ICMP port unreachable.
    Refused,
    /// Network or host unreachable.
    Unreachable,
    /// Connection reset.
    Reset,
}

/// Packets by what they look like on the wire; every word given must match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pattern {
    /// A link: either end.
    #[serde(default)]
    pub on: Option<At<String>>,
    /// A node or one of its interfaces: "NODE" or "NODE:INTERFACE".
    #[serde(default)]
    pub at: Option<At<String>>,
    /// "in" or "out", seen from the node. Needs `at`.
    #[serde(default)]
    pub direction: Option<At<Direction>>,
    /// Source address or prefix.
    #[serde(default)]
    pub source: Option<At<String>>,
    /// Source addresses or prefixes, none of which may match.
    #[serde(default)]
    pub source_not: Option<At<OneOrMany>>,
    /// Destination address or prefix.
    #[serde(default)]
    pub destination: Option<At<String>>,
    /// Protocol.
    #[serde(default)]
    pub protocol: Option<At<PatternProtocol>>,
    /// Source port.
    #[serde(default)]
    pub source_port: Option<At<u16>>,
    /// Destination port.
    #[serde(default)]
    pub destination_port: Option<At<u16>>,
    /// TCP flags that are all set, such as "syn" or "syn+ack".
    #[serde(default)]
    pub flags: Option<At<String>>,
    /// TTL or hop limit.
    #[serde(default)]
    pub ttl: Option<At<u8>>,
    /// A text within the payload.
    #[serde(default)]
    pub payload: Option<At<String>>,
    /// Only the packets of this step's exchange.
    #[serde(default)]
    pub own: Option<At<bool>>,
    /// Exactly so many. Default for `seen`: at least one.
    #[serde(default)]
    pub count: Option<At<u32>>,
    /// At least so many.
    #[serde(default)]
    pub at_least: Option<At<u32>>,
    /// At most so many.
    #[serde(default)]
    pub at_most: Option<At<u32>>,
}

/// Protocols of a pattern.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum PatternProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// ICMP or ICMPv6, whatever type.
    Icmp,
    /// ARP.
    Arp,
}

/// Direction, seen from a node.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Received by the node.
    In,
    /// Sent by the node.
    Out,
}

/// Conntrack entries of a node.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conntrack {
    /// The node.
    pub at: At<String>,
    /// Protocol.
    #[serde(default)]
    pub protocol: Option<At<Protocol>>,
    /// Source of the original tuple: an address or "ADDRESS:PORT".
    #[serde(default)]
    pub source: Option<At<String>>,
    /// Destination of the original tuple.
    #[serde(default)]
    pub destination: Option<At<String>>,
    /// Source of the reply tuple.
    #[serde(default)]
    pub reply_source: Option<At<String>>,
    /// Destination of the reply tuple.
    #[serde(default)]
    pub reply_destination: Option<At<String>>,
    /// The entry's mark: "VALUE" or "VALUE/MASK".
    #[serde(default)]
    pub mark: Option<At<String>>,
    /// Exactly so many entries. Default: at least one.
    #[serde(default)]
    pub count: Option<At<u32>>,
}

/// An invariant over all packets of the run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Always {
    /// Its name in reports and in `breaks`.
    pub name: At<String>,
    /// Packets that must never be seen.
    pub never: At<Pattern>,
}
