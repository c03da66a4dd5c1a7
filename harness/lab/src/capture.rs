//! Every frame at every device, with the kernel's time stamp.
//!
//! One AF_PACKET socket a node, bound to no device: it sees all of them, and goes on to when one goes down, is
//! deleted or comes back. The sockets are opened before the first packet; frames wait in their queues until
//! [`Capture::drain`] fetches them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use harness_model::{observation::Record, packet, plan::planned_index};

use crate::{
    lab::{Lab, LabError},
    sys::{
        self,
        receive::{Arena, Frame},
    },
};

mod fence;

use fence::Fence;

/// Bytes that wait in one socket: 200,000 small frames. Memory is used only by frames that are there.
const QUEUE: libc::c_int = 64 << 20;

/// Frames are not captured, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A node could not be entered.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A node's socket was not opened.
    #[error("{node}: open a packet socket")]
    Open {
        /// The node.
        node: String,
        /// Why not.
        source: io::Error,
    },
    /// Frames could not be read.
    #[error("read captured frames")]
    Read(#[source] io::Error),
    /// The fence could not be set up or sent.
    #[error("send a fence frame through the lab's loopback device")]
    Fence(#[source] io::Error),
    /// A fence frame did not come back.
    #[error("a fence frame did not come back within {waited_ms} ms (hint: is the processor starved?)")]
    FenceLost {
        /// How long was waited.
        waited_ms: u128,
    },
    /// The kernel does not stamp frames.
    #[error("the kernel has not begun to stamp frames after {waited_ms} ms")]
    Unstamped {
        /// How long was waited.
        waited_ms: u128,
    },
}

/// The sockets that see all frames.
#[derive(Debug)]
pub struct Capture {
    /// One a node, in the order of the plan.
    sockets: Vec<OwnedFd>,
    fence: Fence,
    arena: Arena,
    lost: u64,
}

impl Capture {
    /// Starts to capture. Call it on a thread in the lab's own namespace, before there is any traffic to see.
    ///
    /// Returns when the kernel stamps frames as they arrive. Before that it stamps them as they are read, which
    /// puts them out of order.
    pub fn open(lab: &Lab) -> Result<Self, CaptureError> {
        let mut arena = Arena::new();
        let mut fence = Fence::open().map_err(CaptureError::Fence)?;
        let mut sockets = Vec::with_capacity(lab.plan().nodes.len());
        for (at, node) in lab.plan().nodes.iter().enumerate() {
            let socket = lab.in_node(at, open)?;
            sockets.push(socket.map_err(|source| CaptureError::Open { node: node.name.clone(), source })?);
        }
        fence.await_stamps(&mut arena)?;
        Ok(Self { sockets, fence, arena, lost: 0 })
    }

    /// For poll(2): readable when a node has seen a frame.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Appends a record of each frame that has been seen since the last call, in the order of their stamps, and
    /// returns how many there are. Does not block.
    pub fn drain(&mut self, records: &mut Vec<Record>) -> io::Result<usize> {
        let first = records.len();
        for (node, socket) in self.sockets.iter().enumerate() {
            self.arena.drain(socket.as_fd(), |frame| records.push(record(node, frame)))?;
        }
        records[first..].sort_by_key(|record| record.at);
        Ok(records.len() - first)
    }

    /// Waits until all that was on its way to a device when this was called has arrived, drains, and says whether
    /// there was anything new.
    ///
    /// What arrives may cause more. The network is quiet when this has returned false, as far as packets go that
    /// wait for no timer:
    ///
    /// ```ignore
    /// while capture.fence(&mut records)? {}
    /// ```
    pub fn fence(&mut self, records: &mut Vec<Record>) -> Result<bool, CaptureError> {
        self.fence.pass(&mut self.arena)?;
        let new = self.drain(records).map_err(CaptureError::Read)?;
        Ok(new > 0)
    }

    /// Fence frames that came back so far.
    pub fn fences(&self) -> u64 {
        self.fence.passed()
    }

    /// Frames that found their queue full since the capture was opened: what was seen is not all there was.
    pub fn lost(&mut self) -> io::Result<u64> {
        for socket in &self.sockets {
            self.lost += sys::packet::drops(socket.as_fd())?;
        }
        Ok(self.lost)
    }

    /// Stops. See [`crate::close`] for the cost.
    pub fn close(self) {
        crate::close(Some(self), None);
    }

    pub(crate) fn into_sockets(self) -> impl Iterator<Item = OwnedFd> {
        self.sockets.into_iter().chain([self.fence.into_socket()])
    }
}

/// A socket that sees all frames of the calling thread's namespace.
fn open() -> io::Result<OwnedFd> {
    let socket = sys::packet::socket()?;
    sys::packet::stamp(socket.as_fd())?;
    sys::packet::receive_buffer(socket.as_fd(), QUEUE)?;
    sys::packet::bind(socket.as_fd(), libc::ETH_P_ALL as u16, 0)?;
    Ok(socket)
}

fn record(node: usize, frame: Frame<'_>) -> Record {
    Record {
        at: frame.stamp,
        node,
        // A device that was restored is still the same one to whoever judges.
        device: planned_index(frame.device),
        sent: frame.kind == libc::PACKET_OUTGOING,
        overheard: frame.kind == libc::PACKET_OTHERHOST,
        packet: match frame.hardware {
            // A TUN device's packets have no header in front of IP's.
            libc::ARPHRD_NONE => packet::parse_ip(frame.bytes),
            _ => packet::parse(frame.bytes),
        },
        times: 1,
    }
}
