//! Expectations and what was seen, brought together.
//!
//! [`judge`] turns a step's expectations into checks, each with what was expected and what was found, in words
//! that a person reads without the scenario at hand. It sees only what it is given: the step's records, what the
//! asking socket was told, a command's output, conntrack entries.

use std::net::SocketAddr;

use crate::{
    event::{Check, JourneyReport},
    journey::{Identity, Journey, follow},
    observation::{CommandSeen, Entry, EntryEvent, ExchangeSeen, Record, SocketResult, StreamSeen},
    packet::{Packet, Transport, flags},
    plan::LabPlan,
    scenario::{Always, Endpoint, ErrorWord, Expect, Protocol},
    topology::{LinkId, NodeId, Topology},
};

mod describe;
mod pattern;
mod stream;
#[cfg(test)]
mod tests;

pub use describe::{action as describe_action, happening as describe_happening};

/// What a run is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Names.
    pub topology: &'a Topology,
    /// Interface indexes.
    pub plan: &'a LabPlan,
}

/// What was seen during a step.
#[derive(Debug, Clone, Default)]
pub struct Evidence<'a> {
    /// Every frame, in the order of time.
    pub records: &'a [Record],
    /// The exchange, if the step made one.
    pub exchange: Option<ExchangeSeen>,
    /// Number of the probe that was injected.
    pub injected: Option<u32>,
    /// The command, if the step ran one.
    pub command: Option<&'a CommandSeen>,
    /// The stream, if the step ended one.
    pub stream: Option<&'a StreamSeen>,
    /// Conntrack entries by node.
    pub conntrack: &'a [(NodeId, Vec<Entry>)],
    /// Conntrack entries that came and went, by node.
    pub changes: &'a [(NodeId, Vec<EntryEvent>)],
}

/// The verdict on a step.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Every expectation.
    pub checks: Vec<Check>,
    /// Where the packets of its exchange went.
    pub journeys: Vec<JourneyReport>,
}

/// Judges a step by what is expected of it.
pub fn judge(ground: Ground<'_>, expect: &Expect, evidence: &Evidence<'_>) -> Judged {
    let ways = Ways::of(evidence);
    let mut checks = Vec::new();
    if let Some(seen) = &evidence.exchange {
        socket_checks(expect, seen, &mut checks);
    }
    if let Some(seen) = evidence.stream {
        stream::checks(ground, &expect.stream, seen, &mut checks);
    }
    question_checks(ground, expect, &ways, &mut checks);
    reply_checks(ground, expect, &ways, evidence, &mut checks);
    for counted in &expect.packets {
        checks.push(pattern::count(ground, counted, evidence, &ways));
    }
    for entries in &expect.conntrack {
        checks.push(pattern::entries(ground, entries, evidence.conntrack));
    }
    for (change, entries) in &expect.changes {
        checks.push(pattern::changes(ground, *change, entries, evidence.changes));
    }
    if let Some(command) = evidence.command {
        command_checks(expect, command, &mut checks);
    }
    Judged { checks, journeys: ways.reports(ground) }
}

/// Judges an invariant over all records of a run.
pub fn judge_always(ground: Ground<'_>, always: &Always, records: &[Record]) -> Check {
    let expected = format!("never: {}", describe::pattern(ground, &always.never));
    let mut hits = records.iter().filter(|record| pattern::matches(ground, &always.never, record, None));
    match hits.next() {
        None => Check { expected, seen: "no such packet".to_owned(), holds: true },
        Some(first) => {
            let more = hits.map(|hit| u64::from(hit.times)).sum::<u64>() + u64::from(first.times) - 1;
            let more = if more == 0 { String::new() } else { format!(", and {more} more frames like it") };
            Check { expected, seen: format!("{}{more}", describe::record(ground, first)), holds: false }
        }
    }
}

/// The journeys of a step's own packets.
struct Ways {
    /// The question; the connection request where no question could be sent.
    question: Option<Journey>,
    answer: Option<Journey>,
    error: Option<Journey>,
    handshake: bool,
    probe: Option<u32>,
    connect: Option<u32>,
    copies: usize,
}

impl Ways {
    fn of(evidence: &Evidence<'_>) -> Ways {
        let asked = evidence.exchange.map(|exchange| exchange.probe).or(evidence.injected);
        let (records, probe) = match evidence.stream {
            Some(seen) => (seen.trail.as_slice(), seen.telling),
            None => (evidence.records, asked),
        };
        let connect = evidence.exchange.and_then(|exchange| connection(records, &exchange));
        let by_probe = |identity: fn(u32) -> Identity| {
            probe.map(|probe| follow(records, identity(probe))).unwrap_or_default()
        };
        let mut questions = by_probe(Identity::question);
        let mut answers = by_probe(Identity::answer);
        let mut errors = by_probe(Identity::ErrorAbout);
        let mut handshake = false;
        if let (true, Some(isn)) = (questions.is_empty(), connect) {
            handshake = true;
            questions = follow(records, Identity::Connect(isn));
            answers = follow(records, Identity::Accept(isn));
            errors = follow(records, Identity::ErrorAboutConnect(isn));
        }
        let copies = questions.len();
        let first = |journeys: &mut Vec<Journey>| (!journeys.is_empty()).then(|| journeys.swap_remove(0));
        Ways {
            question: first(&mut questions),
            answer: first(&mut answers),
            error: first(&mut errors),
            handshake,
            probe,
            connect,
            copies,
        }
    }

    fn reports(&self, ground: Ground<'_>) -> Vec<JourneyReport> {
        let (asks, answers) =
            if self.handshake { ("connection request", "its answer") } else { ("question", "answer") };
        let again = match self.copies {
            0 | 1 => String::new(),
            more => format!(" (the first of {more})"),
        };
        let mut reports = Vec::new();
        if let Some(journey) = &self.question {
            reports.push(describe::journey(ground, format!("{asks}{again}"), journey));
        }
        if let Some(journey) = &self.answer {
            reports.push(describe::journey(ground, answers.to_owned(), journey));
        }
        if let Some(journey) = &self.error {
            reports.push(describe::journey(ground, "error message".to_owned(), journey));
        }
        reports
    }
}

/// The initial sequence number of an exchange's connection, from its first packet at the asking node.
fn connection(records: &[Record], exchange: &ExchangeSeen) -> Option<u32> {
    if exchange.protocol != Protocol::Tcp {
        return None;
    }
    records.iter().find_map(|record| {
        let Packet::Ip(ip) = &record.packet else { return None };
        let Transport::Tcp { source, destination, flags: set, sequence, .. } = ip.transport else {
            return None;
        };
        let ours = record.node == exchange.node
            && record.sent
            && source == exchange.local.port()
            && destination == exchange.remote.port()
            && set & (flags::SYN | flags::ACK) == flags::SYN;
        ours.then_some(sequence)
    })
}

fn socket_checks(expect: &Expect, seen: &ExchangeSeen, checks: &mut Vec<Check>) {
    let asked = match seen.protocol {
        Protocol::Icmp => seen.remote.ip().to_string(),
        Protocol::Udp | Protocol::Tcp => seen.remote.to_string(),
    };
    let found = match seen.result {
        SocketResult::Answered => format!("answered by {asked}"),
        SocketResult::Refused => "connection refused".to_owned(),
        SocketResult::Unreachable => "network or host unreachable".to_owned(),
        SocketResult::Reset => "connection reset".to_owned(),
        SocketResult::Failed(errno) => format!("error {errno} from the socket"),
        SocketResult::Silence => "no answer".to_owned(),
    };
    if let Some(answered) = expect.answered {
        let expected = if answered { format!("answered by {asked}") } else { "no answer".to_owned() };
        checks.push(Check {
            expected,
            seen: found.clone(),
            holds: (seen.result == SocketResult::Answered) == answered,
        });
    }
    if let Some(error) = expect.error {
        let (word, wanted) = match error {
            ErrorWord::Refused => ("connection refused", SocketResult::Refused),
            ErrorWord::Unreachable => ("network or host unreachable", SocketResult::Unreachable),
            ErrorWord::Reset => ("connection reset", SocketResult::Reset),
        };
        checks.push(Check { expected: word.to_owned(), seen: found, holds: seen.result == wanted });
    }
}

fn question_checks(ground: Ground<'_>, expect: &Expect, ways: &Ways, checks: &mut Vec<Check>) {
    let journey = ways.question.as_ref();
    // Where the far end is: where it came in and did not go out, if that is where it was to go.
    let arrived = journey.and_then(Journey::end).filter(|hop| {
        let owner =
            ground.topology.node(NodeId(hop.node)).addresses().any(|own| own == hop.before.destination);
        let answers = ways.answer.as_ref().and_then(|answer| answer.hops.first());
        owner || answers.is_some_and(|first| first.node == hop.node)
    });
    let nowhere = || match journey {
        None => "the question was never seen".to_owned(),
        Some(journey) => format!("it did not arrive: {}", describe::end(ground, journey)),
    };
    if let Some(reached) = expect.reached {
        checks.push(Check {
            expected: format!("reaches {}", ground.topology.node(reached).name),
            seen: arrived.map_or_else(nowhere, |hop| {
                format!("reached {}", ground.topology.node(NodeId(hop.node)).name)
            }),
            holds: arrived.is_some_and(|hop| hop.node == reached.0),
        });
    }
    if let Some(wanted) = expect.seen_from {
        let found = arrived.map(|hop| (hop.before.source, hop.before.source_port()));
        checks.push(endpoint_check("the far end sees it from", wanted, found, nowhere));
    }
    if let Some(wanted) = expect.seen_to {
        let found = arrived.map(|hop| (hop.before.destination, hop.before.destination_port()));
        checks.push(endpoint_check("the far end sees it sent to", wanted, found, nowhere));
    }
    if let Some(link) = expect.by {
        checks.push(link_check(ground, "goes by", link, journey, "the question was never seen"));
    }
    if let Some(path) = &expect.path {
        checks.push(path_check(ground, "goes by", path, journey, "the question was never seen"));
    }
}

fn reply_checks(
    ground: Ground<'_>,
    expect: &Expect,
    ways: &Ways,
    evidence: &Evidence<'_>,
    checks: &mut Vec<Check>,
) {
    let journey = ways.answer.as_ref();
    let unseen = "there was no answer";
    if let (Some(wanted), Some(exchange)) = (expect.reply_from, evidence.exchange) {
        let home = journey.and_then(Journey::end).filter(|hop| hop.node == exchange.node);
        let found = home.map(|hop| (hop.before.source, hop.before.source_port()));
        let nowhere = || match journey {
            None => unseen.to_owned(),
            Some(journey) => format!("the answer did not arrive: {}", describe::end(ground, journey)),
        };
        checks.push(endpoint_check("the answer comes from", wanted, found, nowhere));
    }
    if let Some(link) = expect.reply_by {
        checks.push(link_check(ground, "the answer comes by", link, journey, unseen));
    }
    if let Some(path) = &expect.reply_path {
        checks.push(path_check(ground, "the answer comes by", path, journey, unseen));
    }
}

fn endpoint_check(
    what: &str,
    wanted: Endpoint,
    found: Option<(std::net::IpAddr, Option<u16>)>,
    nowhere: impl Fn() -> String,
) -> Check {
    let text = |address: std::net::IpAddr, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    let expected = format!("{what} {}", text(wanted.address, wanted.port));
    match found {
        None => Check { expected, seen: nowhere(), holds: false },
        Some((address, port)) => Check {
            expected,
            seen: text(address, wanted.port.and(port)),
            holds: address == wanted.address && (wanted.port.is_none() || wanted.port == port),
        },
    }
}

fn link_check(
    ground: Ground<'_>,
    what: &str,
    link: LinkId,
    journey: Option<&Journey>,
    unseen: &str,
) -> Check {
    let expected = format!("{what} link {}", ground.topology.link(link).name);
    let Some(journey) = journey else {
        return Check { expected, seen: unseen.to_owned(), holds: false };
    };
    let links = describe::links(ground, journey);
    let names: Vec<&str> = links.iter().map(|link| ground.topology.link(*link).name.as_str()).collect();
    let seen =
        if names.is_empty() { "it crossed no link".to_owned() } else { format!("by {}", names.join(", ")) };
    Check { expected, seen, holds: links.contains(&link) }
}

fn path_check(
    ground: Ground<'_>,
    what: &str,
    path: &[NodeId],
    journey: Option<&Journey>,
    unseen: &str,
) -> Check {
    let names = |nodes: &[NodeId]| {
        let names: Vec<&str> = nodes.iter().map(|node| ground.topology.node(*node).name.as_str()).collect();
        names.join(" > ")
    };
    let expected = format!("{what} {}", names(path));
    let Some(journey) = journey else {
        return Check { expected, seen: unseen.to_owned(), holds: false };
    };
    let nodes: Vec<NodeId> = journey.nodes().into_iter().map(NodeId).collect();
    Check { expected, seen: names(&nodes), holds: nodes == path }
}

fn command_checks(expect: &Expect, command: &CommandSeen, checks: &mut Vec<Check>) {
    if let Some(exit) = expect.exit {
        checks.push(Check {
            expected: format!("exit status {exit}"),
            seen: format!("exit status {}", command.status),
            holds: command.status == exit,
        });
    }
    if let Some(text) = &expect.output {
        let holds = command.output.contains(text.as_str());
        let seen = if holds {
            "it does".to_owned()
        } else {
            format!("it printed {:?}", describe::short(&command.output))
        };
        checks.push(Check { expected: format!("output contains {text:?}"), seen, holds });
    }
}
