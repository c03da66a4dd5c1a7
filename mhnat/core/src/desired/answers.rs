//! Answers of this host's own servers: from the address that was asked, by the link that was asked.
//!
//! A TCP answer carries the address that was asked, so the policy rules by address find its link; the mark
//! is for addresses that no link owns. A datagram from a socket bound to the wildcard address gets its
//! source from the route to the client. So a datagram for any of our addresses is translated to just that
//! source, conntrack then takes the answer for an answer, and translates it back to what was asked.
//!
//! A server that is bound to an address of its own has its answers in `looped`.

mod looped;

use std::net::IpAddr;

use super::Context;
use super::ruleset::{Part, quoted, rule};
use crate::family::Family;
use crate::model::UdpReplies;
use crate::nft::{Chain, Rule, Set};

pub(super) use self::looped::{pair, route};

/// The chain for datagrams to one of our own addresses.
const ASKED: &str = "asked_by_udp";

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    if let Some(udp) = &context.model.replies.udp {
        let wildcard_alone = rule(
            "socket wildcard 0 return",
            "answers: a server bound to one address answers from it by itself",
        );
        let (about, rules) = match udp {
            UdpReplies::Mark(_) => {
                let anchors = anchors(context);
                let some = !anchors.is_empty();
                ("meta l4proto udp ", some.then(|| [vec![wildcard_alone], anchors].concat()))
            }
            UdpReplies::Redirect(_) => {
                let redirect =
                    rule("redirect", "answers: datagrams go to the first address of the interface");
                ("meta l4proto udp ", Some(vec![wildcard_alone, redirect]))
            }
            UdpReplies::Loop(it) => {
                looped::add(&mut part, context, it);
                (looped::ABOUT, Some(looped::to_servers(it)))
            }
        };
        if let Some(rules) = rules {
            translate_datagrams(&mut part, udp, about, rules);
        }
    }
    part
}

fn translate_datagrams(part: &mut Part, udp: &UdpReplies, about: &str, rules: Vec<Rule>) {
    part.sets.push(Set::new("asked_on", "ifname", udp.interfaces().iter().map(quoted).collect()));
    part.nat_prerouting.push(rule(
        format!("iifname @asked_on {about}fib daddr type local goto {ASKED}"),
        "answers: datagrams to any address of this host are answered from it",
    ));
    part.chains.push(Chain { name: ASKED.to_owned(), hook: None, rules });
}

/// Translations to the source that the kernel gives to an answer before anything has marked it: that of the
/// preferred route in our default table, which carries it as `src`.
fn anchors(context: &Context<'_>) -> Vec<Rule> {
    Family::ALL
        .into_iter()
        .filter_map(|family| {
            let anchor = anchor(context, family)?;
            Some(rule(
                format!("dnat {} to {anchor}", family.nft_keyword()),
                format!("answers: {family} datagrams go to the address that a wildcard socket answers from"),
            ))
        })
        .collect()
}

fn anchor(context: &Context<'_>, family: Family) -> Option<IpAddr> {
    context
        .legs(family)
        .filter(|(it, _)| context.availability.usable(it.uplink, family))
        .filter_map(|(it, leg)| Some((it.uplink.metric?, leg.preferred()?)))
        // Of those that share a metric the first, whose route is the default.
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, address)| address)
}
