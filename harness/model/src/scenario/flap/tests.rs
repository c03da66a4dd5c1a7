use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{Break, Flap, Place, Repeat};
use crate::{
    scenario::{LinkAction, LinkChange},
    topology::{LinkId, NodeId},
};

const CUT: LinkChange = LinkChange::State(LinkAction::Cut);
const MEND: LinkChange = LinkChange::State(LinkAction::Mend);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn flap(places: usize, breaks: u32, at_once: usize, every: u64, lasting: u64) -> Flap {
    let place = |at| Place {
        node: NodeId(at),
        interface: 0,
        // Two ends of each link.
        link: LinkId(at / 2),
        ways: vec![Break { change: CUT, back: MEND }],
    };
    let places = (0..places).map(place).collect();
    Flap { places, breaks, every: millis(every), lasting: (millis(1), millis(lasting)), at_once }
}

#[test]
fn a_timed_flap_is_undone_each_time() {
    let repeat = Repeat { back: MEND, lasting: millis(200), pause: millis(50), times: 2 };
    let timed = repeat.schedule(NodeId(0), 1, &CUT);
    let seen: Vec<_> = timed.iter().map(|timed| (timed.at.as_millis(), timed.change == CUT)).collect();
    assert_eq!(seen, [(0, true), (200, false), (250, true), (450, false)]);
}

#[test]
fn seed_and_step_decide() {
    let flap = flap(8, 20, 3, 10, 30);
    assert_eq!(flap.schedule(1, "a"), flap.schedule(1, "a"));
    assert_ne!(flap.schedule(1, "a"), flap.schedule(2, "a"));
    assert_ne!(flap.schedule(1, "a"), flap.schedule(1, "b"));
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
            let link = timed.node.0 / 2;
            if timed.change == CUT {
                prop_assert_eq!(broken.insert(link, timed.node), None);
            } else {
                prop_assert_eq!(broken.remove(&link), Some(timed.node));
            }
            prop_assert!(broken.len() <= at_once);
        }
        prop_assert!(broken.is_empty());
        prop_assert!(timed.is_sorted_by_key(|timed| timed.at));
    }
}
