//! The steps from the rules and routes that are there to those that should be, in an order in which no
//! packet is misled on the way.
//!
//! The nft ruleset is replaced between the two halves: before it, everything that its marks will need is
//! added; after it, everything that no mark needs any more is taken away. What is the same on both sides is
//! not touched, so that connections notice nothing.

use std::collections::BTreeSet;

use crate::routing::{Route, Rule};

/// Rules and routes of ours, there or wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
pub fn steps(present: &Routing, wanted: &Routing) -> Steps {
    let keys: BTreeSet<_> = wanted.routes.iter().map(Route::key).collect();
    // Routes come before the rules that lead to them, or packets would meet the guard. The rules' own order
    // puts lookups before guards, for the same reason.
    let replaceable: BTreeSet<_> = present.routes.iter().map(Route::key).collect();
    let put = wanted.routes.difference(&present.routes).cloned().map(|route| {
        if replaceable.contains(&route.key()) { Step::ReplaceRoute(route) } else { Step::AddRoute(route) }
    });
    let add = wanted.rules.difference(&present.rules).copied().map(Step::AddRule);
    // And the other way round: guards, lookups, routes.
    let mut stale: Vec<Rule> = present.rules.difference(&wanted.rules).copied().collect();
    stale.reverse();
    let drop = present.routes.iter().filter(|it| !wanted.routes.contains(it) && !keys.contains(&it.key()));
    Steps {
        before_ruleset: put.chain(add).collect(),
        after_ruleset: stale
            .into_iter()
            .map(Step::DeleteRule)
            .chain(drop.cloned().map(Step::DeleteRoute))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
