//! Entries of the connection tracking table, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mhnat_core::explain::{Endpoint, Entry, Protocol, Tuple};
use mhnat_core::family::Family;
use netlink_sys::Socket;
use nix::errno::Errno;

use super::{KernelError, denied};
use crate::netlink::{DUMP, NESTED, ask, attribute, attributes, malformed, netfilter, number, push};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
/// `AF_UNSPEC`, `AF_INET` and `AF_INET6`.
const FAMILIES: (u8, u8, u8) = (0, 2, 10);

pub(super) const CTA_TUPLE_ORIG: u16 = 1;
pub(super) const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
pub(super) const CTA_MARK: u16 = 8;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// `IPS_SEEN_REPLY` (linux/netfilter/nf_conntrack_common.h).
const SEEN_REPLY: u32 = 1 << 1;

/// The entry that a packet with these ends belongs to, whichever side began.
pub(super) fn find(tuple: Tuple, protocol: Protocol) -> Result<Option<Entry>, KernelError> {
    let Some(key) = key(tuple, protocol) else { return Ok(None) };
    let family = match Family::of(tuple.source.address) {
        Family::V4 => FAMILIES.1,
        Family::V6 => FAMILIES.2,
    };
    let mut found = None;
    let outcome =
        netfilter(|socket| ask(socket, GET, 0, family, &key, &mut |_, body| found = Some(entry(body))));
    match (outcome, found) {
        (Ok(()), Some(Some(entry))) => Ok(Some(entry)),
        (Ok(()), _) => Err(malformed()),
        (Err(error), _) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(None),
        (Err(error), _) => Err(error),
    }
    .map_err(denied("look up a connection"))
}

/// Hands over family and attributes of every entry that the filter lets through.
pub(super) fn dump(socket: &Socket, filter: &[u8], each: &mut dyn FnMut(u8, &[u8])) -> io::Result<()> {
    ask(socket, GET, DUMP, FAMILIES.0, filter, each)
}

/// Nothing when a port is not known: the table is keyed by both.
fn key(tuple: Tuple, protocol: Protocol) -> Option<Vec<u8>> {
    let family = Family::of(tuple.source.address);
    let mut ip = Vec::new();
    // CTA_IP_V4_SRC and _DST are 1 and 2, those of IPv6 3 and 4.
    let first = match family {
        Family::V4 => 1,
        Family::V6 => 3,
    };
    for (kind, end) in [(first, tuple.source), (first + 1, tuple.destination)] {
        match end.address {
            IpAddr::V4(it) => push(&mut ip, kind, &it.octets()),
            IpAddr::V6(it) => push(&mut ip, kind, &it.octets()),
        }
    }
    let mut ports = Vec::new();
    push(&mut ports, CTA_PROTO_NUM, &[protocol.number(family)]);
    push(&mut ports, CTA_PROTO_SRC_PORT, &tuple.source.port?.to_be_bytes());
    push(&mut ports, CTA_PROTO_DST_PORT, &tuple.destination.port?.to_be_bytes());
    let mut nested = Vec::new();
    push(&mut nested, CTA_TUPLE_IP | NESTED, &ip);
    push(&mut nested, CTA_TUPLE_PROTO | NESTED, &ports);
    let mut body = Vec::new();
    push(&mut body, CTA_TUPLE_ORIG | NESTED, &nested);
    Some(body)
}

/// The entry that these attributes tell of.
pub(super) fn entry(body: &[u8]) -> Option<Entry> {
    let (mut mark, mut status) = (0, 0);
    let (mut original, mut reply, mut tcp) = (None, None, false);
    for (kind, value) in attributes(body) {
        match kind {
            CTA_TUPLE_ORIG => {
                original = tuple(value);
                let protocol = attribute(value, CTA_TUPLE_PROTO);
                tcp = protocol.and_then(|it| attribute(it, CTA_PROTO_NUM)) == Some(&[TCP]);
            }
            CTA_TUPLE_REPLY => reply = tuple(value),
            CTA_MARK => mark = number(value).unwrap_or_default(),
            CTA_STATUS => status = number(value).unwrap_or_default(),
            _ => {}
        }
    }
    let answered = status & SEEN_REPLY != 0;
    Some(Entry { original: original?, reply: reply?, mark, tcp, answered })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (mut source, mut destination, mut from, mut to) = (None, None, None, None);
    for (kind, value) in attributes(bytes) {
        for (inner, value) in attributes(value) {
            match (kind, inner) {
                (CTA_TUPLE_IP, 1 | 3) => source = address(value),
                (CTA_TUPLE_IP, 2 | 4) => destination = address(value),
                (CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT) => from = value.try_into().ok().map(u16::from_be_bytes),
                (CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT) => to = value.try_into().ok().map(u16::from_be_bytes),
                _ => {}
            }
        }
    }
    Some(Tuple {
        source: Endpoint { address: source?, port: from },
        destination: Endpoint { address: destination?, port: to },
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|it| IpAddr::V4(Ipv4Addr::from(it)));
    four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|it| IpAddr::V6(Ipv6Addr::from(it))))
}
