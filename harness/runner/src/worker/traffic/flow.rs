//! Flows: the asking side, one socket each.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

use harness_model::{
    observation::SocketResult,
    packet::{Token, TokenKind, build::echo_request},
    scenario::{Exchange, Protocol},
};
use nix::{
    poll::PollFlags,
    sys::socket::{SockProtocol, SockType},
};

use super::{connecting, meaning, own_end, unspecified};
use crate::worker::failure::Failure;

/// One asking socket.
pub(in crate::worker) struct Flow {
    /// Index of the asking node.
    pub(in crate::worker) node: usize,
    /// By which protocol.
    pub(in crate::worker) protocol: Protocol,
    /// The socket's own end.
    pub(in crate::worker) local: SocketAddr,
    /// Whom it asks.
    pub(in crate::worker) remote: SocketAddr,
    socket: Socket,
    /// The question that is under way.
    question: Option<Question>,
}

enum Socket {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        connected: bool,
        /// All that came and was not yet looked at: answers to former questions may come late.
        received: Vec<u8>,
    },
    Icmp(std::fs::File),
    /// It ended, or never began, with this.
    Ended(SocketResult),
}

struct Question {
    token: Token,
    payload: Vec<u8>,
    /// Bytes of the payload that are on their way.
    sent: usize,
}

impl Flow {
    /// Opens the socket. Must be called in the asking node's namespace.
    pub(in crate::worker) fn open(exchange: &Exchange) -> Result<Flow, Failure> {
        let remote = SocketAddr::new(exchange.to, exchange.port);
        let mut source = unspecified(remote);
        if let Some(address) = exchange.source {
            source.set_ip(address);
        }
        source.set_port(exchange.source_port);
        let (kind, protocol) = match (exchange.protocol, remote.is_ipv4()) {
            (Protocol::Udp, _) => (SockType::Datagram, None),
            (Protocol::Tcp, _) => (SockType::Stream, None),
            (Protocol::Icmp, true) => (SockType::Raw, Some(SockProtocol::Icmp)),
            (Protocol::Icmp, false) => (SockType::Raw, Some(SockProtocol::IcmpV6)),
        };
        if exchange.protocol == Protocol::Icmp {
            // The port of a raw socket would be taken for its protocol number (raw(7)).
            source.set_port(0);
        }
        let (fd, error) = connecting(kind, protocol, source, remote).map_err(|error| Failure::Socket {
            what: format!("cannot open a socket from {source} to {remote}"),
            source: error,
        })?;
        let local = own_end(&fd, source);
        let socket = match (error, exchange.protocol) {
            (Some(error), _) => Socket::Ended(meaning(&error)),
            (None, Protocol::Udp) => Socket::Udp(UdpSocket::from(fd)),
            (None, Protocol::Tcp) => {
                let stream = TcpStream::from(fd);
                let _ = stream.set_nodelay(true);
                Socket::Tcp { stream, connected: false, received: Vec::new() }
            }
            (None, Protocol::Icmp) => Socket::Icmp(std::fs::File::from(fd)),
        };
        Ok(Flow { node: exchange.from.0, protocol: exchange.protocol, local, remote, socket, question: None })
    }

    /// Asks. The answer, or what comes instead, is found by [`Flow::progress`].
    pub(in crate::worker) fn ask(&mut self, probe: u32, size: u16) {
        let token = Token { kind: TokenKind::Question, id: probe };
        let mut payload = token.bytes().to_vec();
        payload.resize(usize::from(size).max(Token::LENGTH), b'.');
        self.question = Some(Question { token, payload, sent: 0 });
    }

    /// What to wait for.
    pub(in crate::worker) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.socket {
            Socket::Udp(socket) => Some((socket.as_fd(), PollFlags::POLLIN)),
            Socket::Tcp { stream, connected: false, .. } => Some((stream.as_fd(), PollFlags::POLLOUT)),
            Socket::Tcp { stream, connected: true, .. } => Some((stream.as_fd(), PollFlags::POLLIN)),
            Socket::Icmp(file) => Some((file.as_fd(), PollFlags::POLLIN)),
            Socket::Ended(_) => None,
        }
    }

    /// Does what can be done without waiting. None: the question is still under way.
    pub(in crate::worker) fn progress(&mut self) -> Option<SocketResult> {
        let question = self.question.as_mut()?;
        let result = match &mut self.socket {
            Socket::Ended(result) => Ok(Some(*result)),
            Socket::Udp(socket) => udp(socket, question),
            Socket::Tcp { stream, connected, received } => tcp(stream, connected, received, question),
            Socket::Icmp(file) => icmp(file, question, self.local, self.remote),
        };
        let result = match result {
            Ok(None) => return None,
            Ok(Some(result)) => result,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                let result = meaning(&error);
                if self.protocol == Protocol::Tcp {
                    self.socket = Socket::Ended(result);
                }
                result
            }
        };
        self.question = None;
        Some(result)
    }
}

fn answers(received: &[u8], question: &Question) -> bool {
    let token = Token { kind: TokenKind::Answer, ..question.token };
    Token::read(received) == Some(token)
}

fn udp(socket: &UdpSocket, question: &mut Question) -> io::Result<Option<SocketResult>> {
    if question.sent == 0 {
        // An error of a former question is not one of this.
        socket.take_error()?;
        question.sent = socket.send(&question.payload)?;
    }
    let mut buffer = vec![0; question.payload.len() + 1];
    loop {
        let length = socket.recv(&mut buffer)?;
        if answers(&buffer[..length], question) {
            return Ok(Some(SocketResult::Answered));
        }
    }
}

fn tcp(
    stream: &mut TcpStream,
    connected: &mut bool,
    received: &mut Vec<u8>,
    question: &mut Question,
) -> io::Result<Option<SocketResult>> {
    if !*connected {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        // Without an error, a peer address means that the handshake is through.
        if stream.peer_addr().is_err() {
            return Ok(None);
        }
        *connected = true;
    }
    while question.sent < question.payload.len() {
        match stream.write(&question.payload[question.sent..]) {
            Ok(length) => question.sent += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; 4096];
    let answer = Token { kind: TokenKind::Answer, ..question.token }.bytes();
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::ConnectionReset.into()),
            length => received.extend_from_slice(&buffer[..length]),
        }
        let found = received.windows(Token::LENGTH).position(|window| window == answer);
        if let Some(at) = found.filter(|at| received.len() >= at + question.payload.len()) {
            received.drain(..at + question.payload.len());
            return Ok(Some(SocketResult::Answered));
        }
    }
}

fn icmp(
    file: &mut std::fs::File,
    question: &mut Question,
    local: SocketAddr,
    remote: SocketAddr,
) -> io::Result<Option<SocketResult>> {
    if question.sent == 0 {
        let identifier = question.token.id as u16;
        let message = echo_request((local.ip(), remote.ip()), identifier, 1, &question.payload);
        question.sent = file.write(&message)?;
    }
    let mut buffer = vec![0; question.payload.len() + 128];
    loop {
        let length = file.read(&mut buffer)?;
        let token = echo_reply(&buffer[..length], remote.is_ipv4());
        if token.is_some_and(|token| token.id == question.token.id) {
            return Ok(Some(SocketResult::Answered));
        }
    }
}

/// The mark of an echo reply. A raw IPv4 socket shows the IP header, a raw IPv6 one does not (raw(7), ipv6(7)).
fn echo_reply(bytes: &[u8], ipv4: bool) -> Option<Token> {
    const REPLY: u8 = 0;
    const REPLY_V6: u8 = 129;
    let (header, reply) = if ipv4 { (usize::from(bytes.first()? & 0x0f) * 4, REPLY) } else { (0, REPLY_V6) };
    let message = bytes.get(header..)?;
    if *message.first()? != reply { None } else { Token::read(message.get(8..)?) }
}
