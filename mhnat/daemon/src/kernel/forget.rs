//! Forgets tracked connections: one dump of the table through ctnetlink, and a request for each that goes
//! (linux/netfilter/nfnetlink_conntrack.h).

use std::io;

use mhnat_core::rehome::Sweep;
use netlink_sys::Socket;
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::conntrack::{self, CTA_MARK, CTA_TUPLE_ORIG, entry};
use super::{KernelError, denied, injected};
use crate::netlink::{ACK, NESTED, attributes, netfilter, outcome, push, request};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = 1 << 8 | 2;
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
    attempt(sweep).map_err(denied(what))
}

fn attempt(sweep: &Sweep) -> io::Result<u64> {
    let socket = netfilter()?;
    socket.set_cap_ack(true)?;
    let mut forgotten = 0;
    for requests in doomed(&socket, sweep)?.chunks(AT_ONCE) {
        socket.send(&requests.concat(), 0)?;
        for _ in requests {
            let mut answer = Vec::with_capacity(256);
            // The kernel has answered all before the send returned.
            socket.recv(&mut answer, MsgFlags::MSG_DONTWAIT.bits())?;
            match outcome(&answer) {
                Ok(()) => forgotten += 1,
                // It has ended by itself meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(forgotten)
}

/// The requests that delete what the sweep takes.
fn doomed(socket: &Socket, sweep: &Sweep) -> io::Result<Vec<Vec<u8>>> {
    let mut filter = Vec::new();
    if let Some((mark, mask)) = sweep.only_mark() {
        push(&mut filter, CTA_MARK, &mark.to_be_bytes());
        push(&mut filter, CTA_MARK_MASK, &mask.to_be_bytes());
    }
    let mut found = Vec::new();
    conntrack::dump(socket, &filter, &mut |family, body| {
        if entry(body).is_some_and(|entry| sweep.takes(&entry)) {
            found.push(deletion(family, body));
        }
    })?;
    Ok(found)
}

/// The request that deletes this connection, and no other that has taken its place since.
fn deletion(family: u8, body: &[u8]) -> Vec<u8> {
    let mut of_it = Vec::new();
    for (kind, value) in attributes(body) {
        match kind {
            CTA_TUPLE_ORIG => push(&mut of_it, CTA_TUPLE_ORIG | NESTED, value),
            CTA_ID | CTA_ZONE => push(&mut of_it, kind, value),
            _ => {}
        }
    }
    request(DELETE, ACK, family, &of_it)
}
