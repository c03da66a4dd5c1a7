//! `probe` and `dampening` of an `[[uplink]]` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::OneOrMany;

/// Who is asked again and again through an uplink, to see whether packets come through.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in super::super) struct Probe {
    /// Addresses that answer an ICMP echo request.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"192.0.2.80")]
    pub(in super::super) icmp: Option<Spanned<OneOrMany>>,
    /// Addresses with ports that accept TCP connections.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"192.0.2.80:443")]
    pub(in super::super) tcp: Option<Spanned<OneOrMany>>,
    /// Addresses of DNS servers, with a port if that is not 53.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"192.0.2.53")]
    pub(in super::super) dns: Option<Spanned<OneOrMany>>,
    /// The name that DNS servers are asked for. Without it: the servers of the root.
    #[serde(default)]
    #[schemars(with = "String", example = &"example.org")]
    pub(in super::super) name: Option<Spanned<String>>,
    /// From one question to the next: a number and ms, s or m. Without it: 1s.
    #[serde(default)]
    #[schemars(with = "String", example = &"1s")]
    pub(in super::super) interval: Option<Spanned<String>>,
    /// How long an answer is waited for, at most `interval`. Without it: 1s, or `interval` if that is less.
    #[serde(default)]
    #[schemars(with = "String", example = &"800ms")]
    pub(in super::super) timeout: Option<Spanned<String>>,
    /// As many questions in a row without an answer, and the target is lost. Without it: 3.
    #[serde(default)]
    #[schemars(with = "u8", range(min = 1, max = 100), example = 3)]
    pub(in super::super) fall: Option<Spanned<i64>>,
    /// As many answers in a row, and it is back. Without it: 2.
    #[serde(default)]
    #[schemars(with = "u8", range(min = 1, max = 100), example = 2)]
    pub(in super::super) rise: Option<Spanned<i64>>,
    /// How many targets of a family the uplink needs in order to be used: "any" or "all". Without it: "any".
    #[serde(default)]
    #[schemars(with = "String", example = &"any")]
    pub(in super::super) need: Option<Spanned<String>>,
}

/// How long an uplink that is lost again and again stays unused. Each loss adds points, half of which are gone in each
/// half-life.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in super::super) struct Dampening {
    /// The points that one loss adds. Without it: 1000.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 1_000_000), example = 1000)]
    pub(in super::super) penalty: Option<Spanned<i64>>,
    /// The time in which half of the points are gone: a number and ms, s or m. Without it: 30s.
    #[serde(default)]
    #[schemars(with = "String", example = &"30s")]
    pub(in super::super) half_life: Option<Spanned<String>>,
    /// With as many points the uplink is not used. Without it: 2000.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 1_000_000), example = 2000)]
    pub(in super::super) suppress: Option<Spanned<i64>>,
    /// With as few it is used again. Without it: 750.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 1_000_000), example = 750)]
    pub(in super::super) reuse: Option<Spanned<i64>>,
    /// The longest time without use after the last loss. Without it: four half-lives.
    #[serde(default)]
    #[schemars(with = "String", example = &"2m")]
    pub(in super::super) longest: Option<Spanned<String>>,
}
