use std::{collections::BTreeSet, num::NonZeroU64, time::Duration};

use proptest::prelude::*;

use super::{Dice, Faults, Lane, Moment, Share, lane_seed};

/// A frame of a link without a header of its own: an IPv4 packet as far as it is looked at, with a number.
fn frame(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![0; length.max(24)];
    frame[0] = 0x45;
    frame[20..24].copy_from_slice(&number.to_be_bytes());
    frame
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[20..24].try_into().unwrap())
}

fn percent(share: u32) -> Share {
    Share::millionths(share * 10_000).unwrap()
}

/// Sends frames a millisecond apart, and returns when each left and which it was.
fn run(seed: u64, faults: &Faults, frames: u32) -> Vec<(Moment, u32)> {
    let mut lane = Lane::new(seed, 0);
    lane.set(faults.clone());
    let mut left = Vec::new();
    let (mut now, mut sent) = (0, 0);
    loop {
        let next = (sent < frames).then_some(u64::from(sent) * 1_000_000);
        let Some(at) = lane.due().into_iter().chain(next).min() else { break };
        now = at.max(now);
        lane.leave(now, &mut |frame| left.push((now, number(frame))));
        if next.is_some_and(|next| next <= now) {
            lane.enter(now, &mut frame(sent, 100), &mut |frame| left.push((now, number(frame))));
            sent += 1;
        }
    }
    left
}

#[test]
fn without_faults_all_leaves_at_once() {
    let left = run(1, &Faults::default(), 50);
    assert!(
        left.iter()
            .enumerate()
            .all(|(at, (time, frame))| *time == at as u64 * 1_000_000 && *frame == at as u32)
    );
    assert_eq!(left.len(), 50);
}

#[test]
fn chosen_packets_are_lost() {
    let faults = Faults { lose: BTreeSet::from([1, 3]), ..Faults::default() };
    let left: Vec<u32> = run(1, &faults, 5).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(left, [1, 3, 4]);
}

#[test]
fn what_the_kernel_says_by_itself_is_not_counted() {
    let mut lane = Lane::new(1, super::ETHERNET);
    lane.set(Faults { lose: BTreeSet::from([1]), ..Faults::default() });
    let mut left = 0;
    let mut arp = [0; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    lane.enter(0, &mut arp, &mut |_| left += 1);
    let mut discovery = [0; 86];
    discovery[12..14].copy_from_slice(&[0x86, 0xdd]);
    (discovery[14], discovery[20], discovery[54]) = (0x60, 58, 135);
    lane.enter(0, &mut discovery, &mut |_| left += 1);
    assert_eq!(left, 2);
    discovery[54] = 128;
    lane.enter(0, &mut discovery, &mut |_| left += 1);
    assert_eq!(left, 2);
}

#[test]
fn the_silent_still_send_packets() {
    let mut lane = Lane::new(1, super::ETHERNET);
    lane.silence(true);
    let mut left = 0;
    let mut arp = [0; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    lane.enter(0, &mut arp, &mut |_| left += 1);
    assert_eq!(left, 0);
    lane.enter(0, &mut [0; 42], &mut |_| left += 1);
    lane.silence(false);
    lane.enter(0, &mut arp, &mut |_| left += 1);
    assert_eq!(left, 2);
}

#[test]
fn counting_begins_anew_with_other_faults() {
    let mut lane = Lane::new(1, 0);
    let mut left = Vec::new();
    for sent in 0..4 {
        if sent == 2 {
            lane.set(Faults { lose: BTreeSet::from([1]), ..Faults::default() });
        }
        lane.enter(0, &mut frame(sent, 40), &mut |frame| left.push(number(frame)));
    }
    assert_eq!(left, [0, 1, 3]);
}

#[test]
fn a_rate_spaces_frames_and_its_queue_has_an_end() {
    let faults = Faults { rate: NonZeroU64::new(400_000), ..Faults::default() };
    // 100 bytes at 400 kbit/s take two milliseconds.
    let left: Vec<u64> = run(1, &faults, 4).into_iter().map(|(time, _)| time / 1_000_000).collect();
    assert_eq!(left, [2, 4, 6, 8]);
    let mut lane = Lane::new(1, 0);
    lane.set(faults);
    (0..1500).for_each(|sent| lane.enter(0, &mut frame(sent, 100), &mut |_| ()));
    assert_eq!(lane.under_way().count(), 1000);
}

#[test]
fn large_packets_vanish_in_a_black_hole() {
    let mut lane = Lane::new(1, super::ETHERNET);
    lane.set(Faults { black_hole: Some(1400), ..Faults::default() });
    let mut left = Vec::new();
    for length in [1414, 1415] {
        lane.enter(0, &mut vec![0; length], &mut |frame| left.push(frame.len()));
    }
    assert_eq!(left, [1414]);
}

#[test]
fn an_overtaken_frame_leaves_behind_the_next_one_or_alone() {
    let faults = Faults { reorder: Share::ALL, ..Faults::default() };
    let left: Vec<u32> = run(1, &faults, 5).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(left, [1, 0, 3, 2, 4]);
}

#[test]
fn of_a_frame_that_arrives_twice_one_copy_is_overtaken() {
    let faults = Faults { reorder: Share::ALL, duplicate: Share::ALL, ..Faults::default() };
    let left: Vec<u32> = run(1, &faults, 2).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(left, [0, 1, 1, 0]);
}

#[test]
fn one_bit_of_a_corrupt_frame_is_turned_behind_the_header() {
    let mut lane = Lane::new(1, super::ETHERNET);
    lane.set(Faults { corrupt: Share::ALL, ..Faults::default() });
    for _ in 0..100 {
        let mut turned = 0;
        lane.enter(0, &mut [0; 60], &mut |frame| {
            assert!(frame[..super::ETHERNET].iter().all(|byte| *byte == 0));
            turned += frame.iter().map(|byte| byte.count_ones()).sum::<u32>();
        });
        assert_eq!(turned, 1);
    }
}

#[test]
fn shares_are_kept() {
    let faults = Faults { loss: percent(30), duplicate: percent(20), ..Faults::default() };
    let left = run(7, &faults, 20_000);
    let distinct = left.iter().map(|(_, frame)| frame).collect::<BTreeSet<_>>().len();
    assert!((13_700..14_300).contains(&distinct), "{distinct}");
    let copies = left.len() - distinct;
    assert!((2_600..3_000).contains(&copies), "{copies}");
}

#[test]
fn directions_and_links_have_chances_of_their_own() {
    let seeds = [lane_seed(1, "a", 0), lane_seed(1, "a", 1), lane_seed(1, "b", 0), lane_seed(2, "a", 0)];
    assert_eq!(BTreeSet::from(seeds).len(), seeds.len());
    let mut dice = Dice::new(3, 4);
    assert!((0..1000).all(|_| dice.below(7) < 7));
    assert_eq!(dice.below(0), 0);
}

fn faults() -> impl Strategy<Value = Faults> {
    let shares = proptest::array::uniform3(0u32..=100);
    (shares, 0u64..20, 0u64..20).prop_map(|([loss, duplicate, reorder], delay, jitter)| Faults {
        delay: Duration::from_millis(delay),
        jitter: Duration::from_millis(jitter),
        loss: percent(loss),
        duplicate: percent(duplicate),
        reorder: percent(reorder),
        ..Faults::default()
    })
}

proptest! {
    #[test]
    fn the_same_seed_does_the_same(seed: u64, faults in faults()) {
        prop_assert_eq!(run(seed, &faults, 60), run(seed, &faults, 60));
    }

    #[test]
    fn more_faults_do_not_shift_the_losses(seed: u64, faults in faults()) {
        let kept = |faults: &Faults| run(seed, faults, 60).into_iter().map(|(_, frame)| frame).collect::<BTreeSet<_>>();
        prop_assert_eq!(kept(&faults), kept(&Faults { loss: faults.loss, ..Faults::default() }));
    }

    #[test]
    fn without_reordering_nothing_overtakes(seed: u64, faults in faults()) {
        let left = run(seed, &Faults { reorder: Share::NONE, ..faults }, 60);
        prop_assert!(left.is_sorted_by_key(|(_, frame)| *frame));
    }

    #[test]
    fn a_frame_takes_as_long_as_it_is_told(seed: u64, delay in 0u64..50, jitter in 0u64..50) {
        let (delay, jitter) = (delay * 1_000_000, jitter * 1_000_000);
        let faults = Faults {
            delay: Duration::from_nanos(delay),
            jitter: Duration::from_nanos(jitter),
            ..Faults::default()
        };
        // Alone: it waits for no other one.
        for at in 0..20 {
            let left = run(seed.wrapping_add(at), &faults, 1);
            prop_assert_eq!(left.len(), 1);
            let took = left[0].0;
            prop_assert!(took >= delay.saturating_sub(jitter) && took <= delay + jitter);
        }
    }
}
