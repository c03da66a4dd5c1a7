//! What a rule asks of a packet, and what sets and maps have for it.

use std::net::IpAddr;

use super::{Missing, Walker};
use crate::device::LOOP_IN;
use crate::explain::packet::{Value, is};
use crate::explain::question::{Connection, Endpoint};
use crate::explain::statement::{Elements, Expr, Field, number};
use crate::family::Family;

impl Walker<'_> {
    pub(super) fn read(&mut self, expr: &Expr) -> Result<Value, Missing> {
        match expr {
            Expr::Field(field) => self.field(field),
            Expr::Literal(word) => Ok(literal(word)),
            Expr::And(inner, mask) => self.bits(inner, |it| it & mask),
            Expr::Or(inner, bits) => self.bits(inner, |it| it | bits),
            Expr::Concat(parts) => {
                parts.iter().map(|it| self.read(it)).collect::<Result<_, _>>().map(Value::Tuple)
            }
            Expr::Map(key, map) => {
                let key = self.read(key)?;
                Ok(literal(&self.element(&key, map)?))
            }
            Expr::Chance { what, modulus } => Ok(Value::Chance { what: what.clone(), modulus: *modulus }),
        }
    }

    fn bits(&mut self, inner: &Expr, change: impl Fn(u32) -> u32) -> Result<Value, Missing> {
        match self.read(inner)? {
            Value::Number(it) => Ok(Value::Number(change(it))),
            other => Err(Missing::Unknown(format!("{} has no bits", words(&other)))),
        }
    }

    fn field(&mut self, field: &Field) -> Result<Value, Missing> {
        let packet = &self.packet;
        // Where there is no device, the kernel compares with an empty name.
        let name = |it: &Option<String>| Ok(Value::Word(it.clone().unwrap_or_default()));
        let of_family = |family: &str| {
            if family == packet.family.nft_keyword() {
                Ok(())
            } else {
                Err(Missing::Absent(format!("the packet is {}", packet.family)))
            }
        };
        let port_of = |it: Option<Endpoint>| {
            let port = it.and_then(|it| it.port);
            port.map(|it| Value::Number(it.into()))
                .ok_or_else(|| Missing::Unknown("the port was not given".to_owned()))
        };
        match field {
            Field::InName => name(&packet.iif),
            Field::OutName => name(&packet.oif),
            Field::Protocol => Ok(Value::Word(packet.protocol.word(packet.family).to_owned())),
            Field::Family => Ok(Value::Word(
                match packet.family {
                    Family::V4 => "ipv4",
                    Family::V6 => "ipv6",
                }
                .to_owned(),
            )),
            Field::Address { family, destination } => {
                of_family(family)?;
                let end = if *destination { Some(packet.destination) } else { packet.source };
                end.map(|it| Value::Address(it.address))
                    .ok_or_else(|| Missing::Unknown("no source is known".to_owned()))
            }
            Field::Port { protocol, destination } => {
                let word = packet.protocol.word(packet.family);
                if word.contains("icmp") || (!protocol.is_empty() && *protocol != word) {
                    return Err(Missing::Absent(format!("the packet is {word}")));
                }
                port_of(if *destination { Some(packet.destination) } else { packet.source })
            }
            Field::State if packet.untracked => Ok(Value::Flags(vec!["untracked"])),
            Field::ConnectionMark
            | Field::Status
            | Field::Direction
            | Field::Original { .. }
            | Field::OriginalPort { .. }
            | Field::ReplyDestination { .. }
                if packet.untracked =>
            {
                Err(Missing::Absent("the packet is not tracked".to_owned()))
            }
            Field::PacketMark => Ok(Value::Number(packet.mark)),
            Field::ConnectionMark => Ok(Value::Number(packet.connection_mark)),
            Field::State => Ok(Value::Flags(match packet.connection {
                Connection::New => vec!["new"],
                Connection::Established { .. } => vec!["established"],
            })),
            Field::Status => {
                let (mut source, mut destination) = (packet.source_translated, packet.destination_translated);
                if let Connection::Established { entry: Some(it), .. } = packet.connection {
                    source = it.original.source != it.reply.destination;
                    destination = it.original.destination != it.reply.source;
                }
                let flags = [("snat", source), ("dnat", destination)];
                Ok(Value::Flags(flags.into_iter().filter(|(_, it)| *it).map(|(word, _)| word).collect()))
            }
            Field::Direction => Ok(Value::Word(
                match packet.connection {
                    Connection::New | Connection::Established { answer: false, .. } => "original",
                    Connection::Established { answer: true, .. } => "reply",
                }
                .to_owned(),
            )),
            Field::Original { family, destination } => {
                of_family(family)?;
                let original = packet.original.ok_or_else(|| {
                    Missing::Unknown("the connection's first packet is not known".to_owned())
                })?;
                let end = if *destination { original.destination } else { original.source };
                Ok(Value::Address(end.address))
            }
            Field::ReplyDestination { family } => {
                of_family(family)?;
                // Nothing has translated the source of a new one where this is asked.
                let end = match packet.connection {
                    Connection::Established { entry: Some(it), .. } => Some(it.reply.destination),
                    Connection::Established { answer: true, .. } => Some(packet.destination),
                    Connection::Established { .. } => packet.original.map(|it| it.source),
                    Connection::New => packet.source,
                };
                let end =
                    end.ok_or_else(|| Missing::Unknown("the connection's answers are not known".to_owned()))?;
                Ok(Value::Address(end.address))
            }
            Field::OriginalPort { destination } => {
                port_of(packet.original.map(|it| if *destination { it.destination } else { it.source }))
            }
            Field::AddressType { destination, on_device } => {
                let end = if *destination { Some(packet.destination) } else { packet.source };
                let address = end.ok_or_else(|| Missing::Unknown("no source is known".to_owned()))?.address;
                let device = if *destination { packet.iif.clone() } else { packet.oif.clone() };
                Ok(Value::Word(self.address_type(address, device.filter(|_| *on_device)).to_owned()))
            }
            Field::SocketWildcard => self.socket(),
            Field::TcpFlags => match (packet.protocol.word(packet.family), packet.connection) {
                ("tcp", Connection::New) => Ok(Value::Flags(vec!["syn"])),
                ("tcp", Connection::Established { .. }) => Ok(Value::Flags(vec!["ack"])),
                (other, _) => Err(Missing::Absent(format!("the packet is {other}"))),
            },
        }
    }

    fn address_type(&mut self, address: IpAddr, device: Option<String>) -> &'static str {
        let on = |name: &str| device.as_deref().is_none_or(|it| it == name);
        let uplinks = self.model.uplinks.iter().filter(|it| on(it.interface.as_str()));
        let of_uplink = uplinks.flat_map(|it| it.legs.values()).any(|leg| leg.addresses.contains(&address));
        let looped = self.model.replies.looped().filter(|_| on(LOOP_IN));
        let of_loop = looped.is_some_and(|it| it.servers.values().any(|it| *it == address));
        let of_host = self.host.addresses.iter().any(|(name, has)| on(name) && has.contains(&address));
        if of_host || ((of_uplink || of_loop) && !self.host.asked) {
            return "local";
        }
        if address.is_multicast() {
            return "multicast";
        }
        if !self.host.asked {
            let place = device.map(|it| format!(" on {it}")).unwrap_or_default();
            self.assume(format!("{address} is no address of this host{place}"));
        }
        "unicast"
    }

    fn socket(&mut self) -> Result<Value, Missing> {
        let address = self.packet.destination.address;
        if self.choices.choose(2) == 0 {
            self.when.push(format!("no server's socket is bound to {address} alone"));
            Ok(Value::Number(1))
        } else {
            self.when.push(format!("a server's socket is bound to {address} alone"));
            Ok(Value::Number(0))
        }
    }

    pub(super) fn one_of<'t>(
        &self,
        value: &Value,
        mut texts: impl Iterator<Item = &'t str>,
    ) -> Result<bool, Missing> {
        // All are compared, so that what cannot be is said even behind one that fits.
        texts.try_fold(false, |any, text| Ok(is(value, text).map_err(Missing::Unknown)? || any))
    }

    pub(super) fn member(&mut self, value: &Value, name: &str) -> Result<bool, Missing> {
        let desired = self.desired;
        if desired.ruleset.sticky.iter().any(|it| it.name == name) {
            self.assume(format!("@{name} does not remember {}", words(value)));
            return Ok(false);
        }
        let set = desired.ruleset.sets.iter().find(|it| it.name == name);
        if let Some(set) = set {
            if set.elements.is_empty() {
                self.assume(format!("@{name} does not remember {}", words(value)));
            }
            return self.one_of(value, set.elements.iter().map(String::as_str));
        }
        let map = desired.ruleset.maps.iter().find(|it| it.name == name);
        let map = map.ok_or_else(|| Missing::Unknown(format!("there is no set @{name}")))?;
        self.one_of(value, map.elements.iter().map(|(key, _)| key.as_str()))
    }

    /// What a map has for a key.
    pub(super) fn element(&mut self, key: &Value, map: &Elements) -> Result<String, Missing> {
        let desired = self.desired;
        let (name, elements) = match map {
            Elements::Written(written) => ("the map", written),
            Elements::Named(name) => {
                let found = desired.ruleset.maps.iter().find(|it| it.name == *name);
                let found = found.ok_or_else(|| Missing::Unknown(format!("there is no map @{name}")))?;
                if found.elements.is_empty() {
                    self.assume(format!("@{name} does not remember {}", words(key)));
                }
                (name.as_str(), &found.elements)
            }
        };
        let mut fitting = Vec::new();
        for (text, value) in elements {
            if may_be(key, text).map_err(Missing::Unknown)? {
                fitting.push((text, value));
            }
        }
        if fitting.is_empty() {
            return Err(Missing::Absent(format!("{} is not in @{name}", words(key))));
        }
        let Some((what, modulus)) = chance(key) else { return Ok(fitting[0].1.clone()) };
        let (text, value) = fitting[self.choices.choose(fitting.len())];
        self.when.push(format!("{what} mod {modulus} falls on {text}"));
        Ok(value.clone())
    }
}

/// Whether a key may be what a text stands for, whatever chance gives.
fn may_be(key: &Value, text: &str) -> Result<bool, String> {
    match key {
        Value::Chance { .. } => Ok(true),
        Value::Tuple(parts) if chance(key).is_some() => {
            let texts: Vec<&str> = text.split(" . ").collect();
            if texts.len() != parts.len() {
                return Err(format!("{text} cannot be compared"));
            }
            parts.iter().zip(texts).try_fold(true, |all, (part, text)| Ok(may_be(part, text)? && all))
        }
        _ => is(key, text),
    }
}

fn chance(value: &Value) -> Option<(String, u32)> {
    match value {
        Value::Chance { what, modulus } => Some((what.clone(), *modulus)),
        Value::Tuple(parts) => parts.iter().find_map(chance),
        _ => None,
    }
}

/// A value as nft writes it in a rule or as the value of a map.
fn literal(text: &str) -> Value {
    if text.contains(" . ") {
        return Value::Tuple(text.split(" . ").map(literal).collect());
    }
    if let Some(number) = number(text) {
        return Value::Number(number);
    }
    text.parse().map_or_else(|_| Value::Word(text.trim_matches('"').to_owned()), Value::Address)
}

pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Address(it) => it.to_string(),
        Value::Number(it) if *it > 0xffff || (*it & 0xff == 0 && *it > 0) => format!("{it:#x}"),
        Value::Number(it) => it.to_string(),
        Value::Word(it) => it.clone(),
        Value::Flags(it) if it.is_empty() => "none".to_owned(),
        Value::Flags(it) => it.join(", "),
        Value::Tuple(parts) => parts.iter().map(words).collect::<Vec<_>>().join(" . "),
        Value::Chance { what, .. } => what.clone(),
    }
}
