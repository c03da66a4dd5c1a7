//! Services: each answers a question with its echo, as the plainest application would; or as a DNS server.
//!
//! The UDP service has one socket a family, bound to the wildcard address, and answers with a plain `sendto`: it
//! does not know which of its addresses was asked. That is what makes multi-homed UDP hard, so it must stay so.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use harness_lab::lab::Lab;
use harness_model::{
    packet::Token,
    plan::{LabPlan, NodePlan},
    topology::{Service, ServiceProtocol},
};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt::{Ipv6V6Only, ReuseAddr},
};

use super::stream::Streams;
use crate::worker::failure::Failure;

/// The largest question that is answered.
const LARGEST: usize = 65_535;

/// All services of a lab.
pub(in crate::worker) struct Services {
    udp: Vec<UdpSocket>,
    dns: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

/// A TCP connection that echoes as a stream: what was read in one piece need not be a whole question.
struct Connection {
    stream: TcpStream,
    /// Read, not yet echoed: the head of a mark may still lack its tail.
    unread: Vec<u8>,
    /// To be written, as far as the peer's window lets it.
    unsent: Vec<u8>,
}

impl Services {
    /// Starts every service of a plan.
    pub(in crate::worker) fn start(lab: &Lab, plan: &LabPlan) -> Result<Self, Failure> {
        let mut services = Services {
            udp: Vec::new(),
            dns: Vec::new(),
            listeners: Vec::new(),
            connections: Vec::new(),
            buffer: vec![0; LARGEST],
        };
        for (at, node) in plan.nodes.iter().enumerate() {
            if node.services.is_empty() {
                continue;
            }
            let started = lab.in_node(at, || start_in_node(node, plan.ipv6))??;
            services.udp.extend(started.udp);
            services.dns.extend(started.dns);
            services.listeners.extend(started.listeners);
        }
        Ok(services)
    }

    /// What to wait for.
    pub(in crate::worker) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let udp = self.udp.iter().chain(&self.dns).map(AsFd::as_fd);
        let listeners = self.listeners.iter().map(AsFd::as_fd);
        udp.chain(listeners).chain(self.connections.iter().map(|connection| connection.stream.as_fd()))
    }

    /// Answers all that was asked. Returns whether anything was, but by streams that run.
    pub(in crate::worker) fn serve(&mut self, streams: &mut Streams) -> bool {
        let mut busy = false;
        for socket in &self.udp {
            // An error is one of an earlier answer (ICMP): it is taken off the socket, and that is all.
            while let Some(received) = ready(socket.recv_from(&mut self.buffer)) {
                let mut of_stream = false;
                if let Ok((length, from)) = received
                    && let Some(token) = Token::read(&self.buffer[..length])
                    && let Some(answer) = Token::answer(&self.buffer[..length])
                {
                    of_stream = streams.arrived(token);
                    // No route for the answer: the asking side sees that none comes.
                    let _ = socket.send_to(&answer, from);
                }
                busy |= !of_stream;
            }
        }
        for socket in &self.dns {
            while let Some(received) = ready(socket.recv_from(&mut self.buffer)) {
                busy = true;
                if let Ok((length, from)) = received
                    && let Some(answer) = dns_answer(&mut self.buffer[..length])
                {
                    let _ = socket.send_to(answer, from);
                }
            }
        }
        for listener in &self.listeners {
            while let Some(Ok((stream, _))) = ready(listener.accept()) {
                busy = true;
                if stream.set_nonblocking(true).is_ok() {
                    let _ = stream.set_nodelay(true);
                    self.connections.push(Connection { stream, unread: Vec::new(), unsent: Vec::new() });
                }
            }
        }
        let buffer = &mut self.buffer;
        self.connections.retain_mut(|connection| connection.serve(buffer, &mut busy));
        busy
    }
}

impl Connection {
    /// Echoes what came. Returns whether the connection goes on.
    fn serve(&mut self, buffer: &mut [u8], busy: &mut bool) -> bool {
        while let Some(read) = ready(self.stream.read(buffer)) {
            *busy = true;
            match read {
                Ok(length) if length > 0 => self.unread.extend_from_slice(&buffer[..length]),
                _ => return false,
            }
        }
        self.unsent.extend(Token::answer_stream(&mut self.unread));
        while !self.unsent.is_empty() {
            match ready(self.stream.write(&self.unsent)) {
                None => break,
                Some(Ok(length)) => {
                    *busy = true;
                    self.unsent.drain(..length);
                }
                Some(Err(_)) => return false,
            }
        }
        true
    }
}

/// The result of a call that may find nothing: None then.
fn ready<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        other => Some(other),
    }
}

/// The question as the answer of a server that knows no such name (RFC 1035, 4.1.1). What is no question has none.
fn dns_answer(datagram: &mut [u8]) -> Option<&[u8]> {
    const RESPONSE: u8 = 0x80;
    const NAME_ERROR: u8 = 3;
    if let [_, _, flags, code, _, _, _, _, _, _, _, _, ..] = datagram
        && *flags & RESPONSE == 0
    {
        *flags |= RESPONSE;
        *code = NAME_ERROR;
        return Some(datagram);
    }
    None
}

/// The sockets of one node.
#[derive(Default)]
struct Sockets {
    udp: Vec<UdpSocket>,
    dns: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
}

fn start_in_node(node: &NodePlan, ipv6: bool) -> Result<Sockets, Failure> {
    let Sockets { mut udp, mut dns, mut listeners } = Sockets::default();
    for service in &node.services {
        for address in ends(service, ipv6) {
            let failed =
                |source| Failure::Socket { what: format!("{}: cannot serve {service}", node.name), source };
            match service.protocol {
                ServiceProtocol::Udp => {
                    udp.push(UdpSocket::from(bound(address, SockType::Datagram).map_err(failed)?));
                }
                ServiceProtocol::Dns => {
                    dns.push(UdpSocket::from(bound(address, SockType::Datagram).map_err(failed)?));
                }
                ServiceProtocol::Tcp => {
                    let fd = bound(address, SockType::Stream).map_err(failed)?;
                    listen(&fd, Backlog::MAXCONN).map_err(|errno| failed(errno.into()))?;
                    listeners.push(TcpListener::from(fd));
                }
            }
        }
    }
    Ok(Sockets { udp, dns, listeners })
}

/// Where a service listens: at its address, or at the wildcard address of each family.
fn ends(service: &Service, ipv6: bool) -> Vec<SocketAddr> {
    let end = |address: IpAddr| SocketAddr::new(address, service.port);
    match service.address {
        Some(address) => vec![end(address)],
        None if ipv6 => vec![end(Ipv4Addr::UNSPECIFIED.into()), end(Ipv6Addr::UNSPECIFIED.into())],
        None => vec![end(Ipv4Addr::UNSPECIFIED.into())],
    }
}

fn bound(address: SocketAddr, kind: SockType) -> io::Result<std::os::fd::OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}
