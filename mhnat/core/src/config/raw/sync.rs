//! `[sync]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::OneOrMany;

/// Tracked connections that are shared with another node, so that either carries what the other has begun.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("required" = ["peer", "address", "interface", "peer-addresses"]))]
pub(in super::super) struct Sync {
    /// The other node's address on the link between both.
    #[serde(default)]
    #[schemars(with = "String", example = &"10.5.6.2")]
    pub(in super::super) peer: Option<Spanned<String>>,
    /// This node's address there.
    #[serde(default)]
    #[schemars(with = "String", example = &"10.5.6.1")]
    pub(in super::super) address: Option<Spanned<String>>,
    /// The interface of that link, which nothing else uses: what is said there is believed.
    #[serde(default)]
    #[schemars(with = "String", example = &"eth2")]
    pub(in super::super) interface: Option<Spanned<String>>,
    /// The other node's addresses on its uplinks: what leaves here may carry them, for connections that are known.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"192.0.2.12")]
    pub(in super::super) peer_addresses: Option<Spanned<OneOrMany>>,
    /// The UDP port of both nodes. Without it: 3780.
    #[serde(default)]
    #[schemars(with = "u16", range(min = 1), example = 3780)]
    pub(in super::super) port: Option<Spanned<i64>>,
    /// How lost messages are noticed: "ftfw" has them sent again, "notrack" does not notice. Without it: "ftfw".
    #[serde(default)]
    #[schemars(with = "String", example = &"ftfw")]
    pub(in super::super) mode: Option<Spanned<String>>,
    /// Addresses and prefixes whose own connections are not shared, beside this node's on its uplinks and on the link.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["10.5.5.251"]]))]
    pub(in super::super) ignore: Option<Spanned<Vec<Spanned<String>>>>,
    /// How many connections there is room for. Without it: 262144.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1024, max = 16_777_216), example = 262_144)]
    pub(in super::super) connections: Option<Spanned<i64>>,
    /// How many messages wait for the other node at most. Without it: 131072.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1024, max = 16_777_216), example = 131_072)]
    pub(in super::super) queue: Option<Spanned<i64>>,
    /// The size of the socket buffers in bytes; 0 for what the kernel gives everybody, which takes no privilege beyond
    /// this network namespace. Without it: 2097152.
    #[serde(default)]
    #[schemars(with = "u32", range(max = 268_435_456), example = 2_097_152)]
    pub(in super::super) buffer: Option<Spanned<i64>>,
}
