//! The routing decision: policy rules in order, and in each table the longest prefix, then the least metric.

use std::net::IpAddr;

use ipnet::IpNet;

use super::choice::Choices;
use super::{Fate, Lookup, Step};
use crate::desired::Desired;
use crate::family::Family;
use crate::host::{Hop, Host, HostAction, HostRoute, HostRule, LOCAL, table_name};
use crate::model::Model;
use crate::routing::{Action, PROTOCOL, Selector, TableId};

/// What was decided.
pub(super) struct Decision {
    pub(super) fate: Fate,
    /// The source that the route gives to a packet that has none.
    pub(super) source: Option<IpAddr>,
    pub(super) steps: Vec<Step>,
    pub(super) assumptions: Vec<String>,
    pub(super) when: Vec<String>,
}

struct Decider<'a> {
    model: &'a Model,
    host: &'a Host,
    routes: Vec<HostRoute>,
    lookup: &'a Lookup,
    found: Decision,
}

/// Decides.
pub(super) fn decide(
    model: &Model,
    desired: &Desired,
    host: &Host,
    lookup: &Lookup,
    choices: &mut Choices,
) -> Decision {
    let family = Family::of(lookup.destination);
    let ours = desired.routes.iter().filter(|it| it.family == family).map(|it| HostRoute {
        table: it.table,
        to: it.destination,
        metric: it.metric,
        kind: "unicast".to_owned(),
        hops: vec![Hop { device: it.device.as_str().to_owned(), gateway: it.gateway }],
        source: it.source,
        protocol: PROTOCOL,
    });
    let mut decider = Decider {
        model,
        host,
        routes: ours.chain(host.routes.iter().cloned()).collect(),
        lookup,
        found: Decision {
            fate: Fate::LeftToMain,
            source: None,
            steps: Vec::new(),
            assumptions: Vec::new(),
            when: Vec::new(),
        },
    };
    decider.run(desired, family, choices);
    decider.found
}

/// Our rules in the terms of everybody's.
fn rules(desired: &Desired, host: &Host, family: Family) -> Vec<(HostRule, String)> {
    let ours = desired.rules.iter().filter(|it| it.family == family).map(|it| {
        let rule = HostRule {
            family,
            priority: it.priority,
            from: match it.selector {
                Selector::From(address) | Selector::SentFrom(address) => Some(IpNet::from(address)),
                Selector::All | Selector::Mark { .. } => None,
            },
            to: None,
            mark: match it.selector {
                Selector::Mark { mark, mask } => Some((mark, mask)),
                Selector::All | Selector::From(_) | Selector::SentFrom(_) => None,
            },
            iif: matches!(it.selector, Selector::SentFrom(_)).then(|| "lo".to_owned()),
            action: match it.action {
                Action::LookupWithoutDefault(table) => HostAction::Lookup(table, Some(0)),
                Action::Lookup(table) => HostAction::Lookup(table, None),
                Action::Unreachable => HostAction::Refuse("unreachable".to_owned()),
            },
            beyond: None,
        };
        (rule, it.to_string())
    });
    let others = host.rules.iter().filter(|it| it.family == family);
    let mut all: Vec<(HostRule, String)> =
        ours.chain(others.map(|it| (it.clone(), it.to_string()))).collect();
    if !host.asked {
        // What every kernel begins with. IPv6 has no table `default`.
        let mut own = |priority, table| {
            let rule = HostRule {
                family,
                priority,
                from: None,
                to: None,
                mark: None,
                iif: None,
                action: HostAction::Lookup(table, None),
                beyond: None,
            };
            let text = rule.to_string();
            all.push((rule, text));
        };
        own(0, LOCAL);
        own(32_766, TableId::MAIN);
    }
    all.sort_by_key(|(rule, _)| rule.priority);
    all
}

impl Decider<'_> {
    fn run(&mut self, desired: &Desired, family: Family, choices: &mut Choices) {
        let destination = self.lookup.destination;
        if !self.host.asked {
            self.assume("the host has no policy rules but its own three and mhnat's".to_owned());
        }
        for (rule, text) in rules(desired, self.host, family) {
            let why_not = self.passes(&rule);
            if let Some(why) = why_not {
                self.step("policy rules", &text, false, why);
                continue;
            }
            match &rule.action {
                HostAction::Lookup(table, suppress) => {
                    if *table == LOCAL && !self.host.asked {
                        let ours = self.host.owns(destination) || self.configured(destination);
                        if ours {
                            self.step(
                                "policy rules",
                                &text,
                                true,
                                format!("{destination} is this host's own"),
                            );
                            self.found.fate = Fate::Delivered;
                            self.found.source = Some(destination);
                            return;
                        }
                        self.step(
                            "policy rules",
                            &text,
                            false,
                            format!("{destination} is no address of an uplink"),
                        );
                        continue;
                    }
                    let unknown = *table == TableId::MAIN && !self.host.asked;
                    match self.longest(*table, *suppress) {
                        Some(route) => {
                            self.step("policy rules", &text, true, format!("table {}", table_name(*table)));
                            return self.follow(&route, choices);
                        }
                        None if unknown && suppress.is_none() => {
                            self.step("policy rules", &text, true, "table main decides".to_owned());
                            self.assume(format!(
                                "nothing is known of main's default route for {destination}"
                            ));
                            self.found.fate = Fate::LeftToMain;
                            return;
                        }
                        None => {
                            if unknown {
                                self.assume(format!(
                                    "table main has no route to {destination} but a default route"
                                ));
                            }
                            let but = if suppress.is_some() { " but a default route, if any" } else { "" };
                            let table = table_name(*table);
                            let effect = format!("table {table} has no route to {destination}{but}");
                            self.step("policy rules", &text, false, effect);
                        }
                    }
                }
                HostAction::Refuse(word) => {
                    self.step("policy rules", &text, true, format!("refused: {word}"));
                    self.found.fate = Fate::Refused { by: text };
                    return;
                }
                HostAction::Other(word) => {
                    self.assume(format!("the rule `{text}` does not decide: {word} is not looked into"));
                }
            }
        }
        self.found.fate = Fate::Refused { by: "no rule leads to a route".to_owned() };
    }

    fn assume(&mut self, what: String) {
        if !self.found.assumptions.contains(&what) {
            self.found.assumptions.push(what);
        }
    }

    fn step(&mut self, place: &str, text: &str, applied: bool, effect: String) {
        self.found.steps.push(Step {
            place: place.to_owned(),
            text: text.to_owned(),
            comment: None,
            applied,
            effect,
        });
    }

    /// Whether the packet is one that the rule is not about, and why.
    fn passes(&mut self, rule: &HostRule) -> Option<String> {
        if let Some(from) = rule.from {
            match self.lookup.source {
                None => return Some("the packet has no source yet".to_owned()),
                Some(source) if !from.contains(&source) => return Some(format!("the source is {source}")),
                Some(_) => {}
            }
        }
        if rule.to.is_some_and(|to| !to.contains(&self.lookup.destination)) {
            return Some(format!("the destination is {}", self.lookup.destination));
        }
        if let Some((mark, mask)) = rule.mark
            && self.lookup.mark & mask != mark & mask
        {
            return Some(format!("the mark is {:#x}", self.lookup.mark));
        }
        let entry = self.lookup.iif.as_deref().unwrap_or("lo");
        if rule.iif.as_ref().is_some_and(|iif| iif != entry) {
            return Some(format!("the packet comes by {entry}"));
        }
        if let Some(beyond) = &rule.beyond {
            self.assume(format!("the packet is not one for the rule `{rule}`: {beyond} is not looked into"));
            return Some("not looked into".to_owned());
        }
        None
    }

    fn configured(&self, address: IpAddr) -> bool {
        let server =
            self.model.replies.looped().is_some_and(|it| it.servers.values().any(|it| *it == address));
        server
            || self
                .model
                .uplinks
                .iter()
                .flat_map(|it| it.legs.values())
                .any(|leg| leg.addresses.contains(&address))
    }

    fn longest(&self, table: TableId, suppress: Option<u32>) -> Option<HostRoute> {
        let fitting =
            self.routes.iter().filter(|it| it.table == table && it.to.contains(&self.lookup.destination));
        let best = fitting.min_by_key(|it| (std::cmp::Reverse(it.to.prefix_len()), it.metric))?;
        // The kernel looks first and suppresses afterwards.
        suppress.is_none_or(|length| u32::from(best.to.prefix_len()) > length).then(|| best.clone())
    }

    fn follow(&mut self, route: &HostRoute, choices: &mut Choices) {
        self.step("route", &route.to_string(), true, "the longest prefix, the least metric".to_owned());
        self.found.source = route.source;
        self.found.fate = match (route.kind.as_str(), route.hops.as_slice()) {
            ("local", _) => Fate::Delivered,
            ("unicast", [_, ..]) => {
                let way = if route.hops.len() > 1 { choices.choose(route.hops.len()) } else { 0 };
                let hop = &route.hops[way];
                if route.hops.len() > 1 {
                    self.found.when.push(format!("the kernel's hash of the flow takes the next hop {hop}"));
                }
                let uplink = self.model.uplinks.iter().find(|it| it.interface.as_str() == hop.device);
                Fate::Leaves {
                    uplink: uplink.map(|it| it.name.to_string()),
                    device: hop.device.clone(),
                    gateway: hop.gateway,
                    table: route.table.number(),
                }
            }
            _ => Fate::Refused { by: route.to_string() },
        };
    }
}
