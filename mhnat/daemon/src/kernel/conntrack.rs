//! One entry of the connection tracking table, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;

use mhnat_core::explain::{Endpoint, Entry, Protocol, Tuple};
use mhnat_core::family::Family;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::KernelError;

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
pub(super) const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

pub(super) const CTA_TUPLE_ORIG: u16 = 1;
pub(super) const CTA_TUPLE_REPLY: u16 = 2;
pub(super) const CTA_MARK: u16 = 8;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Both headers: of netlink, and of netfilter's own.
pub(super) const HEADERS: usize = 16 + 4;

/// The entry that a packet with these ends belongs to, whichever side began.
pub(super) fn find(tuple: Tuple, protocol: Protocol) -> Result<Option<Entry>, KernelError> {
    let refused = |errno: Errno| KernelError::Refused {
        what: "look up a connection".to_owned(),
        source: io::Error::from(errno),
    };
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)
            .map_err(refused)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(2, 0)).map_err(refused)?;
    let Some(request) = request(tuple, protocol) else { return Ok(None) };
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map_err(refused)?;
    let mut answer = vec![0; 8192];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).map_err(refused)?;
    answer.truncate(length);
    match parse(&answer) {
        Answer::Entry(entry) => Ok(Some(entry)),
        Answer::Error(Errno::ENOENT) => Ok(None),
        Answer::Error(errno) => Err(refused(errno)),
    }
}

pub(super) fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Nothing when a port is not known: the table is keyed by both.
fn request(tuple: Tuple, protocol: Protocol) -> Option<Vec<u8>> {
    let family = Family::of(tuple.source.address);
    let mut ip = Vec::new();
    // CTA_IP_V4_SRC and _DST are 1 and 2, those of IPv6 3 and 4.
    let first = match family {
        Family::V4 => 1,
        Family::V6 => 3,
    };
    for (kind, end) in [(first, tuple.source), (first + 1, tuple.destination)] {
        match end.address {
            IpAddr::V4(it) => attribute(&mut ip, kind, &it.octets()),
            IpAddr::V6(it) => attribute(&mut ip, kind, &it.octets()),
        }
    }
    let mut ports = Vec::new();
    attribute(&mut ports, CTA_PROTO_NUM, &[protocol.number(family)]);
    attribute(&mut ports, CTA_PROTO_SRC_PORT, &tuple.source.port?.to_be_bytes());
    attribute(&mut ports, CTA_PROTO_DST_PORT, &tuple.destination.port?.to_be_bytes());
    let mut nested = Vec::new();
    attribute(&mut nested, CTA_TUPLE_IP | NLA_F_NESTED, &ip);
    attribute(&mut nested, CTA_TUPLE_PROTO | NLA_F_NESTED, &ports);
    let mut body = Vec::new();
    attribute(&mut body, CTA_TUPLE_ORIG | NLA_F_NESTED, &nested);
    let length = u32::try_from(HEADERS + body.len()).ok()?;
    let mut out = Vec::new();
    out.extend(length.to_ne_bytes());
    out.extend(GET.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    // AF_INET and AF_INET6, the version, and no resource.
    out.extend([if family == Family::V4 { 2 } else { 10 }, 0, 0, 0]);
    out.extend(body);
    Some(out)
}

enum Answer {
    Entry(Entry),
    Error(Errno),
}

fn parse(answer: &[u8]) -> Answer {
    let kind = answer.get(4..6).map_or(0, |it| u16::from_ne_bytes([it[0], it[1]]));
    if kind == NLMSG_ERROR {
        let code = answer.get(16..20).map_or(0, |it| i32::from_ne_bytes([it[0], it[1], it[2], it[3]]));
        return Answer::Error(Errno::from_raw(-code));
    }
    answer.get(HEADERS..).and_then(entry).map_or(Answer::Error(Errno::EBADMSG), Answer::Entry)
}

/// The entry that these attributes tell of.
pub(super) fn entry(body: &[u8]) -> Option<Entry> {
    let mut mark = 0;
    let (mut original, mut reply) = (None, None);
    for (kind, value) in attributes(body) {
        match kind {
            CTA_TUPLE_ORIG => original = tuple(value),
            CTA_TUPLE_REPLY => reply = tuple(value),
            CTA_MARK => mark = value.try_into().map_or(0, u32::from_be_bytes),
            _ => {}
        }
    }
    Some(Entry { original: original?, reply: reply?, mark })
}

/// The attributes one after the other; what is cut off ends them.
pub(super) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(&[a, b, c, d]) = bytes.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = bytes.get(4..length) else { break };
        found.push((u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
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
