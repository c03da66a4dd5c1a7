//! `[[forward]]` and `[arp-filter]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::OneOrMany;

/// Ports of an uplink that lead to a host behind this one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("required" = ["on", "port", "to"]))]
pub(in crate::config) struct Forward {
    /// The name of the uplink, or a list of names.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"line")]
    pub(in crate::config) on: Option<Spanned<OneOrMany>>,
    /// Protocol and port, or a range of ports: "tcp/2201", "udp/123", "tcp/8000-8010".
    #[serde(default)]
    #[schemars(with = "String", example = &"tcp/2201")]
    pub(in crate::config) port: Option<Spanned<String>>,
    /// The host behind this one, with a port, or without one to keep the port: "10.5.5.201:22",
    /// "[2001:db8::1]:22", "10.5.5.201".
    #[serde(default)]
    #[schemars(with = "String", example = &"10.5.5.201:22")]
    pub(in crate::config) to: Option<Spanned<String>>,
    /// The address of this host that the other one sees as the source, so that it answers here. Without it,
    /// it sees the client's own address, and must have its default route here.
    #[serde(default)]
    #[schemars(with = "String", example = &"10.5.5.251")]
    pub(in crate::config) full_nat: Option<Spanned<String>>,
    /// Whether hosts behind this one, and this host itself, may also ask the uplink's address.
    #[serde(default)]
    #[schemars(with = "bool", example = true)]
    pub(in crate::config) hairpin: Option<Spanned<bool>>,
}

/// Addresses that several nodes share: what resolves them stays on its node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("required" = ["devices", "addresses"]))]
pub(in crate::config) struct ArpFilter {
    /// The bridge ports that lead to other nodes.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["eth1.100"]]))]
    pub(in crate::config) devices: Option<Spanned<Vec<Spanned<String>>>>,
    /// The shared addresses, IPv4 or IPv6 or both.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["10.5.5.254"]]))]
    pub(in crate::config) addresses: Option<Spanned<Vec<Spanned<String>>>>,
}
