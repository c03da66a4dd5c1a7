use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use rstest::rstest;

use super::{Ledger, MOST_PACKETS, Measures, Recovery, of_token, token_id};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stream with a packet every ten milliseconds, told by a letter each: `.` answered, `x` never arrived, `r` arrived, its
/// answer lost; `|` is a link change, a millisecond before the next packet.
fn stream(story: &str) -> Ledger {
    let mut ledger = Ledger::default();
    let mut at = 0;
    for letter in story.chars() {
        if letter == '|' {
            ledger.link_changes(at - 1_000);
            continue;
        }
        let number = ledger.sends(at).unwrap();
        at += 10_000;
        if letter != 'x' {
            ledger.arrived(number);
        }
        if letter == '.' {
            ledger.answered(number);
        }
    }
    ledger
}

fn measures(story: &str) -> Measures {
    let packets = story.chars().filter(|letter| *letter != '|').count() as u64;
    stream(story).measures(packets * 10_000)
}

#[rstest]
#[case::nothing_at_all("", 0, 0, ms(0))]
#[case::all_answered(".....", 0, 0, ms(0))]
#[case::one_lost("..x..", 1, 0, ms(20))]
#[case::an_answer_lost("..r..", 0, 1, ms(20))]
#[case::the_longer_one("..x..xr..x.", 3, 1, ms(30))]
#[case::from_the_beginning("xx..", 2, 0, ms(20))]
#[case::to_the_end("..xxx", 3, 0, ms(40))]
#[case::never_answered("xxx", 3, 0, ms(30))]
fn losses_and_outage(
    #[case] story: &str,
    #[case] lost: u64,
    #[case] reply_lost: u64,
    #[case] outage: Duration,
) {
    let measures = measures(story);
    assert_eq!((measures.lost, measures.reply_lost, measures.outage), (lost, reply_lost, outage));
    assert_eq!(measures.sent, measures.answered + lost + reply_lost);
    assert_eq!(measures.recovery, None);
}

#[rstest]
#[case::unharmed("..|...", Recovery::Unharmed)]
#[case::harmed_before_only("xx.|..", Recovery::Unharmed)]
#[case::at_once("..|x..", Recovery::After(ms(11)))]
#[case::a_loss_that_comes_later("..|..xx.", Recovery::After(ms(41)))]
#[case::an_answer_that_is_lost("..|r.", Recovery::After(ms(11)))]
#[case::the_last_change_counts("..|xx|x.", Recovery::After(ms(11)))]
#[case::never("..|.xx", Recovery::NotWithin(ms(31)))]
#[case::nothing_was_sent_after("..|", Recovery::Unharmed)]
fn recovery(#[case] story: &str, #[case] expected: Recovery) {
    assert_eq!(measures(story).recovery, Some(expected));
}

#[test]
fn copies_and_order_are_told_from_losses() {
    let mut ledger = Ledger::default();
    for at in 0..5 {
        ledger.sends(at);
    }
    for number in [0, 2, 1, 1, 4, 3, 99] {
        ledger.arrived(number);
    }
    for number in [0, 1, 2, 2, 4, 3] {
        ledger.answered(number);
    }
    let measures = ledger.measures(5);
    // 1 twice there, 2 twice back; 1 late there, 3 late there and back.
    assert_eq!((measures.lost, measures.duplicated, measures.reordered), (0, 2, 2));
}

#[test]
fn the_way_of_the_last_answered_packet_tells_unless_a_link_has_changed_since() {
    assert_eq!(stream("").telling(), None);
    assert_eq!(stream("...").telling(), Some(2));
    assert_eq!(stream("..xx").telling(), Some(1));
    assert_eq!(stream("..|xx").telling(), Some(3));
    assert_eq!(stream("..|xx.x").telling(), Some(4));
}

#[test]
fn numbers_come_to_an_end() {
    let mut ledger =
        Ledger { sent: vec![0; MOST_PACKETS - 1], fates: vec![0; MOST_PACKETS - 1], ..Ledger::default() };
    assert_eq!(ledger.sends(0), Some(MOST_PACKETS as u32 - 1));
    assert_eq!(ledger.sends(0), None);
}

proptest! {
    #[test]
    fn a_token_tells_stream_and_packet(stream in 1..=u8::MAX, packet in 0..MOST_PACKETS as u32) {
        prop_assert_eq!(of_token(token_id(stream, packet)), Some((stream, packet)));
        prop_assert_eq!(of_token(packet), None);
    }

    /// Against a model that knows all intervals between answered packets.
    #[test]
    fn no_time_without_an_answered_packet_is_longer_than_the_outage(answered in prop::collection::vec(any::<bool>(), 0..60)) {
        let story: String = answered.iter().map(|answered| if *answered { '.' } else { 'x' }).collect();
        let end = answered.len();
        let good: BTreeSet<usize> = (0..end).filter(|at| answered[*at]).collect();
        let mut edges: Vec<usize> = good.iter().copied().collect();
        edges.insert(0, 0);
        edges.push(end);
        let gaps = edges.windows(2).map(|pair| (pair[0], pair[1]));
        let lossy = gaps.filter(|(from, to)| (*from..*to).any(|at| !answered[at]));
        let longest = lossy.map(|(from, to)| to - from).max().unwrap_or(0);
        prop_assert_eq!(measures(&story).outage, ms(longest as u64 * 10));
    }
}
