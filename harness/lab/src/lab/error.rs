//! What can go wrong with a lab.

use std::{io, path::PathBuf};

use crate::netlink::Refusal;

/// A lab could not be built, changed or asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The namespace was not made.
    #[error("{node}: create its network namespace (hint: is this process in a sandbox?)")]
    Namespace {
        /// The node.
        node: String,
        /// Why not.
        source: netns_rs::Error,
    },
    /// The namespace could not be entered.
    #[error("{node}: enter its network namespace")]
    Enter {
        /// The node.
        node: String,
        /// Why not.
        source: io::Error,
    },
    /// No netlink socket.
    #[error("{node}: open a netlink socket")]
    Socket {
        /// The node.
        node: String,
        /// Why not.
        source: io::Error,
    },
    /// A sysctl was not set.
    #[error("{node}: write \"{value}\" to {}{}", path.display(), sysctl_hint(source))]
    Sysctl {
        /// The node.
        node: String,
        /// The file.
        path: PathBuf,
        /// What should have been in it.
        value: String,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("{node}: {what}: {reason}")]
    Refused {
        /// The node, or "lab" for what holds the nodes together.
        node: String,
        /// What was asked for.
        what: String,
        /// Why not.
        reason: String,
        /// The same, as a number.
        errno: i32,
    },
    /// The kernel did not answer a question.
    #[error("{node}: read its {what}")]
    Read {
        /// The node.
        node: String,
        /// Of what.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A node does not know an address as its own although it has it.
    #[error("{node}: {address} is not in its local table after {waited_ms} ms")]
    NotOwn {
        /// The node.
        node: String,
        /// The address.
        address: std::net::IpAddr,
        /// How long was waited.
        waited_ms: u128,
    },
    /// A device passes no packets although it should.
    #[error("{node}: {device} is not up after {waited_ms} ms (hint: its operational state is {state:?})")]
    NotUp {
        /// The node.
        node: String,
        /// The device.
        device: String,
        /// How long was waited.
        waited_ms: u128,
        /// What the kernel says, RFC 2863's ifOperStatus.
        state: netlink_packet_route::link::State,
    },
    /// The plan has no such node.
    #[error("node {index} does not exist: the lab has {nodes}")]
    NoSuchNode {
        /// The index that was asked for.
        index: usize,
        /// How many there are.
        nodes: usize,
    },
    /// The plan has no such switch.
    #[error("{cable}: it ends in switch {index}, which does not exist")]
    NoSuchSwitch {
        /// The cable's end.
        cable: String,
        /// The index that it gave.
        index: usize,
    },
    /// The device's cable has no switch at its other end.
    #[error("{device}: it is on a mere cable to {other}, which cannot be muted without a switch in between")]
    NoSwitch {
        /// The device.
        device: String,
        /// The other end.
        other: String,
    },
    /// No device whose frames are carried in user space.
    #[error(
        "{node}: make {device}, whose frames are carried in user space (hint: is /dev/net/tun there, and may it be opened?)"
    )]
    Tun {
        /// The node.
        node: String,
        /// The device.
        device: String,
        /// Why not.
        source: io::Error,
    },
    /// The device's frames are not carried in user space.
    #[error("{device}: its frames are carried by the kernel, which does all or nothing to them")]
    NotRelayed {
        /// The device.
        device: String,
    },
    /// The plan has no such device.
    #[error("{node}: device {index} has no cable")]
    NoSuchDevice {
        /// The node.
        node: String,
        /// The interface index that was asked for.
        index: u32,
    },
}

impl LabError {
    pub(crate) fn refused(node: &str, refusal: Refusal) -> Self {
        let reason = match refusal.text {
            Some(text) => format!("{} ({text})", refusal.errno.desc()),
            None => refusal.errno.desc().to_owned(),
        };
        Self::Refused { node: node.to_owned(), what: refusal.what, reason, errno: refusal.errno as i32 }
    }
}

fn sysctl_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => " (hint: this kernel has no such sysctl in a network namespace)",
        io::ErrorKind::PermissionDenied => " (hint: a user namespace may not write this sysctl)",
        _ => "",
    }
}
