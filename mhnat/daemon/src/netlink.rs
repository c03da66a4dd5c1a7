//! Messages of netlink and of netfilter's families of it, taken apart and put together (linux/netlink.h,
//! linux/netfilter/nfnetlink.h).

use std::io;
use std::sync::{Mutex, PoisonError};

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, Socket, SocketAddr, TokioSocket};

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Bytes of it with `struct nfgenmsg` behind it, where the attributes begin.
pub(crate) const BODY: usize = HEADER + 4;
/// `NLM_F_ACK`: the outcome is told even if it is a success.
pub(crate) const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: all that there are.
pub(crate) const DUMP: u16 = 0x300;
/// `NLA_F_NESTED`: an attribute of attributes.
pub(crate) const NESTED: u16 = 0x8000;

const NLM_F_REQUEST: u16 = 0x1;
/// The kernel's lists changed during the dump.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Of an attribute's type, without its two flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// The largest datagram of a dump, in bytes (`netlink_dump()` in net/netlink/af_netlink.c).
const DATAGRAM: usize = 32 << 10;

/// Sockets for requests to netfilter that nobody uses now. They stay open, because the close of one waits until the
/// kernel has freed what the last transaction on nft's tables deleted, for a grace period of RCU, and every other
/// transaction waits with it (`nft_rcv_nl_event()` in net/netfilter/nf_tables_api.c).
static KEPT: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// Works with a socket for requests to netfilter. One with which anything has failed is not used again: an answer may be
/// left in it.
pub(crate) fn netfilter<T>(work: impl FnOnce(&Socket) -> io::Result<T>) -> io::Result<T> {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept().pop();
    let socket = known.map_or_else(open, Ok)?;
    let outcome = work(&socket)?;
    kept().push(socket);
    Ok(outcome)
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h): what becomes of nft's tables.
pub(crate) const NFT_GROUP: u32 = 7;

/// A socket that hears what the kernel tells these groups from now on.
pub(crate) fn subscribe(protocol: isize, groups: &[u32]) -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(protocol)?;
    socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
    for group in groups {
        socket.socket_mut().add_membership(*group)?;
    }
    Ok(socket)
}

/// A request to netfilter.
pub(crate) fn request(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    // The version of all of them is 0, and none asks for a resource.
    let mut out = begun(kind, flags, 4 + attributes.len());
    out.extend([family, 0, 0, 0]);
    out.extend(attributes);
    out
}

/// A request with the content of its header, and room for a body of so many bytes.
pub(crate) fn begun(kind: u16, flags: u16, body: usize) -> Vec<u8> {
    let length = HEADER + body;
    let mut out = Vec::with_capacity(length);
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // No sequence, since one request is answered before the next, and no port, which the kernel knows.
    out.extend([0; 8]);
    out
}

/// Adds an attribute.
pub(crate) fn push(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Sends a request, and hands over family and attributes of every message of the answer. The error is the kernel's
/// own; [`io::ErrorKind::Interrupted`] when what was asked for changed meanwhile.
pub(crate) fn ask(
    socket: &Socket,
    kind: u16,
    flags: u16,
    family: u8,
    attributes: &[u8],
    each: &mut dyn FnMut(u8, &[u8]),
) -> io::Result<()> {
    let mut netfilter = |message: &[u8]| {
        let family = message.get(HEADER).copied().unwrap_or_default();
        each(family, message.get(BODY..).unwrap_or_default());
    };
    converse(socket, &request(kind, flags, family, attributes), flags & DUMP != 0, &mut netfilter)
}

/// Sends a request, and hands over every message of the answer, whole.
pub(crate) fn converse(
    socket: &Socket,
    request: &[u8],
    dump: bool,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    socket.send(request, 0)?;
    let mut datagram = Vec::with_capacity(DATAGRAM);
    loop {
        datagram.clear();
        socket.recv(&mut datagram, 0)?;
        let mut disturbed = false;
        for message in messages(&datagram) {
            let message = message?;
            if half(message, 6).unwrap_or_default() & NLM_F_DUMP_INTR != 0 {
                disturbed = true;
                break;
            }
            match kind_of(message) {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => return outcome(message),
                _ => each(message),
            }
        }
        if disturbed {
            finish(socket, &mut datagram)?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if !dump {
            return Ok(());
        }
    }
}

/// Reads the rest of a dump, which would be taken for the answer to the next request.
fn finish(socket: &Socket, datagram: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let last = |message: &[u8]| matches!(kind_of(message), NLMSG_DONE | NLMSG_ERROR);
        if messages(datagram).map_while(Result::ok).any(last) {
            return Ok(());
        }
        datagram.clear();
        socket.recv(datagram, 0)?;
    }
}

/// What an acknowledgement says.
pub(crate) fn outcome(message: &[u8]) -> io::Result<()> {
    match word(message, HEADER).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(malformed()),
    }
}

/// The messages of a datagram, each with its header; an error where one is cut short, which is the last.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<&[u8]>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let length = word(datagram, 0).and_then(|it| usize::try_from(it).ok());
        let message = length.and_then(|it| datagram.get(..it)).filter(|it| it.len() >= HEADER);
        let rest = message.and_then(|it| datagram.get(it.len().next_multiple_of(4)..));
        datagram = rest.unwrap_or_default();
        Some(message.ok_or_else(malformed))
    })
}

/// The type of a message.
pub(crate) fn kind_of(message: &[u8]) -> u16 {
    half(message, 4).unwrap_or_default()
}

/// Type, without its flags, and content of the attributes one after the other; what is cut short ends them.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & NLA_TYPE_MASK;
        let content = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// The content of the first attribute of this type.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, content)| content)
}

/// A number of netfilter: in network byte order, while netlink's own are in the host's.
pub(crate) fn number(content: &[u8]) -> Option<u32> {
    content.first_chunk().copied().map(u32::from_be_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

pub(crate) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer of the kernel makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as a test sees it: of a type, behind a header without anything else.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = request(kind, 0, 0, &[]);
        out.truncate(HEADER);
        out.extend(body);
        let length = u32::try_from(out.len()).unwrap();
        out[..4].copy_from_slice(&length.to_ne_bytes());
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn all(parts: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, content) in parts {
            push(&mut out, *kind, content);
        }
        out
    }

    #[test]
    fn a_request_carries_its_own_length() {
        let attributes = all(&[(1, b"mhnat\0")]);
        let request = request(7, DUMP, 1, &attributes);
        assert_eq!(word(&request, 0).map(|it| it as usize), Some(request.len()));
        assert_eq!(kind_of(&request), 7);
        assert_eq!(half(&request, 6), Some(NLM_F_REQUEST | DUMP));
        assert_eq!(&request[BODY..], attributes);
    }

    #[test]
    fn attributes_are_found_behind_others_and_with_flag_bits() {
        let all = all(&[(1, b"mhnat\0"), (2 | NESTED, b"nested"), (3, &[0, 0, 0, 9])]);
        assert_eq!(attribute(&all, 2), Some(&b"nested"[..]));
        assert_eq!(attribute(&all, 3).and_then(number), Some(9));
        assert_eq!(attribute(&all, 4), None);
    }

    #[test]
    fn attributes_that_are_cut_short_are_none_and_no_panic() {
        let all = all(&[(1, b"mhnat\0"), (2, b"nested")]);
        for length in 0..all.len() - 2 {
            assert_eq!(attribute(&all[..length], 2), None, "{length}");
        }
        // Lengths that are smaller than the header itself, and those that would go on for ever.
        assert_eq!(attribute(&[0, 0, 1, 0, 0, 0, 0, 0], 2), None);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }

    #[test]
    fn a_message_that_is_cut_short_is_an_error_and_the_last() {
        let whole = [message(24, &[1; 12]), message(25, &[2; 12])].concat();
        assert!(messages(&whole).all(|it| it.is_ok()));
        assert_eq!(messages(&whole).count(), 2);
        for length in (1..whole.len()).filter(|it| *it != whole.len() / 2) {
            let found: Vec<_> = messages(&whole[..length]).collect();
            assert!(found.last().unwrap().is_err(), "{length}");
            assert!(found.len() <= 2);
        }
        // Lengths of zero would go on for ever.
        assert_eq!(messages(&[0; 64]).count(), 1);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let refused = outcome(&message(NLMSG_ERROR, &(-1i32).to_ne_bytes())).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(1));
        assert!(outcome(&message(NLMSG_ERROR, &[0; 4])).is_ok());
        assert!(outcome(&message(NLMSG_ERROR, &[])).is_err());
        // A number that has no opposite.
        assert!(outcome(&message(NLMSG_ERROR, &i32::MIN.to_ne_bytes())).is_err());
    }
}
