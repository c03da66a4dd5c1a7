//! Findings about what other programs have in the kernel.

use std::collections::BTreeMap;

use super::{Facts, Finding, ForeignRule, Severity};
use crate::family::Family;
use crate::mark::MarkMask;
use crate::model::Model;
use crate::routing::TableId;

/// The priorities of our rules (see [`crate::routing::priority`]).
const OURS: std::ops::RangeInclusive<u32> = 10_000..=15_999;

/// The lowest number of a table of ours.
const FIRST_TABLE: u32 = 10_800;

pub(super) fn add(found: &mut Vec<Finding>, facts: &Facts, model: Option<&Model>) {
    let mask = model.map_or(MarkMask::DEFAULT, |it| it.mask).bits();
    for rule in &facts.foreign {
        if let Some(bits) = touched(&rule.text).filter(|bits| bits & mask != 0) {
            found.push(Finding {
                id: "mark-bits",
                severity: Severity::Warning,
                title: "another ruleset uses bits of the mark that are mhnat's".to_owned(),
                evidence: vec![quote(rule), format!("its bits {bits:#010x}, ours {mask:#010x}")],
                remedy: "give mhnat other bits: mask in [marks]; or have the other keep off these".to_owned(),
            });
        }
        if rule.text.contains("flow add @") || rule.text.contains("FLOWOFFLOAD") {
            found.push(Finding {
                id: "flow-offload",
                severity: Severity::Warning,
                title: "offloaded connections pass no chain: they keep their uplink whatever mhnat does"
                    .to_owned(),
                evidence: vec![quote(rule)],
                remedy: "take the uplinks out of the flowtable".to_owned(),
            });
        }
        if let Some(model) = model {
            translation(found, rule, model);
        }
    }
    rules(found, facts, mask);
    for route in &facts.host.routes {
        let table = route.table.number();
        if (FIRST_TABLE..=TableId::DEFAULT.number() + 250).contains(&table) {
            found.push(Finding {
                id: "foreign-route",
                severity: Severity::Warning,
                title: "another program has a route in a table of mhnat's".to_owned(),
                evidence: vec![route.to_string(), format!("protocol {}", route.protocol)],
                remedy: format!("have its owner use another table than {table}"),
            });
        }
    }
    defaults(found, facts);
}

fn quote(rule: &ForeignRule) -> String {
    format!("{}: {}", rule.place, rule.text)
}

fn translation(found: &mut Vec<Finding>, rule: &ForeignRule, model: &Model) {
    let words: Vec<&str> = rule.text.split_whitespace().collect();
    let translates = words.iter().any(|it| {
        matches!(*it, "masquerade" | "snat" | "MASQUERADE" | "SNAT") || it.trim_matches('"') == "MASQUERADE"
    });
    if !translates {
        return;
    }
    // The device that follows `oifname` or `-o`; a rule without one is for all.
    let device = words
        .windows(2)
        .find(|pair| matches!(pair[0], "oifname" | "oif" | "-o" | "--out-interface"))
        .map(|pair| pair[1].trim_matches('"'));
    let uplinks = model.uplinks.iter().map(|it| it.interface.as_str());
    let hit: Vec<&str> = uplinks
        .filter(|it| {
            device.is_none_or(|device| {
                let start = device.strip_suffix(['*', '+']);
                device == *it || !plain(device) || start.is_some_and(|start| it.starts_with(start))
            })
        })
        .collect();
    if !hit.is_empty() {
        found.push(Finding {
            id: "foreign-translation",
            severity: Severity::Warning,
            title: format!(
                "another ruleset translates sources on {}: whichever comes first wins",
                hit.join(", ")
            ),
            evidence: vec![quote(rule)],
            remedy: "remove that rule: mhnat translates by the uplink's `source`".to_owned(),
        });
    }
}

/// Whether this is the name of one device, and neither a set nor a negation.
fn plain(device: &str) -> bool {
    !device.starts_with(['@', '{', '!'])
}

fn rules(found: &mut Vec<Finding>, facts: &Facts, mask: u32) {
    for rule in &facts.host.rules {
        let line = format!("{} rule: {rule}", rule.family);
        if let Some((_, theirs)) = rule.mark.filter(|(_, theirs)| theirs & mask != 0) {
            found.push(Finding {
                id: "rule-mark",
                severity: Severity::Warning,
                title: "a policy rule of another program looks at bits of the mark that are mhnat's"
                    .to_owned(),
                evidence: vec![line.clone(), format!("its bits {theirs:#010x}, ours {mask:#010x}")],
                remedy: "give mhnat other bits: mask in [marks]; or give that rule a mask".to_owned(),
            });
        }
        if OURS.contains(&rule.priority) {
            let ip = if rule.family == Family::V4 { "ip" } else { "ip -6" };
            found.push(Finding {
                id: "foreign-rule",
                severity: Severity::Warning,
                title: "a policy rule of another program stands between mhnat's".to_owned(),
                evidence: vec![line],
                remedy: format!(
                    "{ip} rule del priority {}; and add it below 10000 or above 15999",
                    rule.priority
                ),
            });
        }
    }
}

/// More than one default route at one metric.
fn defaults(found: &mut Vec<Finding>, facts: &Facts) {
    let mut by_metric: BTreeMap<(bool, u32), Vec<String>> = BTreeMap::new();
    for route in &facts.host.routes {
        if route.table == TableId::MAIN && route.to.prefix_len() == 0 && route.kind == "unicast" {
            let place = by_metric.entry((route.to.addr().is_ipv6(), route.metric)).or_default();
            place.extend(route.hops.iter().map(|hop| format!("default {hop} metric {}", route.metric)));
        }
    }
    for evidence in by_metric.into_values().filter(|it| it.len() > 1) {
        found.push(Finding {
            id: "equal-defaults",
            severity: Severity::Warning,
            title: "default routes in main share a metric: what mhnat does not decide takes either"
                .to_owned(),
            evidence,
            remedy: "give each a metric of its own: ip route change default ... metric N".to_owned(),
        });
    }
}

/// The bits of a packet or connection mark that a rule reads or writes; nothing when it has to do with none.
fn touched(text: &str) -> Option<u32> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut bits = None;
    let mut add = |more: u32| bits = Some(bits.unwrap_or(0) | more);
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        match *word {
            // iptables: VALUE/MASK, and all bits without a mask.
            "--mark" | "--set-xmark" | "--set-mark" => {
                add(next
                    .split_once('/')
                    .map_or(Some(u32::MAX), |(_, mask)| number(mask))
                    .unwrap_or(u32::MAX));
            }
            "--nfmask" | "--ctmask" | "--mask" => add(number(next).unwrap_or(u32::MAX)),
            "--or-mark" | "--xor-mark" => add(number(next).unwrap_or(u32::MAX)),
            "--and-mark" => add(!number(next).unwrap_or(0)),
            "--restore-mark" | "--save-mark" if !text.contains("mask") => add(u32::MAX),
            // The mark that a set statement takes over belongs to the whole statement.
            "mark"
                if at > 0
                    && matches!(words[at - 1], "meta" | "ct")
                    && !(at > 1 && words[at - 2] == "set") =>
            {
                add(expression(&words[at + 1..]));
            }
            _ => {}
        }
    }
    bits
}

/// The bits that an nft expression after `meta mark` or `ct mark` is about.
fn expression(words: &[&str]) -> u32 {
    match words {
        // Written: `meta mark & KEEP | BITS` touches what is not kept, and the bits.
        ["set", "meta" | "ct", "mark", rest @ ..] => match rest {
            ["&" | "and", keep, "|" | "or" | "^" | "xor", bits, ..] => {
                number(keep).map_or(u32::MAX, |keep| !keep) | number(bits).unwrap_or(u32::MAX)
            }
            ["&" | "and", keep, ..] => number(keep).map_or(u32::MAX, |keep| !keep),
            ["|" | "or" | "^" | "xor", bits, ..] => number(bits).unwrap_or(u32::MAX),
            _ => u32::MAX,
        },
        // Read under a mask, or written whole, or read whole.
        ["&" | "and", mask, ..] => number(mask).unwrap_or(u32::MAX),
        _ => u32::MAX,
    }
}

fn number(word: &str) -> Option<u32> {
    let word = word.trim_matches(['(', ')', ',', ';']);
    word.strip_prefix("0x").map_or_else(|| word.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
}
