//! What a rule does to a packet.

use std::net::IpAddr;

use super::values::words;
use super::{Missing, Ruled, Walker};
use crate::explain::packet::Value;
use crate::explain::question::Endpoint;
use crate::explain::statement::{self, MarkOf, Nat, Right, Statement, Verdict};
use crate::family::Family;

impl Walker<'_> {
    pub(super) fn rule(&mut self, text: &str) -> Ruled {
        let statements = match statement::read(text) {
            Ok(statements) => statements,
            Err(unread) => return Ruled::Unread(unread.to_string()),
        };
        let mut effects = Vec::new();
        for statement in &statements {
            match self.statement(statement, &mut effects) {
                Ok(None) => {}
                Ok(verdict) => return Ruled::Applied(effects, verdict),
                Err(Missing::Absent(why)) => return Ruled::Passed(why),
                Err(Missing::Unknown(why)) => return Ruled::Unread(why),
            }
        }
        Ruled::Applied(effects, None)
    }

    fn statement(
        &mut self,
        statement: &Statement,
        effects: &mut Vec<String>,
    ) -> Result<Option<Verdict>, Missing> {
        match statement {
            Statement::Match { left, negated, right } => {
                let value = self.read(left)?;
                let found = match right {
                    Right::Values(texts) => self.one_of(&value, texts.iter().map(String::as_str))?,
                    Right::Named(name) => self.member(&value, name)?,
                };
                if found == *negated {
                    let not =
                        if *negated { "one that the rule leaves out" } else { "none that the rule asks for" };
                    return Err(Missing::Absent(format!("{} is {not}", words(&value))));
                }
                Ok(None)
            }
            Statement::VerdictMap { key, map } => {
                let value = self.read(key)?;
                let word = self.element(&value, map)?;
                let verdict = statement::verdict(&word).map_err(|it| Missing::Unknown(it.to_string()))?;
                effects.push(format!("{}: {word}", words(&value)));
                Ok(Some(verdict))
            }
            Statement::SetMark { target, value } => {
                let Value::Number(mark) = self.read(value)? else {
                    return Err(Missing::Unknown("that is no mark".to_owned()));
                };
                match target {
                    MarkOf::Packet => {
                        self.packet.mark = mark;
                        effects.push(format!("mark {mark:#x}"));
                    }
                    MarkOf::Connection => {
                        self.packet.connection_mark = mark;
                        effects.push(format!("connection mark {mark:#x}"));
                    }
                }
                Ok(None)
            }
            Statement::Nat { kind, family, to, port } => {
                if family.is_some_and(|it| it != self.packet.family.nft_keyword()) {
                    return Err(Missing::Absent(format!("the packet is {}", self.packet.family)));
                }
                let to = to.as_ref().map(|it| self.read(it)).transpose()?;
                let port = match port.as_ref().map(|it| self.read(it)).transpose()? {
                    None => None,
                    Some(Value::Number(port)) => u16::try_from(port).ok(),
                    Some(other) => return Err(Missing::Unknown(format!("{} is no port", words(&other)))),
                };
                effects.push(self.translate(*kind, to, port)?);
                Ok(Some(Verdict::Accept))
            }
            Statement::NoTrack => {
                self.packet.untracked = true;
                effects.push("not tracked".to_owned());
                Ok(None)
            }
            Statement::Verdict(verdict) => {
                effects.push(match verdict {
                    Verdict::Accept => "accept".to_owned(),
                    Verdict::Drop => "drop".to_owned(),
                    Verdict::Reject => "reject".to_owned(),
                    Verdict::Return => "return".to_owned(),
                    Verdict::Continue => "continue".to_owned(),
                    Verdict::Jump(to) => format!("jump {to}"),
                    Verdict::Goto(to) => format!("goto {to}"),
                });
                Ok(Some(verdict.clone()))
            }
            Statement::Remember(name) => {
                effects.push(format!("remembered in @{name}"));
                Ok(None)
            }
            Statement::Aside(what) => {
                effects.push(what.clone());
                Ok(None)
            }
        }
    }

    fn translate(&mut self, kind: Nat, to: Option<Value>, port: Option<u16>) -> Result<String, Missing> {
        let unknown = |what: &str| Missing::Unknown(what.to_owned());
        let family = self.packet.family;
        let device = |it: &Option<String>| it.clone().ok_or_else(|| unknown("no device is known here"));
        let (address, port) = match kind {
            Nat::Masquerade => (self.address_of(&device(&self.packet.oif)?), port),
            Nat::Redirect => (self.address_of(&device(&self.packet.iif)?), port),
            Nat::Destination | Nat::Source => match to {
                Some(Value::Address(address)) => (address, port),
                Some(Value::Tuple(parts)) => match parts.as_slice() {
                    [Value::Address(address), Value::Number(port)] => (*address, u16::try_from(*port).ok()),
                    _ => return Err(unknown("that is no address with a port")),
                },
                Some(Value::Word(word)) if pool(&word).is_some() => {
                    self.assume(format!("the kernel chooses {word} by the client; the first is shown"));
                    (pool(&word).ok_or_else(|| unknown("that is no address"))?, port)
                }
                Some(Value::Word(word)) => {
                    let end: Endpoint = word.parse().map_err(Missing::Unknown)?;
                    (end.address, end.port)
                }
                _ => return Err(unknown("that is no address")),
            },
        };
        if Family::of(address) != family {
            return Err(Missing::Absent(format!("the packet is {family}")));
        }
        let port = |own: Option<u16>| port.filter(|_| own.is_some()).or(own);
        match kind {
            Nat::Destination | Nat::Redirect => {
                let end = Endpoint { address, port: port(self.packet.destination.port) };
                self.packet.destination = end;
                self.packet.destination_translated = true;
                Ok(format!("destination {end}"))
            }
            Nat::Source | Nat::Masquerade => {
                let own = self.packet.source.and_then(|it| it.port);
                let end = Endpoint { address, port: port(own) };
                self.packet.source = Some(end);
                self.packet.source_translated = true;
                Ok(format!("source {end}"))
            }
        }
    }
}

/// The first address of a range.
fn pool(text: &str) -> Option<IpAddr> {
    let (first, last) = text.split_once('-')?;
    last.parse::<IpAddr>().ok()?;
    first.parse().ok()
}
