//! AF_PACKET sockets and their options. See packet(7).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// A raw packet socket that receives nothing until it is bound.
///
/// Given its protocol only when it is bound: a socket with a protocol receives from all devices at once, before
/// any option could be set.
pub(crate) fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes three integers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Starts reception of an EtherType from a device; device 0 stands for all of the namespace, now and later.
pub(crate) fn bind(socket: BorrowedFd<'_>, ethertype: u16, device: u32) -> io::Result<()> {
    let address = link_layer_address(ethertype, device);
    // SAFETY: the address is a sockaddr_ll, whose size is given, and lives until the call returns.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn link_layer_address(ethertype: u16, device: u32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: device.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

/// Asks for the kernel's time stamp with each frame.
pub(crate) fn stamp(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)
}

/// Makes room for `bytes` in the receive queue; without the privilege, for as much as the host allows.
pub(crate) fn receive_buffer(socket: BorrowedFd<'_>, bytes: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
}

/// Lets no frame into the receive queue: for a socket that only sends.
pub(crate) fn receive_nothing(socket: BorrowedFd<'_>) -> io::Result<()> {
    // "return 0" keeps no byte of a frame, which drops it. See bpf_validate in net/core/filter.c.
    let mut program = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
    let filter = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    // The program lives until the call returns, and the kernel makes a copy.
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// Frames that found the receive queue full since the last call.
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: both pointers are to variables that live until the call returns, and the length is the first one's.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(statistics.tp_drops.into()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a frame out of the device that the socket is bound to.
pub(crate) fn send(socket: BorrowedFd<'_>, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice, which the kernel only reads.
    let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks for time stamps on any socket; see `Lab::build` for why.
pub(crate) fn stamp_any(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor belongs to the socket that is borrowed for the length of this function.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    stamp(fd.as_fd())
}

/// `T` must be the type that packet(7) or socket(7) gives for the option.
fn set_option<T>(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one value, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
