use rstest::rstest;

use super::*;
use crate::config;
use crate::explain::{Endpoint, Tuple};
use crate::health::Moment;
use crate::link::{Link, Links};
use crate::slot::Slots;

const TWO: &str = r#"
pinning = true

[[uplink]]
name = "cable"
interface = "eth0"
address = ["198.51.100.2", "2001:db8:1::2"]
gateway = ["198.51.100.1", "2001:db8:1::1"]
source = "masquerade"
metric = 10
on-return = "rehome"

[[uplink]]
name = "radio"
interface = "eth1"
address = "203.0.113.2"
gateway = "203.0.113.1"
source = "203.0.113.2"
metric = 20
prefixes = ["192.0.2.128/25"]

[[fan-out]]
dummy = "192.0.2.1"
to = "192.0.2.80"
uplink = "cable"
"#;

const CABLE: u32 = 0x100;
const RADIO: u32 = 0x200;

fn model(text: &str) -> Model {
    config::read(text.as_bytes()).unwrap()
}

fn slots(model: &Model) -> Slots {
    Slots::allocate(model.uplinks.iter().map(|uplink| &uplink.name), &Slots::default(), 250)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What the links allow when these interfaces have a carrier.
fn with(model: &Model, carriers: &[&str]) -> Availability {
    let links: Links = model
        .uplinks
        .iter()
        .map(|uplink| {
            let link = Link {
                up: true,
                carrier: carriers.contains(&uplink.interface.as_str()),
                addresses: uplink.legs.values().flat_map(|leg| leg.addresses.iter().copied()).collect(),
                ..Link::default()
            };
            (uplink.interface.clone(), link)
        })
        .collect();
    Availability::observe(model, &links)
}

fn entry(from: &str, to: &str, as_source: &str, mark: u32) -> Entry {
    let end = |address: &str, port| Endpoint { address: ip(address), port: Some(port) };
    Entry {
        original: Tuple { source: end(from, 5000), destination: end(to, 80) },
        reply: Tuple { source: end(to, 80), destination: end(as_source, 5000) },
        mark,
        tcp: false,
        answered: false,
    }
}

fn names(sweep: &Sweep) -> Vec<String> {
    sweep.uplinks().map(|(name, family)| format!("{name} {family}")).collect()
}

#[test]
fn a_lost_uplink_is_left_where_another_can_be_taken() {
    let model = model(TWO);
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    // Nothing else carries IPv6.
    assert_eq!(names(&sweep), ["cable IPv4"]);
    assert_eq!(sweep.only_mark(), Some((CABLE, 0xff00)));
}

#[rstest]
#[case::nothing_is_lost(&["eth0", "eth1"])]
#[case::nothing_is_left(&[])]
fn nobody_leaves(#[case] carriers: &[&str]) {
    let model = model(TWO);
    assert!(
        Sweep::of_loss(&model, &model, &slots(&model), &with(&model, carriers), &Drains::default())
            .is_empty()
    );
}

#[test]
fn who_stays_stays() {
    let model = model(&TWO.replace("on-return = \"rehome\"", "on-loss = \"stay\""));
    assert!(
        Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default())
            .is_empty()
    );
}

#[rstest]
#[case::tcp_is_reset_by_rules(true, CABLE, true, false)]
#[case::what_is_not_tcp_is_forgotten(true, CABLE, false, true)]
#[case::tcp_that_the_rules_do_not_know(true, 0, true, true)]
#[case::tcp_by_its_source(false, 0, true, false)]
fn what_is_reset_is_not_forgotten(
    #[case] pinning: bool,
    #[case] mark: u32,
    #[case] tcp: bool,
    #[case] taken: bool,
) {
    let text = TWO.replace("on-return = \"rehome\"", "on-loss = \"reset\"");
    let model = model(&text.replace("pinning = true", &format!("pinning = {pinning}")));
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    let entry = Entry { tcp, ..entry("10.0.0.7", "192.0.2.9", "198.51.100.2", mark) };
    assert_eq!(sweep.takes(&entry), taken);
}

#[rstest]
#[case::of_the_lost_one("198.51.100.2", "192.0.2.9", true)]
#[case::of_another("203.0.113.2", "192.0.2.9", false)]
#[case::a_fan_out_has_one_way("198.51.100.2", "192.0.2.1", false)]
#[case::to_itself("198.51.100.2", "203.0.113.2", false)]
// Nothing else carries IPv6.
#[case::without_an_alternative("2001:db8:1::2", "2001:db8:9::9", false)]
fn sockets_that_are_closed(#[case] own: &str, #[case] peer: &str, #[case] closed: bool) {
    let model = model(&TWO.replace("on-return = \"rehome\"", "on-loss = \"reset\""));
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    assert!(sweep.closes_any());
    assert_eq!(sweep.closes(ip(own), ip(peer)), closed);
}

#[rstest]
#[case::sent_by_choice("10.0.0.7", "192.0.2.9", "198.51.100.2", CABLE, Some("cable IPv4"))]
#[case::asked_from_outside("192.0.2.9", "198.51.100.2", "192.0.2.9", CABLE, Some("cable IPv4"))]
#[case::by_the_other("10.0.0.7", "192.0.2.9", "203.0.113.2", RADIO, None)]
#[case::without_an_alternative("fd00::7", "2001:db8:9::9", "2001:db8:1::2", CABLE, Some("cable IPv6"))]
fn who_stays_on_a_lost_uplink(
    #[case] from: &str,
    #[case] to: &str,
    #[case] source: &str,
    #[case] mark: u32,
    #[case] expected: Option<&str>,
) {
    let model = model(&TWO.replace("on-return = \"rehome\"", "on-loss = \"stay\""));
    let stranded = Sweep::stranded(&model, &model, &slots(&model), &with(&model, &["eth1"]));
    let place = stranded.leaves(&entry(from, to, source, mark));
    assert_eq!(place.map(|it| names(&stranded)[it].clone()).as_deref(), expected);
}

#[rstest]
#[case::sent_by_choice("10.0.0.7", "192.0.2.9", "198.51.100.2", CABLE, true)]
#[case::with_others_bits("10.0.0.7", "192.0.2.9", "198.51.100.2", CABLE | 0x8_0000, true)]
#[case::by_the_other("10.0.0.7", "192.0.2.9", "203.0.113.2", RADIO, false)]
#[case::asked_from_outside("192.0.2.9", "198.51.100.2", "192.0.2.9", CABLE, false)]
#[case::a_fan_out_has_one_way("10.0.0.7", "192.0.2.1", "198.51.100.2", CABLE, false)]
#[case::among_neighbours("10.0.0.7", "10.0.0.8", "10.0.0.7", 0, false)]
#[case::born_before_pinning("10.0.0.7", "192.0.2.9", "198.51.100.2", 0, true)]
#[case::another_family("fd00::7", "2001:db8:9::9", "2001:db8:1::2", CABLE, false)]
fn what_leaves_a_lost_uplink(
    #[case] from: &str,
    #[case] to: &str,
    #[case] source: &str,
    #[case] mark: u32,
    #[case] leaves: bool,
) {
    let model = model(TWO);
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    assert_eq!(sweep.takes(&entry(from, to, source, mark)), leaves);
}

#[rstest]
#[case::stood_in("10.0.0.7", "192.0.2.9", RADIO, true)]
#[case::its_own_destination("10.0.0.7", "192.0.2.200", RADIO, false)]
#[case::asked_there("192.0.2.9", "203.0.113.2", RADIO, false)]
#[case::already_back("10.0.0.7", "192.0.2.9", CABLE, false)]
#[case::of_this_host_by_its_address("203.0.113.2", "192.0.2.9", RADIO, false)]
fn what_goes_back(#[case] from: &str, #[case] to: &str, #[case] mark: u32, #[case] goes: bool) {
    let model = model(TWO);
    let (before, now) = (with(&model, &["eth1"]), with(&model, &["eth0", "eth1"]));
    let sweep = Sweep::of_return(&model, &slots(&model), &before, &now, &Drains::default());
    assert_eq!(names(&sweep), ["radio IPv4"]);
    assert_eq!(sweep.takes(&entry(from, to, "203.0.113.2", mark)), goes);
}

#[rstest]
#[case::of_an_address_that_nobody_has("10.0.0.7", "203.0.113.9", CABLE, true)]
#[case::of_its_own_address("10.0.0.7", "198.51.100.2", CABLE, false)]
#[case::of_another_uplink("10.0.0.7", "203.0.113.9", RADIO, false)]
#[case::not_translated("203.0.113.9", "203.0.113.9", CABLE, false)]
fn what_is_stale(#[case] from: &str, #[case] source: &str, #[case] mark: u32, #[case] leaves: bool) {
    let model = model(TWO);
    let now = with(&model, &["eth0", "eth1"]);
    let mut sweep = Sweep::of_stale(&model, &slots(&model), &now);
    sweep.hold(&model, &now);
    assert_eq!(sweep.only_mark(), None);
    assert_eq!(sweep.takes(&entry(from, "192.0.2.9", source, mark)), leaves);
    // What was given the address that it has by now is right.
    let renewed = self::model(&TWO.replace("198.51.100.2", "203.0.113.9"));
    sweep.hold(&renewed, &with(&renewed, &["eth0", "eth1"]));
    assert!(!sweep.takes(&entry(from, "192.0.2.9", source, mark)));
}

#[test]
fn an_uplink_that_was_away_for_a_moment_calls_back_as_well() {
    let model = model(TWO);
    let (there, away) = (with(&model, &["eth0", "eth1"]), with(&model, &["eth1"]));
    let mut worst = there.clone();
    worst.worsen(&there);
    assert!(Sweep::of_return(&model, &slots(&model), &worst, &there, &Drains::default()).is_empty());
    worst.worsen(&away);
    worst.worsen(&there);
    let sweep = Sweep::of_return(&model, &slots(&model), &worst, &there, &Drains::default());
    assert_eq!(names(&sweep), ["radio IPv4"]);
}

#[test]
fn an_uplink_whose_routes_were_taken_away_was_away() {
    let model = model(TWO);
    let there = with(&model, &["eth0", "eth1"]);
    let put = crate::desired::desired(&model, &slots(&model), &there).routing();
    let mut present = put.clone();
    assert_eq!(Availability::lacking(&model, &put, &present), Availability::full());
    present.routes.retain(|it| (it.device.as_str(), it.family) != ("eth0", Family::V4));
    let before = Availability::lacking(&model, &put, &present);
    let sweep = Sweep::of_return(&model, &slots(&model), &before, &there, &Drains::default());
    assert_eq!(names(&sweep), ["radio IPv4"]);
    // One that has fewer than are wanted now had no others.
    assert_eq!(Availability::lacking(&model, &present, &put), Availability::full());
}

#[test]
fn an_uplink_that_was_there_calls_nobody_back() {
    let model = model(TWO);
    let both = with(&model, &["eth0", "eth1"]);
    assert!(Sweep::of_return(&model, &slots(&model), &both, &both, &Drains::default()).is_empty());
    // Nor does one that is less preferred than what is used.
    let cable = with(&model, &["eth0"]);
    assert!(Sweep::of_return(&model, &slots(&model), &cable, &both, &Drains::default()).is_empty());
}

#[test]
fn without_marks_the_source_tells() {
    let model = model(&TWO.replace("pinning = true", "pinning = false"));
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    assert_eq!(sweep.only_mark(), None);
    assert!(sweep.takes(&entry("10.0.0.7", "192.0.2.9", "198.51.100.2", 0)));
    assert!(!sweep.takes(&entry("10.0.0.7", "192.0.2.9", "203.0.113.2", 0)));
    // What this host sends itself has its source from its route, and is not translated.
    assert!(!sweep.takes(&entry("198.51.100.2", "192.0.2.9", "198.51.100.2", 0)));
}

#[test]
fn a_new_address_ends_what_has_the_old_one() {
    let before = model(TWO);
    let after = model(&TWO.replace("198.51.100.2", "198.51.100.77"));
    let sweep = Sweep::of_change(&before, &after, &slots(&after), &with(&after, &["eth0", "eth1"]));
    assert_eq!(names(&sweep), ["cable IPv4"]);
    assert!(sweep.takes(&entry("10.0.0.7", "192.0.2.9", "198.51.100.2", CABLE)));
    assert!(!sweep.takes(&entry("10.0.0.7", "192.0.2.9", "198.51.100.77", CABLE)));
    assert!(!sweep.takes(&entry("10.0.0.7", "192.0.2.9", "203.0.113.2", RADIO)));
    assert!(Sweep::of_change(&after, &after, &slots(&after), &with(&after, &["eth0", "eth1"])).is_empty());
}

#[test]
fn probes_are_nobodys_connection() {
    let model = model(&TWO.replace("on-return = \"rehome\"", "probe = { icmp = \"192.0.2.80\" }"));
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    assert!(!sweep.takes(&entry("198.51.100.2", "192.0.2.80", "198.51.100.2", CABLE)));
    assert!(sweep.takes(&entry("10.0.0.7", "192.0.2.80", "198.51.100.2", CABLE)));
}

#[rstest]
#[case::ours("10.0.0.7", "192.0.2.9", "198.51.100.2", true)]
#[case::asked_at_the_other_node("192.0.2.9", "198.51.100.3", "192.0.2.9", false)]
#[case::sent_by_the_other_node("10.0.0.7", "192.0.2.9", "198.51.100.3", false)]
fn what_the_other_node_has_begun_is_its_own(
    #[case] from: &str,
    #[case] to: &str,
    #[case] source: &str,
    #[case] leaves: bool,
) {
    const SYNC: &str = r#"
[sync]
peer = "10.5.6.2"
address = "10.5.6.1"
interface = "eth9"
peer-addresses = "198.51.100.3"
"#;
    let model = model(&format!("{TWO}{SYNC}"));
    let sweep = Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    assert_eq!(sweep.takes(&entry(from, to, source, CABLE)), leaves);
}

#[test]
fn those_that_drain_leave_when_their_time_is_over() {
    let model = model(
        &TWO.replace("on-return = \"rehome\"", "on-loss = \"drain\"\non-return = \"drain\"\ndrain = \"2s\""),
    );
    let (both, radio) = (with(&model, &["eth0", "eth1"]), with(&model, &["eth1"]));
    let mut drains = Drains::default();
    let leaves = |drains: &Drains, before: &Availability, now: &Availability| {
        let slots = slots(&model);
        let lost = Sweep::of_loss(&model, &model, &slots, now, drains);
        let back = Sweep::of_return(&model, &slots, before, now, drains);
        let from = |sweep: Sweep| sweep.uplinks().map(|(name, _)| name.to_string()).next();
        (from(lost), from(back))
    };
    let (cable, its) = (Some("cable".to_owned()), Some("radio".to_owned()));

    assert!(!drains.note(&model, None, &both, Moment(1_000)));
    assert_eq!(drains.deadline(), None);
    // Lost, back before the time is over, and lost again: it begins anew.
    assert!(!drains.note(&model, Some(&both), &radio, Moment(2_000)));
    assert_eq!(drains.deadline(), Some(Moment(4_000)));
    assert!(!drains.note(&model, Some(&radio), &both, Moment(3_000)));
    assert_eq!(drains.deadline(), Some(Moment(5_000)));
    assert_eq!(leaves(&drains, &radio, &both), (None, None));
    assert!(!drains.note(&model, Some(&both), &radio, Moment(4_500)));
    assert_eq!(leaves(&drains, &both, &radio), (None, None));
    assert!(!drains.note(&model, Some(&radio), &radio, Moment(6_499)));
    assert!(drains.note(&model, Some(&radio), &radio, Moment(6_500)));
    assert_eq!(leaves(&drains, &radio, &radio), (cable, None));
    assert_eq!(drains.deadline(), None);
    // What is over is told once, and stays over.
    assert!(!drains.note(&model, Some(&radio), &radio, Moment(9_000)));
    assert!(!drains.note(&model, Some(&radio), &both, Moment(10_000)));
    assert_eq!(leaves(&drains, &radio, &both), (None, None));
    assert!(drains.note(&model, Some(&both), &both, Moment(12_000)));
    assert_eq!(leaves(&drains, &both, &both), (None, its));
    drains.forget_returned();
    assert_eq!(leaves(&drains, &both, &both), (None, None));
}

#[rstest]
#[case::it_is_lost_still(&["eth1"], true)]
#[case::it_is_back(&["eth0", "eth1"], false)]
#[case::nothing_else_is_left(&[], false)]
fn a_second_look_for_what_leaves_a_lost_uplink(#[case] carriers: &[&str], #[case] leaves: bool) {
    let model = model(TWO);
    let mut sweep =
        Sweep::of_loss(&model, &model, &slots(&model), &with(&model, &["eth1"]), &Drains::default());
    sweep.hold(&model, &with(&model, carriers));
    assert_eq!(!sweep.is_empty(), leaves);
}

#[rstest]
#[case::the_better_one_is_there_still(&["eth0", "eth1"], true)]
#[case::the_better_one_is_lost_again(&["eth1"], false)]
fn a_second_look_for_what_stood_in(#[case] carriers: &[&str], #[case] leaves: bool) {
    let model = model(TWO);
    let (before, now) = (with(&model, &["eth1"]), with(&model, &["eth0", "eth1"]));
    let mut sweep = Sweep::of_return(&model, &slots(&model), &before, &now, &Drains::default());
    sweep.hold(&model, &with(&model, carriers));
    assert_eq!(!sweep.is_empty(), leaves);
}

#[test]
fn the_kernel_is_asked_for_all_at_once_where_none_with_these_signs_stays() {
    let model = model(TWO);
    let slots = slots(&model);
    let lost = |model: &Model| {
        let now = with(model, &["eth1"]);
        Sweep::of_loss(model, model, &slots, &now, &Drains::default()).bulks()
    };
    // Of IPv6 there is no other.
    let bulk = Bulk { mark: CABLE, mask: model.mask.bits(), family: Family::V4, redirected: false, place: 0 };
    assert_eq!(lost(&model), [bulk]);
    // Without a fan-out that stays, all that are translated go.
    let free = Model { fan_outs: Vec::new(), ..model.clone() };
    assert_eq!(lost(&free), [Bulk { redirected: true, ..bulk }]);
    let unmarked = Model { pinning: false, ..model.clone() };
    assert_eq!(lost(&unmarked), []);
    // Those that go to the prefixes of the radio stay there.
    let (before, now) = (with(&model, &["eth1"]), with(&model, &["eth0", "eth1"]));
    let back = Sweep::of_return(&model, &slots, &before, &now, &Drains::default());
    assert!(!back.is_empty() && back.bulks().is_empty());
}

#[rstest]
#[case::of_a_host("10.0.0.7", "192.0.2.9", "10.0.0.7", 0, false, true)]
#[case::of_a_host_in_ipv6("fd10::7", "2001:db8:80::80", "fd10::7", 0, false, true)]
#[case::with_other_software_s_mark("10.0.0.7", "192.0.2.9", "10.0.0.7", 0x80000, false, true)]
#[case::answered("10.0.0.7", "192.0.2.9", "10.0.0.7", 0, true, false)]
#[case::translated("10.0.0.7", "192.0.2.9", "198.51.100.2", 0, false, false)]
#[case::by_an_uplink_already("10.0.0.7", "192.0.2.9", "10.0.0.7", CABLE, false, false)]
#[case::of_this_host("198.51.100.2", "192.0.2.9", "198.51.100.2", 0, false, false)]
#[case::to_this_host("192.0.2.9", "198.51.100.2", "192.0.2.9", 0, false, false)]
#[case::on_a_link("10.0.0.7", "224.0.0.251", "10.0.0.7", 0, false, false)]
fn what_began_in_a_gap_begins_anew(
    #[case] from: &str,
    #[case] to: &str,
    #[case] source: &str,
    #[case] mark: u32,
    #[case] answered: bool,
    #[case] leaves: bool,
) {
    let sweep = Sweep::of_gap(&model(TWO));
    assert!(!sweep.is_empty());
    assert_eq!(sweep.takes(&Entry { answered, ..entry(from, to, source, mark) }), leaves);
}

#[test]
fn where_nothing_is_translated_there_is_no_gap() {
    let routed = "[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\naddress = \"198.51.100.2\"\nmetric = 1\n";
    assert!(Sweep::of_gap(&model(routed)).is_empty());
}
