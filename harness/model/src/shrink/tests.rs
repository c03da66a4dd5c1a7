use proptest::prelude::*;

use super::Shrink;

/// Shrinks until nothing is left to try; also how often was tried.
fn least(all: Vec<u32>, does_it: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
    let mut shrink = Shrink::new(all);
    let mut tries = 0;
    while let Some(candidate) = shrink.candidate() {
        tries += 1;
        shrink.tried(does_it(&candidate));
    }
    (shrink.least().to_vec(), tries)
}

#[test]
fn two_of_a_hundred_are_found_in_few_tries() {
    let (least, tries) = least((0..100).collect(), |some| some.contains(&17) && some.contains(&71));
    assert_eq!(least, [17, 71]);
    assert!(tries <= 40, "{tries} tries");
}

#[test]
fn what_fails_by_itself_needs_nothing() {
    assert!(least((0..100).collect(), |_| true).0.is_empty());
    assert!(least(Vec::new(), |_| true).0.is_empty());
}

proptest! {
    #[test]
    fn what_is_needed_is_left_and_nothing_else(
        all in 0u32..60,
        needed in proptest::collection::btree_set(0u32..60, 0..6),
    ) {
        let needed: Vec<u32> = needed.into_iter().filter(|it| *it < all).collect();
        let does_it = |some: &[u32]| needed.iter().all(|it| some.contains(it));
        prop_assert_eq!(least((0..all).collect(), does_it).0, needed.clone());
    }

    #[test]
    fn none_of_the_result_can_be_left_out(all in 1u32..40, sum in 0u32..200) {
        let does_it = |some: &[u32]| some.iter().sum::<u32>() >= sum;
        prop_assume!(does_it(&(0..all).collect::<Vec<_>>()));
        let (least, _) = least((0..all).collect(), does_it);
        for at in 0..least.len() {
            let mut fewer = least.clone();
            fewer.remove(at);
            prop_assert!(!does_it(&fewer));
        }
    }
}
