//! Forgets tracked connections: one dump of the table through ctnetlink, and a request for each that goes
//! (linux/netfilter/nfnetlink_conntrack.h).

use std::io;

use mhnat_core::explain::Entry;
use mhnat_core::rehome::Sweep;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::conntrack::{
    CTA_MARK, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, HEADERS, NLA_F_NESTED, attribute, attributes, entry,
};
use super::{KernelError, injected};

/// `NFNL_SUBSYS_CTNETLINK << 8` and `IPCTNL_MSG_CT_GET` or `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_MARK_MASK: u16 = 21;

/// Requests in one datagram, whose acknowledgements fit into the socket's buffer.
const AT_ONCE: usize = 64;

/// Forgets the connections of the sweep, and says how many they were.
pub(super) fn forget(sweep: &Sweep) -> Result<u64, KernelError> {
    if sweep.is_empty() {
        return Ok(0);
    }
    let what = "forget the connections of an uplink";
    injected(what)?;
    attempt(sweep).map_err(|source| KernelError::Refused { what: what.to_owned(), source })
}

fn attempt(sweep: &Sweep) -> io::Result<u64> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_cap_ack(true)?;
    let doomed = doomed(&socket, sweep)?;
    let mut forgotten = 0;
    for requests in doomed.chunks(AT_ONCE) {
        socket.send(&requests.concat(), 0)?;
        for _ in requests {
            let mut answer = Vec::with_capacity(256);
            // The kernel has answered all before the send returned.
            socket.recv(&mut answer, MsgFlags::MSG_DONTWAIT.bits())?;
            match code(&answer) {
                Some(0) => forgotten += 1,
                // It has ended by itself meanwhile.
                Some(code) if Errno::from_raw(-code) == Errno::ENOENT => {}
                Some(code) => return Err(io::Error::from_raw_os_error(-code)),
                None => return Err(malformed()),
            }
        }
    }
    Ok(forgotten)
}

/// The requests that delete what the sweep takes.
fn doomed(socket: &Socket, sweep: &Sweep) -> io::Result<Vec<Vec<u8>>> {
    let mut filter = Vec::new();
    if let Some((mark, mask)) = sweep.only_mark() {
        attribute(&mut filter, CTA_MARK, &mark.to_be_bytes());
        attribute(&mut filter, CTA_MARK_MASK, &mask.to_be_bytes());
    }
    socket.send(&request(GET, NLM_F_DUMP, 0, &filter), 0)?;
    let mut found = Vec::new();
    let mut datagram = Vec::with_capacity(64 << 10);
    loop {
        datagram.clear();
        socket.recv(&mut datagram, 0)?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let length = rest.first_chunk().map_or(0, |it| u32::from_ne_bytes(*it)) as usize;
            let message = rest.get(..length).filter(|it| it.len() >= HEADERS).ok_or_else(malformed)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            match u16::from_ne_bytes([message[4], message[5]]) {
                NLMSG_DONE => return Ok(found),
                NLMSG_ERROR => match code(message) {
                    Some(0) => return Ok(found),
                    Some(code) => return Err(io::Error::from_raw_os_error(-code)),
                    None => return Err(malformed()),
                },
                _ => found.extend(deletion(message, |entry| sweep.takes(entry))),
            }
        }
    }
}

/// The request that deletes the connection of this message, and no other that has taken its place since.
fn deletion(message: &[u8], takes: impl Fn(&Entry) -> bool) -> Option<Vec<u8>> {
    let body = message.get(HEADERS..)?;
    let entry = entry(body)?;
    if !takes(&entry) {
        return None;
    }
    let mut attributes_of_it = Vec::new();
    for (kind, value) in attributes(body) {
        match kind {
            CTA_TUPLE_ORIG => attribute(&mut attributes_of_it, CTA_TUPLE_ORIG | NLA_F_NESTED, value),
            CTA_TUPLE_REPLY => {}
            CTA_ID | CTA_ZONE => attribute(&mut attributes_of_it, kind, value),
            _ => {}
        }
    }
    Some(request(DELETE, NLM_F_ACK, message[HEADERS - 4], &attributes_of_it))
}

fn request(kind: u16, flags: u16, family: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADERS + body.len());
    out.extend(u32::try_from(HEADERS + body.len()).unwrap_or(u32::MAX).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, 0, 0, 0]);
    out.extend(body);
    out
}

/// The number in an acknowledgement.
fn code(message: &[u8]) -> Option<i32> {
    message.get(16..)?.first_chunk().map(|it| i32::from_ne_bytes(*it))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer of ctnetlink makes no sense")
}
