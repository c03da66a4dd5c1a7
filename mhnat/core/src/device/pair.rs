//! A veth pair, and the commands that make it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::family::Family;
use crate::name::IfName;
use crate::sysctl::{Key, Values};

/// The hardware address by which devices of ours are known: locally administered (the second bit), and `mhnat`.
pub const HARDWARE_ADDRESS: [u8; 6] = [0x02, b'm', b'h', b'n', b'a', b't'];

/// The end of the loop that answers are routed into.
pub const LOOP_OUT: &str = "mhnat-loop-out";

/// The end of the loop by which they come in again.
pub const LOOP_IN: &str = "mhnat-loop-in";

/// A hardware address as ip-link(8) writes it.
#[derive(Clone, Copy, Debug)]
pub struct Hardware(pub [u8; 6]);

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

/// Two devices of ours: what leaves one comes in by the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VethPair {
    /// The end that packets are routed into.
    pub sends: IfName,
    /// The end by which they come in.
    pub receives: IfName,
    /// This host's addresses on the end that receives, each alone in its prefix.
    pub addresses: BTreeSet<IpAddr>,
}

impl VethPair {
    /// The loop for answers.
    pub(crate) fn for_answers(addresses: BTreeSet<IpAddr>) -> Self {
        Self { sends: IfName::ours(LOOP_OUT), receives: IfName::ours(LOOP_IN), addresses }
    }

    /// Both ends, in the order of setting them up: the end that is up last has its carrier and its queue at once, and
    /// may send, where the other gets them a moment later.
    pub fn ends(&self) -> [&IfName; 2] {
        [&self.receives, &self.sends]
    }

    /// The settings of both ends. They are the devices' own, and go with them.
    ///
    /// What comes in has a source of this host (`accept_local`). The kernel takes the greater of `all` and the
    /// device in `rp_filter`, and 2 passes a source that is routed at all, provided that the device has an address.
    /// IPv4 asks the device that a packet came in by whether it may be forwarded, so this host need not be a router
    /// for anybody else. Link-local addresses would only be the same on both ends.
    pub fn settings(&self) -> Values {
        let of = |family, name: &IfName, setting| Key::of_interface(family, name.as_str(), setting);
        let mut values = Values::from([
            (of(Family::V4, &self.receives, "accept_local"), "1".to_owned()),
            (of(Family::V4, &self.receives, "rp_filter"), "2".to_owned()),
            (of(Family::V4, &self.receives, "forwarding"), "1".to_owned()),
        ]);
        values.extend(
            self.ends().map(|name| (of(Family::V6, name, "addr_gen_mode"), ADDR_GEN_NONE.to_owned())),
        );
        values
    }

    /// The commands of a shell that make the pair, in order.
    pub fn all_commands(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(|it| Self::add_address(&self.receives, *it));
        [self.make()].into_iter().chain(self.set_up()).chain(addresses).collect()
    }

    pub(super) fn make(&self) -> String {
        let Self { sends, receives, addresses: _ } = self;
        let address = Hardware(HARDWARE_ADDRESS);
        format!(
            "ip link add {sends} address {address} arp off type veth peer name {receives} address {address} arp off"
        )
    }

    pub(super) fn set_up(&self) -> Vec<String> {
        let settings = self.settings();
        let settings = settings.iter().map(|(key, value)| format!("sysctl -w {key}={value}"));
        settings.chain(self.ends().map(|name| format!("ip link set {name} arp off up"))).collect()
    }

    /// The command that gives the receiving end an address.
    ///
    /// Nothing but a socket that is bound to it is to use it as a source: hence `scope host` for IPv4, and for IPv6,
    /// which has no such scope, a preferred life of none.
    pub(super) fn add_address(device: &IfName, address: IpAddr) -> String {
        match Family::of(address) {
            Family::V4 => format!("ip address add {address}/32 dev {device} scope host"),
            Family::V6 => format!("ip -6 address add {address}/128 dev {device} nodad preferred_lft 0"),
        }
    }

    pub(super) fn delete_address(device: &IfName, address: IpAddr) -> String {
        match Family::of(address) {
            Family::V4 => format!("ip address del {address}/32 dev {device}"),
            Family::V6 => format!("ip -6 address del {address}/128 dev {device}"),
        }
    }
}

/// `IN6_ADDR_GEN_MODE_NONE` (linux/if_link.h).
const ADDR_GEN_NONE: &str = "1";

/// As ip-link(8) shows one end.
impl fmt::Display for VethPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.sends, self.receives)
    }
}
