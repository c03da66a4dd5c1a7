//! Fan-outs: a dummy address, or some of its ports, for each way to a far host.
//!
//! The uplink is chosen by the dummy address before the destination changes, and the source by the
//! connection's original destination afterwards, because NAT changes destinations only before routing and
//! sources only after it. Forwarded packets pass prerouting, this host's own pass output: both need both.
//! All of it is maps, so a thousand fan-outs cost a packet what one costs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Context;
use super::ruleset::{Part, mark_chain, rule};
use crate::family::Family;
use crate::model::{FanOut, Source, Transport};
use crate::nft::{Chain, Map, Set};

/// The chain for what is sent to a dummy address and has no way.
const REFUSED: &str = "fan_out_refused";

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    for family in Family::ALL {
        add_family(&mut part, context, family);
    }
    if context.model.fan_outs.iter().any(|it| !it.ports.is_empty()) {
        part.chains.push(refusal());
    }
    part
}

fn add_family(part: &mut Part, context: &Context<'_>, family: Family) {
    let (with_ports, whole): (Vec<_>, Vec<_>) =
        context.model.fan_outs.iter().filter(|it| it.family() == family).partition(|it| !it.ports.is_empty());
    if !whole.is_empty() {
        let key = Key::address(family);
        refuse_lost(part, context, &whole, &key);
        translate(part, context, &whole, &key);
    }
    if !with_ports.is_empty() {
        let key = Key::endpoint(family);
        refuse_rest(part, &with_ports, &key);
        refuse_lost(part, context, &with_ports, &key);
        translate_ports(part, &with_ports, &key);
        translate(part, context, &with_ports, &key);
    }
}

/// What fan-outs are told apart by.
struct Key {
    family: Family,
    /// The nft type.
    kind: &'static str,
    /// In names of maps.
    prefix: &'static str,
    /// What comments call it.
    called: String,
    /// The packet's destination.
    destination: String,
    /// The connection's original destination, with the match that it needs in front; and what comments add.
    original: Vec<(String, String, &'static str)>,
}

impl Key {
    /// The dummy address alone.
    fn address(family: Family) -> Self {
        let ip = family.nft_keyword();
        Self {
            family,
            kind: family.nft_address_type(),
            prefix: "fan_out",
            called: format!("an {family} dummy address"),
            destination: format!("{ip} daddr"),
            original: vec![(String::new(), format!("ct original {ip} daddr"), "connections")],
        }
    }

    /// The dummy address with protocol and port. nft takes the port of a connection's original destination
    /// only where the protocol is known.
    fn endpoint(family: Family) -> Self {
        let ip = family.nft_keyword();
        let original = |protocol, called| {
            (
                format!("meta l4proto {protocol} "),
                format!("ct original {ip} daddr . meta l4proto . ct original proto-dst"),
                called,
            )
        };
        Self {
            family,
            kind: family.nft_endpoint_type(),
            prefix: "fan_out_port",
            called: format!("a port of an {family} dummy address"),
            destination: format!("{ip} daddr . meta l4proto . th dport"),
            original: vec![
                original(Transport::Tcp, "TCP connections"),
                original(Transport::Udp, "UDP connections"),
            ],
        }
    }

    /// A name of a map or set.
    fn name(&self, what: &str) -> String {
        format!("{}_{what}_{}", self.prefix, self.family.digit())
    }

    /// The elements that a fan-out has in each map.
    fn elements(&self, fan_out: &FanOut) -> Vec<String> {
        if fan_out.ports.is_empty() {
            return vec![fan_out.dummy.to_string()];
        }
        fan_out
            .ports
            .iter()
            .map(|(protocol, ports)| format!("{} . {protocol} . {ports}", fan_out.dummy))
            .collect()
    }

    /// A map from the fan-outs for which there is a value.
    fn map(
        &self,
        what: &str,
        value: &'static str,
        fan_outs: &[&FanOut],
        of: impl Fn(&FanOut) -> Option<String>,
    ) -> Option<Map> {
        let elements: Vec<_> = fan_outs
            .iter()
            .filter_map(|it| Some((it, of(it)?)))
            .flat_map(|(it, value)| self.elements(it).into_iter().map(move |key| (key, value.clone())))
            .collect();
        let map = Map { name: self.name(what), key: self.kind, value, elements };
        (!map.elements.is_empty()).then_some(map)
    }
}

/// The mark, the destination and the source.
fn translate(part: &mut Part, context: &Context<'_>, fan_outs: &[&FanOut], key: &Key) {
    let Key { family, called, destination, .. } = key;
    let (ip, address) = (family.nft_keyword(), family.nft_address_type());

    part.maps.extend(key.map("to", address, fan_outs, |it| Some(it.to.to_string())));
    let to = format!("dnat {ip} to {destination} map @{}", key.name("to"));
    part.nat_prerouting
        .push(rule(to.clone(), format!("fan-out: forwarded packets to {called} go to the far host")));
    part.nat_output.push(rule(to, format!("fan-out: this host's packets to {called} go to the far host")));

    let uplink = |it: &FanOut| Some(format!("goto {}", mark_chain(it.uplink.as_ref()?)));
    if let Some(map) = key.map("uplink", "verdict", fan_outs, uplink) {
        let choose = format!("{destination} vmap @{}", map.name);
        part.maps.push(map);
        part.mark_prerouting
            .push(rule(choose.clone(), format!("fan-out: forwarded packets to {called} take its uplink")));
        part.mark_output
            .push(rule(choose, format!("fan-out: this host's packets to {called} take its uplink")));
    }

    let source = |it: &FanOut| Some(source(context, it)?.to_string());
    if let Some(map) = key.map("source", address, fan_outs, source) {
        for (condition, original, what) in &key.original {
            part.nat_postrouting.push(rule(
                format!("{condition}snat {ip} to {original} map @{}", map.name),
                format!("fan-out: {what} to {called} take its source"),
            ));
        }
        part.maps.push(map);
    }
}

/// Destinations with a port of the far host. A map of addresses with ports would be one rule, but does not
/// load with nft 0.9.8; and two maps in one statement want a protocol that is known.
fn translate_ports(part: &mut Part, fan_outs: &[&FanOut], key: &Key) {
    let Key { family, called, destination, .. } = key;
    let to_port = |it: &FanOut| it.to_port.map(|port| port.to_string());
    let Some(map) = key.map("to_port", "inet_service", fan_outs, to_port) else { return };
    for (protocol, word) in [(Transport::Tcp, "TCP"), (Transport::Udp, "UDP")] {
        let text = format!(
            "meta l4proto {protocol} dnat {} to {destination} map @{} : {destination} map @{}",
            family.nft_keyword(),
            key.name("to"),
            map.name
        );
        part.nat_prerouting.push(rule(
            text.clone(),
            format!("fan-out: forwarded {word} to {called} goes to another port of the far host"),
        ));
        part.nat_output.push(rule(
            text,
            format!("fan-out: this host's {word} to {called} goes to another port of the far host"),
        ));
    }
    part.maps.push(map);
}

/// New TCP connections by an uplink that cannot carry them. The guard behind its mark refuses datagrams, but
/// of a SYN of this host that it drops, connect(2) is not told; and to a forwarded one, the ICMP error may
/// fall victim to a rate limit. Whoever asked shall try the next dummy address at once.
fn refuse_lost(part: &mut Part, context: &Context<'_>, fan_outs: &[&FanOut], key: &Key) {
    let bound = || fan_outs.iter().filter(|it| it.uplink.is_some());
    let all: Vec<String> = bound().flat_map(|it| key.elements(it)).collect();
    if all.is_empty() {
        return;
    }
    // There even while it is empty: an uplink that is lost is elements and no other rules.
    let elements = bound().filter(|it| is_lost(context, it)).flat_map(|it| key.elements(it)).collect();
    let Key { called, destination, .. } = key;
    let set = Set::within(key.name("lost"), key.kind, &all, elements);
    let text = format!("ct state new meta l4proto tcp {destination} @{} reject with tcp reset", set.name);
    part.mark_prerouting.push(rule(
        text.clone(),
        format!("fan-out: forwarded connections to {called} of a lost uplink are refused"),
    ));
    // A probe has its mark already, and is to be sent as long as there is a link.
    let probed = context.model.uplinks.iter().flat_map(|it| it.probe.iter().flat_map(|it| &it.targets));
    let through = probed.map(|it| it.address()).any(|target| bound().any(|it| it.dummy == target));
    let text = if through { format!("meta mark & {} == 0 {text}", context.model.mask) } else { text };
    part.mark_output.push(rule(
        text,
        format!("fan-out: this host's connections to {called} of a lost uplink are refused"),
    ));
    part.sets.push(set);
}

fn is_lost(context: &Context<'_>, fan_out: &FanOut) -> bool {
    let uplink = fan_out.uplink.as_ref().and_then(|name| context.model.uplink(name));
    uplink.is_some_and(|uplink| !context.availability.usable(uplink, fan_out.family()))
}

/// A dummy address with ports is none at any other port: nothing may leave for it, by whatever way.
fn refuse_rest(part: &mut Part, fan_outs: &[&FanOut], key: &Key) {
    let Key { family, destination, .. } = key;
    let dummies: BTreeSet<IpAddr> = fan_outs.iter().map(|it| it.dummy).collect();
    let dummies = Set::new(
        key.name("dummies"),
        family.nft_address_type(),
        dummies.iter().map(IpAddr::to_string).collect(),
    );
    let known =
        Set::new(key.name("known"), key.kind, fan_outs.iter().flat_map(|it| key.elements(it)).collect());
    let text = format!(
        "{} daddr @{} {destination} != @{} goto {REFUSED}",
        family.nft_keyword(),
        dummies.name,
        known.name
    );
    part.mark_prerouting.push(rule(
        text.clone(),
        format!("fan-out: forwarded packets to any other port of an {family} dummy address are refused"),
    ));
    part.mark_output.push(rule(
        text,
        format!("fan-out: this host's packets to any other port of an {family} dummy address are refused"),
    ));
    part.sets.extend([dummies, known]);
}

fn refusal() -> Chain {
    Chain {
        name: REFUSED.to_owned(),
        hook: None,
        rules: vec![
            rule("meta l4proto tcp reject with tcp reset", "fan-out: TCP without a way is reset"),
            rule(
                "reject with icmpx type port-unreachable",
                "fan-out: anything else without a way is answered with an ICMP error",
            ),
        ],
    }
}

/// The source that a fan-out's own element gives. An uplink that translates everything gives one without it;
/// behind one that does not, the far side could only answer to the uplink's own address.
fn source(context: &Context<'_>, fan_out: &FanOut) -> Option<IpAddr> {
    fan_out.source.or_else(|| {
        let leg = context.model.uplink(fan_out.uplink.as_ref()?)?.legs.get(&fan_out.family())?;
        matches!(leg.source, Source::Unchanged).then(|| leg.preferred()).flatten()
    })
}
