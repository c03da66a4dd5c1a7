use std::collections::BTreeSet;

use super::*;
use crate::routing::{Action, Selector, TableId};

fn route(device: &str, metric: u32) -> Route {
    Route {
        table: TableId::DEFAULT,
        family: Family::V6,
        destination: "::/0".parse().unwrap(),
        metric,
        device: device.parse().unwrap(),
        gateway: None,
        source: None,
        mtu: None,
    }
}

fn routing(routes: &[Route], rules: &[Rule]) -> Routing {
    Routing { rules: rules.iter().copied().collect(), routes: routes.iter().cloned().collect() }
}

#[test]
fn every_kind_of_change_reads_as_a_diff() {
    let rule = |priority| Rule {
        action: Action::Lookup(TableId::DEFAULT),
        priority,
        selector: Selector::All,
        family: Family::V4,
    };
    let forwarding = Key::forwarding(Family::V4);
    let strict = Key::of_interface(Family::V4, "eth0", "rp_filter");
    let gone = Key::of_interface(Family::V4, "gone", "rp_filter");
    let plan = SysctlPlan {
        forward: vec![(forwarding.clone(), "1".into())],
        obsolete: BTreeSet::from([strict.clone(), gone.clone()]),
        ..SysctlPlan::default()
    };
    let current = Values::from([(forwarding, "0".into()), (strict.clone(), "2".into())]);
    let kept = Values::from([(strict, "1".into()), (gone, "1".into())]);
    let changes = Changes::default()
        .ruleset("table inet mhnat {\n\told\n}\n", "table inet mhnat {\n\tnew\n}\n")
        .routing(
            &routing(&[route("eth0", 1), route("eth0", 3)], &[rule(1)]),
            &routing(&[route("eth1", 1), route("eth1", 2)], &[rule(2)]),
        )
        .sysctls(&plan, &current, &kept);
    assert!(!changes.is_empty());
    insta::assert_snapshot!(changes.text(Colour::Never),);
    let painted = changes.text(Colour::Always);
    assert!(painted.contains("\x1b[31m-\told\x1b[0m\n"), "{painted:?}");
    assert!(painted.contains("\x1b[32m+ip -6 route replace default dev eth1"), "{painted:?}");
}

#[test]
fn what_stays_the_same_is_no_change() {
    let same = routing(&[route("eth0", 1)], &[]);
    let changes = Changes::default().ruleset("a\n", "a\n").routing(&same, &same).sysctls(
        &SysctlPlan::default(),
        &Values::new(),
        &Values::new(),
    );
    assert!(changes.is_empty());
    assert_eq!(changes.text(Colour::Never), "");
}
