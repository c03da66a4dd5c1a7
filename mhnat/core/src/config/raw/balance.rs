//! `[balance]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// How uplinks with the same metric share what leaves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in super::super) struct Balance {
    /// What is given an uplink: each "connection" by chance, or each pair of addresses, "source-destination", always the
    /// same. Without it: "connection".
    #[serde(default)]
    #[schemars(with = "String", example = &"connection")]
    pub(in super::super) by: Option<Spanned<String>>,
    /// How long a source keeps its uplink after its last new connection: a number and s, m or h. Without it, each
    /// connection is given an uplink anew.
    #[serde(default)]
    #[schemars(with = "String", example = &"10m")]
    pub(in super::super) sticky: Option<Spanned<String>>,
}
