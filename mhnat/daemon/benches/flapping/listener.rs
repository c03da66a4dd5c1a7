//! When the kernel has last changed anything.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};

use crate::workload::{Error, inside};

/// Hears what the kernel tells in a namespace.
pub(crate) struct Listener {
    route: OwnedFd,
    nft: OwnedFd,
}

/// `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV4_RULE` (linux/rtnetlink.h).
const ROUTE_GROUPS: u32 = 0x40 | 0x80;
/// `NFNLGRP_NFTABLES` as a bit (linux/netfilter/nfnetlink.h).
const NFT_GROUPS: u32 = 1 << 6;

impl Listener {
    pub(crate) fn new(namespace: &str) -> Result<Self, Error> {
        let open = |protocol, groups| -> nix::Result<OwnedFd> {
            let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_NONBLOCK, protocol)?;
            setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20))?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            Ok(socket)
        };
        inside(namespace, || -> nix::Result<Self> {
            Ok(Self {
                route: open(SockProtocol::NetlinkRoute, ROUTE_GROUPS)?,
                nft: open(SockProtocol::NetlinkNetFilter, NFT_GROUPS)?,
            })
        })
    }

    /// Takes what has come; whether anything has.
    pub(crate) fn drain(&self) -> Result<bool, Error> {
        let mut any = false;
        for socket in [&self.route, &self.nft] {
            while arrived(socket)? {
                any = true;
            }
        }
        Ok(any)
    }

    /// When anything has changed last before `done` returns.
    pub(crate) fn follow(&self, done: impl FnOnce() -> Result<(), Error>) -> Result<Instant, Error> {
        let finished = AtomicBool::new(false);
        let heard = thread::scope(|scope| {
            let listening = scope.spawn(|| self.listen(&finished).map_err(|error| error.to_string()));
            let outcome = done();
            finished.store(true, Ordering::Release);
            let heard = listening.join().map_err(|_| "the thread panicked")??;
            outcome.map(|()| heard)
        })?;
        heard.ok_or_else(|| "nothing has changed".into())
    }

    fn listen(&self, finished: &AtomicBool) -> Result<Option<Instant>, Error> {
        let mut committed = None;
        loop {
            let last = finished.load(Ordering::Acquire);
            let mut ready =
                [&self.route, &self.nft].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            poll(&mut ready, PollTimeout::from(1u8))?;
            let now = Instant::now();
            if self.drain()? {
                committed = Some(now);
            }
            if last {
                return Ok(committed);
            }
        }
    }
}

/// Takes the next message, if there is one.
fn arrived(socket: &OwnedFd) -> Result<bool, Error> {
    let mut message = [0; 4096];
    match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
