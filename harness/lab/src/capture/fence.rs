//! The marked frame that arrives after all others.
//!
//! A frame that leaves a veth pair, or the loopback device, waits in the receiving processor's backlog, which is one
//! queue for all devices of all namespaces (`softnet_data.input_pkt_queue`, enqueue_to_backlog in net/core/dev.c),
//! first in, first out. The lab runs on one processor: so a frame through the loopback device of its own namespace
//! is behind everything that was sent before, wherever that is, and depends on none of the scenario's links.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::CaptureError;
use crate::{
    lab::LOOPBACK,
    sys::{self, receive::Arena},
};

/// IEEE 802's local experimental EtherType 1.
const ETHERTYPE: u16 = 0x88b5;
/// Bytes of an Ethernet header.
const HEADER: usize = 14;
/// How long a frame may take. It takes microseconds; the rest is for a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(5);
/// Frames, one after another, of one fence.
///
/// A frame that crosses a switch waits in the backlog twice without being seen in between: when it enters the bridge
/// and when it leaves. It is behind the first fence frame the second time, but before the second one. Some to spare.
const ROUNDS: usize = 4;

#[derive(Debug)]
pub(super) struct Fence {
    /// Sends and receives; bound to the loopback device and the fence's own EtherType.
    socket: OwnedFd,
    sequence: u64,
    passed: u64,
}

impl Fence {
    /// In the calling thread's namespace, whose loopback device must be up.
    pub(super) fn open() -> io::Result<Self> {
        let socket = sys::packet::socket()?;
        sys::packet::stamp(socket.as_fd())?;
        sys::packet::bind(socket.as_fd(), ETHERTYPE, LOOPBACK)?;
        Ok(Self { socket, sequence: 0, passed: 0 })
    }

    /// Returns when everything that was on its way has arrived.
    pub(super) fn pass(&mut self, arena: &mut Arena) -> Result<(), CaptureError> {
        for _ in 0..ROUNDS {
            self.send_and_await(arena)?;
        }
        Ok(())
    }

    /// Returns when the kernel stamps frames on arrival: until then a frame's stamp is the time at which it is read
    /// (__sock_recv_timestamp in net/socket.c), which is after any time that was taken before the reading.
    pub(super) fn await_stamps(&mut self, arena: &mut Arena) -> Result<(), CaptureError> {
        let start = Instant::now();
        while !self.send_and_await(arena)? {
            let waited = start.elapsed();
            if waited > PATIENCE {
                return Err(CaptureError::Unstamped { waited_ms: waited.as_millis() });
            }
            // A worker on this processor is about to switch the stamps on: let it.
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Sends a frame and returns when it is back: whether it was stamped on arrival.
    fn send_and_await(&mut self, arena: &mut Arena) -> Result<bool, CaptureError> {
        self.sequence += 1;
        let mut frame = [0; HEADER + size_of::<u64>()];
        frame[12..HEADER].copy_from_slice(&ETHERTYPE.to_be_bytes());
        frame[HEADER..].copy_from_slice(&self.sequence.to_be_bytes());
        sys::packet::send(self.socket.as_fd(), &frame).map_err(CaptureError::Fence)?;

        let start = Instant::now();
        loop {
            self.poll(PATIENCE.saturating_sub(start.elapsed()))?;
            let before = now();
            let mut back = None;
            arena
                .drain(self.socket.as_fd(), |got| {
                    if got.bytes == frame {
                        back = Some(got.stamp <= before);
                    }
                })
                .map_err(CaptureError::Fence)?;
            if let Some(stamped) = back {
                self.passed += 1;
                return Ok(stamped);
            }
            let waited = start.elapsed();
            if waited >= PATIENCE {
                return Err(CaptureError::FenceLost { waited_ms: waited.as_millis() });
            }
        }
    }

    /// Waits for the socket to become readable, no longer than this.
    fn poll(&self, patience: Duration) -> Result<(), CaptureError> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(CaptureError::Fence(errno.into())),
        }
    }
}

/// The clock that the kernel stamps frames with, in nanoseconds.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or_default()
}
