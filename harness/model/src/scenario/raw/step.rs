//! Steps and their actions.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Expect, Impair};
use crate::scenario::spanned::{At, Named, OneOrMany};

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
    /// Send datagrams at a steady pace, whatever else happens, until the stream is ended.
    #[serde(default)]
    pub stream: Option<At<Stream>>,
    /// End a stream, and judge it.
    #[serde(default)]
    pub end: Option<At<StreamRef>>,
    /// Send a hand-made frame.
    #[serde(default)]
    pub inject: Option<At<Inject>>,
    /// Run a command in a node.
    #[serde(default)]
    pub run: Option<At<Run>>,
    /// Change a link's state.
    #[serde(default)]
    pub link: Option<At<LinkChange>>,
    /// Break links at random, one after the other, and mend them again.
    #[serde(default)]
    pub flap: Option<At<Flap>>,
    /// Drive the subject. Without any such step it is applied before the first one.
    #[serde(default)]
    pub subject: Option<At<SubjectAction>>,
    /// Do nothing until all that is expected has been seen, at most so long, such as "2s".
    #[serde(default)]
    pub wait: Option<At<String>>,
    /// What must be so.
    #[serde(default)]
    pub expect: Option<At<Expect>>,
    /// What must be so with one variant instead, by the variant's name.
    #[serde(default)]
    pub instead: Named<Expect>,
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
    /// Whom: "NODE:PORT", "ADDRESS:PORT", `[IPV6]:PORT`; for ICMP without port.
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
    /// Whom: "NODE:PORT", "ADDRESS:PORT", `[IPV6]:PORT`.
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

/// Numbered UDP datagrams from one socket, each of which the service at the far end answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stream {
    /// The stream's name for later steps.
    pub name: At<String>,
    /// The node that sends.
    pub from: At<String>,
    /// To whom: "NODE:PORT", "ADDRESS:PORT", `[IPV6]:PORT`.
    pub to: At<String>,
    /// Packets a second, at most 10000.
    pub rate: At<u32>,
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

/// A stream that an earlier step started.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StreamRef {
    /// Its name.
    pub stream: At<String>,
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
    /// It is run again until it ends as expected, at most so long, such as "1s". Default: it is run once.
    #[serde(default)]
    pub until: Option<At<String>>,
}

/// A change of a link's state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkChange {
    /// The interface, as "NODE:INTERFACE".
    pub at: At<String>,
    /// What happens to it.
    #[serde(rename = "do")]
    pub action: At<LinkWord>,
    /// What is wrong with the link from now on: for `impair`.
    #[serde(default)]
    pub with: Option<At<Impair>>,
    /// Its addresses from now on, one a family: for `readdress`, and for a device that comes back with others.
    #[serde(default)]
    pub address: Option<At<OneOrMany>>,
    /// It lasts so long, such as "200ms", and is then undone.
    #[serde(default, rename = "for")]
    pub lasting: Option<At<String>>,
    /// How many times it happens. Default: once.
    #[serde(default)]
    pub times: Option<At<u32>>,
    /// Between two times. Default: as long as it lasts.
    #[serde(default)]
    pub pause: Option<At<String>>,
}

/// Breaks of links at random moments, all of them undone in the end: the scenario's seed decides. Or those of `list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flap {
    /// The interfaces, as "NODE:INTERFACE".
    #[serde(default)]
    pub at: Option<At<OneOrMany>>,
    /// What happens to them. Default: they lose their carrier.
    #[serde(default)]
    pub kinds: Vec<At<FlapKind>>,
    /// How many breaks there are in all.
    #[serde(default)]
    pub breaks: Option<At<u32>>,
    /// The time from one to the next, on the average.
    #[serde(default)]
    pub every: Option<At<String>>,
    /// How long one lasts: a time, or the shortest and the longest. Default: up to `every`.
    #[serde(default, rename = "for")]
    pub lasting: Option<At<OneOrMany>>,
    /// Links that are broken at a time, at most. Default: all but one.
    #[serde(default)]
    pub at_once: Option<At<u32>>,
    /// How many times the subject is killed meanwhile, and started again.
    #[serde(default)]
    pub kills: Option<At<u32>>,
    /// Each break with its moment, instead of chance.
    #[serde(default)]
    pub list: Option<At<Vec<At<FlapBreak>>>>,
}

/// One break, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlapBreak {
    /// The interface, as "NODE:INTERFACE"; none for `kill`.
    #[serde(default)]
    pub at: Option<At<String>>,
    /// What happens.
    pub kind: At<ListedKind>,
    /// Since the step began, such as "12ms".
    pub after: At<String>,
    /// It lasts so long, and is then undone.
    #[serde(rename = "for")]
    pub lasting: At<String>,
}

/// What happens for a while.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ListedKind {
    /// `cut`, and `mend`.
    Cut,
    /// `down`, and `up`.
    Down,
    /// `remove`, and `restore`.
    Remove,
    /// `mute`, and `unmute`.
    Mute,
    /// `silence`, and `speak`.
    Silence,
    /// `readdress`, to addresses that are nobody's, and back.
    Address,
    /// The subject is killed, and started again.
    Kill,
}

impl ListedKind {
    /// The way in which a link breaks; None if it is the subject that is killed.
    pub fn of_link(self) -> Option<FlapKind> {
        match self {
            ListedKind::Cut => Some(FlapKind::Cut),
            ListedKind::Down => Some(FlapKind::Down),
            ListedKind::Remove => Some(FlapKind::Remove),
            ListedKind::Mute => Some(FlapKind::Mute),
            ListedKind::Silence => Some(FlapKind::Silence),
            ListedKind::Address => Some(FlapKind::Address),
            ListedKind::Kill => None,
        }
    }
}

impl FlapKind {
    /// The word of the language for it.
    pub fn word(self) -> &'static str {
        match self {
            FlapKind::Cut => "cut",
            FlapKind::Down => "down",
            FlapKind::Remove => "remove",
            FlapKind::Mute => "mute",
            FlapKind::Silence => "silence",
            FlapKind::Address => "address",
        }
    }
}

impl Flap {
    /// The interfaces that may break, each with the ways in which it may.
    pub fn places(&self) -> Vec<(At<String>, Vec<FlapKind>)> {
        let kinds = || match self.kinds.as_slice() {
            [] => vec![FlapKind::Cut],
            given => given.iter().map(|kind| kind.value).collect(),
        };
        let drawn = self.at.iter().flat_map(At::items).map(|at| (at, kinds()));
        let listed = self
            .listed()
            .filter_map(|one| Some((one.value.at.clone()?, Vec::from_iter(one.value.kind.value.of_link()))));
        drawn.chain(listed).collect()
    }

    fn listed(&self) -> impl Iterator<Item = &At<FlapBreak>> {
        self.list.iter().flat_map(|list| &list.value)
    }

    /// Whether the subject is killed meanwhile.
    pub fn kills(&self) -> bool {
        self.kills.is_some() || self.listed().any(|one| one.value.kind.value == ListedKind::Kill)
    }
}

/// How a link breaks for a while.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum FlapKind {
    /// `cut`, and `mend`.
    Cut,
    /// `down`, and `up`.
    Down,
    /// `remove`, and `restore`.
    Remove,
    /// `mute`, and `unmute`.
    Mute,
    /// `silence`, and `speak`.
    Silence,
    /// `readdress`, to addresses that are nobody's, and back.
    Address,
}

/// What can happen to an interface.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LinkWord {
    /// The far end goes away: carrier is lost.
    Cut,
    /// The far end is back.
    Mend,
    /// Set administratively down.
    Down,
    /// Set administratively up.
    Up,
    /// The device is deleted, and with it the other end of its cable.
    Remove,
    /// A removed device is there again: by the same name, with its addresses, under another interface index.
    Restore,
    /// A silent black hole: carrier stays at both ends, but nothing passes, in neither direction.
    Mute,
    /// Packets pass again.
    Unmute,
    /// From now on the link does to frames what `with` says.
    Impair,
    /// The link is as it was in the beginning.
    Repair,
    /// Its neighbours forget it, and hear no more of it by ARP or neighbour discovery, though its carrier stays.
    Silence,
    /// It answers again.
    Speak,
    /// It has other addresses, while it stays up.
    Readdress,
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
    /// Kill what stays of it, without a chance to clean up.
    Kill,
}

impl SubjectAction {
    /// The word of the language for it.
    pub fn word(self) -> &'static str {
        match self {
            SubjectAction::Apply => "apply",
            SubjectAction::Reload => "reload",
            SubjectAction::Stop => "stop",
            SubjectAction::Kill => "kill",
        }
    }
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
