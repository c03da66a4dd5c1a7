//! Streams: numbered datagrams at a steady pace from one socket, whatever the driver waits for.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use harness_lab::lab::Lab;
use harness_model::{
    observation::{Record, StreamSeen},
    packet::{Token, TokenKind},
    scenario::Exchange,
    stream::{self, Customers, Ledger},
};
use nix::sys::socket::{SockType, SockaddrStorage, connect};

use super::{connecting, unspecified};
use crate::worker::failure::Failure;

/// The largest answer that is looked at: a token and a time.
const LARGEST: usize = 64;
/// Packets whose ways are remembered, from the last answered one on: more than are under way at a time.
const TRAILS: usize = 1024;

/// All streams of a run.
pub(in crate::worker) struct Streams {
    customers: Customers,
    /// By their names: those that run, and those that have ended and wait for their verdict.
    streams: BTreeMap<String, Stream>,
    /// Streams that were ever started.
    started: u8,
    /// Records of streams of which more may be alike, as indexes into all records.
    kinds: Vec<usize>,
}

struct Stream {
    /// In the tokens of its packets.
    number: u8,
    socket: UdpSocket,
    remote: SocketAddr,
    /// Whether the socket has its remote end: without a route it could not be connected yet.
    connected: bool,
    interval: Duration,
    began: Instant,
    /// When the next packet is due. None: it has ended.
    due: Option<Instant>,
    /// When it ended.
    ended: Option<Instant>,
    ledger: Ledger,
    trails: BTreeMap<u32, Vec<Record>>,
    leaked: u64,
    leak: Option<Record>,
}

impl Streams {
    pub(in crate::worker) fn new(customers: Customers) -> Self {
        Streams { customers, streams: BTreeMap::new(), started: 0, kinds: Vec::new() }
    }

    /// Starts one: its first packet is due now.
    pub(in crate::worker) fn start(
        &mut self,
        lab: &Lab,
        name: &str,
        exchange: &Exchange,
        rate: u32,
    ) -> Result<(), Failure> {
        let number = self.started.checked_add(1);
        let number = number.ok_or_else(|| Failure::Scenario("there are more than 255 streams".to_owned()))?;
        let stream = lab.in_node(exchange.from.0, || Stream::open(number, exchange, rate))??;
        // A busy machine would have it late for most of its packets.
        harness_lab::process::prompt();
        self.started = number;
        match self.streams.entry(name.to_owned()) {
            Entry::Vacant(place) => place.insert(stream),
            Entry::Occupied(_) => return Err(Failure::Scenario(format!("stream {name} runs already"))),
        };
        Ok(())
    }

    /// Ends one: it sends nothing more, but its answers are still taken.
    pub(in crate::worker) fn end(&mut self, name: &str) -> Result<(), Failure> {
        let stream = self.streams.get_mut(name);
        let stream = stream.ok_or_else(|| Failure::Scenario(format!("stream {name} does not run")))?;
        stream.due = None;
        stream.ended = Some(Instant::now());
        Ok(())
    }

    /// What has become of one that has ended. It is no more.
    pub(in crate::worker) fn take(&mut self, name: &str) -> Option<StreamSeen> {
        self.streams.remove(name).map(Stream::seen)
    }

    /// Whether any is to send more.
    pub(in crate::worker) fn are_running(&self) -> bool {
        self.streams.values().any(|stream| stream.due.is_some())
    }

    /// Whether the stream of this number is to send more.
    pub(in crate::worker) fn runs(&self, number: u8) -> bool {
        self.streams.values().any(|stream| stream.number == number && stream.due.is_some())
    }

    /// What to wait for.
    pub(in crate::worker) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.values().map(|stream| stream.socket.as_fd())
    }

    /// When the next packet is due.
    pub(in crate::worker) fn due(&self) -> Option<Instant> {
        self.streams.values().filter_map(|stream| stream.due).min()
    }

    /// Sends what is due and takes what has come back.
    pub(in crate::worker) fn progress(&mut self) -> Result<(), String> {
        for (name, stream) in &mut self.streams {
            stream.receive();
            if stream.due.is_some_and(|due| due <= Instant::now()) && !stream.send() {
                return Err(format!(
                    "stream {name} has sent {} packets, which is the most",
                    stream::MOST_PACKETS
                ));
            }
        }
        Ok(())
    }

    /// A link is about to change.
    pub(in crate::worker) fn link_changes(&mut self) {
        for stream in self.streams.values_mut() {
            let now = stream.micros(Instant::now());
            stream.ledger.link_changes(now);
        }
    }

    /// A service was asked the question of this token. Returns whether it is a running stream's.
    pub(in crate::worker) fn arrived(&mut self, token: Token) -> bool {
        let Some((number, packet)) = stream::of_token(token.id) else { return false };
        let Some(stream) = self.numbered(number) else { return false };
        stream.ledger.arrived(packet);
        stream.due.is_some()
    }

    /// Files a record, unless there is one alike of the same step, which then counts for one more. Returns whether it is of
    /// anything but a running stream.
    pub(in crate::worker) fn file(&mut self, record: Record, records: &mut Vec<Record>) -> bool {
        let Some((number, packet)) = stream::of_record(&record) else {
            records.push(record);
            return true;
        };
        let leaks = self.customers.leaks(&record);
        let mut running = false;
        if let Some(stream) = self.numbered(number) {
            running = stream.due.is_some();
            stream.note(packet, &record, leaks);
        }
        let alike = self.kinds.iter().copied().find(|at| stream::alike(&records[*at], &record));
        match alike {
            Some(at) => records[at].times = records[at].times.saturating_add(1),
            None => {
                self.kinds.push(records.len());
                records.push(record);
            }
        }
        !running
    }

    /// What comes from now on is of another step, or has another place among the records.
    pub(in crate::worker) fn forget_kinds(&mut self) {
        self.kinds.clear();
    }

    fn numbered(&mut self, number: u8) -> Option<&mut Stream> {
        self.streams.values_mut().find(|stream| stream.number == number)
    }
}

impl Stream {
    /// Opens the socket. Must be called in the sending node's namespace.
    fn open(number: u8, exchange: &Exchange, rate: u32) -> Result<Self, Failure> {
        let remote = SocketAddr::new(exchange.to, exchange.port);
        let mut source = unspecified(remote);
        if let Some(address) = exchange.source {
            source.set_ip(address);
        }
        source.set_port(exchange.source_port);
        let (fd, error) = connecting(SockType::Datagram, None, source, remote).map_err(|error| {
            Failure::Socket { what: format!("cannot open a socket from {source} to {remote}"), source: error }
        })?;
        let began = Instant::now();
        Ok(Stream {
            number,
            socket: UdpSocket::from(fd),
            remote,
            connected: error.is_none(),
            interval: Duration::from_secs(1) / rate.max(1),
            began,
            due: Some(began),
            ended: None,
            ledger: Ledger::default(),
            trails: BTreeMap::new(),
            leaked: 0,
            leak: None,
        })
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Sends the packet that is due. Returns false if there are no more numbers.
    ///
    /// What was due while something else took the processor is left out: a burst afterwards would be no steady pace, and
    /// what it loses would not tell how long.
    fn send(&mut self) -> bool {
        let now = Instant::now();
        let at = self.micros(now);
        let Some(packet) = self.ledger.sends(at) else { return false };
        let token = Token { kind: TokenKind::Question, id: stream::token_id(self.number, packet) };
        let mut payload = token.bytes().to_vec();
        // For whoever reads a dump of the packets.
        payload.extend(format!("{at:016}\n").bytes());
        if !self.connected {
            // There was no route; there may be one now.
            let remote = SockaddrStorage::from(self.remote);
            self.connected = connect(self.socket.as_raw_fd(), &remote).is_ok();
        }
        if self.connected {
            // An error about a former packet would keep this one from being sent. One about this packet is a loss.
            let _ = self.socket.take_error();
            let _ = self.socket.send(&payload);
        }
        let due = self.due.unwrap_or(now);
        let late = now.saturating_duration_since(due).as_nanos() / self.interval.as_nanos();
        let late = u32::try_from(late).unwrap_or(u32::MAX - 1);
        self.ledger.leaves_out(late.into());
        self.due = Some(due + self.interval * (late + 1));
        true
    }

    /// Takes all answers that have come.
    fn receive(&mut self) {
        let mut buffer = [0; LARGEST];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let answer =
                        Token::read(&buffer[..length]).filter(|token| token.kind == TokenKind::Answer);
                    let packet = answer.and_then(|token| stream::of_token(token.id));
                    if let Some((_, packet)) = packet.filter(|(number, _)| *number == self.number) {
                        self.ledger.answered(packet);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An error about a former packet, which is a loss.
                Err(_) => {}
            }
        }
    }

    /// Notes where a packet was seen.
    fn note(&mut self, packet: u32, record: &Record, leaks: bool) {
        if leaks {
            self.leaked += 1;
            self.leak.get_or_insert_with(|| record.clone());
        }
        self.trails.entry(packet).or_default().push(record.clone());
        // What is told is the way of the last answered packet or of a later one.
        let answered = self.ledger.last_answered().unwrap_or(0);
        while self.trails.first_key_value().is_some_and(|(first, _)| *first < answered) {
            self.trails.pop_first();
        }
        while self.trails.len() > TRAILS {
            // The first one may be that answered one; the oldest of the others is the least likely to be told.
            let second = self.trails.keys().nth(1).copied();
            second.and_then(|second| self.trails.remove(&second));
        }
    }

    fn seen(mut self) -> StreamSeen {
        let ended = self.ended.unwrap_or_else(Instant::now);
        let telling = self.ledger.telling();
        let mut trail = telling.and_then(|packet| self.trails.remove(&packet)).unwrap_or_default();
        trail.sort_by_key(|record| record.at);
        StreamSeen {
            measures: self.ledger.measures(self.micros(ended)),
            leaked: self.leaked,
            leak: self.leak,
            telling: telling.map(|packet| stream::token_id(self.number, packet)),
            trail,
        }
    }
}
