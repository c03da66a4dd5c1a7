//! Entries of a node as they come and go.
//!
//! The kernel tells of each to whoever has joined the groups of ctnetlink, from the moment on that it joins. It sends within
//! the call, or the packet, that made or ended the entry: what a fence has waited for has been told.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use harness_model::{observation::EntryEvent, scenario::EntryChange};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use super::parse_entry;
use crate::{
    lab::{Lab, LabError},
    netlink::Netlink,
    sys,
};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`.
const NEW: u16 = 1 << 8;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = 1 << 8 | 2;
/// `NFNLGRP_CONNTRACK_NEW` and `NFNLGRP_CONNTRACK_DESTROY`. See linux/netfilter/nfnetlink_compat.h.
const GROUPS: [u32; 2] = [1, 3];
/// Bytes that wait in the socket: tens of thousands of events.
const QUEUE: libc::c_int = 32 << 20;

/// A node's entries from now on, as they come and go.
#[derive(Debug)]
pub struct Events {
    node: String,
    socket: Netlink,
}

impl Lab {
    /// Begins to listen for entries that come and go at a node. The kernel tells of entries that come after this; whether
    /// of the end of older ones depends on its version.
    pub fn conntrack_events(&self, node: usize) -> Result<Events, LabError> {
        let name = self.plan().nodes.get(node).map_or_else(String::new, |node| node.name.clone());
        let open = || -> io::Result<Netlink> {
            let mut socket = Netlink::open(NETLINK_NETFILTER)?;
            sys::packet::receive_buffer(socket.as_fd(), QUEUE)?;
            for group in GROUPS {
                socket.join(group)?;
            }
            Ok(socket)
        };
        let opened = self.in_node(node, open)?;
        let what = "conntrack events";
        let socket = opened.map_err(|source| LabError::Read { node: name.clone(), what, source })?;
        Ok(Events { node: name, socket })
    }
}

impl Events {
    /// Appends what has come and gone since the last call, in the order of time. Does not block.
    ///
    /// # Errors
    /// If more happened than the socket could hold, among others: what is there then is not all.
    pub fn drain(&mut self, events: &mut Vec<EntryEvent>) -> Result<(), LabError> {
        let read = self.socket.drain(|kind, payload| {
            let change = match kind {
                NEW => EntryChange::Created,
                DELETE => EntryChange::Destroyed,
                _ => return,
            };
            events.extend(parse_entry(payload).map(|entry| EntryEvent { change, entry }));
        });
        read.map_err(|source| LabError::Read {
            node: self.node.clone(),
            what: match source.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOBUFS) => {
                    "conntrack events, of which there were more than the socket could hold"
                }
                _ => "conntrack events",
            },
            source,
        })
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
