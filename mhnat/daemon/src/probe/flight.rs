//! One question on its way, and the socket that it left by.

use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::task::{Context, Poll, ready};

use mhnat_core::family::Family;
use mhnat_core::health::{Outcome, Question};
use mhnat_core::model::Target;
use mhnat_core::probe::{DnsQuestion, Echo};
use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, send,
    setsockopt, socket, sockopt,
};
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};

use super::Way;
use crate::failure::{Exit, Failure};

/// Room for an answer, in bytes; of a longer one, what does not fit is not needed.
const ANSWER: usize = 2048;

/// A question that is under way.
#[derive(Debug)]
pub(super) enum Flight {
    /// Any datagram will do for the kind of socket; whether it is a raw one.
    Echo(UdpSocket, Echo, bool),
    Dns(UdpSocket, DnsQuestion),
    Tcp(TcpStream),
}

/// Whether this process may ask it at all.
pub(super) fn allowed(target: Target) -> Result<(), Failure> {
    let outcome = match target {
        Target::Icmp(_) => for_echo(target.family()).map(drop),
        Target::Tcp(_) => open(target.family(), SockType::Stream, None).map(drop),
        Target::Dns(_) => open(target.family(), SockType::Datagram, None).map(drop),
    };
    outcome.map_err(|errno| {
        Failure::new(
            Exit::Cannot,
            format!("cannot open a socket to probe {target}: {}", io::Error::from(errno)),
        )
        .hint("run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW")
    })
}

impl Flight {
    /// Sends a question. Without a flight, its outcome is known at once.
    pub(super) fn start(question: &Question, way: &Way) -> Result<Self, Outcome> {
        let family = question.target.family();
        match question.target {
            Target::Icmp(to) => {
                let (socket, raw) = for_echo(family).map_err(unasked)?;
                let echo = Echo::new(family, unguessable());
                connect_by(&socket, way, SocketAddr::new(to, 0))?;
                Ok(Self::Echo(ask(socket, echo.message())?, echo, raw))
            }
            Target::Tcp(to) => {
                let socket = open(family, SockType::Stream, None).map_err(unasked)?;
                connect_by(&socket, way, to)?;
                Ok(Self::Tcp(TcpStream::from_std(socket.into()).map_err(|_| Outcome::Unasked)?))
            }
            Target::Dns(to) => {
                let socket = open(family, SockType::Datagram, None).map_err(unasked)?;
                let [high, low, ..] = unguessable().to_be_bytes();
                let asked = DnsQuestion::new(u16::from_be_bytes([high, low]), question.name.as_ref());
                connect_by(&socket, way, to)?;
                Ok(Self::Dns(ask(socket, asked.datagram())?, asked))
            }
        }
    }

    /// What has become of it, once that is known.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome> {
        match self {
            Self::Tcp(stream) => connected(stream, context),
            Self::Echo(socket, echo, raw) => received(socket, context, |it| echo.is_answered_by(it, *raw)),
            Self::Dns(socket, question) => received(socket, context, |it| question.is_answered_by(it)),
        }
    }
}

fn connected(stream: &TcpStream, context: &mut Context<'_>) -> Poll<Outcome> {
    loop {
        if ready!(stream.poll_write_ready(context)).is_err() {
            return Poll::Ready(Outcome::Unasked);
        }
        let outcome = stream.try_io(Interest::WRITABLE, || match stream.take_error()? {
            Some(_) => Ok(Outcome::Missed),
            None => match stream.peer_addr() {
                Ok(_) => Ok(Outcome::Answered),
                Err(_) => Err(io::ErrorKind::WouldBlock.into()),
            },
        });
        match outcome {
            Ok(outcome) => return Poll::Ready(outcome),
            // It is not known yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Poll::Ready(Outcome::Missed),
        }
    }
}

fn received(socket: &UdpSocket, context: &mut Context<'_>, answers: impl Fn(&[u8]) -> bool) -> Poll<Outcome> {
    loop {
        let mut room = [0; ANSWER];
        let mut room = ReadBuf::new(&mut room);
        match ready!(socket.poll_recv(context, &mut room)) {
            Ok(()) if answers(room.filled()) => return Poll::Ready(Outcome::Answered),
            // Anything may come to a raw socket, or from somebody who guesses.
            Ok(()) => {}
            // An ICMP error came in its place.
            Err(_) => return Poll::Ready(Outcome::Missed),
        }
    }
}

/// Binds a socket to its uplink, and connects it. From there on, the network has its say: what it refuses is an answer
/// that does not come.
fn connect_by(socket: &OwnedFd, way: &Way, to: SocketAddr) -> Result<(), Outcome> {
    bind_to(socket, way).map_err(unasked)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
        Err(_) => Err(Outcome::Missed),
    }
}

/// Sends what is asked, and gives the socket on which the answer comes.
fn ask(socket: OwnedFd, message: &[u8]) -> Result<UdpSocket, Outcome> {
    send(socket.as_raw_fd(), message, MsgFlags::empty()).map_err(|_| Outcome::Missed)?;
    UdpSocket::from_std(socket.into()).map_err(|_| Outcome::Unasked)
}

/// A failure of ours says nothing about the uplink.
const fn unasked(_: Errno) -> Outcome {
    Outcome::Unasked
}

fn open(family: Family, kind: SockType, protocol: Option<SockProtocol>) -> nix::Result<OwnedFd> {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)
}

/// A socket for echo requests, and whether it gives the IP header as well. One for ICMP alone (icmp(7)) gets its own answers only, but
/// whom the kernel gives it to is a setting, `ping_group_range`, which by default is nobody.
fn for_echo(family: Family) -> nix::Result<(OwnedFd, bool)> {
    let protocol = match family {
        Family::V4 => SockProtocol::Icmp,
        Family::V6 => SockProtocol::IcmpV6,
    };
    match open(family, SockType::Datagram, Some(protocol)) {
        Ok(socket) => Ok((socket, false)),
        // Of raw sockets, only those for IPv4 give the IP header as well (ip(7), ipv6(7)).
        Err(_) => open(family, SockType::Raw, Some(protocol)).map(|socket| (socket, family == Family::V4)),
    }
}

fn bind_to(socket: &OwnedFd, way: &Way) -> nix::Result<()> {
    setsockopt(socket, sockopt::BindToDevice, &OsString::from(way.device.as_str()))?;
    setsockopt(socket, sockopt::Mark, &way.mark)?;
    // A connection that stands has said all that it can: a reset leaves nothing behind at either end.
    setsockopt(socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(way.source, 0)))
}

/// A number that nobody outside can guess, so that only who was asked can answer.
fn unguessable() -> u64 {
    RandomState::new().hash_one(0)
}
