//! The mirror of a scenario file: what TOML can say, before anything has been checked for sense.
//!
//! The JSON Schema is generated from these types, and the shape check walks a file against that schema, so this
//! is the only place where a word of the language is introduced. Doc comments here are what editors show.

use schemars::JsonSchema;
use serde::Deserialize;

use super::spanned::{At, Named};

mod expect;
mod network;
mod step;

pub use expect::{Always, Conntrack, Direction, ErrorWord, Expect, Pattern, PatternProtocol};
pub use network::{
    AccessKind, Filter, Gateway, Host, Impair, Internet, Isp, Lan, Link, LinkKind, Node, Route, Vpn,
};
pub use step::{
    Family, Flap, FlapBreak, FlapKind, FlowRef, Inject, LinkChange, LinkWord, ListedKind, Open, Protocol,
    Request, Run, Step, Stream, StreamRef, SubjectAction,
};

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
    /// Where all chance in the scenario comes from; `mhlab run --seed` gives another one. Default: 1.
    #[serde(default)]
    pub seed: Option<At<u64>>,
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
    /// Whether `mhnat run` stays and keeps the configuration in place, instead of one `mhnat apply`. Default: false.
    #[serde(default)]
    pub run: Option<At<bool>>,
    /// An nft ruleset.
    #[serde(default)]
    pub nft: Option<At<String>>,
    /// A shell script; it is called with the argument `apply`, `reload` or `stop`.
    #[serde(default)]
    pub script: Option<At<String>>,
    /// A shell script that stays in the foreground until it is stopped, and tells by sd_notify(3) when it is ready.
    #[serde(default)]
    pub daemon: Option<At<String>>,
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
