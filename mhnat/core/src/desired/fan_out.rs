//! Fan-outs: a dummy address for each way to a far host.
//!
//! The uplink is chosen by the dummy address before the destination changes, and the source by the
//! connection's original destination afterwards, because NAT changes destinations only before routing and
//! sources only after it. Forwarded packets pass prerouting, this host's own pass output: both need both.
//! All of it is maps, so a thousand fan-outs cost a packet what one costs.

use std::net::IpAddr;

use super::Context;
use super::ruleset::{Part, mark_chain, rule};
use crate::family::Family;
use crate::model::{FanOut, Source};
use crate::nft::Map;

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    for family in Family::ALL {
        add_family(&mut part, context, family);
    }
    part
}

fn add_family(part: &mut Part, context: &Context<'_>, family: Family) {
    let fan_outs: Vec<_> = context.model.fan_outs.iter().filter(|it| it.family() == family).collect();
    if fan_outs.is_empty() {
        return;
    }
    let (ip, digit, address) = (family.nft_keyword(), family.digit(), family.nft_address_type());
    let name = |what: &str| format!("fan_out_{what}_{digit}");

    let to = fan_outs.iter().map(|it| (it.dummy.to_string(), it.to.to_string())).collect();
    part.maps.push(Map { name: name("to"), key: address, value: address, elements: to });
    let translate = format!("dnat {ip} to {ip} daddr map @{}", name("to"));
    part.nat_prerouting.push(rule(
        translate.clone(),
        format!("fan-out: forwarded packets to an {family} dummy address go to the far host"),
    ));
    part.nat_output.push(rule(
        translate,
        format!("fan-out: this host's packets to an {family} dummy address go to the far host"),
    ));

    let uplinks: Vec<_> = fan_outs
        .iter()
        .filter_map(|it| Some((it.dummy.to_string(), format!("goto {}", mark_chain(it.uplink.as_ref()?)))))
        .collect();
    if !uplinks.is_empty() {
        let choose = format!("{ip} daddr vmap @{}", name("uplink"));
        part.maps.push(Map { name: name("uplink"), key: address, value: "verdict", elements: uplinks });
        part.mark_prerouting.push(rule(
            choose.clone(),
            format!("fan-out: forwarded packets to an {family} dummy address take its uplink"),
        ));
        part.mark_output.push(rule(
            choose,
            format!("fan-out: this host's packets to an {family} dummy address take its uplink"),
        ));
    }

    let sources: Vec<_> = fan_outs
        .iter()
        .filter_map(|it| Some((it.dummy.to_string(), source(context, it)?.to_string())))
        .collect();
    if !sources.is_empty() {
        part.nat_postrouting.push(rule(
            format!("snat {ip} to ct original {ip} daddr map @{}", name("source")),
            format!("fan-out: connections to an {family} dummy address take its source"),
        ));
        part.maps.push(Map { name: name("source"), key: address, value: address, elements: sources });
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
