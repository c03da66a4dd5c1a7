//! The file as it is written: one field for each word, each with its place, nothing checked.
//!
//! The JSON schema is generated from these types. Every field may be absent here, so that a file with
//! mistakes can still be read for others; the schema says which are required.

mod balance;
mod forward;
mod probe;
mod sync;

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};
use toml::Spanned;

pub(super) use self::balance::Balance;
pub(super) use self::forward::{ArpFilter, Forward};
pub(super) use self::probe::{Dampening, Probe};
pub(super) use self::sync::Sync;

/// The JSON schema of a configuration file, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    drop_defaults(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), "mhnat configuration".into());
    }
    schema
}

/// That a word may be left out is said by `required`; the null that stands for it here is not TOML.
fn drop_defaults(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(object) => {
            object.remove("default");
            object.values_mut().for_each(drop_defaults);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_defaults),
        _ => {}
    }
}

/// A configuration of mhnat: uplinks, fan-outs and replies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    /// Whether this host forwards packets. Without it: with a fan-out, a forward, or an uplink with a source.
    #[serde(default)]
    #[schemars(with = "bool", example = true)]
    pub(super) forwarding: Option<Spanned<bool>>,
    /// Whether every connection keeps the uplink that it began on, whatever becomes of the routes. Without it: no.
    #[serde(default)]
    #[schemars(with = "bool", example = true)]
    pub(super) pinning: Option<Spanned<bool>>,
    /// The bits of packet and connection marks to use.
    #[serde(default)]
    #[schemars(with = "Marks")]
    pub(super) marks: Option<Marks>,
    /// The ways out of this host.
    #[serde(default)]
    #[schemars(with = "Vec<Uplink>")]
    pub(super) uplink: Vec<Spanned<Uplink>>,
    /// How uplinks with the same metric share what leaves.
    #[serde(default)]
    #[schemars(with = "Balance")]
    pub(super) balance: Option<Spanned<Balance>>,
    /// Dummy addresses, one for each way to a far host.
    #[serde(default)]
    #[schemars(with = "Vec<FanOut>")]
    pub(super) fan_out: Vec<Spanned<FanOut>>,
    /// Ports of uplinks that lead to hosts behind this one.
    #[serde(default)]
    #[schemars(with = "Vec<Forward>")]
    pub(super) forward: Vec<Spanned<Forward>>,
    /// Addresses that several nodes share.
    #[serde(default)]
    #[schemars(with = "ArpFilter")]
    pub(super) arp_filter: Option<Spanned<ArpFilter>>,
    /// How this host's own servers answer from the address that was asked.
    #[serde(default)]
    #[schemars(with = "Replies")]
    pub(super) replies: Option<Spanned<Replies>>,
    /// Tracked connections that are shared with another node.
    #[serde(default)]
    #[schemars(with = "Sync")]
    pub(super) sync: Option<Spanned<Sync>>,
}

/// The bits of packet and connection marks to use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Marks {
    /// Contiguous bits in hexadecimal; no other bit is ever changed. Without it: 0x0000ff00.
    #[serde(default)]
    #[schemars(with = "String", example = &"0x0000ff00")]
    pub(super) mask: Option<Spanned<String>>,
}

/// A way out of this host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("required" = ["name", "interface", "address"]))]
pub(super) struct Uplink {
    /// Its name: lower-case letters, digits and hyphens.
    #[serde(default)]
    #[schemars(with = "String", example = &"vpn-a")]
    pub(super) name: Option<Spanned<String>>,
    /// The network interface that it uses, alone.
    #[serde(default)]
    #[schemars(with = "String", example = &"eth0")]
    pub(super) interface: Option<Spanned<String>>,
    /// This host's address or addresses there, IPv4 or IPv6 or both, without prefix length. The first of
    /// each family is the source of what this host itself sends. "dynamic": whatever the interface has.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"198.51.100.2")]
    pub(super) address: Option<Spanned<OneOrMany>>,
    /// The next hop, one for each family. None on a point-to-point interface. "dynamic": that of the default
    /// route which DHCP, router advertisements or somebody else made through the interface.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"198.51.100.1")]
    pub(super) gateway: Option<Spanned<OneOrMany>>,
    /// What packets that leave here get as their source: "masquerade" (the interface's address), an address,
    /// a pool of them ("FIRST-LAST" or a prefix), a list with one of these for each family, or "none".
    /// Without it: "none".
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"masquerade")]
    pub(super) source: Option<Spanned<OneOrMany>>,
    /// Its place among the default routes: the lowest that is up is used, and uplinks with the same share what
    /// leaves. Without it, only a fan-out, an answer, or a program that binds its address uses this uplink.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1), example = 10)]
    pub(super) metric: Option<Spanned<i64>>,
    /// Its share among the uplinks with the same metric. Without it: 1.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 100), example = 1)]
    pub(super) weight: Option<Spanned<i64>>,
    /// The largest packet in bytes that it carries, where that is less than its interface says. TCP agrees on
    /// segments that fit, and other packets that are too large are refused here.
    #[serde(default)]
    #[schemars(with = "u16", range(min = 576), example = 1400)]
    pub(super) mtu: Option<Spanned<i64>>,
    /// Destinations that use this uplink while it is up.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["196.21.0.0/19"]]))]
    pub(super) prefixes: Option<Spanned<Vec<Spanned<String>>>>,
    /// A file with more of them, one a line, `#` before comments. Its path is relative to this file.
    #[serde(default)]
    #[schemars(with = "String", example = &"za.txt")]
    pub(super) prefixes_file: Option<Spanned<String>>,
    /// What becomes of its connections when it can carry no packets any more and another uplink can: "rehome" has
    /// them begin anew by the other, "reset" does so and answers TCP with a reset, "stay" has them wait for this one,
    /// "drain" for the time that `drain` gives. Without it: "rehome". `mhnat run` does it.
    #[serde(default)]
    #[schemars(with = "String", example = &"rehome")]
    pub(super) on_loss: Option<Spanned<String>>,
    /// What becomes of the connections that went elsewhere for want of this uplink when it can carry packets again:
    /// "stay" leaves them where they are, "rehome" has them begin anew by this one, "drain" when the time that `drain`
    /// gives is over. Without it: "stay". `mhnat run` does it.
    #[serde(default)]
    #[schemars(with = "String", example = &"stay")]
    pub(super) on_return: Option<Spanned<String>>,
    /// How long "drain" waits: a number and "ms", "s" or "m", an hour at most.
    #[serde(default)]
    #[schemars(with = "String", example = &"30s")]
    pub(super) drain: Option<Spanned<String>>,
    /// Who is asked again and again through it, to see whether packets come through. Without it: nobody, and only its
    /// link says whether it is lost. `mhnat run` does it.
    #[serde(default)]
    #[schemars(with = "Probe")]
    pub(super) probe: Option<Spanned<Probe>>,
    /// How long it stays unused when it is lost again and again. Without it: not at all; `{}` takes what is usual.
    /// `mhnat run` does it.
    #[serde(default)]
    #[schemars(with = "Dampening")]
    pub(super) dampening: Option<Spanned<Dampening>>,
}

/// A dummy address for one way to a far host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("required" = ["dummy", "to"]))]
pub(super) struct FanOut {
    /// The address that applications use instead of the far host's.
    #[serde(default)]
    #[schemars(with = "String", example = &"192.0.2.1")]
    pub(super) dummy: Option<Spanned<String>>,
    /// The protocol and port, or a range of ports, that this way is for; or a list of them. Without it, every
    /// protocol and port.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"tcp/5001")]
    pub(super) port: Option<Spanned<OneOrMany>>,
    /// The address of the far host; with its port, if that is another than the one port in `port`.
    #[serde(default)]
    #[schemars(with = "String", example = &"198.51.100.10")]
    pub(super) to: Option<Spanned<String>>,
    /// The source address that the far side admits on this way. Without it, the uplink's own source.
    #[serde(default)]
    #[schemars(with = "String", example = &"203.0.113.1")]
    pub(super) source: Option<Spanned<String>>,
    /// The name of the uplink to use. Without it, the route to the far host.
    #[serde(default)]
    #[schemars(with = "String", example = &"vpn-a")]
    pub(super) uplink: Option<Spanned<String>>,
}

/// How this host's own servers answer from the address that was asked, by the link that was asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Replies {
    /// For datagrams: "mark" when the addresses are on different uplinks, "redirect" when they are on one
    /// interface, "loop" when the server is bound to an address of its own.
    #[serde(default)]
    #[schemars(with = "String", example = &"mark")]
    pub(super) udp: Option<Spanned<String>>,
    /// For TCP: "mark" when servers also use addresses that belong to no uplink. Addresses of uplinks need
    /// nothing.
    #[serde(default)]
    #[schemars(with = "String", example = &"mark")]
    pub(super) tcp: Option<Spanned<String>>,
    /// The interfaces on which this host is asked. Without it, those of all uplinks.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["eth0"]]))]
    pub(super) interfaces: Option<Spanned<Vec<Spanned<String>>>>,
    /// With "loop": the address that the server is bound to, one for each family. No uplink has it.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"10.255.0.1")]
    pub(super) server: Option<Spanned<OneOrMany>>,
    /// With "loop": the server's UDP port, or a range of ports, or a list of them.
    #[serde(default)]
    #[schemars(with = "OneOrMany", example = &"udp/53")]
    pub(super) port: Option<Spanned<OneOrMany>>,
}

/// One string, or a list of them.
#[derive(Debug)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum would lose the places of the items.
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut many = Vec::new();
                while let Some(item) = items.next_element()? {
                    many.push(item);
                }
                Ok(OneOrMany::Many(many))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}
