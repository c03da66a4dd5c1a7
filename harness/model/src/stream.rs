//! A stream of numbered packets: what became of each, and what that amounts to.
//!
//! Whoever sends tells a [`Ledger`] of each packet as it is sent, as it arrives at the far end, and as its answer comes
//! back; times are microseconds since the stream began. A packet takes five bytes, however long the stream.
//!
//! Packets are recognised by their [`Token`](crate::packet::Token), as all probes are: the number of a stream is in the
//! upper eight bits, that of the packet in the others. Zero is no stream: probes of other kinds stay below.

use std::time::Duration;

use crate::{
    observation::Record,
    packet::{Ip, Packet, Transport, parse_ip},
    plan::{LabPlan, TUNNEL_PORTS},
    topology::Topology,
};

#[cfg(test)]
mod tests;

/// Bits of a packet's number.
const NUMBER_BITS: u32 = 24;
/// Packets that a stream can have.
pub const MOST_PACKETS: usize = 1 << NUMBER_BITS;

/// What became of a packet.
mod fate {
    /// It arrived.
    pub(super) const ARRIVED: u8 = 1;
    /// Its answer came back.
    pub(super) const ANSWERED: u8 = 1 << 1;
    /// Another copy of it arrived, or of its answer came back.
    pub(super) const AGAIN: u8 = 1 << 2;
    /// It arrived behind a later one, or its answer did.
    pub(super) const LATE: u8 = 1 << 3;
}

/// The token's number for a packet of a stream.
pub fn token_id(stream: u8, packet: u32) -> u32 {
    u32::from(stream) << NUMBER_BITS | packet
}

/// The stream and the packet of a token's number. None: it belongs to no stream.
pub fn of_token(id: u32) -> Option<(u8, u32)> {
    let stream = (id >> NUMBER_BITS) as u8;
    (stream > 0).then_some((stream, id & ((1 << NUMBER_BITS) - 1)))
}

/// The stream and the packet that a record is about, if it is a packet of a stream, its answer, or an error about either.
pub fn of_record(record: &Record) -> Option<(u8, u32)> {
    of_packet(&record.packet)
}

/// The stream and the packet that a packet is about, be it in a tunnel.
pub(crate) fn of_packet(packet: &Packet) -> Option<(u8, u32)> {
    let Packet::Ip(ip) = packet else { return None };
    match (ip.traced(), &ip.transport) {
        (Some(token), _) => of_token(token.id),
        (None, Transport::Udp { destination, .. }) if TUNNEL_PORTS.contains(destination) => {
            of_packet(&parse_ip(&ip.payload))
        }
        (None, _) => None,
    }
}

/// Whether two records say the same but for the time and the number of the packet.
pub fn alike(one: &Record, other: &Record) -> bool {
    let place = |record: &Record| (record.node, record.device, record.sent, record.overheard);
    let ips = |one: &Ip, other: &Ip| {
        let header =
            |ip: &Ip| (ip.source, ip.destination, ip.ttl, ip.length, ip.token.map(|token| token.kind));
        let transports = match (&one.transport, &other.transport) {
            (Transport::Error { kind, code, .. }, Transport::Error { kind: k, code: c, .. }) => {
                (kind, code) == (k, c)
            }
            (transport, other) => transport == other,
        };
        header(one) == header(other) && transports
    };
    let packets = match (&one.packet, &other.packet) {
        (Packet::Ip(one), Packet::Ip(other)) => ips(one, other),
        (packet, other) => packet == other,
    };
    place(one) == place(other) && packets
}

/// What each packet of a stream came to.
#[derive(Debug, Default)]
pub struct Ledger {
    /// When each was sent.
    sent: Vec<u32>,
    fates: Vec<u8>,
    last_arrived: Option<u32>,
    last_answered: Option<u32>,
    /// When the last link changed.
    link_changed: Option<u32>,
    /// Packets that were due but not sent.
    left_out: u64,
}

/// What a stream amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measures {
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that were due but not sent, since the sender was late: whether they had arrived nobody knows.
    pub left_out: u64,
    /// Packets that were answered.
    pub answered: u64,
    /// Packets that never arrived.
    pub lost: u64,
    /// Packets that arrived but whose answer did not come back.
    pub reply_lost: u64,
    /// Packets of which more than one copy arrived, there or back.
    pub duplicated: u64,
    /// Packets that arrived behind a later one, there or back.
    pub reordered: u64,
    /// The longest time from an answered packet to the next one, if any between them was not.
    pub outage: Duration,
    /// What came of the last link change. None: no link changed.
    pub recovery: Option<Recovery>,
}

/// What came of a link change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// No packet that was sent after it remained unanswered.
    Unharmed,
    /// The first answered packet behind a loss was sent so long after it.
    After(Duration),
    /// There was a loss, and no answered packet behind it for so long as the stream went on after the change.
    NotWithin(Duration),
}

impl Ledger {
    /// A packet is sent. Returns its number; None if there are no more numbers.
    pub fn sends(&mut self, micros: u64) -> Option<u32> {
        let number = u32::try_from(self.sent.len()).ok().filter(|_| self.sent.len() < MOST_PACKETS)?;
        self.sent.push(saturated(micros));
        self.fates.push(0);
        Some(number)
    }

    /// Packets that were due are not sent.
    pub fn leaves_out(&mut self, packets: u64) {
        self.left_out += packets;
    }

    /// A packet arrived at the far end.
    pub fn arrived(&mut self, number: u32) {
        mark(&mut self.fates, &mut self.last_arrived, number, fate::ARRIVED);
    }

    /// A packet's answer came back.
    pub fn answered(&mut self, number: u32) {
        mark(&mut self.fates, &mut self.last_answered, number, fate::ANSWERED);
    }

    /// A link is about to change.
    pub fn link_changes(&mut self, micros: u64) {
        self.link_changed = Some(saturated(micros));
    }

    /// The last packet whose answer came back.
    pub fn last_answered(&self) -> Option<u32> {
        self.last_answered
    }

    /// The packet whose way tells where packets go: the last one that was answered, unless a link has changed since it was
    /// sent; otherwise the last one.
    pub fn telling(&self) -> Option<u32> {
        let since = self.link_changed.unwrap_or(0);
        let sent_since = |number: &u32| self.sent.get(*number as usize).is_some_and(|sent| *sent >= since);
        let newest = self.sent.len().checked_sub(1).and_then(|number| u32::try_from(number).ok());
        self.last_answered.filter(sent_since).or(newest)
    }

    /// What it amounts to when it has ended.
    pub fn measures(&self, ended: u64) -> Measures {
        let ended = saturated(ended);
        let count =
            |wanted: &dyn Fn(u8) -> bool| self.fates.iter().filter(|fate| wanted(**fate)).count() as u64;
        Measures {
            sent: self.sent.len() as u64,
            left_out: self.left_out,
            answered: count(&|fate| fate & fate::ANSWERED != 0),
            lost: count(&|fate| fate & fate::ARRIVED == 0),
            reply_lost: count(&|fate| fate & (fate::ARRIVED | fate::ANSWERED) == fate::ARRIVED),
            duplicated: count(&|fate| fate & fate::AGAIN != 0),
            reordered: count(&|fate| fate & fate::LATE != 0),
            outage: self.outage(ended),
            recovery: self.link_changed.map(|changed| self.recovery(changed, ended)),
        }
    }

    /// When each packet was sent, and whether it was answered.
    fn packets(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.sent.iter().zip(&self.fates).map(|(sent, fate)| (*sent, fate & fate::ANSWERED != 0))
    }

    fn outage(&self, ended: u32) -> Duration {
        let (mut longest, mut last, mut unanswered) = (0, 0, false);
        for (sent, answered) in self.packets() {
            if answered {
                if unanswered {
                    longest = longest.max(sent.saturating_sub(last));
                }
                last = sent;
            }
            unanswered = !answered;
        }
        if unanswered {
            longest = longest.max(ended.saturating_sub(last));
        }
        Duration::from_micros(longest.into())
    }

    fn recovery(&self, changed: u32, ended: u32) -> Recovery {
        let mut after = self.packets().skip_while(|(sent, _)| *sent < changed);
        if after.all(|(_, answered)| answered) {
            return Recovery::Unharmed;
        }
        // The iterator stands behind the first one that was not answered.
        let since = |micros: u32| Duration::from_micros(micros.saturating_sub(changed).into());
        match after.find(|(_, answered)| *answered) {
            Some((sent, _)) => Recovery::After(since(sent)),
            None => Recovery::NotWithin(since(ended)),
        }
    }
}

/// Notes that a packet came by, which is the last one so far or not. A packet that was never sent is somebody else's.
fn mark(fates: &mut [u8], last: &mut Option<u32>, number: u32, came: u8) {
    let Some(fate) = fates.get_mut(number as usize) else { return };
    if *fate & came != 0 {
        *fate |= fate::AGAIN;
        return;
    }
    *fate |= came;
    if last.is_some_and(|last| number < last) {
        *fate |= fate::LATE;
    } else {
        *last = Some(number);
    }
}

/// Microseconds up to an hour and some: streams end before.
fn saturated(micros: u64) -> u32 {
    u32::try_from(micros).unwrap_or(u32::MAX)
}

/// Where customers send to their providers, and what they may send from.
#[derive(Debug, Default)]
pub struct Customers(Vec<Customer>);

#[derive(Debug)]
struct Customer {
    node: usize,
    /// Interface index.
    device: u32,
    sources: Vec<ipnet::IpNet>,
}

impl Customers {
    /// Every end of a provider's link but the provider's own.
    pub fn of(topology: &Topology, plan: &LabPlan) -> Self {
        let provided = topology.links.iter().filter_map(|link| Some((link, link.provided.as_ref()?)));
        let customers = provided.flat_map(|(link, provided)| {
            let ends = link.ends.iter().filter(|(node, _)| *node != provided.by);
            ends.map(|(node, interface)| Customer {
                node: node.0,
                device: plan.nodes[node.0].devices[*interface].index,
                sources: provided.sources.clone(),
            })
        });
        Customers(customers.collect())
    }

    /// Whether a customer sends from a source that is not its provider's.
    pub fn leaks(&self, record: &Record) -> bool {
        let Packet::Ip(ip) = &record.packet else { return false };
        let customer = self.0.iter().find(|own| own.node == record.node && own.device == record.device);
        let foreign =
            |customer: &Customer| !customer.sources.iter().any(|prefix| prefix.contains(&ip.source));
        record.sent && customer.is_some_and(foreign)
    }
}
