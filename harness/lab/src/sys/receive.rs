//! recvmmsg(2) into one arena that all sockets share.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Frames read by one system call.
const BATCH: usize = 32;
/// Bytes kept of a frame. Headers and a probe's token are at its head; a segmentation-offload frame of 64 KiB
/// says no more than its first 2 KiB.
const KEPT: usize = 2048;
/// Bytes for control messages: a time stamp takes 32.
const CONTROL: usize = 64;

/// What the kernel says of one frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'arena> {
    /// Its first bytes.
    pub(crate) bytes: &'arena [u8],
    /// Interface index.
    pub(crate) device: u32,
    /// What kind of device it is: ARPHRD_ETHER and so on.
    pub(crate) hardware: u16,
    /// `PACKET_HOST`, `PACKET_OUTGOING` and so on.
    pub(crate) kind: u8,
    /// Nanoseconds since the Unix epoch; 0 if the socket does not ask for stamps.
    pub(crate) stamp: u64,
}

/// Aligned as a control message header wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Memory to receive into.
pub(crate) struct Arena {
    bytes: Box<[[u8; KEPT]]>,
    controls: Box<[Control]>,
    addresses: Box<[libc::sockaddr_ll]>,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Arena").field("frames", &BATCH).finish_non_exhaustive()
    }
}

impl Arena {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // SAFETY: sockaddr_ll consists of integers, for which zero is a value.
        let address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        Self {
            bytes: vec![[0; KEPT]; BATCH].into(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
            addresses: vec![address; BATCH].into(),
        }
    }

    /// Hands each waiting frame of a socket to `each`, without blocking, and returns how many there were.
    pub(crate) fn drain(
        &mut self,
        socket: BorrowedFd<'_>,
        mut each: impl FnMut(Frame<'_>),
    ) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let got = self.receive(socket, &mut each)?;
            total += got;
            if got < BATCH {
                return Ok(total);
            }
        }
    }

    fn receive(&mut self, socket: BorrowedFd<'_>, each: &mut impl FnMut(Frame<'_>)) -> io::Result<usize> {
        let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: KEPT }; BATCH];
        // SAFETY: mmsghdr consists of integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (at, header) in headers.iter_mut().enumerate() {
            vectors[at].iov_base = self.bytes[at].as_mut_ptr().cast();
            header.msg_hdr.msg_name = (&raw mut self.addresses[at]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut vectors[at];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = self.controls[at].0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: every pointer in the headers is to memory of this arena or of this function, of the length that
        // is given beside it, and nothing else refers to it until the call returns.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if got < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                // ENETDOWN is the kernel's way to say that a device went down; frames that follow are read later.
                Some(libc::EAGAIN | libc::ENETDOWN | libc::EINTR) => Ok(0),
                _ => Err(error),
            };
        }
        let got = got as usize;
        for (at, header) in headers.iter().enumerate().take(got) {
            let address = &self.addresses[at];
            each(Frame {
                bytes: &self.bytes[at][..(header.msg_len as usize).min(KEPT)],
                device: address.sll_ifindex.cast_unsigned(),
                hardware: address.sll_hatype,
                kind: address.sll_pkttype,
                stamp: time_stamp(&header.msg_hdr),
            });
        }
        Ok(got)
    }
}

/// The time stamp among a message's control messages.
fn time_stamp(header: &libc::msghdr) -> u64 {
    // SAFETY: recvmmsg has filled in the header, whose control buffer is aligned and outlives this function; the
    // macros stay within the length that the kernel wrote. A timespec may be unaligned, hence read_unaligned.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            if message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SCM_TIMESTAMPNS {
                let time = libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned();
                return time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    0
}
