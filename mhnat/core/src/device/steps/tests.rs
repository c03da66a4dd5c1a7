use rstest::rstest;

use super::*;
use crate::device::{LOOP_IN, LOOP_OUT};

fn pair(addresses: &[&str]) -> VethPair {
    VethPair::for_answers(addresses.iter().map(|it| it.parse().unwrap()).collect())
}

fn there(addresses: &[&str]) -> Present {
    Present { pairs: BTreeSet::from([pair(addresses)]), ..Present::default() }
}

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn text(present: &Present, wanted: &[VethPair]) -> Vec<String> {
    let wanted = wanted.iter().cloned().collect();
    let steps = steps(present, &wanted).unwrap();
    let last = |at| if at < steps.first.len() { "" } else { "last: " };
    let lines: Vec<_> = steps.first.iter().chain(&steps.last).map(|it| it.lines(false)).collect();
    lines
        .into_iter()
        .enumerate()
        .flat_map(|(at, lines)| lines.into_iter().map(move |line| (at, line)))
        .map(|(at, line)| match line {
            Line::Add(line) => format!("{}+{line}", last(at)),
            Line::Remove(line) => format!("{}-{line}", last(at)),
        })
        .collect()
}

const MAKE: &str = "+ip link add mhnat-loop-out address 02:6d:68:6e:61:74 arp off type veth peer name mhnat-loop-in \
                    address 02:6d:68:6e:61:74 arp off";

#[rstest]
#[case::new(Present::default(), &["10.255.0.1"], &[MAKE, "+ip address add 10.255.0.1/32 dev mhnat-loop-in scope host"])]
#[case::same(there(&["10.255.0.1"]), &["10.255.0.1"], &[])]
#[case::second_family(
    there(&["10.255.0.1"]), &["10.255.0.1", "fd00:255::1"],
    &["+ip -6 address add fd00:255::1/128 dev mhnat-loop-in nodad preferred_lft 0"]
)]
#[case::another_address(
    there(&["10.255.0.1"]), &["10.255.0.2"],
    &[
        "+ip address add 10.255.0.2/32 dev mhnat-loop-in scope host",
        "last: -ip address del 10.255.0.1/32 dev mhnat-loop-in",
    ]
)]
#[case::stray(
    Present { stray: BTreeSet::from([name(LOOP_OUT)]), ..Present::default() }, &["fd00:255::1"],
    &["-ip link del mhnat-loop-out", MAKE, "+ip -6 address add fd00:255::1/128 dev mhnat-loop-in nodad preferred_lft 0"]
)]
fn ways_to_a_pair(#[case] present: Present, #[case] addresses: &[&str], #[case] lines: &[&str]) {
    assert_eq!(text(&present, &[pair(addresses)]), lines);
}

#[rstest]
#[case::nothing(Present::default(), &[])]
#[case::ours(there(&["10.255.0.1"]), &["last: -ip link del mhnat-loop-out"])]
#[case::stray(Present { stray: BTreeSet::from([name(LOOP_IN)]), ..Present::default() }, &["last: -ip link del mhnat-loop-in"])]
#[case::foreign(Present { foreign: BTreeSet::from([name(LOOP_IN)]), ..Present::default() }, &[])]
fn ways_to_none(#[case] present: Present, #[case] lines: &[&str]) {
    assert_eq!(text(&present, &[]), lines);
}

#[test]
fn a_name_that_is_taken_is_refused_before_anything_is_done() {
    let present = Present {
        stray: BTreeSet::from([name(LOOP_OUT)]),
        foreign: BTreeSet::from([name(LOOP_IN)]),
        ..Present::default()
    };
    let wanted = BTreeSet::from([pair(&["10.255.0.1"])]);
    assert_eq!(steps(&present, &wanted), Err(Taken(name(LOOP_IN))));
    assert_eq!(
        differences(&present, &wanted),
        BTreeSet::from(["there is a device mhnat-loop-in that is not mhnat's".to_owned()])
    );
}

#[test]
fn faults_of_a_pair_that_stays_are_told_and_repaired() {
    let fault = "mhnat-loop-in is down".to_owned();
    let present = Present { faults: BTreeSet::from([fault.clone()]), ..there(&["10.255.0.1"]) };
    let wanted = BTreeSet::from([pair(&["10.255.0.1"])]);
    assert_eq!(differences(&present, &wanted), BTreeSet::from([fault]));
    let steps = steps(&present, &wanted).unwrap();
    assert_eq!(steps.first, [Step::SetUp(pair(&["10.255.0.1"]))]);
    let lines = lines(&steps, &present);
    assert!(lines.contains(&Line::Add("ip link set mhnat-loop-in arp off up".to_owned())), "{lines:?}");
}
