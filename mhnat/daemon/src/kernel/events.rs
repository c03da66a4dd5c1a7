//! What the kernel tells of its own accord: that links, addresses, rules, routes or nft tables have changed
//! (rtnetlink(7); linux/netfilter/nf_tables.h).
//!
//! An event says that it is time to look again, and no more is built upon it: one that is lost in a full socket buffer
//! says the same. So little of it is read: what tells that it cannot concern us, and how a link is, so that what follows
//! from that need not wait for the look.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use mhnat_core::routing::PROTOCOL;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{AsyncSocket as _, TokioSocket};
use nix::sys::socket::MsgFlags;

use super::KernelError;
use super::links::{LinkNews, news};
use crate::netlink::{HEADER, NFT_GROUP, kind_of, messages, subscribe};
use crate::nft::is_about_ours;

/// Groups of rtnetlink (linux/rtnetlink.h): links, addresses, routes, rules and settings of both families. Of settings
/// the kernel tells those that are about forwarding and reverse paths, which are ours.
const ROUTE_GROUPS: [u32; 9] = [
    1,  // RTNLGRP_LINK
    5,  // RTNLGRP_IPV4_IFADDR
    7,  // RTNLGRP_IPV4_ROUTE
    8,  // RTNLGRP_IPV4_RULE
    9,  // RTNLGRP_IPV6_IFADDR
    11, // RTNLGRP_IPV6_ROUTE
    19, // RTNLGRP_IPV6_RULE
    24, // RTNLGRP_IPV4_NETCONF
    25, // RTNLGRP_IPV6_NETCONF
];

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// Room for a datagram of events, in bytes: the kernel sends each object in one of its own.
const DATAGRAM: usize = 32 << 10;

/// What has happened since it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// Something about links, addresses, rules or routes that may concern us.
    network: bool,
    /// Something in a table of ours, by whomever.
    pub(crate) tables: bool,
    /// Something about addresses, or perhaps.
    pub(crate) addresses: bool,
    /// How links have become, in the order of events.
    pub(crate) links: Vec<LinkNews>,
}

impl Happened {
    fn of_network(&mut self, message: &[u8]) {
        self.network |= may_concern_us(message);
        self.addresses |= matches!(kind_of(message), RTM_NEWADDR | RTM_DELADDR);
        self.links.extend(news(message));
    }

    fn of_tables(&mut self, message: &[u8]) {
        self.tables |= is_about_ours(message);
    }

    /// What was lost on the way may have been about anything.
    fn lack(&mut self, of_network: bool, of_tables: bool) {
        self.network |= of_network;
        self.addresses |= of_network;
        self.tables |= of_tables;
    }
}

/// Both subscriptions, for the network namespace of the process.
pub(crate) struct Events {
    route: Subscription,
    nft: Subscription,
}

impl Events {
    /// From now on, nothing is missed.
    pub(crate) fn subscribe() -> Result<Self, KernelError> {
        let open = |protocol, groups| Subscription::open(protocol, groups).map_err(KernelError::Open);
        Ok(Self { route: open(NETLINK_ROUTE, &ROUTE_GROUPS)?, nft: open(NETLINK_NETFILTER, &[NFT_GROUP])? })
    }

    /// Waits until something has happened, and gives all that has by then.
    pub(crate) async fn next(&mut self) -> Happened {
        let mut happened = Happened::default();
        while !(happened.network || happened.tables) {
            let Self { route, nft } = &mut *self;
            poll_fn(|context| {
                let network = route.poll(context, &mut |message| happened.of_network(message));
                let tables = nft.poll(context, &mut |message| happened.of_tables(message));
                happened.lack(network == Poll::Ready(Heard::Part), tables == Poll::Ready(Heard::Part));
                if network.is_pending() && tables.is_pending() { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            self.hear(&mut happened);
        }
        happened
    }

    /// All that has happened by now.
    pub(crate) fn so_far(&self) -> Happened {
        let mut happened = Happened::default();
        self.hear(&mut happened);
        happened
    }

    fn hear(&self, happened: &mut Happened) {
        let network = self.route.drain(&mut |message| happened.of_network(message));
        let tables = self.nft.drain(&mut |message| happened.of_tables(message));
        happened.lack(network == Heard::Part, tables == Heard::Part);
    }

    /// Takes what has come of the tables until now for known.
    pub(crate) fn forget_tables(&self) {
        self.nft.drain(&mut |_| {});
    }
}

/// Whether nothing was lost on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    All,
    Part,
}

/// A socket that has joined groups.
struct Subscription {
    socket: TokioSocket,
}

impl Subscription {
    fn open(protocol: isize, groups: &[u32]) -> io::Result<Self> {
        Ok(Self { socket: subscribe(protocol, groups)? })
    }

    /// Reads one datagram when there is one, and hands over its messages.
    fn poll(&mut self, context: &mut Context<'_>, each: &mut dyn FnMut(&[u8])) -> Poll<Heard> {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let outcome = self.socket.poll_recv(context, &mut datagram);
        outcome.map(|outcome| read(outcome.map(|()| datagram), each).0)
    }

    /// Reads all that has come, and hands over its messages.
    fn drain(&self, each: &mut dyn FnMut(&[u8])) -> Heard {
        let mut all = Heard::All;
        loop {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            let outcome = self.socket.socket_ref().recv(&mut datagram, MsgFlags::MSG_DONTWAIT.bits());
            let (heard, more) = read(outcome.map(|_| datagram), each);
            if heard == Heard::Part {
                all = Heard::Part;
            }
            if !more {
                return all;
            }
        }
    }
}

/// Hands over the messages of what was received, and says whether there may be more.
fn read(outcome: io::Result<Vec<u8>>, each: &mut dyn FnMut(&[u8])) -> (Heard, bool) {
    match outcome {
        Ok(datagram) => {
            messages(&datagram).map_while(Result::ok).for_each(each);
            (Heard::All, true)
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => (Heard::All, false),
            io::ErrorKind::Interrupted => (Heard::All, true),
            // ENOBUFS: the buffer was full. No other error is known.
            _ => (Heard::Part, error.raw_os_error() == Some(libc::ENOBUFS)),
        },
    }
}

/// Of routes, which on some hosts come and go by the thousand, only ours and default routes count.
fn may_concern_us(message: &[u8]) -> bool {
    if !matches!(kind_of(message), RTM_NEWROUTE | RTM_DELROUTE) {
        return true;
    }
    // struct rtmsg: family, dst_len, src_len, tos, table, protocol.
    match message.get(HEADER..) {
        Some([_, length, _, _, _, protocol, ..]) => *length == 0 || *protocol == PROTOCOL,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        out[4..6].copy_from_slice(&kind.to_ne_bytes());
        out.extend(body);
        out
    }

    fn route(length: u8, protocol: u8) -> Vec<u8> {
        message(RTM_NEWROUTE, &[2, length, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0])
    }

    #[test]
    fn routes_of_others_do_not_count_unless_they_are_default_routes() {
        assert!(!may_concern_us(&route(24, 186)));
        assert!(may_concern_us(&route(0, 186)));
        assert!(may_concern_us(&route(24, PROTOCOL)));
        assert!(may_concern_us(&message(16, &[0; 16])));
    }
}
