//! A node's connection tracking table, read by ctnetlink.
//!
//! The layout is that of linux/netfilter/nfnetlink_conntrack.h. Numbers in attributes are in network byte order.

use std::net::IpAddr;

use harness_model::observation::{Entry, Tuple};
use netlink_packet_core::{NlaBuffer, NlasIterator, parse_u8, parse_u16_be, parse_u32_be};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::{
    lab::{Lab, LabError},
    netlink::Netlink,
};

mod events;
#[cfg(test)]
mod tests;

pub use events::Events;

/// Flags of an entry. See linux/netfilter/nf_conntrack_common.h.
pub mod status {
    /// Packets have been seen in both directions.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// It is not among the first to go when the table is full.
    pub const ASSURED: u32 = 1 << 2;
    /// The first packet has left the node.
    pub const CONFIRMED: u32 = 1 << 3;
    /// The source address is translated.
    pub const SRC_NAT: u32 = 1 << 4;
    /// The destination address is translated.
    pub const DST_NAT: u32 = 1 << 5;
}

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
/// `struct nfgenmsg`: family, version and resource; all of zero asks for all families.
const HEADER: usize = 4;

/// Attributes of an entry, `CTA_`.
mod entry {
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const TIMEOUT: u16 = 7;
    pub(super) const MARK: u16 = 8;
    pub(super) const ZONE: u16 = 18;
}

/// Attributes of a tuple, `CTA_TUPLE_`, and those within, `CTA_IP_` and `CTA_PROTO_`.
mod tuple {
    pub(super) const ADDRESSES: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const V4_SOURCE: u16 = 1;
    pub(super) const V4_DESTINATION: u16 = 2;
    pub(super) const V6_SOURCE: u16 = 3;
    pub(super) const V6_DESTINATION: u16 = 4;
    pub(super) const NUMBER: u16 = 1;
    pub(super) const SOURCE_PORT: u16 = 2;
    pub(super) const DESTINATION_PORT: u16 = 3;
    pub(super) const ICMP_IDENTIFIER: u16 = 4;
    pub(super) const ICMPV6_IDENTIFIER: u16 = 7;
}

impl Lab {
    /// All entries of a node.
    pub fn conntrack(&mut self, node: usize) -> Result<Vec<Entry>, LabError> {
        let failed = |node: &str| {
            let node = node.to_owned();
            move |source| LabError::Read { node, what: "connection tracking table", source }
        };
        let name = self.plan().nodes.get(node).map_or_else(String::new, |node| node.name.clone());
        if self.node_mut(node)?.conntrack.is_none() {
            let socket = self.in_node(node, || Netlink::open(NETLINK_NETFILTER))?.map_err(failed(&name))?;
            self.node_mut(node)?.conntrack = Some(socket);
        }
        let mut entries = Vec::new();
        if let Some(socket) = &mut self.node_mut(node)?.conntrack {
            socket
                .dump(GET, &[0; HEADER], |payload| entries.extend(parse_entry(payload)))
                .map_err(failed(&name))?;
        }
        Ok(entries)
    }
}

/// An entry. None if it has no addresses that can be read, as a later kernel's unknown family.
fn parse_entry(payload: &[u8]) -> Option<Entry> {
    let mut original = None;
    let mut reply = None;
    let (mut status, mut timeout, mut mark, mut zone) = (0, 0, 0, 0);
    for attribute in attributes(payload.get(HEADER..)?) {
        let value = attribute.value();
        match attribute.kind() {
            entry::ORIGINAL => original = parse_tuple(value),
            entry::REPLY => reply = parse_tuple(value),
            entry::STATUS => status = parse_u32_be(value).ok()?,
            entry::TIMEOUT => timeout = parse_u32_be(value).ok()?,
            entry::MARK => mark = parse_u32_be(value).ok()?,
            entry::ZONE => zone = parse_u16_be(value).ok()?,
            _ => {}
        }
    }
    let ((original, protocol), (reply, _)) = (original?, reply?);
    Some(Entry { original, reply, protocol, mark, zone, status, timeout })
}

/// A tuple and its protocol.
fn parse_tuple(value: &[u8]) -> Option<(Tuple, u8)> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut source_port, mut destination_port) = (0, 0, 0);
    for attribute in attributes(value) {
        match attribute.kind() {
            tuple::ADDRESSES => {
                for address in attributes(attribute.value()) {
                    match address.kind() {
                        tuple::V4_SOURCE | tuple::V6_SOURCE => source = parse_address(address.value()),
                        tuple::V4_DESTINATION | tuple::V6_DESTINATION => {
                            destination = parse_address(address.value());
                        }
                        _ => {}
                    }
                }
            }
            tuple::PROTOCOL => {
                for part in attributes(attribute.value()) {
                    match part.kind() {
                        tuple::NUMBER => protocol = parse_u8(part.value()).ok()?,
                        tuple::SOURCE_PORT | tuple::ICMP_IDENTIFIER | tuple::ICMPV6_IDENTIFIER => {
                            source_port = parse_u16_be(part.value()).ok()?;
                        }
                        tuple::DESTINATION_PORT => destination_port = parse_u16_be(part.value()).ok()?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((Tuple { source: source?, destination: destination?, source_port, destination_port }, protocol))
}

fn parse_address(value: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(value)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).map_while(Result::ok)
}
