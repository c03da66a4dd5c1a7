use proptest::prelude::*;

use super::*;
use crate::nft::{Chain, Rule};

fn ruleset(set: &[u8], map: &[(u8, u8)]) -> Ruleset {
    Ruleset {
        table: Table::Inet,
        sets: vec![Set::new("on", "mark", set.iter().map(ToString::to_string).collect())],
        maps: vec![Map {
            name: "by".into(),
            key: "mark",
            value: "mark",
            elements: map.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        }],
        ..Ruleset::default()
    }
}

#[test]
fn only_what_differs_is_named() {
    let old = ruleset(&[1, 2, 3], &[(1, 1), (2, 2), (3, 3)]);
    let new = ruleset(&[1, 3, 4], &[(1, 1), (2, 9), (3, 3)]);
    assert_eq!(
        new.update(&old).unwrap(),
        "delete element inet mhnat on { 2 }\ndelete element inet mhnat by { 2 }\n\
         add element inet mhnat on { 4 }\nadd element inet mhnat by { 2 : 9 }\n"
    );
    assert_eq!(new.update(&new).unwrap(), "");
}

#[test]
fn another_rule_or_type_or_map_needs_a_replacement() {
    let old = ruleset(&[1], &[]);
    let mut chain = old.clone();
    let rules = vec![Rule { text: "accept".into(), comment: "a: b".into() }];
    chain.chains.push(Chain { name: "c".into(), hook: None, rules });
    let mut kind = old.clone();
    kind.sets.iter_mut().for_each(|set| set.key = "ifname");
    let mut value = old.clone();
    value.maps.iter_mut().for_each(|map| map.value = "verdict");
    let mut fewer = old.clone();
    fewer.maps.clear();
    let mut interval = old.clone();
    interval.sets.iter_mut().for_each(|set| set.interval = true);
    for new in [chain, kind, value, fewer, interval] {
        assert_eq!(new.update(&old), None);
    }
}

/// The elements of the commands that begin with these words.
fn named(update: &str, command: &str) -> BTreeSet<String> {
    let lines = update.lines().filter_map(|line| line.strip_prefix(command));
    lines
        .flat_map(|line| line.trim().trim_matches(['{', '}']).split(','))
        .map(|it| it.trim().to_owned())
        .collect()
}

proptest! {
    /// A set that obeys the commands ends up as wanted, and every deletion finds what it deletes.
    #[test]
    fn an_obedient_kernel_ends_up_as_wanted(
        old in prop::collection::btree_map(0u8..12, 0u8..3, 0..12),
        new in prop::collection::btree_map(0u8..12, 0u8..3, 0..12),
        turned in any::<bool>(),
    ) {
        let list = |it: &std::collections::BTreeMap<u8, u8>| it.iter().map(|(a, b)| (*a, *b)).collect::<Vec<_>>();
        let (old_list, mut new_list) = (list(&old), list(&new));
        if turned {
            new_list.reverse();
        }
        let update = ruleset(&[], &new_list).update(&ruleset(&[], &old_list)).unwrap();
        let mut kernel: std::collections::BTreeMap<String, String> =
            old.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        for key in named(&update, "delete element inet mhnat by ") {
            prop_assert!(kernel.remove(&key).is_some(), "{} is not there", key);
        }
        for element in named(&update, "add element inet mhnat by ") {
            let (key, value) = element.split_once(" : ").unwrap();
            prop_assert!(kernel.insert(key.to_owned(), value.to_owned()).is_none(), "{} is there", key);
        }
        let wanted: std::collections::BTreeMap<String, String> =
            new.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        prop_assert_eq!(kernel, wanted);
    }
}
