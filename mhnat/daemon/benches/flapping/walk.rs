//! What the kernel needs to pass over the table of tracked connections once.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

use crate::workload::{Error, inside};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE` (linux/netfilter/nfnetlink_conntrack.h).
const DELETE: u16 = 1 << 8 | 2;
/// `NLM_F_REQUEST | NLM_F_ACK` (linux/netlink.h).
const FLAGS: u16 = 0x1 | 0x4;
const CTA_MARK: u16 = 8;
const CTA_MARK_MASK: u16 = 21;
/// Where an answer has its outcome: behind `struct nlmsghdr`.
const OUTCOME: std::ops::Range<usize> = 16..20;

/// A request to forget all connections of a mark that none has.
pub(crate) struct Walk {
    socket: OwnedFd,
    request: Vec<u8>,
}

impl Walk {
    pub(crate) fn new(namespace: &str) -> Result<Self, Error> {
        let open = || -> nix::Result<OwnedFd> {
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::empty(),
                SockProtocol::NetlinkNetFilter,
            )?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = inside(namespace, open)?;
        let mut request = Vec::new();
        request.extend(36_u32.to_ne_bytes());
        request.extend(DELETE.to_ne_bytes());
        request.extend(FLAGS.to_ne_bytes());
        // Sequence and port; family, version and resource of `struct nfgenmsg`.
        request.extend([0; 8 + 4]);
        for kind in [CTA_MARK, CTA_MARK_MASK] {
            request.extend(8_u16.to_ne_bytes());
            request.extend(kind.to_ne_bytes());
            request.extend([0xff; 4]);
        }
        Ok(Self { socket, request })
    }

    /// How long it takes.
    pub(crate) fn took(&self) -> Result<Duration, Error> {
        let begun = Instant::now();
        send(self.socket.as_raw_fd(), &self.request, MsgFlags::empty())?;
        let mut answer = [0; 256];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let took = begun.elapsed();
        let outcome = answer.get(..length).and_then(|it| it.get(OUTCOME)).ok_or("an answer is cut short")?;
        match i32::from_ne_bytes(outcome.try_into()?) {
            0 => Ok(took),
            error => Err(io::Error::from_raw_os_error(-error).into()),
        }
    }
}
