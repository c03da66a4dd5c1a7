//! Balance: uplinks with the same metric share the new connections, by weight.
//!
//! The choice is a mark, set before the packet is routed. A connection remembers the uplink that it left by, so
//! the choice is made once for each. A packet that is routed by more than the default, such as one from the LAN
//! to this host's other LAN, takes no notice of it: the main table is asked before any mark.
//!
//! A draw among weights is one rule whose map of verdicts is part of it: whenever an uplink comes or goes the
//! sum of the weights changes as well, so that there would be nothing to gain from elements of a named map.

use ipnet::IpNet;

use super::Context;
use super::Numbered;
use super::ruleset::{Part, mark_chain, rule, set_mark};
use crate::family::Family;
use crate::model::{BalanceBy, Leg, Source};
use crate::name::UplinkName;
use crate::nft::{Chain, STICKY, Set, StickySet};

/// Any fixed number: the kernel would draw a new one at each load, and every pair of addresses would move.
const SEED: &str = "0x6d686e61";
/// Sources that a set remembers at the most; the kernel then refuses more, and those are given an uplink anew.
const SOURCES: u32 = 65_536;

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    for family in Family::ALL {
        add_family(&mut part, context, family);
    }
    part
}

/// The uplinks that share what leaves in this family now: all that are usable and have the lowest metric that a
/// usable one has, if they are two or more.
fn sharing<'a>(context: &Context<'a>, family: Family) -> Vec<(Numbered<'a>, &'a Leg)> {
    let usable: Vec<_> =
        context.legs(family).filter(|(it, _)| context.availability.usable(it.uplink, family)).collect();
    let best = usable.iter().filter_map(|(it, _)| it.uplink.metric).min();
    let all: Vec<_> =
        usable.into_iter().filter(|(it, _)| best.is_some() && it.uplink.metric == best).collect();
    if all.len() < 2 { Vec::new() } else { all }
}

fn add_family(part: &mut Part, context: &Context<'_>, family: Family) {
    let sharing = sharing(context, family);
    let Some((first, _)) = sharing.first() else { return };
    let digit = family.digit();
    let share = format!("share_{digit}");
    let unmarked = format!("ct state new ct mark & {} == 0", context.model.mask);
    let protocol = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    // Not what is meant for this link alone, and not what has an uplink by its destination.
    let mut elsewhere = match family {
        Family::V4 => "ip daddr != 169.254.0.0/16",
        Family::V6 => "ip6 daddr != fe80::/10",
    }
    .to_owned();
    let prefixes = prefixes(context, family);
    if !prefixes.is_empty() {
        let set = format!("prefixes_{digit}");
        elsewhere = format!("{elsewhere} {} daddr != @{set}", family.nft_keyword());
        part.sets.push(Set::new(set, family.nft_address_type(), prefixes));
    }
    part.mark_prerouting.push(rule(
        format!(
            "meta nfproto {protocol} iifname != @uplinks {unmarked} fib daddr type unicast {elsewhere} goto {share}"
        ),
        format!("balance: new {family} connections of hosts behind this one are shared"),
    ));
    // This host's packets have a source already, and go where it fits unless that is translated. Those of a
    // program that chose another uplink by its address have been routed to that one; a probe has its mark already.
    if sharing.iter().all(|(_, leg)| leg.source != Source::Unchanged) {
        let probed = context.uplinks().any(|it| it.uplink.probe.is_some());
        let chosen = if probed { format!("meta mark & {} == 0 ", context.model.mask) } else { String::new() };
        part.mark_output.push(rule(
            format!(
                "meta nfproto {protocol} oifname \"{}\" {chosen}{unmarked} fib daddr type unicast {elsewhere} goto {share}",
                first.uplink.interface
            ),
            format!("balance: new {family} connections of this host are shared"),
        ));
    }

    let mut chain = Chain { name: share, hook: None, rules: Vec::new() };
    if let Some(time) = context.model.balance.sticky {
        for (it, _) in &sharing {
            let name = &it.uplink.name;
            let (set, stick) = (sticky_set(name, family, time.0.get()), stick_chain(name, family));
            chain.rules.push(rule(
                format!("{} saddr @{set} goto {stick}", family.nft_keyword()),
                format!("balance: {family} sources seen before stay on uplink {name}"),
            ));
            part.chains.push(Chain {
                name: stick,
                hook: None,
                rules: vec![rule(
                    // The mark first: a set that is full ends the rule.
                    format!("{} update @{set} {{ {} saddr }}", set_mark(it.mark), family.nft_keyword()),
                    format!("balance: {family} sources are remembered by uplink {name}"),
                )],
            });
            let key = family.nft_address_type();
            part.sticky.push(StickySet { name: set, key, time: Some(time), size: SOURCES });
        }
    }
    chain.rules.push(rule(
        draw(context, family, &sharing),
        format!("balance: {family} connections are given an uplink by weight"),
    ));
    part.chains.push(chain);
}

/// The destinations that have an uplink while it is usable, without overlaps: nft takes none in a set.
fn prefixes(context: &Context<'_>, family: Family) -> Vec<String> {
    let usable = context.uplinks().filter(|it| context.availability.usable(it.uplink, family));
    let all: Vec<IpNet> = usable
        .flat_map(|it| &it.uplink.prefixes)
        .filter(|it| Family::of(it.addr()) == family)
        .copied()
        .collect();
    IpNet::aggregate(&all).iter().map(IpNet::to_string).collect()
}

fn draw(context: &Context<'_>, family: Family, sharing: &[(Numbered<'_>, &Leg)]) -> String {
    let mut next = 0;
    let mut verdicts = Vec::new();
    for (it, _) in sharing {
        let (low, high) = (next, next + u32::from(it.uplink.weight) - 1);
        next = high + 1;
        let range = if low == high { low.to_string() } else { format!("{low}-{high}") };
        let chain = match context.model.balance.sticky {
            Some(_) => stick_chain(&it.uplink.name, family),
            None => mark_chain(&it.uplink.name),
        };
        verdicts.push(format!("{range} : goto {chain}"));
    }
    let ip = family.nft_keyword();
    let draw = match context.model.balance.by {
        BalanceBy::Connection => format!("numgen random mod {next}"),
        BalanceBy::SourceDestination => format!("jhash {ip} saddr . {ip} daddr mod {next} seed {SEED}"),
    };
    format!("{draw} vmap {{ {} }}", verdicts.join(", "))
}

/// The set of the sources that stay on an uplink. Its time is part of its name, so that a set of that name can
/// be kept with its content when the rest of the table is replaced.
fn sticky_set(uplink: &UplinkName, family: Family, seconds: u32) -> String {
    format!("{}{seconds}_{}_{uplink}", STICKY, family.digit())
}

fn stick_chain(uplink: &UplinkName, family: Family) -> String {
    format!("stick_{}_{uplink}", family.digit())
}
