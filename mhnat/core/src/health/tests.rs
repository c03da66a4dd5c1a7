use std::net::IpAddr;
use std::num::NonZeroU8;

use proptest::prelude::*;
use rstest::rstest;

use super::damping::Damper;
use super::detector::{Event, Limits, Lost, Phase};
use super::*;
use crate::config;
use crate::link::{Link, Links};
use crate::model::{Dampening, Uplink};

fn limits(fall: u8, rise: u8) -> Limits {
    Limits { fall: NonZeroU8::new(fall).unwrap(), rise: NonZeroU8::new(rise).unwrap() }
}

const NOW: Moment = Moment(1000);
const SILENT: Lost = Lost { since: Moment(1), missed: 3 };
const NEW: Lost = Lost { since: Moment(1), missed: 0 };

/// With `fall = 3` and `rise = 2`.
#[rstest]
#[case(Phase::Idle, Event::LinkLost, Phase::Idle)]
#[case(Phase::Idle, Event::LinkWell, Phase::Down(Lost { since: NOW, missed: 0 }))]
#[case(Phase::Idle, Event::Answered, Phase::Idle)]
#[case(Phase::Idle, Event::Missed, Phase::Idle)]
#[case(Phase::Down(NEW), Event::LinkLost, Phase::Idle)]
#[case(Phase::Down(NEW), Event::LinkWell, Phase::Down(NEW))]
#[case(Phase::Down(NEW), Event::Answered, Phase::Init { answered: 1, lost: NEW })]
#[case(Phase::Down(NEW), Event::Missed, Phase::Down(Lost { missed: 1, ..NEW }))]
#[case(Phase::Down(SILENT), Event::Missed, Phase::Down(SILENT))]
#[case(Phase::Down(SILENT), Event::Answered, Phase::Init { answered: 1, lost: SILENT })]
#[case(Phase::Init { answered: 1, lost: SILENT }, Event::LinkLost, Phase::Idle)]
#[case(Phase::Init { answered: 1, lost: SILENT }, Event::LinkWell, Phase::Init { answered: 1, lost: SILENT })]
#[case(Phase::Init { answered: 1, lost: SILENT }, Event::Answered, Phase::Up { missed: 0 })]
#[case(Phase::Init { answered: 1, lost: SILENT }, Event::Missed, Phase::Down(SILENT))]
#[case(Phase::Up { missed: 0 }, Event::LinkLost, Phase::Idle)]
#[case(Phase::Up { missed: 1 }, Event::LinkWell, Phase::Up { missed: 1 })]
#[case(Phase::Up { missed: 2 }, Event::Answered, Phase::Up { missed: 0 })]
#[case(Phase::Up { missed: 1 }, Event::Missed, Phase::Up { missed: 2 })]
#[case(Phase::Up { missed: 2 }, Event::Missed, Phase::Down(Lost { since: NOW, missed: 3 }))]
fn what_happens_leads_to_the_next_phase(#[case] from: Phase, #[case] event: Event, #[case] to: Phase) {
    assert_eq!(from.next(event, limits(3, 2), NOW), to);
}

#[test]
fn once_is_enough_where_once_is_asked_for() {
    assert_eq!(Phase::Down(NEW).next(Event::Answered, limits(1, 1), NOW), Phase::Up { missed: 0 });
    assert!(!Phase::Up { missed: 0 }.next(Event::Missed, limits(1, 1), NOW).is_up());
}

const CABLE: &str = r#"
[[uplink]]
name = "cable"
interface = "eth0"
address = "198.51.100.2"
gateway = "198.51.100.1"
metric = 10
"#;

/// One uplink with `more` in its table.
fn model(more: &str) -> Model {
    config::read(format!("{CABLE}{more}").as_bytes()).unwrap_or_else(|error| panic!("{error:?}"))
}

fn links(model: &Model, carriers: &[&str]) -> Availability {
    let link = |uplink: &Uplink| Link {
        up: true,
        carrier: carriers.contains(&uplink.name.as_str()),
        addresses: uplink.legs.values().flat_map(|leg| leg.addresses.iter().copied()).collect(),
        ..Link::default()
    };
    let links: Links = model.uplinks.iter().map(|it| (it.interface.clone(), link(it))).collect();
    Availability::observe(model, &links)
}

/// A monitor, the time, and who answers.
struct Bench {
    model: Model,
    monitor: Monitor,
    now: Moment,
    carriers: Vec<&'static str>,
    silent: Vec<IpAddr>,
    asked: Vec<(Moment, Target)>,
}

impl Bench {
    fn new(more: &str) -> Self {
        Self::with(more, Ailments::default())
    }

    fn with(more: &str, remembered: Ailments) -> Self {
        let model = model(more);
        let mut it = Self {
            model,
            monitor: Monitor::new(remembered),
            now: Moment(500),
            carriers: vec!["cable", "radio"],
            silent: Vec::new(),
            asked: Vec::new(),
        };
        it.look();
        it
    }

    fn look(&mut self) {
        let links = links(&self.model, &self.carriers);
        self.monitor.observe(&self.model, &links, self.now);
    }

    /// Runs for so long, as the loop of a program does: it sleeps until the deadline, and answers come at once.
    fn run(&mut self, milliseconds: u64) {
        let end = Moment(self.now.0 + milliseconds);
        loop {
            for question in self.monitor.due(self.now) {
                self.asked.push((self.now, question.target));
                if !self.silent.contains(&question.target.address()) {
                    self.monitor.answered(question.id, Outcome::Answered, self.now);
                }
            }
            match self.monitor.deadline().filter(|it| *it <= end) {
                Some(deadline) => {
                    assert!(deadline > self.now, "a deadline at {deadline:?} that does not pass");
                    self.now = deadline;
                }
                None => break,
            }
        }
        self.now = end;
    }

    fn why(&self) -> Option<String> {
        let name = "cable".parse().unwrap();
        self.monitor.ailments().get(&name, Family::V4).map(|it| it.why.to_string())
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const ONE: &str = r#"probe = { icmp = "192.0.2.80", timeout = "400ms" }"#;

#[test]
fn questions_come_at_the_interval_and_fall_into_one() {
    let mut bench = Bench::new(r#"probe = { icmp = ["192.0.2.80", "192.0.2.81"], interval = "200ms" }"#);
    bench.run(800);
    let times: Vec<u64> = bench.asked.iter().map(|(at, _)| at.0).collect();
    assert_eq!(times, [500, 500, 600, 600, 800, 800, 1000, 1000, 1200, 1200]);
}

#[test]
fn a_link_is_lost_after_as_many_misses_and_back_after_as_many_answers() {
    let mut bench = Bench::new(ONE);
    bench.run(2000);
    assert_eq!(bench.why(), None);
    bench.silent = vec![ip("192.0.2.80")];
    // Asked at 3000, 4000 and 5000; the last answer is given up at 5400.
    bench.run(2899);
    assert_eq!((bench.now, bench.why()), (Moment(5399), None));
    bench.run(1);
    assert_eq!(bench.why().as_deref(), Some("probe 192.0.2.80 unanswered 3 times"));
    bench.silent.clear();
    bench.run(1599);
    assert_eq!((bench.now, bench.why().is_some()), (Moment(6999), true), "one answer is not enough");
    bench.run(1);
    assert_eq!(bench.why(), None);
}

#[test]
fn an_answer_that_comes_too_late_is_none() {
    let mut bench = Bench::new(ONE);
    let question = bench.monitor.due(bench.now).remove(0);
    assert!(bench.monitor.awaits(question.id));
    bench.monitor.due(Moment(900));
    assert!(!bench.monitor.awaits(question.id));
    bench.monitor.answered(question.id, Outcome::Answered, Moment(901));
    assert_eq!(bench.monitor.legs.values().next().map(|it| it.ailment()), Some(None));
}

#[test]
fn what_was_not_asked_says_nothing() {
    let mut bench = Bench::new(r#"probe = { icmp = "192.0.2.80", fall = 1 }"#);
    let question = bench.monitor.due(bench.now).remove(0);
    bench.monitor.answered(question.id, Outcome::Unasked, bench.now);
    assert_eq!(bench.why(), None);
    assert_eq!(bench.monitor.deadline(), Some(Moment(1000)), "it is asked again in its time");
    let question = bench.monitor.due(Moment(1000)).remove(0);
    bench.monitor.answered(question.id, Outcome::Missed, Moment(1001));
    assert!(bench.why().is_some(), "what is refused at once is not waited for");
}

#[rstest]
#[case::one_of_two_is_enough("any", &["192.0.2.80"], None)]
#[case::two_of_two_are_lost("any", &["192.0.2.80", "192.0.2.81"], Some(", and so is the other one"))]
#[case::all_are_needed("all", &["192.0.2.81"], Some("probe 192.0.2.81 unanswered 3 times"))]
#[case::all_are_there("all", &[], None)]
fn any_or_all(#[case] need: &str, #[case] silent: &[&str], #[case] expected: Option<&str>) {
    let mut bench =
        Bench::new(&format!(r#"probe = {{ icmp = ["192.0.2.80", "192.0.2.81"], need = "{need}" }}"#));
    bench.silent = silent.iter().map(|it| ip(it)).collect();
    bench.run(10_000);
    let why = bench.why();
    assert_eq!(why.is_some(), expected.is_some());
    assert!(why.unwrap_or_default().contains(expected.unwrap_or_default()));
}

#[test]
fn a_link_that_is_back_has_to_prove_itself() {
    let mut bench = Bench::new(ONE);
    bench.run(2000);
    bench.carriers.clear();
    bench.look();
    assert_eq!(bench.why(), None, "that the link is lost is known without us");
    let before = bench.asked.len();
    bench.run(5000);
    assert_eq!(bench.asked.len(), before, "nothing is asked meanwhile");
    bench.carriers.push("cable");
    bench.look();
    let why = "the link is back, and probe 192.0.2.80 not yet answered twice in a row";
    assert_eq!(bench.why().as_deref(), Some(why));
    bench.run(500);
    assert_eq!(bench.why(), None);
    assert_eq!(bench.asked.len(), before + 2, "the first at once");
}

#[test]
fn a_new_monitor_takes_up_where_another_ended() {
    let mut first = Bench::new(ONE);
    first.silent = vec![ip("192.0.2.80")];
    first.run(5000);
    let ailments = first.monitor.ailments();
    let mut second = Bench::with(ONE, ailments.clone());
    assert_eq!(second.monitor.ailments(), ailments);
    second.run(500);
    assert_eq!(second.monitor.ailments(), Ailments::default());
    let other = Bench::with("", ailments);
    assert_eq!(other.monitor.ailments(), Ailments::default(), "nobody asks any more");
    assert_eq!(other.monitor.deadline(), None);
}

#[test]
fn a_file_that_is_read_again_keeps_what_is_known_of_targets_that_stay() {
    let mut bench = Bench::new(ONE);
    bench.silent = vec![ip("192.0.2.80")];
    bench.run(5000);
    bench.model = model(r#"probe = { icmp = ["192.0.2.80"], interval = "2s", fall = 5 }"#);
    bench.look();
    assert!(bench.why().is_some());
    bench.model = model(r#"probe = { icmp = ["192.0.2.80", "192.0.2.81"] }"#);
    bench.look();
    assert_eq!(bench.why(), None, "another is enough");
}

const DAMPENED: &str = r#"
probe = { icmp = "192.0.2.80", interval = "100ms", fall = 1, rise = 1 }
dampening = { half-life = "10s" }
"#;

#[test]
fn what_is_lost_too_often_rests_until_it_was_quiet_for_long() {
    let mut bench = Bench::new(DAMPENED);
    for _ in 0..3 {
        bench.silent = vec![ip("192.0.2.80")];
        bench.run(200);
        bench.silent.clear();
        bench.run(200);
    }
    assert_eq!(bench.why().as_deref(), Some("it was lost too often, and rests for a while"));
    // Somewhat less than 3000 points become 750 in two half-lives.
    bench.run(18_000);
    assert!(bench.why().is_some());
    bench.run(2000);
    assert_eq!(bench.why(), None);
}

#[test]
fn a_link_that_is_lost_once_is_used_as_soon_as_it_is_back() {
    let mut bench = Bench::new(r#"dampening = {}"#);
    assert_eq!(bench.monitor.deadline(), None, "nothing to wake up for");
    for _ in 0..2 {
        bench.carriers.clear();
        bench.look();
        bench.carriers.push("cable");
        bench.look();
    }
    assert_eq!(bench.why().as_deref(), Some("it was lost too often, and rests for a while"));
    let mut calm = Bench::new(r#"dampening = {}"#);
    calm.carriers.clear();
    calm.look();
    calm.carriers.push("cable");
    calm.look();
    assert_eq!(calm.why(), None);
}

#[test]
fn a_link_that_is_not_there_at_the_start_was_not_lost() {
    let mut bench = Bench { carriers: Vec::new(), ..Bench::new("") };
    bench.model = model("dampening = { suppress = 1000 }");
    bench.look();
    bench.carriers.push("cable");
    bench.look();
    assert_eq!(bench.why(), None);
}

mod last_resort {
    use super::*;

    const TWO: &str = r#"
[[uplink]]
name = "cable"
interface = "eth0"
address = ["198.51.100.2", "2001:db8:1::2"]
metric = 10

[[uplink]]
name = "radio"
interface = "eth1"
address = "203.0.113.2"
metric = 20

[[uplink]]
name = "vpn"
interface = "tun0"
address = "10.9.0.2"
"#;

    fn ailing(all: &[(&str, u64)]) -> Ailments {
        let why = Unusable::Unanswered { target: Target::Icmp(ip("192.0.2.80")), times: 3, others: 0 };
        let ailment = |well| Ailment { why, well: Moment(well) };
        all.iter().map(|(name, well)| (name.parse().unwrap(), Family::V4, ailment(*well))).collect()
    }

    /// What is used in IPv4, of those with a link.
    fn used(links_of: &[&str], ill: &[(&str, u64)]) -> Vec<String> {
        let model = config::read(TWO.as_bytes()).unwrap();
        let availability = links(&model, links_of).heed(&model, &ailing(ill));
        let usable = model.uplinks.iter().filter(|it| availability.usable(it, Family::V4));
        for uplink in &model.uplinks {
            let despite = availability.despite(&uplink.name, Family::V4).is_some();
            assert!(!despite || availability.usable(uplink, Family::V4));
            assert!(
                availability.link_is_well(uplink, Family::V4) == links_of.contains(&uplink.name.as_str())
            );
        }
        usable.map(|it| it.name.to_string()).collect()
    }

    #[rstest]
    #[case::all_well(&["cable", "radio", "vpn"], &[], &["cable", "radio", "vpn"])]
    #[case::another_is_well(&["cable", "radio"], &[("cable", 5)], &["radio"])]
    #[case::the_last_one_stays(&["cable", "radio"], &[("cable", 5), ("radio", 6)], &["radio"])]
    #[case::whichever_it_is(&["cable", "radio"], &[("cable", 6), ("radio", 5)], &["cable"])]
    #[case::lost_together(&["cable", "radio"], &[("cable", 5), ("radio", 5)], &["cable"])]
    #[case::the_other_has_no_link(&["cable"], &[("cable", 5)], &["cable"])]
    #[case::the_last_has_no_link(&["cable"], &[("cable", 5), ("radio", 6)], &["cable"])]
    #[case::no_link_at_all(&[], &[("cable", 5)], &[])]
    #[case::without_a_metric_it_is_no_way_for_others(&["vpn"], &[("vpn", 5)], &[])]
    fn the_default_route_is_not_given_up(
        #[case] links_of: &[&str],
        #[case] ill: &[(&str, u64)],
        #[case] expected: &[&str],
    ) {
        assert_eq!(used(links_of, ill), expected);
    }

    #[test]
    fn families_have_nothing_to_do_with_each_other() {
        let model = config::read(TWO.as_bytes()).unwrap();
        let availability = links(&model, &["cable", "radio"]).heed(&model, &ailing(&[("cable", 5)]));
        assert!(!availability.usable(&model.uplinks[0], Family::V4));
        assert!(availability.usable(&model.uplinks[0], Family::V6));
    }
}

proptest! {
    /// Against counting by hand, for one target.
    #[test]
    fn nothing_changes_before_as_many_in_a_row(
        results in prop::collection::vec(any::<bool>(), 0..80),
        fall in 1_u8..5,
        rise in 1_u8..5,
    ) {
        let limits = limits(fall, rise);
        let mut phase = Phase::Up { missed: 0 };
        let (mut up, mut row, mut last) = (true, 0, true);
        for (at, well) in (0..).zip(results) {
            row = if well == last { row + 1 } else { 1 };
            last = well;
            if up != well && row >= if up { fall } else { rise } {
                up = well;
            }
            let event = if well { Event::Answered } else { Event::Missed };
            phase = phase.next(event, limits, Moment(at));
            prop_assert_eq!(phase.is_up(), up);
        }
    }

    #[test]
    fn any_is_one_and_all_is_each(silent in prop::collection::vec(any::<bool>(), 1..4), all in any::<bool>()) {
        let target = |index: usize| format!("192.0.2.{}", 80 + index);
        let list: Vec<String> = (0..silent.len()).map(|it| format!("\"{}\"", target(it))).collect();
        let need = if all { "all" } else { "any" };
        let mut bench = Bench::new(&format!("probe = {{ icmp = [{}], need = \"{need}\" }}", list.join(", ")));
        bench.silent =
            silent.iter().enumerate().filter(|(_, it)| **it).map(|(index, _)| ip(&target(index))).collect();
        bench.run(5000);
        let well = if all { silent.iter().all(|it| !it) } else { silent.iter().any(|it| !it) };
        prop_assert_eq!(bench.why().is_none(), well);
    }

    #[test]
    fn deadlines_never_go_back_and_questions_keep_their_distance(
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u64..2500), 1..40),
    ) {
        let mut bench = Bench::new(
            r#"
probe = { icmp = "192.0.2.80", interval = "500ms", timeout = "300ms" }
dampening = { half-life = "1s" }
"#,
        );
        for (carrier, silent, time) in steps {
            bench.carriers = if carrier { vec!["cable"] } else { Vec::new() };
            bench.silent = if silent { vec![ip("192.0.2.80")] } else { Vec::new() };
            bench.look();
            // Asserts that each deadline lies ahead.
            bench.run(time);
            let deadline = bench.monitor.deadline();
            prop_assert!(deadline.is_none_or(|it| it >= bench.now));
            prop_assert!(!carrier || deadline.is_some());
        }
    }

    #[test]
    fn penalties_decay_and_every_rest_ends(
        losses in prop::collection::vec(0_u64..5000, 1..60),
        half_life in 10_u32..10_000,
        reuse in 1_u32..1000,
        above in 1_u32..5000,
        half_lives in 1_u32..8,
    ) {
        let longest = half_life * half_lives;
        let settings = Dampening {
            penalty: 1000,
            half_life: Milliseconds(half_life),
            suppress: reuse + above,
            reuse,
            longest: Milliseconds(longest),
        };
        let mut now = Moment(0);
        let mut damper = Damper::new(settings, now);
        for wait in losses {
            now = Moment(now.0 + wait);
            let before = damper.suppressed();
            damper.pass(now);
            prop_assert!(before || !damper.suppressed(), "time alone suppresses nothing");
            damper.loss(now);
            let Some(end) = damper.reuse() else { continue };
            prop_assert!(end > now && end.0 <= now.0 + u64::from(longest) + 1, "{:?} after {:?}", end, now);
            let mut rested = damper;
            rested.pass(Moment(end.0 - 2));
            prop_assert!(rested.suppressed() || end.0 - 2 <= now.0);
            rested.pass(Moment(end.0 + 1));
            prop_assert!(!rested.suppressed());
            prop_assert_eq!(rested.reuse(), None);
        }
    }
}
