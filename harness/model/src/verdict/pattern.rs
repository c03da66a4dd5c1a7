//! Patterns over packets, and over conntrack entries.

use super::{Evidence, Ground, Ways, describe};
use crate::{
    event::Check,
    journey::Identity,
    observation::{Entry, EntryEvent, Record},
    packet::{Ip, Packet, Transport},
    scenario::{
        Counted, Direction, Endpoint, Entries, EntryChange, Pattern, PatternProtocol, Place, Protocol,
    },
    topology::NodeId,
};

/// Whether a record matches a pattern. `own` says which packets are the step's own.
pub(super) fn matches(
    ground: Ground<'_>,
    pattern: &Pattern,
    record: &Record,
    own: Option<&dyn Fn(&Ip) -> bool>,
) -> bool {
    if record.overheard || !at_place(ground, pattern.place, record) {
        return false;
    }
    let ip = match &record.packet {
        Packet::Ip(ip) => ip,
        Packet::Arp { sender, target, .. } => {
            return pattern.protocol == Some(PatternProtocol::Arp)
                && pattern.source.is_none_or(|prefix| prefix.contains(sender))
                && !pattern.source_not.iter().any(|prefix| prefix.contains(sender))
                && pattern.destination.is_none_or(|prefix| prefix.contains(target));
        }
        Packet::Other(_) => return false,
    };
    let protocol = match ip.transport {
        Transport::Udp { .. } => Some(PatternProtocol::Udp),
        Transport::Tcp { .. } => Some(PatternProtocol::Tcp),
        Transport::Echo { .. } | Transport::Error { .. } | Transport::Control { .. } => {
            Some(PatternProtocol::Icmp)
        }
        Transport::Other(_) => None,
    };
    let set = match ip.transport {
        Transport::Tcp { flags, .. } => flags,
        _ => 0,
    };
    pattern.source.is_none_or(|prefix| prefix.contains(&ip.source))
        && !pattern.source_not.iter().any(|prefix| prefix.contains(&ip.source))
        && source_not_of_family(pattern, ip)
        && pattern.destination.is_none_or(|prefix| prefix.contains(&ip.destination))
        && pattern.protocol.is_none_or(|wanted| protocol == Some(wanted))
        && pattern.source_port.is_none_or(|port| ip.source_port() == Some(port))
        && pattern.destination_port.is_none_or(|port| ip.destination_port() == Some(port))
        && pattern.flags.is_none_or(|wanted| set & wanted == wanted)
        && pattern.ttl.is_none_or(|ttl| ip.ttl == ttl)
        && pattern.payload.as_ref().is_none_or(|text| contains(&ip.payload, text.as_bytes()))
        && (!pattern.own || own.is_some_and(|own| own(ip)))
}

/// `source-not` speaks of the families that it names: "not 192.0.2.0/24" says nothing about IPv6 packets, such as
/// the kernel's own neighbour discovery.
fn source_not_of_family(pattern: &Pattern, ip: &Ip) -> bool {
    pattern.source_not.is_empty()
        || pattern.source_not.iter().any(|prefix| prefix.addr().is_ipv4() == ip.source.is_ipv4())
}

fn contains(payload: &[u8], text: &[u8]) -> bool {
    text.is_empty() || payload.windows(text.len()).any(|window| window == text)
}

/// A link is looked at where frames enter it, so that each frame on it counts once.
fn at_place(ground: Ground<'_>, place: Place, record: &Record) -> bool {
    match place {
        Place::Anywhere => record.sent,
        Place::Link(link) => record.sent && ground.device(record).is_some_and(|device| device.link == link.0),
        Place::Node { node, interface, direction } => {
            let devices = &ground.plan.nodes[node.0].devices;
            record.node == node.0
                && interface.is_none_or(|at| devices[at].index == record.device)
                && direction.is_none_or(|direction| (direction == Direction::Out) == record.sent)
        }
    }
}

/// Whether a TCP segment belongs to the opening of a connection, or refuses it: by the numbers that no translation
/// touches. What comes later carries a token.
fn of_connection(ip: &Ip, isn: u32) -> bool {
    let next = isn.wrapping_add(1);
    match ip.transport {
        Transport::Tcp { sequence, acknowledgement, .. } => {
            sequence == isn || sequence == next || acknowledgement == next
        }
        _ => false,
    }
}

/// Counts the packets of a pattern.
pub(super) fn count(ground: Ground<'_>, counted: &Counted, evidence: &Evidence<'_>, ways: &Ways) -> Check {
    let own = |ip: &Ip| {
        let probe = ways.probe.is_some_and(|probe| {
            ip.token.is_some_and(|token| token.id == probe) || Identity::ErrorAbout(probe).matches(ip)
        });
        let connect = ways
            .connect
            .is_some_and(|isn| of_connection(ip, isn) || Identity::ErrorAboutConnect(isn).matches(ip));
        probe || connect
    };
    let hits: Vec<&Record> = evidence
        .records
        .iter()
        .filter(|record| matches(ground, &counted.pattern, record, Some(&own)))
        .collect();
    let many: u64 = hits.iter().map(|record| u64::from(record.times)).sum();
    let holds = are_within(many, counted.at_least, counted.at_most);
    let number = match (counted.at_least, counted.at_most) {
        (_, Some(0)) => "never".to_owned(),
        (least, Some(most)) if least == most => format!("exactly {least}"),
        (0, Some(most)) => format!("at most {most}"),
        (least, Some(most)) => format!("{least} to {most}"),
        (1, None) => "seen".to_owned(),
        (least, None) => format!("at least {least}"),
    };
    let expected = format!("{number}: {}", describe::pattern(ground, &counted.pattern));
    let seen = match hits.first() {
        None => "no such packet".to_owned(),
        Some(first) if many == 1 => describe::record(ground, first),
        Some(first) => format!("{many}, the first: {}", describe::record(ground, first)),
    };
    Check { expected, seen, holds }
}

fn are_within(many: u64, at_least: u32, at_most: Option<u32>) -> bool {
    many >= u64::from(at_least) && at_most.is_none_or(|most| many <= u64::from(most))
}

/// Counts the conntrack entries of a description.
pub(super) fn entries(ground: Ground<'_>, wanted: &Entries, seen: &[(NodeId, Vec<Entry>)]) -> Check {
    let of_node = seen.iter().find(|(node, _)| *node == wanted.node).map(|(_, entries)| entries.as_slice());
    let all = of_node.unwrap_or_default();
    let hits: Vec<&Entry> = all.iter().filter(|entry| entry_matches(wanted, entry)).collect();
    let holds = are_within(hits.len() as u64, wanted.at_least, wanted.at_most);
    let seen = match (hits.len(), all.len()) {
        (0, 0) => "the table is empty".to_owned(),
        (0, _) => format!("none; the table has {}", list(&all.iter().collect::<Vec<_>>())),
        (many, _) => format!("{many}: {}", list(&hits)),
    };
    Check { expected: describe::entries(ground, wanted, ""), seen, holds }
}

/// Counts the conntrack entries of a description that came or went.
pub(super) fn changes(
    ground: Ground<'_>,
    change: EntryChange,
    wanted: &Entries,
    seen: &[(NodeId, Vec<EntryEvent>)],
) -> Check {
    let of_node = seen.iter().find(|(node, _)| *node == wanted.node).map(|(_, events)| events.as_slice());
    let all: Vec<&Entry> = of_node
        .unwrap_or_default()
        .iter()
        .filter(|event| event.change == change)
        .map(|event| &event.entry)
        .collect();
    let hits: Vec<&Entry> = all.iter().copied().filter(|entry| entry_matches(wanted, entry)).collect();
    let word = match change {
        EntryChange::Created => "created",
        EntryChange::Destroyed => "destroyed",
    };
    let seen = match (hits.len(), all.len()) {
        (0, 0) => format!("none was {word}"),
        (0, _) => format!("none; {word} were {}", list(&all)),
        (many, _) => format!("{many}: {}", list(&hits)),
    };
    let holds = are_within(hits.len() as u64, wanted.at_least, wanted.at_most);
    Check { expected: describe::entries(ground, wanted, &format!(" {word}")), seen, holds }
}

/// Some of them.
fn list(entries: &[&Entry]) -> String {
    let texts: Vec<String> = entries.iter().take(4).map(|entry| describe::entry(entry)).collect();
    texts.join("; ")
}

fn entry_matches(wanted: &Entries, entry: &Entry) -> bool {
    let fits = |wanted: Option<Endpoint>, address: std::net::IpAddr, port: u16| {
        wanted
            .is_none_or(|wanted| wanted.address == address && wanted.port.is_none_or(|wanted| wanted == port))
    };
    let protocol = |protocol: Protocol| match protocol {
        Protocol::Udp => entry.protocol == 17,
        Protocol::Tcp => entry.protocol == 6,
        Protocol::Icmp => entry.protocol == 1 || entry.protocol == 58,
    };
    wanted.protocol.is_none_or(protocol)
        && fits(wanted.source, entry.original.source, entry.original.source_port)
        && fits(wanted.destination, entry.original.destination, entry.original.destination_port)
        && fits(wanted.reply_source, entry.reply.source, entry.reply.source_port)
        && fits(wanted.reply_destination, entry.reply.destination, entry.reply.destination_port)
        && wanted.mark.is_none_or(|(value, mask)| entry.mark & mask == value)
}
