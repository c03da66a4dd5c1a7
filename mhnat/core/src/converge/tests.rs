use proptest::prelude::*;

use super::*;
use crate::family::Family;
use crate::routing::{Action, Selector, TableId};
use crate::slot::Slot;

fn rule() -> impl Strategy<Value = Rule> {
    (0..4u8, 1..4u8, any::<bool>()).prop_map(|(action, slot, v6)| {
        let table = TableId::of(Slot::new(slot).unwrap());
        Rule {
            action: match action {
                0 => Action::LookupWithoutDefault(TableId::MAIN),
                1 => Action::Lookup(table),
                2 if slot == 1 => Action::Lookup(TableId::PREFIXES),
                2 => Action::Lookup(TableId::DEFAULT),
                _ => Action::Unreachable,
            },
            priority: 100 * u32::from(slot) + u32::from(action),
            // The loop's lookup and guard.
            selector: match action {
                1 | 3 if slot == 3 => Selector::SentFrom("10.255.0.1".parse().unwrap()),
                _ => Selector::Mark { mark: u32::from(slot), mask: 0xff },
            },
            family: if v6 { Family::V6 } else { Family::V4 },
        }
    })
}

fn route() -> impl Strategy<Value = Route> {
    (0..5u8, 0..3u8, 1..3u32, 0..3u8).prop_map(|(slot, net, metric, device)| Route {
        table: match slot {
            0 => TableId::DEFAULT,
            4 => TableId::PREFIXES,
            _ => TableId::of(Slot::new(slot).unwrap()),
        },
        family: Family::V4,
        destination: if net == 0 {
            Family::V4.everywhere()
        } else {
            format!("10.{net}.0.0/16").parse().unwrap()
        },
        metric,
        device: format!("eth{device}").parse().unwrap(),
        gateway: None,
        source: None,
        mtu: None,
    })
}

/// The kernel holds one route for each key.
fn one_for_each_key(routes: Vec<Route>) -> BTreeSet<Route> {
    let mut keys = BTreeSet::new();
    routes.into_iter().filter(|route| keys.insert(route.key())).collect()
}

fn routing() -> impl Strategy<Value = Routing> {
    (prop::collection::btree_set(rule(), 0..8), prop::collection::vec(route(), 0..8))
        .prop_map(|(rules, routes)| Routing { rules, routes: one_for_each_key(routes) })
}

/// What the kernel does with the steps; an error where it would refuse one.
fn run(mut state: Routing, steps: &[Step]) -> Result<Routing, String> {
    for step in steps {
        let done = match step.clone() {
            Step::AddRoute(route) => {
                state.routes.iter().all(|old| old.key() != route.key()) && state.routes.insert(route)
            }
            Step::ReplaceRoute(route) => {
                let before = state.routes.len();
                state.routes.retain(|old| old.key() != route.key());
                state.routes.len() + 1 == before && state.routes.insert(route)
            }
            Step::AddRule(rule) => state.rules.insert(rule),
            Step::DeleteRule(rule) => state.rules.remove(&rule),
            Step::DeleteRoute(route) => state.routes.remove(&route),
        };
        if !done {
            return Err(format!("{step:?}"));
        }
    }
    Ok(state)
}

proptest! {
    #[test]
    fn the_steps_lead_from_any_state_to_any_other(from in routing(), to in routing()) {
        let steps = steps(&from, &to);
        let all: Vec<Step> = steps.before_ruleset.into_iter().chain(steps.after_ruleset).collect();
        prop_assert_eq!(run(from, &all), Ok(to));
    }

    #[test]
    fn nothing_is_missing_while_the_ruleset_is_replaced(from in routing(), to in routing()) {
        let half = run(from.clone(), &steps(&from, &to).before_ruleset).unwrap();
        let rules = |it: &Routing| -> BTreeSet<_> {
            it.rules.iter().copied().filter(|rule| !waits_for_ruleset(rule)).collect()
        };
        let routes = |it: &Routing| -> BTreeSet<_> {
            it.routes.iter().filter(|route| !route.table.is_for_anybody()).cloned().collect()
        };
        prop_assert!(half.rules.is_superset(&rules(&from)) && half.rules.is_superset(&rules(&to)));
        prop_assert!(half.routes.is_superset(&routes(&to)));
    }

    #[test]
    fn no_default_route_leads_where_the_ruleset_knows_nothing(from in routing(), to in routing()) {
        let steps = steps(&from, &to);
        let strange = |state: &Routing, known: &Routing| {
            state.routes.iter().any(|route| {
                route.table.is_for_anybody() && !devices(known).contains(&link(route))
            })
        };
        let mut state = from.clone();
        for step in &steps.before_ruleset {
            state = run(state, std::slice::from_ref(step)).unwrap();
            prop_assert!(!strange(&state, &from), "{step:?}");
        }
        for step in &steps.after_ruleset {
            prop_assert!(!strange(&state, &to), "before {step:?}");
            state = run(state, std::slice::from_ref(step)).unwrap();
        }
    }

    #[test]
    fn the_default_lookup_goes_in_after_the_ruleset_and_out_before_it(from in routing(), to in routing()) {
        let steps = steps(&from, &to);
        let added = |list: &[Step]| list.iter().any(|step| matches!(step, Step::AddRule(rule) if waits_for_ruleset(rule)));
        let deleted = |list: &[Step]| list.iter().any(|step| matches!(step, Step::DeleteRule(rule) if waits_for_ruleset(rule)));
        prop_assert!(!added(&steps.before_ruleset));
        prop_assert!(!deleted(&steps.after_ruleset));
    }

    #[test]
    fn no_guard_stands_without_its_lookup(from in routing(), to in routing()) {
        let steps = steps(&from, &to);
        for half in [&steps.before_ruleset, &steps.after_ruleset] {
            let added: Vec<_> = half.iter().filter_map(|step| match step {
                Step::AddRule(rule) => Some(rule.action == Action::Unreachable),
                _ => None,
            }).collect();
            prop_assert!(added.is_sorted());
            let deleted: Vec<_> = half.iter().filter_map(|step| match step {
                Step::DeleteRule(rule) => Some(rule.action != Action::Unreachable),
                _ => None,
            }).collect();
            prop_assert!(deleted.is_sorted());
        }
    }

    #[test]
    fn a_state_that_holds_is_left_alone(state in routing()) {
        prop_assert_eq!(steps(&state, &state), Steps::default());
    }
}
