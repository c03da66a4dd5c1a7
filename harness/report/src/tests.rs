mod events;

use events::{Story, run, story};
use harness_model::event::{Event, Outcome};
use rstest::rstest;

use crate::{
    Format, Report,
    terminal::{Style, Terminal},
};

fn written(mut report: Box<dyn Report>, events: &[Event]) -> String {
    for event in events {
        report.event(event);
    }
    report.finish().expect("a report")
}

fn terminal(style: Style, events: &[Event]) -> String {
    written(Box::new(Terminal::new(style)), events)
}

#[rstest]
#[case::passed("passed", Story::Passed)]
#[case::failed("failed", Story::Failed)]
#[case::control_that_broke_what_it_must("control-broke", Story::ControlBroke)]
#[case::control_that_held("control-held", Story::ControlHeld)]
#[case::skipped("skipped", Story::Skipped)]
#[case::error("error", Story::Error)]
fn one_test_on_a_terminal(#[case] name: &str, #[case] which: Story) {
    insta::assert_snapshot!(format!("terminal-{name}"), terminal(Style::default(), &run(&[which])));
}

#[test]
fn verbose_shows_the_steps_of_what_passed() {
    let style = Style { verbose: true, ..Style::default() };
    insta::assert_snapshot!("terminal-verbose", terminal(style, &run(&[Story::Passed, Story::ControlBroke])));
}

#[test]
fn colours_are_codes_around_the_same_text() {
    let style = Style { colour: true, ..Style::default() };
    let events = run(&Story::ALL);
    let coloured = terminal(style, &events);
    assert!(coloured.contains("\x1b[1;31m"));
    assert_eq!(crate::words::printable(&coloured), terminal(Style::default(), &events));
}

#[rstest]
#[case(Format::Text, "txt")]
#[case(Format::Tap, "tap")]
#[case(Format::Junit, "xml")]
#[case(Format::Json, "json")]
fn all_in_one_run(#[case] format: Format, #[case] extension: &str) {
    insta::assert_snapshot!(format!("run.{extension}"), written(format.report(), &run(&Story::ALL)));
}

#[rstest]
#[case(Format::Text)]
#[case(Format::Tap)]
#[case(Format::Junit)]
#[case(Format::Json)]
fn the_order_in_which_tests_run_does_not_matter(#[case] format: Format) {
    if format == Format::Text {
        return; // It tells the order of events.
    }
    let backwards: Vec<Story> = Story::ALL.into_iter().rev().collect();
    assert_eq!(written(format.report(), &run(&Story::ALL)), written(format.report(), &run(&backwards)));
}

#[test]
fn events_of_parallel_tests_may_be_mixed() {
    let (one, other) = (story(Story::Failed), story(Story::ControlHeld));
    let mut mixed = Vec::new();
    for at in 0..one.len().max(other.len()) {
        mixed.extend(one.get(at).cloned());
        mixed.extend(other.get(at).cloned());
    }
    let in_turn: Vec<Event> = one.into_iter().chain(other).collect();
    assert_eq!(written(Format::Json.report(), &mixed), written(Format::Json.report(), &in_turn));
}

#[test]
fn a_run_that_is_cut_short_is_no_pass() {
    let mut events = run(&[Story::Passed, Story::Failed, Story::Skipped]);
    let cut = events
        .iter()
        .position(|event| matches!(event, Event::LabBuilt { test, .. } if test.scenario.contains("udp")));
    events.truncate(cut.expect("a failed test"));
    let text: Vec<String> = Format::ALL.iter().map(|(format, _)| written(format.report(), &events)).collect();
    insta::assert_snapshot!("cut-short", text[..3].join("\n"));
}

#[test]
fn hostile_texts_stay_text() {
    let test = events::id("a#b", "x<y>&");
    let reason = "\x1b[2Jgone\x07\n</failure>]]>\n  ...\nok 7 - not a test".to_owned();
    let events = [
        Event::RunStarted { tests: 1, machine: events::machine() },
        Event::TestFinished { test, outcome: Outcome::Error { reason }, micros: 1, peak_kib: 0, frames: 0 },
    ];
    let text: Vec<String> = Format::ALL.iter().map(|(format, _)| written(format.report(), &events)).collect();
    insta::assert_snapshot!("hostile", text.join("\n"));
}

#[test]
fn what_a_subject_printed_is_told_with_its_test() {
    let mut events = story(Story::Failed);
    let test = events::id("seeds/udp-reply", "daemon");
    let last = events.pop().expect("an end");
    let Event::TestFinished { test: failed, .. } = &last else { panic!("{last:?}") };
    let printed = |test, output: &str| Event::SubjectPrinted {
        test,
        command: "mhnat run gateway.mhnat.toml".to_owned(),
        output: output.to_owned(),
    };
    events.push(printed(failed.clone(), "ready\n\x1b[31mlink wan0 lost its carrier\n"));
    events.push(printed(test, "of another test\n"));
    events.push(last);
    let text = terminal(Style::default(), &events);
    assert!(!text.contains("of another test"), "{text}");
    let told = text.split("the end of what").nth(1).expect("what was printed");
    assert!(told.starts_with(" mhnat run gateway.mhnat.toml printed\n"), "{told}");
    assert!(told.contains("  ready\n") && told.contains("  link wan0 lost its carrier\n"), "{told}");
}

#[test]
fn nothing_run_is_no_pass() {
    let text = terminal(Style::default(), &run(&[Story::Skipped]));
    assert!(text.contains("NOTHING RAN") && !text.contains("PASSED"), "{text}");
}

#[test]
fn the_committed_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json");
    let current = crate::json::schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &current).expect("writes the schema");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == current, "{path} is out of date (hint: run this test with UPDATE_SCHEMA=1)");
}
