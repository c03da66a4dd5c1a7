use rstest::rstest;

use super::metrics::Counted;
use super::*;
use crate::config;

const TWO: &str = r#"
[[uplink]]
name = "line"
interface = "ppp0"
address = ["198.51.100.2", "2001:db8:1::2"]
source = "masquerade"
metric = 10

[[uplink]]
name = "mobile"
interface = "wwan0"
address = "203.0.113.2"
source = "masquerade"
metric = 20
"#;

fn model(text: &str) -> Model {
    config::read(text.as_bytes()).unwrap()
}

fn key(name: &str, family: Family) -> Key {
    (name.parse().unwrap(), family)
}

fn watched() -> Chronicle {
    let model = model(TWO);
    let mut chronicle = Chronicle::new(Stamp(1_700_000_000_000));
    for (uplink, family, _) in model.legs() {
        chronicle.transition(&model, &(uplink.name.clone(), family), None, Stamp(1_700_000_000_001));
    }
    chronicle.in_force(Duration::from_micros(7250));
    let line = key("line", Family::V4);
    chronicle.transition(&model, &line, Some(Unusable::NoCarrier), Stamp(1_700_000_060_000));
    chronicle.in_force(Duration::from_micros(1420));
    chronicle.rehomed(&line, 12);
    for answer in [Some(3), Some(5), None] {
        chronicle.probed(&line);
        chronicle.probe_ended(&line, answer.map(Duration::from_millis));
    }
    chronicle.looked();
    chronicle.reasserted();
    chronicle.closed(2);
    chronicle
}

#[test]
fn everything_that_is_counted() {
    let counted = Counted {
        stranded: BTreeMap::from([(key("line", Family::V4), 3)]),
        leaked: BTreeMap::from([(("wwan0".parse().unwrap(), Family::V4), 7)]),
    };
    insta::assert_snapshot!(watched().metrics(&counted));
}

/// What <https://prometheus.io/docs/instrumenting/exposition_formats/> asks for, read as a scraper would.
#[test]
fn every_sample_belongs_to_a_metric_with_help_and_type() {
    let text = watched().metrics(&Counted::default());
    assert!(text.ends_with('\n'));
    let mut current = String::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split(' ').next().unwrap().to_owned();
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {current} ")).unwrap().to_owned();
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind.as_str()), "{kind}");
            assert_eq!(kind == "counter", current.ends_with("_total"), "{current}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(sample.starts_with(&current), "{line} in {current}");
        assert!(seen.insert(sample.to_owned()), "{line} is there twice");
    }
}

#[test]
fn what_happened_is_told_with_its_cause_and_what_it_took() {
    let history = watched().history();
    assert_eq!(history.started, "2023-11-14T22:13:20.000Z");
    assert_eq!((history.turns, history.reasserted, history.closed), (2, 1, 2));
    let leg = &history.uplinks[&"line".parse::<UplinkName>().unwrap()][&Family::V4];
    assert_eq!(leg.since, "2023-11-14T22:14:20.000Z");
    assert_eq!((leg.rehomed, leg.probes_sent, leg.probes_lost), (12, 3, 1));
    let told: Vec<_> = leg.transitions.iter().map(|it| (it.usable, it.cause, it.milliseconds)).collect();
    assert_eq!(told, [(true, Cause::Started, Some(7.25)), (false, Cause::NoCarrier, Some(1.42))]);
    assert_eq!(leg.transitions[1].why.as_deref(), Some("the interface has no carrier"));
    // It comes back from the daemon as it was.
    let text = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
}

#[test]
fn the_place_that_it_takes_is_bounded() {
    let (model, line) = (model(TWO), key("line", Family::V4));
    let mut chronicle = Chronicle::new(Stamp(0));
    for time in 0..100 {
        let why = (time % 2 == 1).then_some(Unusable::NoCarrier);
        chronicle.transition(&model, &line, why, Stamp(time));
        chronicle.in_force(Duration::from_millis(time));
    }
    let history = chronicle.history();
    let leg = &history.uplinks[&line.0][&Family::V4];
    assert_eq!(leg.transitions.len(), REMEMBERED);
    assert_eq!(leg.transitions[0].time, Stamp(84).to_string());
    assert!(chronicle.metrics(&Counted::default()).contains("cause=\"returned\"} 49\n"));
    assert!(chronicle.any_lost());
}

#[test]
fn what_could_not_be_put_in_force_at_once_is_told_when_it_was() {
    let (model, line) = (model(TWO), key("line", Family::V4));
    let mut chronicle = Chronicle::new(Stamp(0));
    chronicle.transition(&model, &line, None, Stamp(1));
    chronicle.failed();
    let took = |it: &Chronicle| it.history().uplinks[&line.0][&Family::V4].transitions[0].milliseconds;
    assert_eq!(took(&chronicle), None);
    chronicle.in_force(Duration::from_millis(3));
    assert_eq!(took(&chronicle), Some(3.0));
}

#[rstest]
#[case::the_same(TWO, 3)]
#[case::another_device(&TWO.replace("ppp0", "ppp7"), 1)]
#[case::without_ipv6(&TWO.replace("[\"198.51.100.2\", \"2001:db8:1::2\"]", "\"198.51.100.2\""), 2)]
fn what_is_not_in_the_file_any_more_is_forgotten(#[case] text: &str, #[case] kept: usize) {
    let mut chronicle = watched();
    chronicle.keep(&model(text));
    let legs: usize = chronicle.history().uplinks.values().map(BTreeMap::len).sum();
    assert_eq!(legs, kept);
}
