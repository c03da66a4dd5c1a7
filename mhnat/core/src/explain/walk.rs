//! A packet's way through the hooks, in the kernel's order.
//!
//! ```text
//! comes in:   prerouting ── routing ──┬─► forward ──► postrouting ─► leaves
//!                                     └─► input ─► this host
//! this host:  routing ── output ── routing anew, if mark or destination changed ──► postrouting ─► leaves
//! the loop:   what leaves by its one end comes in by the other
//! ```
//!
//! Base chains of one hook follow each other by priority; those of type `nat` are asked for the first packet
//! of a connection only, and connection tracking repeats what they said for all others.

mod rules;
mod values;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::choice::Choices;
use super::packet::Packet;
use super::question::{Connection, Endpoint, Question, Tuple};
use super::route::{self, Decision};
use super::statement::Verdict;
use super::{Fate, Lookup, Outcome, Step};
use crate::desired::Desired;
use crate::family::Family;
use crate::host::Host;
use crate::model::{Model, Source};
use crate::nft::Chain;

/// Where conntrack changes destinations, and where sources.
const DESTINATION: i32 = -100;
const SOURCE: i32 = 100;

/// How deep chains may call each other (`NFT_JUMP_STACK_SIZE`, linux/netfilter/nf_tables.h).
const DEEPEST: usize = 16;

/// Walks the whole way.
pub(super) fn walk(
    model: &Model,
    desired: &Desired,
    host: &Host,
    question: &Question,
    choices: &mut Choices,
) -> Outcome {
    let mut walker = Walker::new(model, desired, host, question, choices);
    let fate = walker.run();
    walker.outcome(fate)
}

struct Walker<'a> {
    model: &'a Model,
    desired: &'a Desired,
    host: &'a Host,
    choices: &'a mut Choices,
    packet: Packet,
    steps: Vec<Step>,
    when: Vec<String>,
    assumptions: Vec<String>,
    not_understood: Vec<String>,
    lookup: Option<Lookup>,
}

/// How a chain ended.
enum End {
    /// Its last rule was passed, or a rule returned.
    Through,
    Accepted,
    Dropped(String),
}

/// Why a value cannot be had.
enum Missing {
    /// The packet has no such thing, so that the rule does not apply.
    Absent(String),
    /// It cannot be told.
    Unknown(String),
}

/// What became of a rule.
enum Ruled {
    Passed(String),
    Applied(Vec<String>, Option<Verdict>),
    Unread(String),
}

impl<'a> Walker<'a> {
    fn new(
        model: &'a Model,
        desired: &'a Desired,
        host: &'a Host,
        question: &Question,
        choices: &'a mut Choices,
    ) -> Self {
        let here = question.source.map(|source| Tuple { source, destination: question.destination });
        let (connection_mark, original) = match question.connection {
            Connection::New | Connection::Established { answer: false, entry: None, .. } => {
                (question.connection_mark(), here)
            }
            Connection::Established { mark, entry, .. } => (mark, entry.map(|it| it.original)),
        };
        let packet = Packet {
            family: question.family(),
            protocol: question.protocol,
            source: question.source,
            destination: question.destination,
            iif: question.entry.clone(),
            oif: None,
            mark: 0,
            connection_mark,
            connection: question.connection,
            original,
            untracked: false,
            destination_translated: false,
            source_translated: false,
        };
        Self {
            model,
            desired,
            host,
            choices,
            packet,
            steps: Vec::new(),
            when: Vec::new(),
            assumptions: Vec::new(),
            not_understood: Vec::new(),
            lookup: None,
        }
    }

    fn outcome(self, fate: Fate) -> Outcome {
        let port = self.packet.destination.port;
        Outcome {
            when: self.when,
            fate,
            source: self.packet.source.unwrap_or(Endpoint { address: unspecified(self.packet.family), port }),
            destination: self.packet.destination,
            mark: self.packet.mark,
            connection_mark: self.packet.connection_mark,
            steps: self.steps,
            assumptions: self.assumptions,
            not_understood: self.not_understood,
            lookup: self.lookup,
        }
    }

    fn run(&mut self) -> Fate {
        if !self.host.asked {
            self.assume("no table but mhnat's changes or drops the packet");
        }
        if self.packet.iif.is_some() {
            return self.comes_in();
        }
        let unbound = self.packet.source.is_none();
        let mut fate = self.route();
        if unbound {
            if self.packet.source.is_none() {
                self.choose_source(&fate);
            }
            // The kernel asks again with the source that it has chosen, so that rules by address apply
            // (`ip_route_connect`).
            fate = self.route();
            let here =
                self.packet.source.map(|source| Tuple { source, destination: self.packet.destination });
            self.packet.original = self.packet.original.or(here);
        }
        if let Some(dropped) = self.output(&mut fate) {
            return dropped;
        }
        match &fate {
            Fate::Leaves { device, .. } => match self.loop_from(device) {
                Some(receives) => self.goes_round(receives, fate),
                None => self.hook("postrouting").unwrap_or(fate),
            },
            Fate::Delivered
            | Fate::Refused { .. }
            | Fate::Dropped { .. }
            | Fate::Forgotten { .. }
            | Fate::LeftToMain => fate,
        }
    }

    /// What comes in by a device.
    fn comes_in(&mut self) -> Fate {
        if let Some(fate) = self.hook("prerouting") {
            return fate;
        }
        let fate = self.route();
        match &fate {
            Fate::Delivered => return self.hook("input").unwrap_or(fate),
            Fate::Leaves { device, .. } => self.packet.oif = Some(device.clone()),
            Fate::Refused { .. } | Fate::Dropped { .. } | Fate::Forgotten { .. } | Fate::LeftToMain => {
                return fate;
            }
        }
        self.hook("forward").or_else(|| self.hook("postrouting")).unwrap_or(fate)
    }

    /// The other end, if the device is the sending end of a pair of ours.
    fn loop_from(&self, device: &str) -> Option<String> {
        let pair = self.desired.devices.iter().find(|it| it.sends.as_str() == device)?;
        Some(pair.receives.as_str().to_owned())
    }

    /// What leaves by one end of a pair of ours comes in by the other.
    fn goes_round(&mut self, receives: String, fate: Fate) -> Fate {
        if matches!(self.packet.connection, Connection::Established { answer: true, entry: None, .. }) {
            self.assume("which address was asked is not known, and so the way behind the loop is not");
            return fate;
        }
        if let Some(dropped) = self.hook("postrouting") {
            return dropped;
        }
        // Whatever the connection was, it is not looked up again by the other end.
        self.packet.connection = Connection::New;
        self.packet.original = None;
        self.packet.iif = Some(receives);
        self.packet.oif = None;
        self.comes_in()
    }

    /// The output hook, with routing anew where the kernel does it.
    fn output(&mut self, fate: &mut Fate) -> Option<Fate> {
        // Without a route the kernel builds no packet, and nothing passes the hook.
        if matches!(fate, Fate::Refused { .. }) {
            return None;
        }
        self.see(fate);
        for chain in self.hooked("output") {
            let (mark, destination) = (self.packet.mark, self.packet.destination.address);
            if let Some(dropped) = self.one(&chain) {
                return Some(dropped);
            }
            let route =
                matches!(chain, Hooked::Chain(it) if it.hook.is_some_and(|hook| hook.kind == "route"));
            let remarked = route && self.packet.mark != mark;
            if remarked || self.packet.destination.address != destination {
                *fate = self.route();
                self.see(fate);
                if matches!(fate, Fate::Refused { .. }) {
                    return None;
                }
            }
        }
        None
    }

    fn see(&mut self, fate: &Fate) {
        if let Fate::Leaves { device, .. } = fate {
            self.packet.oif = Some(device.clone());
        }
    }

    fn route(&mut self) -> Fate {
        let lookup = Lookup {
            iif: self.packet.iif.clone(),
            source: self.packet.source.map(|it| it.address),
            destination: self.packet.destination.address,
            mark: self.packet.mark,
        };
        let Decision { fate, source, steps, assumptions, when } =
            route::decide(self.model, self.desired, self.host, &lookup, self.choices);
        self.steps.extend(steps);
        self.when.extend(when);
        for it in assumptions {
            self.assume(it);
        }
        self.lookup = Some(lookup);
        if self.packet.iif.is_none() && self.packet.source.is_none() {
            self.packet.source = source.map(|address| Endpoint { address, port: None });
        }
        fate
    }

    fn choose_source(&mut self, fate: &Fate) {
        let Fate::Leaves { device, .. } = fate else { return };
        let family = self.packet.family;
        let own = self.own_address(device, family);
        let address = own.unwrap_or_else(|| unspecified(family));
        self.assume(format!("the kernel chooses {address} as the source on {device}"));
        self.packet.source = Some(Endpoint { address, port: None });
    }

    fn own_address(&self, device: &str, family: Family) -> Option<IpAddr> {
        let uplink = self.model.uplinks.iter().find(|it| it.interface.as_str() == device);
        let preferred = uplink.and_then(|it| it.legs.get(&family)?.preferred());
        let has = self.host.addresses.get(device);
        let first = has.and_then(|it| it.iter().find(|it| Family::of(**it) == family && !link_local(**it)));
        if self.host.asked {
            preferred.filter(|it| has.is_some_and(|has| has.contains(it))).or(first.copied())
        } else {
            preferred
        }
    }

    /// The address that the device has, or none at all if that is not known.
    fn address_of(&mut self, device: &str) -> IpAddr {
        let family = self.packet.family;
        self.own_address(device, family).unwrap_or_else(|| {
            self.assume(format!(
                "the {family} address that {device} has is not known, and shown as unspecified"
            ));
            unspecified(family)
        })
    }

    fn assume(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.assumptions.contains(&what) {
            self.assumptions.push(what);
        }
    }

    fn hook(&mut self, hook: &'static str) -> Option<Fate> {
        self.hooked(hook).into_iter().find_map(|it| self.one(&it))
    }

    /// What hangs on a hook, in order.
    fn hooked(&self, hook: &'static str) -> Vec<Hooked<'a>> {
        let mut all: Vec<(i32, Hooked<'a>)> = self
            .desired
            .ruleset
            .chains
            .iter()
            .filter_map(|chain| {
                Some((chain.hook.filter(|it| it.hook == hook)?.priority, Hooked::Chain(chain)))
            })
            .collect();
        match hook {
            "prerouting" | "output" => all.push((DESTINATION, Hooked::Destination)),
            "postrouting" => all.push((SOURCE, Hooked::Source)),
            _ => {}
        }
        all.sort_by_key(|(priority, _)| *priority);
        all.into_iter().map(|(_, it)| it).collect()
    }

    fn one(&mut self, hooked: &Hooked<'a>) -> Option<Fate> {
        match *hooked {
            Hooked::Chain(chain) => {
                if chain.hook.is_some_and(|hook| hook.kind == "nat") && !self.asks_nat() {
                    return None;
                }
                match self.chain(chain, 0) {
                    End::Through | End::Accepted => None,
                    End::Dropped(by) => Some(Fate::Dropped { by }),
                }
            }
            Hooked::Destination => {
                if let Some(after) = self.recorded()
                    && after.destination != self.packet.destination
                {
                    self.packet.destination = after.destination;
                    self.tracked(format!("destination {}", after.destination));
                }
                None
            }
            Hooked::Source => {
                if let Some(device) = self.masqueraded_elsewhere() {
                    self.tracked(format!("masqueraded on {device}, and not where the packet leaves"));
                    return Some(Fate::Forgotten { masqueraded_on: device.to_owned() });
                }
                if let Some(after) = self.recorded()
                    && Some(after.source) != self.packet.source
                {
                    self.packet.source = Some(after.source);
                    self.tracked(format!("source {}", after.source));
                }
                None
            }
        }
    }

    fn tracked(&mut self, effect: String) {
        self.steps.push(Step {
            place: "connection tracking".to_owned(),
            text: "the connection's entry".to_owned(),
            comment: None,
            applied: true,
            effect,
        });
    }

    /// What the connection's entry makes of this packet.
    fn recorded(&self) -> Option<Tuple> {
        if self.packet.untracked {
            return None;
        }
        match self.packet.connection {
            Connection::Established { answer, entry: Some(entry), .. } => {
                Some(if answer { entry.original.reverse() } else { entry.reply.reverse() })
            }
            Connection::New | Connection::Established { .. } => None,
        }
    }

    /// The device on which the connection was masqueraded, if this packet leaves by another one: the kernel forgets the
    /// connection then, and drops the packet (`nf_nat_oif_changed()` in net/netfilter/nf_nat_core.c).
    fn masqueraded_elsewhere(&self) -> Option<&'a str> {
        let Connection::Established { answer: false, entry: Some(entry), .. } = self.packet.connection else {
            return None;
        };
        let source = entry.reply.destination.address;
        if self.packet.untracked || source == entry.original.source.address {
            return None;
        }
        let family = self.packet.family;
        let masqueraded = self.model.uplinks.iter().find(|uplink| {
            let leg = uplink.legs.get(&family).filter(|leg| leg.source == Source::Masquerade);
            let on_device = || self.host.addresses.get(uplink.interface.as_str());
            leg.is_some_and(|leg| {
                leg.addresses.contains(&source) || on_device().is_some_and(|has| has.contains(&source))
            })
        })?;
        let device = masqueraded.interface.as_str();
        (self.packet.oif.as_deref() != Some(device)).then_some(device)
    }

    fn asks_nat(&mut self) -> bool {
        if self.packet.untracked {
            return false;
        }
        match self.packet.connection {
            Connection::New => true,
            Connection::Established { entry: Some(_), .. } => false,
            Connection::Established { answer: true, .. } => {
                self.assume("the answer's translation is not known, and none is shown");
                false
            }
            Connection::Established { answer: false, .. } => {
                self.assume("the connection was translated as a new one would be now");
                true
            }
        }
    }

    fn chain(&mut self, chain: &'a Chain, depth: usize) -> End {
        for rule in &chain.rules {
            let (applied, effect, verdict) = match self.rule(&rule.text) {
                Ruled::Passed(why) => (false, why, None),
                Ruled::Applied(effects, verdict) => (true, effects.join(", "), verdict),
                Ruled::Unread(why) => {
                    let what = format!("`{}` in {}: {why}", rule.text, chain.name);
                    if !self.not_understood.contains(&what) {
                        self.not_understood.push(what);
                    }
                    (false, format!("NOT UNDERSTOOD: {why}"), None)
                }
            };
            self.steps.push(Step {
                place: chain.name.clone(),
                text: rule.text.clone(),
                comment: Some(rule.comment.clone()),
                applied,
                effect,
            });
            match verdict {
                None | Some(Verdict::Continue) => {}
                Some(Verdict::Accept) => return End::Accepted,
                Some(Verdict::Drop | Verdict::Reject) => return End::Dropped(rule.comment.clone()),
                Some(Verdict::Return) => return End::Through,
                Some(Verdict::Jump(to)) => match self.called(&to, depth) {
                    End::Through => {}
                    end => return end,
                },
                Some(Verdict::Goto(to)) => return self.called(&to, depth),
            }
        }
        End::Through
    }

    fn called(&mut self, name: &str, depth: usize) -> End {
        let found = self.desired.ruleset.chains.iter().find(|it| it.name == name);
        match found.filter(|_| depth < DEEPEST) {
            Some(chain) => self.chain(chain, depth + 1),
            None => {
                self.not_understood.push(format!("there is no chain {name}"));
                End::Through
            }
        }
    }
}

/// A piece of a hook.
#[derive(Clone, Copy)]
enum Hooked<'a> {
    Chain(&'a Chain),
    Destination,
    Source,
}

const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

const fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    }
}
