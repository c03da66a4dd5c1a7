use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{Break, Drawn, Flap, Happening, Place, Random, Repeat, Timed, What, drawn, rewritten};
use crate::{
    scenario::{Action, LinkAction, LinkChange, Scenario, parse, raw::FlapKind},
    topology::{LinkId, NodeId},
};

const CUT: LinkChange = LinkChange::State(LinkAction::Cut);
const MEND: LinkChange = LinkChange::State(LinkAction::Mend);

const CUT_AND_MEND: Break = Break { kind: FlapKind::Cut, change: CUT, back: MEND };

/// Whose link changes, and whether that is a break.
fn link(timed: &Timed) -> Option<(NodeId, bool)> {
    match &timed.what {
        Happening::Link { node, interface: _, change } => Some((*node, *change == CUT)),
        Happening::Killed | Happening::Started => None,
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn flap(places: usize, breaks: u32, at_once: usize, every: u64, lasting: u64) -> Flap {
    let place = |at| Place {
        node: NodeId(at),
        interface: 0,
        // Two ends of each link.
        link: LinkId(at / 2),
        ways: vec![CUT_AND_MEND],
    };
    let places = (0..places).map(place).collect();
    let lasting = (millis(1), millis(lasting));
    Flap::Random(Random { places, breaks, every: millis(every), lasting, at_once, kills: 0 })
}

#[test]
fn a_timed_flap_is_undone_each_time() {
    let repeat = Repeat { back: MEND, lasting: millis(200), pause: millis(50), times: 2 };
    let timed = repeat.schedule(NodeId(0), 1, &CUT);
    let seen: Vec<_> =
        timed.iter().map(|timed| (timed.at.as_millis(), link(timed).is_some_and(|it| it.1))).collect();
    assert_eq!(seen, [(0, true), (200, false), (250, true), (450, false)]);
}

#[test]
fn seed_and_step_decide() {
    let flap = flap(8, 20, 3, 10, 30);
    assert_eq!(flap.schedule(1, "a"), flap.schedule(1, "a"));
    assert_ne!(flap.schedule(1, "a"), flap.schedule(2, "a"));
    assert_ne!(flap.schedule(1, "a"), flap.schedule(1, "b"));
}

#[test]
fn what_is_drawn_can_be_listed() {
    let random = flap(8, 20, 3, 10, 30);
    let listed = Flap::Listed(random.draw(7, "a"));
    assert_eq!(listed.schedule(1, "b"), random.schedule(7, "a"));
}

const SCENARIO: &str = r#"
title = "Two links break"
# Kept.
[node.gw]
interface.w1 = "192.0.2.1/24"
interface.w2 = "198.51.100.1/24"
[node.one]
interface.eth0 = "192.0.2.2/24"
[node.two]
interface.eth0 = "198.51.100.2/24"
[[link]]
ends = ["gw:w1", "one:eth0"]
[[link]]
ends = ["gw:w2", "two:eth0"]
[subject]
on = "gw"
variant.stays.daemon = "exec sleep 1000"
variant.nothing.breaks = ["a bad hour"]
[[step]]
name = "a bad hour"
flap = { at = ["gw:w1", "gw:w2"], kinds = ["cut", "address"], breaks = 9, every = "1ms", kills = 2 } # Kept as well.
"#;

#[test]
fn a_text_with_the_breaks_of_a_seed_does_the_same_from_any_seed() {
    let schedule = |scenario: &Scenario, seed| match &scenario.steps[0].action {
        Action::Flap { flap, .. } => flap.schedule(seed, &scenario.steps[0].name),
        _ => unreachable!("it is the only step"),
    };
    let random = parse(SCENARIO).expect("it is right");
    let breaks = drawn(&random, 42);
    assert_eq!(breaks.iter().map(|(_, list)| list.len()).sum::<usize>(), 11);
    for text in [SCENARIO.to_owned(), format!("seed = 7\n{SCENARIO}")] {
        let text =
            rewritten(&text, &parse(&text).expect("it is right"), 42, &breaks).expect("it can be told");
        let listed = parse(&text).unwrap_or_else(|findings| panic!("{findings:?}\n{text}"));
        assert_eq!(schedule(&listed, 1), schedule(&random, 42));
        assert_eq!(listed.seed, 42);
        assert!(text.contains("# Kept.\n") && text.ends_with("] } # Kept as well.\n"), "{text}");
        assert!(drawn(&listed, 1).is_empty());
    }
    let none = rewritten(SCENARIO, &random, 42, &vec![(0, Vec::new())]).expect("it can be told");
    assert!(schedule(&parse(&none).expect("it is right"), 42).is_empty());
}

#[test]
fn kills_follow_each_other_and_change_nothing_of_what_links_do() {
    let quiet = flap(8, 20, 3, 10, 30);
    let Flap::Random(random) = quiet.clone() else { unreachable!("it is random") };
    let killing = Flap::Random(Random { kills: 12, ..random }).draw(7, "a");
    let (kills, links): (Vec<Drawn>, Vec<Drawn>) =
        killing.into_iter().partition(|drawn| drawn.what == What::Subject);
    assert_eq!(links, quiet.draw(7, "a"));
    assert_eq!(kills.len(), 12);
    assert!(kills.windows(2).all(|two| two[0].after + two[0].lasting < two[1].after));
}

proptest! {
    #[test]
    fn links_break_one_way_at_a_time_and_are_all_good_in_the_end(
        seed: u64,
        places in 1usize..10,
        breaks in 0u32..60,
        at_once in 1usize..4,
        every in 0u64..40,
        lasting in 1u64..80,
    ) {
        let timed = flap(places, breaks, at_once, every, lasting).schedule(seed, "step");
        prop_assert_eq!(timed.len(), 2 * breaks as usize);
        let mut broken = BTreeMap::new();
        for timed in &timed {
            let (node, breaks) = link(timed).expect("a link");
            let link = node.0 / 2;
            if breaks {
                prop_assert_eq!(broken.insert(link, node), None);
            } else {
                prop_assert_eq!(broken.remove(&link), Some(node));
            }
            prop_assert!(broken.len() <= at_once);
        }
        prop_assert!(broken.is_empty());
        prop_assert!(timed.is_sorted_by_key(|timed| timed.at));
    }
}
