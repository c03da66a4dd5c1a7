//! How uplinks with the same metric share what leaves.

use std::fmt;
use std::num::NonZeroU32;

use serde::Serialize;

/// How uplinks with the same metric share what leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// What is given an uplink.
    pub by: BalanceBy,
    /// How long a source keeps its uplink after its last new connection.
    pub sticky: Option<Seconds>,
}

/// What is given an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceBy {
    /// Each connection, by chance.
    #[default]
    Connection,
    /// Each pair of addresses, by a hash of them.
    SourceDestination,
}

/// A time in seconds, as nft writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seconds(pub NonZeroU32);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}
