//! Names that reach the kernel: of network interfaces, and of uplinks in the names of nft chains.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest interface name in bytes: `IFNAMSIZ` (16, linux/if.h) less the terminating zero.
pub const MAX_INTERFACE_NAME: usize = 15;

/// The longest uplink name in bytes. It is ours to choose: it must leave room in an nft comment (128 bytes).
pub const MAX_UPLINK_NAME: usize = 32;

/// Why a word is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing between the quotes.
    #[error("a name cannot be empty")]
    Empty,
    /// Too long for the place where it goes.
    #[error("a name has at most {max} bytes, this one has {len}")]
    TooLong {
        /// Bytes in the name.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that the kernel or nft would not take as part of a name.
    #[error("{0:?} cannot be part of this name")]
    Character(char),
    /// `.` and `..`, which the kernel refuses because an interface is a directory in sysfs.
    #[error("{0:?} is a directory, not an interface")]
    Directory(String),
    /// `all` and `default`, which stand for no single interface in /proc/sys/net.
    #[error("{0:?} is a word of sysctl, not an interface")]
    Sysctl(String),
    /// The loopback interface, which leads nowhere else.
    #[error("the loopback interface leads nowhere")]
    Loopback,
}

/// The name of a network interface other than `lo`, as `dev_valid_name` (net/core/dev.c) allows it and as it
/// can stand between quotes in an nft ruleset, where a trailing `*` would be a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

impl IfName {
    /// A name that we give ourselves. Tests read them back as names.
    pub(crate) fn ours(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || "/:\"\\*'".contains(*c)) {
            return Err(NameError::Character(c));
        }
        if text.len() > MAX_INTERFACE_NAME {
            return Err(NameError::TooLong { len: text.len(), max: MAX_INTERFACE_NAME });
        }
        match text {
            "." | ".." => Err(NameError::Directory(text.to_owned())),
            "all" | "default" => Err(NameError::Sysctl(text.to_owned())),
            "lo" => Err(NameError::Loopback),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// The name of an uplink: a lower-case word with digits and hyphens, such as `vpn-a`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UplinkName(String);

impl UplinkName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UplinkName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
            return Err(NameError::Character(c));
        }
        if text.len() > MAX_UPLINK_NAME {
            return Err(NameError::TooLong { len: text.len(), max: MAX_UPLINK_NAME });
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_newtype!(IfName);
text_newtype!(UplinkName);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ethernet("eth0", true)]
    #[case::vlan("eth1.100", true)]
    #[case::longest("abcdefghijklmno", true)]
    #[case::loop_out(crate::device::LOOP_OUT, true)]
    #[case::loop_in(crate::device::LOOP_IN, true)]
    #[case::too_long("abcdefghijklmnop", false)]
    #[case::wildcard("ppp*", false)]
    #[case::quote("a\"b", false)]
    #[case::slash("a/b", false)]
    #[case::space("a b", false)]
    #[case::alias("eth0:1", false)]
    #[case::empty("", false)]
    #[case::parent("..", false)]
    #[case::loopback("lo", false)]
    #[case::sysctl_all("all", false)]
    #[case::sysctl_default("default", false)]
    #[case::not_ascii("été", false)]
    fn interface_names(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<IfName>().is_ok(), valid);
    }

    #[rstest]
    #[case::plain("vpn-a", true)]
    #[case::digits("4g", true)]
    #[case::upper("Vpn", false)]
    #[case::space("vpn a", false)]
    #[case::empty("", false)]
    #[case::brace("a{", false)]
    fn uplink_names(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<UplinkName>().is_ok(), valid);
    }
}
