//! Many route changes in few system calls.
//!
//! A request and its acknowledgement cost a round through the runtime each, and there may be tens of
//! thousands of prefixes. So requests are sent many to a datagram, which the kernel works off in order before
//! the send returns, and acknowledges one by one (netlink(7)).

use std::io;

use mhnat_core::converge::Step;
use mhnat_core::routing::Route;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::{Devices, KernelError, OnError, routes};

/// Requests in one datagram. Their acknowledgements wait in the socket until it is sent: some 800 bytes each
/// as the kernel counts, out of the 208 KiB that a socket has by default.
const AT_ONCE: usize = 64;

/// Room for the largest answer: an error that repeats the request.
const ANSWER: usize = 8192;

/// Does the steps that are about routes, in order, and says what was refused. After an error, what was sent
/// in the same datagram has been done nevertheless.
pub(super) fn execute(steps: &[Step], devices: &Devices, on_error: OnError) -> Vec<KernelError> {
    let changes: Vec<Change<'_>> = steps.iter().filter_map(Change::of).collect();
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => return vec![KernelError::Open(error)],
    };
    let mut errors = Vec::new();
    for changes in changes.chunks(AT_ONCE) {
        send(&socket, changes, devices, &mut errors);
        if !errors.is_empty() && on_error == OnError::Stop {
            break;
        }
    }
    errors
}

#[derive(Clone, Copy)]
enum Verb {
    Add,
    Replace,
    Delete,
}

#[derive(Clone, Copy)]
struct Change<'a> {
    verb: Verb,
    route: &'a Route,
}

impl<'a> Change<'a> {
    const fn of(step: &'a Step) -> Option<Self> {
        let (verb, route) = match step {
            Step::AddRoute(route) => (Verb::Add, route),
            Step::ReplaceRoute(route) => (Verb::Replace, route),
            Step::DeleteRoute(route) => (Verb::Delete, route),
            Step::AddRule(_) | Step::DeleteRule(_) => return None,
        };
        Some(Self { verb, route })
    }

    fn message(&self, devices: &Devices) -> Result<NetlinkMessage<RouteNetlinkMessage>, KernelError> {
        let route = routes::message(self.route, devices)?;
        let (payload, flags) = match self.verb {
            // Where there is none: one of another program stays, and is an error.
            Verb::Add => (RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL),
            // In the place of ours, without a moment in which there is none.
            Verb::Replace => (RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE),
            Verb::Delete => (RouteNetlinkMessage::DelRoute(route), 0),
        };
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(payload));
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        Ok(message)
    }

    fn error(&self, source: io::Error) -> KernelError {
        let verb = match self.verb {
            Verb::Add if source.raw_os_error().map(Errno::from_raw) == Some(Errno::EEXIST) => {
                return KernelError::Taken(self.route.clone());
            }
            Verb::Add => "add",
            Verb::Replace => "replace",
            Verb::Delete => "delete",
        };
        let what = format!("{verb} the {} route `{}`", self.route.family, self.route);
        KernelError::Refused { what, source }
    }
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Acknowledgements without the request that they are for.
    socket.set_cap_ack(true)?;
    Ok(socket)
}

fn send(socket: &Socket, changes: &[Change<'_>], devices: &Devices, errors: &mut Vec<KernelError>) {
    let mut datagram = Vec::new();
    let mut sent: Vec<Change<'_>> = Vec::new();
    for change in changes {
        let mut message = match change.message(devices) {
            Ok(message) => message,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        sent.push(*change);
        message.header.sequence_number = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        message.finalize();
        let start = datagram.len();
        datagram.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut datagram[start..]);
    }
    if let (Some(first), Err(error)) = (sent.first(), socket.send(&datagram, 0)) {
        errors.push(first.error(error));
        return;
    }
    let mut waiting = sent.len();
    while waiting > 0 {
        let mut answers = Vec::with_capacity(ANSWER);
        // They are all there: the kernel has answered before the send returned.
        if let Err(error) = socket.recv(&mut answers, MsgFlags::MSG_DONTWAIT.bits()) {
            if let Some(last) = sent.last() {
                errors.push(last.error(error));
            }
            return;
        }
        let mut rest = answers.as_slice();
        while let Ok(answer) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
            let length = usize::try_from(answer.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            waiting = waiting.saturating_sub(1);
            let place = usize::try_from(answer.header.sequence_number).unwrap_or(usize::MAX);
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
                && let Some(change) = sent.get(place.wrapping_sub(1))
            {
                errors.push(change.error(error.to_io()));
            }
        }
    }
}
