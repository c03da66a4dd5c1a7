//! Everything that a verdict says, in words.

use std::fmt::Write as _;

use super::Ground;
use crate::{
    diagnostic::listed,
    event::{HopReport, JourneyReport},
    journey::Journey,
    observation::{Entry, Record, Tuple},
    packet::{Ip, Packet, Transport, flags},
    plan::Device,
    relay::{Faults, Share},
    scenario::{
        Action, Direction, Endpoint, Entries, Exchange, Flap, Happening, LinkAction, LinkChange, Pattern,
        PatternProtocol, Place, Protocol, Random, Repeat, SubjectAction, flap,
    },
    topology::{LinkId, NodeId},
};

impl<'a> Ground<'a> {
    /// The device of a record; None for the loopback device, and for devices that the subject made.
    pub(super) fn device(&self, record: &Record) -> Option<&'a Device> {
        self.plan.nodes.get(record.node)?.devices.iter().find(|device| device.index == record.device)
    }

    fn device_name(&self, node: usize, index: u32) -> String {
        if index == 1 {
            return "lo".to_owned();
        }
        let devices = self.plan.nodes.get(node).map(|node| node.devices.as_slice()).unwrap_or_default();
        devices
            .iter()
            .find(|device| device.index == index)
            .map_or_else(|| format!("device {index}"), |device| device.name.clone())
    }

    fn node_name(&self, node: usize) -> &'a str {
        &self.topology.node(NodeId(node)).name
    }
}

/// What a step does.
pub fn action(ground: Ground<'_>, action: &Action) -> String {
    let node = |id: NodeId| ground.node_name(id.0);
    match action {
        Action::Request(exchange) => question(ground, exchange),
        Action::Open { flow, exchange } => format!("open flow {flow}: {}", question(ground, exchange)),
        Action::Say { flow } => format!("another question on flow {flow}"),
        Action::Close { flow } => format!("close flow {flow}"),
        Action::Stream { stream, exchange, rate } => format!(
            "stream {stream}: {} sends {rate} packets a second to {}",
            node(exchange.from),
            std::net::SocketAddr::new(exchange.to, exchange.port)
        ),
        Action::End { stream } => format!("end stream {stream}"),
        Action::Inject(injection) => format!(
            "{} sends a hand-made {} packet {} > {} by {}",
            node(injection.node),
            protocol(injection.protocol),
            injection.source,
            injection.destination,
            ground.topology.node(injection.node).interfaces[injection.interface].name
        ),
        Action::Run { on, command, until: None } => format!("run on {}: {}", node(*on), short(command)),
        Action::Run { on, command, until: Some(until) } => {
            format!("run on {}, again for up to {until:?}: {}", node(*on), short(command))
        }
        Action::Link { node: on, interface, change, repeat } => {
            let changed = self::change(ground, *on, *interface, change);
            match repeat {
                None => changed,
                Some(Repeat { back: _, lasting, pause: _, times: 1 }) => {
                    format!("{changed}, for {lasting:?}")
                }
                Some(Repeat { back: _, lasting, pause, times }) => {
                    format!("{changed}, {times} times for {lasting:?}, {pause:?} apart")
                }
            }
        }
        Action::Flap { flap, written: _ } => self::flap(ground, flap),
        Action::Subject(SubjectAction::Apply) => "apply the subject".to_owned(),
        Action::Subject(SubjectAction::Reload) => "apply the subject again".to_owned(),
        Action::Subject(SubjectAction::Stop) => "take the subject away".to_owned(),
        Action::Subject(SubjectAction::Kill) => "kill the subject".to_owned(),
        Action::Wait(limit) => format!("wait, at most {limit:?}"),
    }
}

fn flap(ground: Ground<'_>, flap: &Flap) -> String {
    match flap {
        Flap::Random(Random { places, breaks, every, lasting: _, at_once: _, kills }) => {
            let device = |place: &flap::Place| device(ground, place.node, place.interface);
            let places = listed(places.iter().map(device), "and");
            let kills = match kills {
                0 => String::new(),
                1 => ", and the subject is killed once".to_owned(),
                kills => format!(", and the subject is killed {kills} times"),
            };
            format!("{breaks} breaks of {places}, one in {every:?}{kills}")
        }
        Flap::Listed(breaks) => format!("{} breaks, each at its moment", breaks.len()),
    }
}

/// What happens while links flap.
pub fn happening(ground: Ground<'_>, happening: &Happening) -> String {
    match happening {
        Happening::Link { node, interface, change } => self::change(ground, *node, *interface, change),
        Happening::Killed => "the subject is killed".to_owned(),
        Happening::Started => "the subject is started again".to_owned(),
    }
}

fn device(ground: Ground<'_>, node: NodeId, interface: usize) -> String {
    format!("{}:{}", ground.node_name(node.0), ground.topology.node(node).interfaces[interface].name)
}

/// What happens to an interface.
fn change(ground: Ground<'_>, node: NodeId, interface: usize, change: &LinkChange) -> String {
    let name = device(ground, node, interface);
    match change {
        LinkChange::Addresses(addresses) => format!("{name} has {} from now on", listed(addresses, "and")),
        LinkChange::Returns(addresses) => {
            format!("{name} is there again, under another index, with {}", listed(addresses, "and"))
        }
        LinkChange::Faults { leaving, coming } => {
            let [leaving, coming] = [leaving, coming].map(|faults| faults.as_deref().map(faulty));
            if leaving == coming
                && let Some(both) = leaving
            {
                return format!("{name} has {both} both ways");
            }
            let leaving = leaving.map(|faults| format!("{faults} on what leaves"));
            let coming = coming.map(|faults| format!("{faults} on what comes in"));
            format!("{name} has {}", listed(leaving.into_iter().chain(coming), "and"))
        }
        LinkChange::State(action) => match action {
            LinkAction::Cut => format!("{name} loses its carrier"),
            LinkAction::Mend => format!("{name} has its carrier back"),
            LinkAction::Down => format!("{name} is set down"),
            LinkAction::Up => format!("{name} is set up"),
            LinkAction::Remove => format!("{name} is removed"),
            LinkAction::Restore => format!("{name} is there again, under another index"),
            LinkAction::Mute => format!("{name} keeps its carrier, but nothing passes"),
            LinkAction::Unmute => format!("{name} passes packets again"),
            LinkAction::Silence => format!("{name} is forgotten by its neighbours, and does not answer them"),
            LinkAction::Speak => format!("{name} answers its neighbours again"),
        },
    }
}

/// What is wrong with one direction of a link.
fn faulty(faults: &Faults) -> String {
    let Faults { delay, jitter, loss, lose, duplicate, reorder, corrupt, rate, black_hole } = faults;
    let mut words = Vec::new();
    let mut share = |share: &Share, what: &str| {
        if *share != Share::NONE {
            words.push(format!("{share} {what}"));
        }
    };
    share(loss, "lost");
    share(duplicate, "twice");
    share(reorder, "out of order");
    share(corrupt, "corrupt");
    if !delay.is_zero() {
        words.push(format!("a delay of {delay:?}"));
    }
    if !jitter.is_zero() {
        words.push(format!("{jitter:?} less or more"));
    }
    if !lose.is_empty() {
        words.push(format!("packets {} lost", listed(lose, "and")));
    }
    words.extend(rate.map(|rate| format!("{rate} bits a second")));
    words.extend(black_hole.map(|most| format!("no packet above {most} bytes")));
    if words.is_empty() { "no fault".to_owned() } else { words.join(", ") }
}

fn question(ground: Ground<'_>, exchange: &Exchange) -> String {
    let to = match exchange.protocol {
        Protocol::Icmp => exchange.to.to_string(),
        _ => std::net::SocketAddr::new(exchange.to, exchange.port).to_string(),
    };
    format!("{} asks {to} by {}", ground.node_name(exchange.from.0), protocol(exchange.protocol))
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "UDP",
        Protocol::Tcp => "TCP",
        Protocol::Icmp => "ICMP",
    }
}

/// The links that a journey crossed, in order, each once in a row: sent by one end and received by another.
pub(super) fn links(ground: Ground<'_>, journey: &Journey) -> Vec<LinkId> {
    let mut links: Vec<LinkId> = journey
        .hops
        .iter()
        .filter_map(|hop| hop.came_in)
        .filter_map(|index| ground.plan.device(index).map(|(_, device)| LinkId(device.link)))
        .collect();
    links.dedup();
    links
}

/// How a journey ended.
pub(super) fn end(ground: Ground<'_>, journey: &Journey) -> String {
    let Some(last) = journey.hops.last() else { return "it was never seen".to_owned() };
    let name = ground.node_name(last.node);
    match (last.came_in, last.went_out) {
        (_, Some(out)) => {
            format!("{name} sent it out by {}, nobody received it", ground.device_name(last.node, out))
        }
        (_, None) => {
            let own =
                ground.topology.node(NodeId(last.node)).addresses().any(|own| own == last.before.destination);
            if own {
                format!("arrived at {name} as {}", last.before.addresses())
            } else {
                format!("{name} received it as {} and did not pass it on", last.before.addresses())
            }
        }
    }
}

/// A journey, hop by hop.
pub(super) fn journey(ground: Ground<'_>, packet: String, journey: &Journey) -> JourneyReport {
    let began = journey.hops.first().map_or(0, |hop| hop.at);
    let hops = journey
        .hops
        .iter()
        .map(|hop| HopReport {
            node: ground.node_name(hop.node).to_owned(),
            came_in: hop.came_in.map(|index| ground.device_name(hop.node, index)),
            went_out: hop.went_out.map(|index| ground.device_name(hop.node, index)),
            before: hop.before.addresses(),
            after: (hop.before.addresses() != hop.after.addresses()).then(|| hop.after.addresses()),
            micros: hop.at.saturating_sub(began) / 1000,
        })
        .collect();
    JourneyReport { packet, hops, end: end(ground, journey) }
}

/// One frame at one device.
pub(super) fn record(ground: Ground<'_>, record: &Record) -> String {
    let device = ground.device_name(record.node, record.device);
    let verb = if record.sent { "sent" } else { "received" };
    format!("{} {verb} by {}:{device}", packet(&record.packet), ground.node_name(record.node))
}

fn packet(packet: &Packet) -> String {
    match packet {
        Packet::Ip(ip) => ip_text(ip),
        Packet::Arp { operation: 1, sender, target } => format!("ARP: {sender} asks who has {target}"),
        Packet::Arp { sender, target, .. } => format!("ARP: {sender} answers {target}"),
        Packet::Other(ether_type) => format!("a frame of type {ether_type:#06x}"),
    }
}

fn ip_text(ip: &Ip) -> String {
    let addresses = ip.addresses();
    match &ip.transport {
        Transport::Udp { .. } => format!("UDP {addresses}"),
        Transport::Tcp { flags: set, .. } => format!("TCP {addresses} {}", flags::describe(*set)),
        Transport::Echo { request: true, .. } => format!("ICMP echo request {addresses}"),
        Transport::Echo { .. } => format!("ICMP echo reply {addresses}"),
        Transport::Error { kind, code, about } => {
            let about =
                about.as_ref().map_or_else(String::new, |about| format!(" about {}", about.addresses()));
            format!("ICMP error {kind}/{code} {addresses}{about}")
        }
        Transport::Control { kind } => format!("ICMP type {kind} {addresses}"),
        Transport::Other(number) => format!("protocol {number} {addresses}"),
    }
}

/// A pattern.
pub(super) fn pattern(ground: Ground<'_>, pattern: &Pattern) -> String {
    let mut text = match pattern.protocol {
        Some(PatternProtocol::Udp) => "UDP packet".to_owned(),
        Some(PatternProtocol::Tcp) => "TCP packet".to_owned(),
        Some(PatternProtocol::Icmp) => "ICMP packet".to_owned(),
        Some(PatternProtocol::Arp) => "ARP packet".to_owned(),
        None => "packet".to_owned(),
    };
    if pattern.own {
        text.push_str(" of this exchange");
    }
    if let Some(set) = pattern.flags {
        let _ = write!(text, " with {}", flags::describe(set));
    }
    if let Some(source) = pattern.source {
        let _ = write!(text, " from {}", prefix(source));
    }
    if !pattern.source_not.is_empty() {
        let list: Vec<String> = pattern.source_not.iter().copied().map(prefix).collect();
        let _ = write!(text, " from others than {}", list.join(" or "));
    }
    if let Some(port) = pattern.source_port {
        let _ = write!(text, " from port {port}");
    }
    if let Some(destination) = pattern.destination {
        let _ = write!(text, " to {}", prefix(destination));
    }
    if let Some(port) = pattern.destination_port {
        let _ = write!(text, " to port {port}");
    }
    if let Some(ttl) = pattern.ttl {
        let _ = write!(text, " with TTL {ttl}");
    }
    if let Some(payload) = &pattern.payload {
        let _ = write!(text, " that carries {payload:?}");
    }
    match pattern.place {
        Place::Anywhere => {}
        Place::Link(link) => {
            let _ = write!(text, " on link {}", ground.topology.link(link).name);
        }
        Place::Node { node, interface, direction } => {
            let way = match direction {
                None => "at",
                Some(Direction::In) => "received by",
                Some(Direction::Out) => "sent by",
            };
            let _ = write!(text, " {way} {}", ground.node_name(node.0));
            if let Some(at) = interface {
                let _ = write!(text, ":{}", ground.topology.node(node).interfaces[at].name);
            }
        }
    }
    text
}

/// A prefix; a single address without its length.
fn prefix(prefix: ipnet::IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

/// A description of conntrack entries, and what became of them.
pub(super) fn entries(ground: Ground<'_>, wanted: &Entries, became: &str) -> String {
    let number = match (wanted.at_least, wanted.at_most) {
        (1, None) => "conntrack entry".to_owned(),
        (least, None) => format!("at least {least} conntrack entries"),
        (least, Some(most)) if least == most => format!("{least} conntrack entries"),
        (0, Some(most)) => format!("at most {most} conntrack entries"),
        (least, Some(most)) => format!("{least} to {most} conntrack entries"),
    };
    let mut text = format!("{number}{became} at {}", ground.node_name(wanted.node.0));
    if let Some(of) = wanted.protocol {
        let _ = write!(text, ", {}", protocol(of));
    }
    let mut part = |what: &str, endpoint: Option<Endpoint>| {
        if let Some(endpoint) = endpoint {
            let end = match endpoint.port {
                Some(port) => std::net::SocketAddr::new(endpoint.address, port).to_string(),
                None => endpoint.address.to_string(),
            };
            let _ = write!(text, ", {what} {end}");
        }
    };
    part("from", wanted.source);
    part("to", wanted.destination);
    part("answers from", wanted.reply_source);
    part("answers to", wanted.reply_destination);
    if let Some((value, mask)) = wanted.mark {
        let _ = write!(text, ", mark {value:#x}/{mask:#x}");
    }
    text
}

/// One conntrack entry.
pub(super) fn entry(entry: &Entry) -> String {
    let tuple = |tuple: &Tuple| {
        let end = |address: std::net::IpAddr, port: u16| {
            if port == 0 { address.to_string() } else { std::net::SocketAddr::new(address, port).to_string() }
        };
        format!(
            "{} > {}",
            end(tuple.source, tuple.source_port),
            end(tuple.destination, tuple.destination_port)
        )
    };
    let protocol = match entry.protocol {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        other => format!("protocol {other}"),
    };
    format!("{protocol} {}, answers {}, mark {:#x}", tuple(&entry.original), tuple(&entry.reply), entry.mark)
}

/// A text on one line, and not too long.
pub(super) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 200 {
        line
    } else {
        format!("{}...", line.chars().take(200).collect::<String>())
    }
}
