//! Patterns over packets, and descriptions of conntrack entries.

use super::{
    super::{
        Counted, Direction, Entries, Findings, Pattern, PatternProtocol, Place, names::Names, raw,
        spanned::At, words,
    },
    action::Kind,
};
use crate::diagnostic::Diagnostic;

/// A pattern that must match.
pub(super) fn seen(
    at: &At<raw::Pattern>,
    kind: Option<Kind>,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Counted> {
    let value = &at.value;
    own_needs_an_exchange(value, kind, findings);
    let (at_least, at_most) = bounds(&value.count, &value.at_least, &value.at_most, findings);
    Some(Counted { pattern: pattern(at, names, findings)?, at_least, at_most })
}

/// How many there may be: at least so many, and at most.
fn bounds(
    exact: &Option<At<u32>>,
    least: &Option<At<u32>>,
    most: &Option<At<u32>>,
    findings: &mut Findings,
) -> (u32, Option<u32>) {
    let bound = least.as_ref().or(most.as_ref());
    if let (Some(exact), Some(bound)) = (exact, bound) {
        findings.push(
            Diagnostic::new(
                &bound.span,
                "an exact count and a bound contradict each other",
                "expected `count`, or `at-least` and `at-most`",
            )
            .related(&exact.span, "the exact count"),
        );
    } else if let (Some(least), Some(most)) = (least, most)
        && most.value < least.value
    {
        findings.push(
            Diagnostic::new(&most.span, "no count is within these bounds", "`at-most` is below `at-least`")
                .related(&least.span, "at least so many"),
        );
    }
    let number = |number: &Option<At<u32>>| number.as_ref().map(|number| number.value);
    match number(exact) {
        Some(count) => (count, Some(count)),
        None => (number(least).unwrap_or(u32::from(most.is_none())), number(most)),
    }
}

/// A pattern that must not match.
pub(super) fn never(
    at: &At<raw::Pattern>,
    kind: Option<Kind>,
    names: Names<'_>,
    findings: &mut Findings,
) -> Option<Counted> {
    let value = &at.value;
    own_needs_an_exchange(value, kind, findings);
    for count in [&value.count, &value.at_least, &value.at_most].into_iter().flatten() {
        findings.push(
            Diagnostic::new(&count.span, "`never` counts nothing", "not possible here")
                .hint("use `seen` with `count` or `at-most`"),
        );
    }
    Some(Counted { pattern: pattern(at, names, findings)?, at_least: 0, at_most: Some(0) })
}

fn own_needs_an_exchange(value: &raw::Pattern, kind: Option<Kind>, findings: &mut Findings) {
    let sends = kind.is_none_or(|kind| kind.exchanges() || kind == Kind::Inject);
    if let Some(own) = value.own.as_ref().filter(|own| own.value && !sends) {
        findings.push(Diagnostic::new(
            &own.span,
            "this step sends no packet of its own",
            "expected with `request`, `open`, `say` or `inject` only",
        ));
    }
}

/// A pattern.
pub(super) fn pattern(at: &At<raw::Pattern>, names: Names<'_>, findings: &mut Findings) -> Option<Pattern> {
    let value = &at.value;
    let before = findings.len();
    if says_nothing(value) {
        findings.push(
            Diagnostic::new(&at.span, "an empty pattern matches every packet", "expected at least one word")
                .hint("such as { on = \"isp-a\", source = \"10.0.0.0/8\" }"),
        );
        return None;
    }
    let place = place(value, names, findings);
    let mut prefix = |text: &Option<At<String>>| words::prefix(text.as_ref()?, findings);
    let (source, destination) = (prefix(&value.source), prefix(&value.destination));
    let source_not = value.source_not.iter().flat_map(At::items);
    let pattern = Pattern {
        place,
        source,
        source_not: source_not.filter_map(|text| words::prefix(&text, findings)).collect(),
        destination,
        protocol: value.protocol.as_ref().map(|protocol| protocol.value),
        source_port: value.source_port.as_ref().map(|port| port.value),
        destination_port: value.destination_port.as_ref().map(|port| port.value),
        flags: value.flags.as_ref().and_then(|text| words::tcp_flags(text, findings)),
        ttl: value.ttl.as_ref().map(|ttl| ttl.value),
        payload: value.payload.as_ref().map(|payload| payload.value.clone()),
        own: value.own.as_ref().is_some_and(|own| own.value),
    };
    matches_nothing(value, &pattern, findings);
    (findings.len() == before).then_some(pattern)
}

fn says_nothing(value: &raw::Pattern) -> bool {
    // Each word is named, so that a new one cannot be forgotten.
    let raw::Pattern {
        on,
        at,
        direction,
        source,
        source_not,
        destination,
        protocol,
        source_port,
        destination_port,
        flags,
        ttl,
        payload,
        own,
        count: _,
        at_least: _,
        at_most: _,
    } = value;
    let texts = [on, at, source, destination, flags, payload].into_iter().all(Option::is_none);
    let ports = source_port.is_none() && destination_port.is_none();
    let nets = source_not.as_ref().is_none_or(|nets| nets.items().is_empty());
    let words = direction.is_none() && protocol.is_none() && ttl.is_none();
    texts && ports && nets && words && own.as_ref().is_none_or(|own| !own.value)
}

fn place(value: &raw::Pattern, names: Names<'_>, findings: &mut Findings) -> Place {
    if let Some(direction) = value.direction.as_ref().filter(|_| value.at.is_none()) {
        let word = if direction.value == Direction::In { "in" } else { "out" };
        findings.push(
            Diagnostic::new(&direction.span, format!("\"{word}\" of what?"), "expected with `at` only")
                .hint("say `at = \"NODE\"` or `at = \"NODE:INTERFACE\"`"),
        );
    }
    match (&value.on, &value.at) {
        (Some(on), Some(at)) => {
            findings.push(
                Diagnostic::new(&at.span, "a pattern looks on a link or at a node, not both", "second place")
                    .related(&on.span, "first place"),
            );
            Place::Anywhere
        }
        (Some(on), None) => names.link(on, findings).map_or(Place::Anywhere, Place::Link),
        (None, Some(at)) => match names.place(at, findings) {
            Some((node, interface)) => {
                let direction = value.direction.as_ref().map(|direction| direction.value);
                Place::Node { node, interface, direction }
            }
            None => Place::Anywhere,
        },
        (None, None) => Place::Anywhere,
    }
}

/// Words that no packet fulfils together: with them, `never` would hold whatever happens.
fn matches_nothing(value: &raw::Pattern, pattern: &Pattern, findings: &mut Findings) {
    let mut together = |span: &std::ops::Range<usize>, what: &str, other: Option<&std::ops::Range<usize>>| {
        let finding =
            Diagnostic::new(span, format!("{what}, so this pattern matches nothing"), "contradicts the rest");
        findings.push(match other {
            Some(other) => finding.related(other, "this"),
            None => finding,
        });
    };
    if let (Some(source), Some(destination)) = (pattern.source, pattern.destination)
        && source.addr().is_ipv4() != destination.addr().is_ipv4()
        && let (Some(one), Some(other)) = (&value.source, &value.destination)
    {
        together(&other.span, "a packet has source and destination of one family", Some(&one.span));
    }
    let Some(protocol) = &value.protocol else { return };
    let other = Some(&protocol.span);
    if let Some(flags) = value.flags.as_ref().filter(|_| protocol.value != PatternProtocol::Tcp) {
        together(&flags.span, "only TCP has flags", other);
    }
    let no_ports = matches!(protocol.value, PatternProtocol::Icmp | PatternProtocol::Arp);
    if let Some(port) = value.destination_port.as_ref().filter(|_| no_ports) {
        together(&port.span, "only UDP and TCP have ports", other);
    }
    if protocol.value != PatternProtocol::Arp {
        return;
    }
    if let Some(port) = &value.source_port {
        together(&port.span, "only UDP and TCP have ports", other);
    }
    if let Some(ttl) = &value.ttl {
        together(&ttl.span, "ARP has no TTL", other);
    }
    if let Some(payload) = &value.payload {
        together(&payload.span, "ARP has no payload", other);
    }
    if let Some(own) = value.own.as_ref().filter(|own| own.value) {
        together(&own.span, "ARP belongs to no exchange", other);
    }
    let nets = [(pattern.source, &value.source), (pattern.destination, &value.destination)];
    for (net, text) in nets {
        if let (Some(net), Some(text)) = (net, text)
            && net.addr().is_ipv6()
        {
            together(&text.span, "ARP is for IPv4", other);
        }
    }
}

/// Conntrack entries of a node.
pub(super) fn entries(at: &At<raw::Conntrack>, names: Names<'_>, findings: &mut Findings) -> Option<Entries> {
    let value = &at.value;
    let node = names.node(&value.at, findings);
    let mut endpoint = |text: &Option<At<String>>| names.endpoint(text.as_ref()?, findings);
    let (source, destination) = (endpoint(&value.source), endpoint(&value.destination));
    let (reply_source, reply_destination) =
        (endpoint(&value.reply_source), endpoint(&value.reply_destination));
    let mark = value.mark.as_ref().and_then(|text| words::mark(text, findings));
    let (at_least, at_most) = bounds(&value.count, &value.at_least, &value.at_most, findings);
    Some(Entries {
        node: node?,
        protocol: value.protocol.as_ref().map(|protocol| protocol.value),
        source,
        destination,
        reply_source,
        reply_destination,
        mark,
        at_least,
        at_most,
    })
}
