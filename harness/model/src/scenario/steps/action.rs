//! What a step does.

use std::{collections::BTreeMap, ops::Range};

use super::{
    super::{
        Action, Exchange, Findings, Injection, Protocol,
        names::{Names, with_addresses},
        raw,
        spanned::At,
        words,
    },
    Past, change, flap,
    streams::Streams,
};
use crate::{
    diagnostic::{Diagnostic, hint_known, listed},
    packet::flags,
};

/// The least payload that holds a token, rounded up.
const LEAST_SIZE: u16 = 16;
/// The most that a UDP datagram over IPv4 carries: 65535 bytes less the headers of IP and UDP.
const MOST_SIZE: u16 = 65_507;

/// A token, and a time as text.
const STREAM_SIZE: u16 = 32;
/// Packets a second that one loop sends, answers and captures at every device without falling behind.
const MOST_RATE: u32 = 10_000;

/// Which of its actions a step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Open,
    Say,
    Close,
    Stream,
    End,
    Inject,
    Run,
    Link,
    Flap,
    Subject,
    Wait,
}

impl Kind {
    /// Whether a question is asked through a socket.
    pub(super) fn exchanges(self) -> bool {
        matches!(self, Kind::Request | Kind::Open | Kind::Say)
    }
}

/// The flows that steps opened so far.
#[derive(Default)]
pub(super) struct Flows {
    open: BTreeMap<String, Range<usize>>,
    closed: BTreeMap<String, Range<usize>>,
}

impl Flows {
    fn open(&mut self, name: &At<String>) -> Option<Range<usize>> {
        self.closed.remove(&name.value);
        self.open.insert(name.value.clone(), name.span.clone())
    }

    fn close(&mut self, name: &At<String>) {
        self.open.remove(&name.value);
        self.closed.insert(name.value.clone(), name.span.clone());
    }
}

/// Exactly one action, or a finding.
pub(super) fn kind(step: &raw::Step, past: &mut Past, findings: &mut Findings) -> Option<Kind> {
    fn span<T>(at: &Option<At<T>>) -> Option<&Range<usize>> {
        at.as_ref().map(|at| &at.span)
    }
    let all = [
        (Kind::Request, "request", span(&step.request)),
        (Kind::Open, "open", span(&step.open)),
        (Kind::Say, "say", span(&step.say)),
        (Kind::Close, "close", span(&step.close)),
        (Kind::Stream, "stream", span(&step.stream)),
        (Kind::End, "end", span(&step.end)),
        (Kind::Inject, "inject", span(&step.inject)),
        (Kind::Run, "run", span(&step.run)),
        (Kind::Link, "link", span(&step.link)),
        (Kind::Flap, "flap", span(&step.flap)),
        (Kind::Subject, "subject", span(&step.subject)),
        (Kind::Wait, "wait", span(&step.wait)),
    ];
    let mut given: Vec<_> =
        all.iter().filter_map(|(kind, word, span)| Some((*kind, word, (*span)?))).collect();
    given.sort_by_key(|(_, _, span)| span.start);
    let name = &step.name;
    match given.as_slice() {
        [(kind, _, _)] => return Some(*kind),
        [] => findings.push(
            Diagnostic::new(
                &name.span,
                format!("step \"{}\" has no action", name.value),
                "this step does nothing",
            )
            .hint(format!("give it one of {}", listed(all.map(|(_, word, _)| format!("`{word}`")), "or"))),
        ),
        [(_, first, former), (_, second, span), ..] => findings.push(
            Diagnostic::new(
                span,
                format!("step \"{}\" has two actions, `{first}` and `{second}`", name.value),
                "second action",
            )
            .related(former, "first action")
            .hint("make it two steps"),
        ),
    }
    // Later steps may use the flow or the stream all the same.
    if let Some(open) = &step.open {
        past.flows.open(&open.value.flow);
    }
    if let Some(stream) = &step.stream {
        past.streams.start(&stream.value.name, &mut Findings::new());
    }
    if let Some(end) = &step.end {
        past.streams.end(&end.value.stream, &mut Findings::new());
    }
    None
}

/// The action of a step that has exactly one.
pub(super) fn action(
    step: &raw::Step,
    names: Names<'_>,
    past: &mut Past,
    findings: &mut Findings,
) -> Option<Action> {
    let flows = &mut past.flows;
    if let Some(request) = &step.request {
        return self::request(&request.value, names, findings);
    }
    if let Some(open) = &step.open {
        return self::open(&open.value, names, flows, findings);
    }
    if let Some(say) = &step.say {
        let flow = is_open(&say.value.flow, flows, findings)?;
        return Some(Action::Say { flow });
    }
    if let Some(close) = &step.close {
        let flow = is_open(&close.value.flow, flows, findings)?;
        flows.close(&close.value.flow);
        return Some(Action::Close { flow });
    }
    if let Some(stream) = &step.stream {
        return self::stream(&stream.value, names, &mut past.streams, findings);
    }
    if let Some(end) = &step.end {
        let stream = past.streams.end(&end.value.stream, findings)?;
        return Some(Action::End { stream });
    }
    if let Some(inject) = &step.inject {
        return injection(&inject.value, names, findings).map(Action::Inject);
    }
    if let Some(run) = &step.run {
        let raw::Run { on, command, until } = &run.value;
        if command.value.trim().is_empty() {
            findings.push(Diagnostic::new(
                &command.span,
                "the command is empty",
                "expected a line for /bin/sh",
            ));
        }
        let until = until.as_ref().and_then(|text| words::duration(text, findings));
        return Some(Action::Run { on: names.node(on, findings)?, command: command.value.clone(), until });
    }
    if let Some(link) = &step.link {
        let (node, interface) = names.interface(&link.value.at, findings)?;
        past.links.change(&link.value, (node, interface), names, findings);
        past.streams.link_changes();
        let change = change::change(&link.value, (node, interface), names, findings);
        let repeat = change::repeat(&link.value, (node, interface), names, findings);
        return Some(Action::Link { node, interface, change: change?, repeat: repeat? });
    }
    if let Some(flap) = &step.flap {
        past.streams.link_changes();
        let written = flap.span.clone();
        return flap::flap(flap, &past.links, names, findings).map(|flap| Action::Flap { flap, written });
    }
    if let Some(wait) = &step.wait {
        if let Some(within) = &step.within {
            findings.push(
                Diagnostic::new(&within.span, "`wait` says already how long", "expected without `within`")
                    .related(&wait.span, "so long"),
            );
        }
        return words::duration(wait, findings).map(Action::Wait);
    }
    step.subject.as_ref().map(|subject| Action::Subject(subject.value))
}

fn request(request: &raw::Request, names: Names<'_>, findings: &mut Findings) -> Option<Action> {
    let raw::Request { from, to, protocol, family, source_port, source, size } = request;
    let bytes = size.as_ref().map_or(LEAST_SIZE, |size| size.value);
    if let Some(size) = size.as_ref().filter(|size| size.value < LEAST_SIZE) {
        let message = format!("a payload of {bytes} bytes cannot hold the mark of a probe");
        findings.push(Diagnostic::new(&size.span, message, format!("expected at least {LEAST_SIZE}")));
    }
    if let Some(size) = size.as_ref().filter(|size| size.value > MOST_SIZE) {
        let message = format!("no packet carries a payload of {bytes} bytes");
        findings.push(Diagnostic::new(&size.span, message, format!("expected at most {MOST_SIZE}")));
    }
    let asked = Asked { from, to, protocol, family, source_port, source };
    exchange(&asked, bytes, names, findings).map(Action::Request)
}

fn open(open: &raw::Open, names: Names<'_>, flows: &mut Flows, findings: &mut Findings) -> Option<Action> {
    let raw::Open { flow, from, to, protocol, family, source_port, source } = open;
    if let Some(former) = flows.open(flow) {
        findings.push(
            Diagnostic::new(&flow.span, format!("flow `{}` is open already", flow.value), "opened twice")
                .related(&former, "opened here")
                .hint("close it first, or give this one another name"),
        );
    }
    if let Some(protocol) = protocol.as_ref().filter(|protocol| protocol.value == Protocol::Icmp) {
        findings.push(
            Diagnostic::new(&protocol.span, "ICMP has no flows to open", "expected udp or tcp")
                .hint("use `request` for a single echo"),
        );
        names.node(from, findings);
        return None;
    }
    let asked = Asked { from, to, protocol, family, source_port, source };
    let exchange = exchange(&asked, LEAST_SIZE, names, findings)?;
    Some(Action::Open { flow: flow.value.clone(), exchange })
}

fn stream(
    stream: &raw::Stream,
    names: Names<'_>,
    streams: &mut Streams,
    findings: &mut Findings,
) -> Option<Action> {
    let raw::Stream { name, from, to, rate, family, source_port, source } = stream;
    streams.start(name, findings);
    if !(1..=MOST_RATE).contains(&rate.value) {
        let message = format!("a stream of {} packets a second is not possible", rate.value);
        findings.push(Diagnostic::new(&rate.span, message, format!("expected 1 to {MOST_RATE}")));
    }
    let asked = Asked { from, to, protocol: &None, family, source_port, source };
    let exchange = exchange(&asked, STREAM_SIZE, names, findings)?;
    Some(Action::Stream { stream: name.value.clone(), exchange, rate: rate.value })
}

fn is_open(name: &At<String>, flows: &Flows, findings: &mut Findings) -> Option<String> {
    if flows.open.contains_key(&name.value) {
        return Some(name.value.clone());
    }
    let finding = match flows.closed.get(&name.value) {
        Some(closed) => Diagnostic::new(
            &name.span,
            format!("flow `{}` is closed already", name.value),
            "expected an open flow",
        )
        .related(closed, "closed here"),
        None => {
            let message = format!("flow `{}` was not opened", name.value);
            let finding = Diagnostic::new(&name.span, message, "expected an open flow");
            if flows.open.is_empty() {
                finding.hint("open it in an earlier step: `open = { flow = ..., from = ..., to = ... }`")
            } else {
                hint_known(finding, &name.value, flows.open.keys().map(String::as_str))
            }
        }
    };
    findings.push(finding);
    None
}

/// What `request` and `open` have in common.
struct Asked<'a> {
    from: &'a At<String>,
    to: &'a At<String>,
    protocol: &'a Option<At<Protocol>>,
    family: &'a Option<At<raw::Family>>,
    source: &'a Option<At<String>>,
    source_port: &'a Option<At<u16>>,
}

fn exchange(asked: &Asked<'_>, size: u16, names: Names<'_>, findings: &mut Findings) -> Option<Exchange> {
    let protocol = asked.protocol.as_ref().map_or(Protocol::Udp, |protocol| protocol.value);
    let from = names.node(asked.from, findings);
    let target = names.target(asked.to, protocol, asked.family.as_ref(), findings);
    let source = asked.source.as_ref().and_then(|text| Some(text.with(words::address(text, findings)?)));
    let (from, (to, port)) = from.zip(target)?;
    if let Some(source) = &source {
        let owner = names.topology.node(from);
        if source.value.is_ipv4() != to.is_ipv4() {
            findings.push(
                Diagnostic::new(
                    &source.span,
                    format!("{} and {to} are of different families", source.value),
                    "expected an address of the destination's family",
                )
                .related(&asked.to.span, "the destination"),
            );
        } else if !names.in_doubt(from) && !owner.addresses().any(|own| own == source.value) {
            let finding = Diagnostic::new(
                &source.span,
                format!("{} is not an address of `{}`", source.value, owner.name),
                "a socket can only be bound to an address of its own node",
            );
            findings.push(with_addresses(finding, owner));
        }
    }
    let source_port = asked.source_port.as_ref().map_or(0, |port| port.value);
    Some(Exchange { from, to, port, protocol, source: source.map(|source| source.value), source_port, size })
}

fn injection(inject: &raw::Inject, names: Names<'_>, findings: &mut Findings) -> Option<Injection> {
    let place = names.interface(&inject.at, findings);
    let source = words::address(&inject.source, findings);
    let destination = words::address(&inject.destination, findings);
    let via = inject.via.as_ref().and_then(|name| Some(name.with(names.node(name, findings)?)));
    let protocol = inject.protocol.as_ref().map_or(Protocol::Udp, |protocol| protocol.value);
    let set = match &inject.flags {
        Some(text) if protocol != Protocol::Tcp => {
            let finding = Diagnostic::new(&text.span, "only TCP has flags", "expected `protocol = \"tcp\"`");
            findings.push(match &inject.protocol {
                Some(protocol) => finding.related(&protocol.span, "another protocol"),
                None => finding.hint("without a word about it, the protocol is UDP"),
            });
            None
        }
        Some(text) => words::tcp_flags(text, findings),
        None => Some(flags::SYN),
    };
    if let Some((source, destination)) = source.zip(destination)
        && source.is_ipv4() != destination.is_ipv4()
    {
        findings.push(
            Diagnostic::new(
                &inject.destination.span,
                format!("{source} and {destination} are of different families"),
                "expected an address of the source's family",
            )
            .related(&inject.source.span, "the source"),
        );
    }
    let (node, interface) = place?;
    if let Some(via) = &via {
        let link = names.topology.link(names.topology.node(node).interfaces[interface].link);
        if !names.in_doubt(via.value) && !link.ends.iter().any(|(end, _)| *end == via.value) {
            let message = format!("`{}` is not on link `{}`", names.topology.node(via.value).name, link.name);
            let finding = Diagnostic::new(&via.span, message, "expected a neighbour");
            let others = link.ends.iter().map(|(end, _)| *end).filter(|end| *end != node);
            let others = others.map(|end| names.topology.node(end).name.as_str());
            findings.push(hint_known(finding, &names.topology.node(via.value).name, others));
        }
    }
    Some(Injection {
        node,
        interface,
        source: source?,
        destination: destination?,
        protocol,
        source_port: inject.source_port.as_ref().map_or(40_000, |port| port.value),
        destination_port: inject.destination_port.as_ref().map_or(7, |port| port.value),
        flags: set?,
        sequence: inject.sequence.as_ref().map_or(1, |sequence| sequence.value),
        ttl: inject.ttl.as_ref().map_or(64, |ttl| ttl.value),
        payload: inject.payload.as_ref().map_or_else(String::new, |payload| payload.value.clone()),
        via: via.map(|via| via.value),
    })
}
