//! One rtnetlink socket, spoken to in batches.
//!
//! Many requests go out in one sendto(2), and only the last asks for an acknowledgement: the kernel works through
//! them in order, and reports each failure even if nobody asked (netlink_rcv_skb in net/netlink/af_netlink.c).
//! A socket stays in the namespace in which it was made, whatever its thread does later.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NlasIterator, parse_i32, parse_string,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;

/// Bytes in one sendto(2): well below the send buffer (212,992 bytes by default), beyond which is EMSGSIZE.
const CHUNK: usize = 32 * 1024;
/// Bytes of a message's header. See netlink(7).
const HEADER: usize = 16;
/// Where its flags are.
const FLAGS: usize = 6;
/// Attribute of an extended acknowledgement that holds the kernel's own words, `NLMSGERR_ATTR_MSG`.
const ATTRIBUTE_TEXT: u16 = 1;

/// A request that the kernel refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// What was asked for, in words.
    pub(crate) what: String,
    /// Why not.
    pub(crate) errno: Errno,
    /// Why not, in the kernel's own words, if it had any.
    pub(crate) text: Option<String>,
}

/// Requests to be sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    requests: Vec<(RouteNetlinkMessage, u16, String)>,
}

impl Batch {
    /// Adds a request, its flags, and what it does, in words for an error.
    pub(crate) fn push(&mut self, message: RouteNetlinkMessage, flags: u16, what: impl Into<String>) {
        self.requests.push((message, flags, what.into()));
    }
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

/// One message from the kernel, undecoded.
struct Reply<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Netlink {
    /// An rtnetlink socket of the calling thread's network namespace.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(NETLINK_ROUTE)
    }

    /// A socket of another netlink family.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        // Acknowledgements without a copy of the request, but with an explanation: as little to read as possible.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Self { socket, sequence: 0, outgoing: Vec::new(), incoming: Vec::new() })
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends a batch, and returns the first refusal. Requests after a refused one have been executed all the same.
    pub(crate) fn send(&mut self, batch: Batch) -> Result<(), Refusal> {
        let mut requests = batch.requests.into_iter().peekable();
        while requests.peek().is_some() {
            self.outgoing.clear();
            let mut whats = Vec::new();
            let first = self.sequence + 1;
            let mut last = 0;
            while self.outgoing.len() < CHUNK
                && let Some((message, flags, what)) = requests.next()
            {
                last = self.outgoing.len();
                self.append(message, flags);
                whats.push(what);
            }
            let flags = &mut self.outgoing[last + FLAGS..last + FLAGS + 2];
            flags.copy_from_slice(&(u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK).to_ne_bytes());
            self.exchange(first, &whats)?;
        }
        Ok(())
    }

    fn append(&mut self, message: RouteNetlinkMessage, flags: u16) {
        let mut message = NetlinkMessage::from(message);
        self.sequence += 1;
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = self.outgoing.len();
        self.outgoing.resize(start + message.buffer_len(), 0);
        message.serialize(&mut self.outgoing[start..]);
    }

    /// Sends what has been appended, and reads until the last request's acknowledgement.
    fn exchange(&mut self, first: u32, whats: &[String]) -> Result<(), Refusal> {
        let refuse = |error: &io::Error, what: &str| Refusal {
            what: what.to_owned(),
            errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
            text: None,
        };
        self.socket
            .send_to(&self.outgoing, &SocketAddr::new(0, 0), 0)
            .map_err(|error| refuse(&error, whats.first().map_or("", String::as_str)))?;
        let mut refused = None;
        let mut done = false;
        let last = self.sequence;
        while !done {
            self.read(|reply| {
                if reply.kind != libc::NLMSG_ERROR as u16 {
                    return;
                }
                done |= reply.sequence == last;
                let errno = reply.payload.get(..4).and_then(|code| parse_i32(code).ok()).unwrap_or(0);
                if errno != 0 && refused.is_none() {
                    let what = reply.sequence.checked_sub(first).and_then(|at| whats.get(at as usize));
                    refused = Some(Refusal {
                        what: what.cloned().unwrap_or_default(),
                        errno: Errno::from_raw(-errno),
                        text: explanation(reply.payload),
                    });
                }
            })
            .map_err(|error| refuse(&error, whats.last().map_or("", String::as_str)))?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Asks for single objects in one batch and hands each answer's type and payload to `each`.
    ///
    /// Returns the first failure after all answers have come.
    pub(crate) fn get(
        &mut self,
        messages: impl IntoIterator<Item = RouteNetlinkMessage>,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.outgoing.clear();
        let before = self.sequence;
        for message in messages {
            self.append(message, 0);
        }
        let mut missing = self.sequence - before;
        if missing == 0 {
            return Ok(());
        }
        self.socket.send_to(&self.outgoing, &SocketAddr::new(0, 0), 0)?;
        let mut failed = None;
        while missing > 0 {
            self.read(|reply| {
                if reply.sequence <= before {
                    return;
                }
                missing -= 1;
                if reply.kind == libc::NLMSG_ERROR as u16 {
                    failed = failed.or_else(|| reply.payload.get(..4).and_then(|code| parse_i32(code).ok()));
                } else {
                    each(reply.payload);
                }
            })?;
        }
        failed.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(-errno)))
    }

    /// Dumps a table: `kind` is the request's type, `body` the header of its family. Hands each payload to `each`.
    pub(crate) fn dump(&mut self, kind: u16, body: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.sequence += 1;
        let sequence = self.sequence;
        self.outgoing.clear();
        self.outgoing.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        self.outgoing.extend(kind.to_ne_bytes());
        self.outgoing.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        self.outgoing.extend(sequence.to_ne_bytes());
        self.outgoing.extend([0; 4]);
        self.outgoing.extend(body);
        self.socket.send_to(&self.outgoing, &SocketAddr::new(0, 0), 0)?;
        let mut end = None;
        while end.is_none() {
            self.read(|reply| match libc::c_int::from(reply.kind) {
                _ if reply.sequence != sequence => {}
                libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                    end = Some(reply.payload.get(..4).and_then(|code| parse_i32(code).ok()).unwrap_or(0));
                }
                _ => each(reply.payload),
            })?;
        }
        match end {
            Some(errno) if errno < 0 => Err(io::Error::from_raw_os_error(-errno)),
            _ => Ok(()),
        }
    }

    /// Joins a multicast group: from now on, its messages wait in the socket.
    pub(crate) fn join(&mut self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Reads what waits, without blocking, and hands the type and payload of each message to `each`.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        loop {
            match self.receive(libc::MSG_DONTWAIT, |reply| each(reply.kind, reply.payload)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                result => result?,
            }
        }
    }

    /// Waits for one datagram and hands each message in it to `each`.
    fn read(&mut self, each: impl FnMut(Reply<'_>)) -> io::Result<()> {
        self.receive(0, each)
    }

    /// Reads one datagram and hands each message in it to `each`.
    fn receive(&mut self, flags: libc::c_int, mut each: impl FnMut(Reply<'_>)) -> io::Result<()> {
        // The kernel fills at most 32 KiB of a dump into a datagram (netlink_dump), and never cuts a message.
        self.incoming.clear();
        self.incoming.reserve(CHUNK);
        self.socket.recv_from(&mut self.incoming, flags)?;
        let mut rest = self.incoming.as_slice();
        while let Some((header, _)) = rest.split_at_checked(HEADER) {
            let word =
                |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let length = word(0) as usize;
            let Some(payload) = rest.get(HEADER..length) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink: a message is cut short"));
            };
            let kind = u16::from_ne_bytes([header[4], header[5]]);
            each(Reply { kind, sequence: word(8), payload });
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The kernel's words in an extended acknowledgement: behind the error's number and the request's header.
fn explanation(payload: &[u8]) -> Option<String> {
    NlasIterator::new(payload.get(4 + HEADER..)?)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == ATTRIBUTE_TEXT)
        .and_then(|attribute| parse_string(attribute.value()).ok())
}
