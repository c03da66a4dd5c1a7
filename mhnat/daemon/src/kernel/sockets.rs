//! Closes TCP sockets of this host, so that whoever waits there is told at once: sock_diag(7), and `SOCK_DESTROY` of
//! linux/sock_diag.h, for which the kernel needs `CONFIG_INET_DIAG_DESTROY`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mhnat_core::explain::{Endpoint, Protocol, Tuple};
use mhnat_core::rehome::Sweep;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use super::{KernelError, conntrack, denied, injected};
use crate::netlink::{ACK, DUMP, HEADER, begun, converse};

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY`.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;

/// `IPPROTO_TCP`.
const TCP: u8 = 6;

/// `TCP_ESTABLISHED`, `TCP_SYN_SENT`, `TCP_FIN_WAIT1` and `TCP_CLOSE_WAIT` of net/tcp_states.h as bits: whoever has such a
/// socket may wait for something.
const WAITING: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8;

/// Bytes of `struct inet_diag_sockid`, and where it begins in `struct inet_diag_msg`.
const ID: usize = 48;
const ID_AT: usize = 4;

/// Bytes of `struct inet_diag_req_v2`.
const REQUEST: usize = 8 + ID;

/// A socket: its family as it was opened, and by what the kernel knows it.
struct Found {
    family: u8,
    id: [u8; ID],
    tuple: Tuple,
}

/// Closes what this host has opened from addresses that the sweep names, and says how many they were.
pub(super) fn close(sweep: &Sweep) -> Result<u64, KernelError> {
    if !sweep.closes_any() {
        return Ok(0);
    }
    let what = "close sockets of a lost uplink";
    injected(what)?;
    let diag = open().map_err(denied(what))?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        list(&diag, u8::try_from(family).unwrap_or_default(), sweep, &mut found).map_err(denied(what))?;
    }
    let mut closed = 0;
    for socket in found {
        // Whoever asked an address of this host knows that address, and may wait for it to be back.
        let opened_here = conntrack::find(socket.tuple, Protocol::Tcp)?
            .is_some_and(|entry| entry.original.source == socket.tuple.source);
        if !opened_here {
            continue;
        }
        match converse(&diag, &request(DESTROY, ACK, socket.family, WAITING, &socket.id), false, &mut |_| {})
        {
            Ok(()) => closed += 1,
            // It has ended by itself meanwhile.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            Err(error) => return Err(denied(what)(error)),
        }
    }
    Ok(closed)
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn list(diag: &Socket, family: u8, sweep: &Sweep, found: &mut Vec<Found>) -> io::Result<()> {
    let outcome =
        converse(diag, &request(BY_FAMILY, DUMP, family, WAITING, &[0; ID]), true, &mut |message| {
            let body = message.get(HEADER..).unwrap_or_default();
            found.extend(
                socket(body).filter(|it| sweep.closes(it.tuple.source.address, it.tuple.destination.address)),
            );
        });
    match outcome {
        // A kernel without that family.
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
        other => other,
    }
}

fn request(kind: u16, flags: u16, family: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    let mut out = begun(kind, flags, REQUEST);
    // Family, protocol, no extensions, padding.
    out.extend([family, TCP, 0, 0]);
    out.extend(states.to_ne_bytes());
    out.extend(id);
    out
}

/// The socket that a `struct inet_diag_msg` tells of.
fn socket(body: &[u8]) -> Option<Found> {
    let family = *body.first()?;
    let id: [u8; ID] = *body.get(ID_AT..)?.first_chunk()?;
    // Ports in network byte order, both addresses in 16 bytes each, the device, a cookie.
    let port = |at: usize| Some(u16::from_be_bytes(*id.get(at..)?.first_chunk()?));
    let address = |at: usize| {
        let bytes: [u8; 16] = *id.get(at..)?.first_chunk()?;
        Some(if i32::from(family) == libc::AF_INET {
            let [a, b, c, d, ..] = bytes;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            // A socket for both families has IPv4 addresses in the form of IPv6.
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        })
    };
    let end =
        |at: usize, port_at: usize| Some(Endpoint { address: address(at)?, port: Some(port(port_at)?) });
    let tuple = Tuple { source: end(4, 0)?, destination: end(20, 2)? };
    Some(Found { family, id, tuple })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_read_with_its_ends() {
        let mut body = vec![0; 72];
        body[0] = 10;
        body[4..8].copy_from_slice(&[0x13, 0x88, 0, 80]);
        body[8..24].copy_from_slice(&"::ffff:198.51.100.2".parse::<Ipv6Addr>().unwrap().octets());
        body[24..40].copy_from_slice(&"2001:db8::80".parse::<Ipv6Addr>().unwrap().octets());
        let found = socket(&body).unwrap();
        let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port: Some(port) };
        let expected = Tuple { source: end("198.51.100.2", 5000), destination: end("2001:db8::80", 80) };
        assert_eq!(found.tuple, expected);
        assert_eq!(found.id[..], body[4..52]);
        for length in 0..52 {
            assert!(socket(&body[..length]).is_none(), "{length}");
        }
    }
}
