//! The steps from the rules and routes that are there to those that should be, in an order in which no
//! packet is misled on the way.
//!
//! The nft ruleset is replaced between the two halves: before it, everything that its marks will need is
//! added; after it, everything that no mark needs any more is taken away. Default routes are the other way
//! round. What is the same on both sides is not touched, so that connections notice nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::family::Family;
use crate::name::IfName;
use crate::routing::{Action, Route, Rule, Selector};

/// Rules and routes of ours, there or wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// Policy rules.
    pub rules: BTreeSet<Rule>,
    /// Routes.
    pub routes: BTreeSet<Route>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Add the route, where there is none with the same key.
    AddRoute(Route),
    /// Put the route in the place of ours with the same key.
    ReplaceRoute(Route),
    /// Add the rule.
    AddRule(Rule),
    /// Delete the rule.
    DeleteRule(Rule),
    /// Delete the route.
    DeleteRoute(Route),
}

/// All changes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// To be done before the ruleset is replaced.
    pub before_ruleset: Vec<Step>,
    /// To be done after the ruleset has been replaced.
    pub after_ruleset: Vec<Step>,
}

/// Compares what is there with what is wanted.
///
/// Routes come before the rules that lead to them, or packets would meet the guard; the rules' own order puts
/// lookups before guards, for the same reason. All is taken away the other way round: guards, lookups, routes.
///
/// The tables of default routes and of prefixes are where packets go that nobody sent anywhere, so what is in
/// them must be known to the ruleset that is in force: it translates their sources. Such a route by a new device
/// waits for the new ruleset, and one by a device that is going does not outlive the old. The lookups of these
/// tables go in last and out first, and so does that of the loop for answers, where only the ruleset keeps what is
/// no answer from going round.
pub fn steps(present: &Routing, wanted: &Routing) -> Steps {
    let known_before = devices(present);
    let known_after = devices(wanted);
    let mut out = Steps::default();

    let (opening, adding): (Vec<_>, Vec<_>) =
        wanted.rules.difference(&present.rules).copied().partition(waits_for_ruleset);
    let (closing, removing): (Vec<_>, Vec<_>) =
        present.rules.difference(&wanted.rules).copied().partition(waits_for_ruleset);

    let mut early_deletions = Vec::new();
    let mut late_deletions = Vec::new();
    out.before_ruleset.extend(closing.into_iter().rev().map(Step::DeleteRule));
    let olds: BTreeMap<_, _> = present.routes.iter().map(|old| (old.key(), old)).collect();
    for route in wanted.routes.difference(&present.routes) {
        let old = olds.get(&route.key()).copied();
        let early = !route.table.is_for_anybody() || known_before.contains(&link(route));
        let going = |old: &Route| route.table.is_for_anybody() && !known_after.contains(&link(old));
        let put = match old {
            Some(old) if !early && going(old) => {
                early_deletions.push(Step::DeleteRoute(old.clone()));
                Step::AddRoute(route.clone())
            }
            Some(_) => Step::ReplaceRoute(route.clone()),
            None => Step::AddRoute(route.clone()),
        };
        if early { &mut out.before_ruleset } else { &mut out.after_ruleset }.push(put);
    }
    let keys: BTreeSet<_> = wanted.routes.iter().map(Route::key).collect();
    for route in present.routes.iter().filter(|it| !keys.contains(&it.key())) {
        let early = route.table.is_for_anybody() && !known_after.contains(&link(route));
        let deletions = if early { &mut early_deletions } else { &mut late_deletions };
        deletions.push(Step::DeleteRoute(route.clone()));
    }

    out.before_ruleset.extend(adding.into_iter().map(Step::AddRule));
    out.before_ruleset.extend(early_deletions);
    out.after_ruleset.extend(opening.into_iter().map(Step::AddRule));
    out.after_ruleset.extend(removing.into_iter().rev().map(Step::DeleteRule));
    out.after_ruleset.extend(late_deletions);
    out
}

fn waits_for_ruleset(rule: &Rule) -> bool {
    let loops = matches!(rule.selector, Selector::SentFrom(_));
    loops || matches!(rule.action, Action::Lookup(table) if table.is_for_anybody())
}

/// What the ruleset knows an uplink by.
fn link(route: &Route) -> (Family, &IfName) {
    (route.family, &route.device)
}

/// Where routes of ours lead.
fn devices(routing: &Routing) -> BTreeSet<(Family, &IfName)> {
    routing.routes.iter().map(link).collect()
}

#[cfg(test)]
mod tests;
