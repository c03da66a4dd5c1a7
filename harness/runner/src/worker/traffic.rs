//! Traffic through real sockets: services that answer, flows that ask, and streams that go on.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use harness_model::observation::SocketResult;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, getsockname, setsockopt,
    socket, sockopt::ReuseAddr,
};

pub(super) mod flow;
pub(super) mod service;
pub(super) mod stream;

/// A socket that does not block, bound and connecting.
///
/// The result of connecting is left to the caller: it may be under way, or have failed in a way that is an
/// observation and no error of ours.
fn connecting(
    kind: SockType,
    protocol: Option<SockProtocol>,
    source: SocketAddr,
    to: SocketAddr,
) -> io::Result<(OwnedFd, Option<io::Error>)> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, protocol)?;
    // A step may ask again from the same port while the former connection is in TIME-WAIT.
    setsockopt(&fd, ReuseAddr, &true)?;
    if source.port() != 0 || !source.ip().is_unspecified() {
        bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
    }
    let result = connect(fd.as_raw_fd(), &SockaddrStorage::from(to));
    let error = match result {
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => None,
        Err(error) => Some(io::Error::from(error)),
    };
    Ok((fd, error))
}

/// A socket's own end.
fn own_end(fd: &OwnedFd, fallback: SocketAddr) -> SocketAddr {
    getsockname::<SockaddrStorage>(fd.as_raw_fd())
        .ok()
        .and_then(|address| socket_address(&address))
        .unwrap_or(fallback)
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::new(IpAddr::V6(v6.ip()), v6.port()))
}

/// The unspecified address of a family.
fn unspecified(like: SocketAddr) -> SocketAddr {
    let address = match like {
        SocketAddr::V4(_) => IpAddr::from([0u8; 4]),
        SocketAddr::V6(_) => IpAddr::from([0u8; 16]),
    };
    SocketAddr::new(address, 0)
}

/// What an error of a socket means to the application.
fn meaning(error: &io::Error) -> SocketResult {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => SocketResult::Refused,
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => SocketResult::Reset,
        Kind::HostUnreachable | Kind::NetworkUnreachable => SocketResult::Unreachable,
        _ => SocketResult::Failed(error.raw_os_error().unwrap_or(0)),
    }
}
