//! Many changes of rules and routes in few system calls.
//!
//! A request and its acknowledgement cost a round through the runtime each, and there may be tens of
//! thousands of prefixes. So requests are sent many to a datagram, which the kernel works off in order before
//! the send returns, and acknowledges one by one (netlink(7)).

use std::io;

use mhnat_core::converge::Step;
use mhnat_core::routing::{Route, Rule};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::{Devices, KernelError, OnError, injected, routes, rules};

/// Requests in one datagram. Their acknowledgements wait in the socket until it is sent: some 800 bytes each
/// as the kernel counts, out of the 208 KiB that a socket has by default.
/// While failures are injected it is one, so that every request fails once.
const AT_ONCE: usize = if cfg!(feature = "fault-injection") { 1 } else { 64 };

/// Room for the largest answer: an error that repeats the request.
const ANSWER: usize = 8192;

/// Does the steps in order, and says what was refused. After an error, what was sent
/// in the same datagram has been done nevertheless.
pub(super) fn execute(steps: &[Step], devices: &Devices, on_error: OnError) -> Vec<KernelError> {
    if steps.is_empty() {
        return Vec::new();
    }
    let changes: Vec<Change<'_>> = steps.iter().map(Change::of).collect();
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => return vec![KernelError::Open(error)],
    };
    let mut errors = Vec::new();
    for changes in changes.chunks(AT_ONCE) {
        match injected("change rules and routes") {
            Ok(()) => send(&socket, changes, devices, &mut errors),
            Err(error) => errors.push(error),
        }
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
enum Object<'a> {
    Rule(&'a Rule),
    Route(&'a Route),
}

#[derive(Clone, Copy)]
struct Change<'a> {
    verb: Verb,
    object: Object<'a>,
}

impl<'a> Change<'a> {
    const fn of(step: &'a Step) -> Self {
        let (verb, object) = match step {
            Step::AddRule(rule) => (Verb::Add, Object::Rule(rule)),
            Step::DeleteRule(rule) => (Verb::Delete, Object::Rule(rule)),
            Step::AddRoute(route) => (Verb::Add, Object::Route(route)),
            Step::ReplaceRoute(route) => (Verb::Replace, Object::Route(route)),
            Step::DeleteRoute(route) => (Verb::Delete, Object::Route(route)),
        };
        Self { verb, object }
    }

    fn message(&self, devices: &Devices) -> Result<NetlinkMessage<RouteNetlinkMessage>, KernelError> {
        let flags = match self.verb {
            // Where there is none: one of another program stays, and is an error.
            Verb::Add => NLM_F_CREATE | NLM_F_EXCL,
            // In the place of ours, without a moment in which there is none.
            Verb::Replace => NLM_F_CREATE | NLM_F_REPLACE,
            Verb::Delete => 0,
        };
        let payload = match (self.object, self.verb) {
            (Object::Rule(rule), Verb::Delete) => RouteNetlinkMessage::DelRule(rules::message(rule)),
            (Object::Rule(rule), _) => RouteNetlinkMessage::NewRule(rules::message(rule)),
            (Object::Route(route), Verb::Delete) => {
                RouteNetlinkMessage::DelRoute(routes::message(route, devices)?)
            }
            (Object::Route(route), _) => RouteNetlinkMessage::NewRoute(routes::message(route, devices)?),
        };
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(payload));
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        Ok(message)
    }

    fn error(&self, source: io::Error) -> KernelError {
        let verb = match self.verb {
            Verb::Add => "add",
            Verb::Replace => "replace",
            Verb::Delete => "delete",
        };
        let what = match self.object {
            Object::Rule(rule) => format!("{verb} the {} rule `{rule}`", rule.family),
            Object::Route(route)
                if matches!(self.verb, Verb::Add)
                    && source.raw_os_error().map(Errno::from_raw) == Some(Errno::EEXIST) =>
            {
                return KernelError::Taken(route.clone());
            }
            Object::Route(route) => format!("{verb} the {} route `{route}`", route.family),
        };
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
