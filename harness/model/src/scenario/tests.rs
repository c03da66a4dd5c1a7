use std::{fs, path::Path, sync::OnceLock, time::Duration};

use proptest::prelude::*;
use rstest::rstest;

use super::{
    Action, Content, Findings, Limit, PartKind, Place, Requirement, Scenario, parse,
    spanned::{At, NumberOrText},
    words,
};
use crate::{
    diagnostic::render,
    packet::flags::{ACK, SYN},
    plan,
};

const LEAST: &str = r#"
title = "The least"
node.a.interface.eth0 = ["10.0.0.1/24", "fd00::1/64"]
node.b.interface.eth0 = ["10.0.0.2/24", "fd00::2/64"]
link = [{ ends = ["a:eth0", "b:eth0"] }]
subject = { on = "a", variant.good = {}, variant.bad = { nft = "flush ruleset\n", ip6tables = "six", breaks = ["ask"] } }
"#;

fn with(steps: &str) -> Scenario {
    let text = format!("{LEAST}{steps}");
    parse(&text).unwrap_or_else(|findings| panic!("{}", render("scenario", &text, &findings, false)))
}

#[test]
fn an_exchange_is_expected_to_be_answered_unless_the_file_asks_for_something_else() {
    let scenario = with(
        r#"
step = [
  { name = "ask", request = { from = "a", to = "b:7" } },
  { name = "way", request = { from = "a", to = "b:7" }, expect = { by = "a-b" } },
  { name = "error", request = { from = "a", to = "b:7" }, expect = { error = "refused" } },
  { name = "count", request = { from = "a", to = "b:7" }, expect = { seen = [{ on = "a-b", own = true, at-most = 3 }] } },
  { name = "run", run = { on = "a", command = "true" } },
  { name = "stop", subject = "stop" },
]"#,
    );
    let answered: Vec<_> = scenario.steps.iter().map(|step| step.expect.answered).collect();
    assert_eq!(answered, [Some(true), None, None, Some(true), None, None]);
    let exits: Vec<_> = scenario.steps.iter().map(|step| step.expect.exit).collect();
    assert_eq!(exits, [None, None, None, None, Some(0), None]);
    let counted = &scenario.steps[3].expect.packets[0];
    assert_eq!((counted.at_least, counted.at_most), (0, Some(3)));
    assert!(matches!(counted.pattern.place, Place::Link(_)));
}

#[test]
fn a_control_waits_for_what_does_not_come() {
    let scenario = with(
        r#"
step = [
  { name = "ask", request = { from = "a", to = "b:7" }, within = "2s" },
  { name = "more", request = { from = "a", to = "b:7" }, within = "4s" },
]"#,
    );
    let patience: Vec<_> = scenario.variants.iter().map(|variant| scenario.patience(variant)).collect();
    assert_eq!(patience, [Duration::ZERO, Duration::from_secs(2)]);
}

#[rstest]
#[case::ipv4_first("to = \"b:7\"", "10.0.0.2")]
#[case::family("to = \"b:7\", family = \"ipv6\"", "fd00::2")]
#[case::address("to = \"[fd00::2]:7\"", "fd00::2")]
#[case::echo("to = \"fd00::2\", protocol = \"icmp\"", "fd00::2")]
fn asks(#[case] to: &str, #[case] expected: &str) {
    let scenario = with(&format!("step = [{{ name = \"ask\", request = {{ from = \"a\", {to} }} }}]"));
    let Action::Request(exchange) = &scenario.steps[0].action else { panic!("no request") };
    assert_eq!(exchange.to.to_string(), expected);
    assert_eq!(exchange.port, if to.contains("icmp") { 0 } else { 7 });
}

#[test]
fn a_control_names_what_it_breaks_and_needs_what_its_parts_need() {
    let scenario = with("step = [{ name = \"ask\", request = { from = \"a\", to = \"b:7\" } }]");
    let [good, bad] = scenario.variants.as_slice() else { panic!("two variants") };
    assert!(good.breaks.is_empty() && good.parts.is_empty());
    assert!(bad.breaks.contains("ask"));
    assert_eq!(
        bad.parts.iter().map(|part| part.kind).collect::<Vec<_>>(),
        [PartKind::Nft, PartKind::Ip6tables]
    );
    assert_eq!(bad.parts[0].content, Content::Text("flush ruleset\n".to_owned()));
    assert_eq!(scenario.files().map(|file| file.value.as_str()).collect::<Vec<_>>(), ["six"]);
    let needs: Vec<Requirement> = scenario.requirements(bad).into_iter().collect();
    assert_eq!(needs, [Requirement::Nft, Requirement::Iptables]);
    assert!(scenario.ipv6);
}

/// The value of a word, or None if it was reported.
fn word<T>(text: &str, read: impl Fn(&At<String>, &mut Findings) -> Option<T>) -> Option<T> {
    let mut findings = Findings::new();
    let found = read(&At { value: text.to_owned(), span: 0..text.len() }, &mut findings);
    assert_eq!(found.is_none(), !findings.is_empty(), "{text}");
    found
}

#[rstest]
#[case("200ms", Some(200))]
#[case("3s", Some(3_000))]
#[case("3 s", Some(3_000))]
#[case("10min", Some(600_000))]
#[case("11min", None)]
#[case("3", None)]
#[case("-3s", None)]
#[case("99999999999999999999s", None)]
fn durations(#[case] text: &str, #[case] expected: Option<u64>) {
    assert_eq!(word(text, words::duration), expected.map(Duration::from_millis));
}

#[rstest]
#[case("<= 50ms", Some(Limit::AtMost(50)))]
#[case(">=3s", Some(Limit::AtLeast(3_000)))]
#[case("50ms", None)]
#[case("< 50ms", None)]
#[case("<= 50", None)]
fn time_limits(#[case] text: &str, #[case] expected: Option<Limit<u64>>) {
    let found = word(text, words::time_limit).map(|limit| match limit {
        Limit::Exactly(_) => panic!("no time is exact"),
        Limit::AtMost(most) => Limit::AtMost(most.as_millis() as u64),
        Limit::AtLeast(least) => Limit::AtLeast(least.as_millis() as u64),
    });
    assert_eq!(found, expected);
}

#[rstest]
#[case("3", Some(Limit::Exactly(3)))]
#[case("<= 3", Some(Limit::AtMost(3)))]
#[case(">=0", Some(Limit::AtLeast(0)))]
#[case("< 3", None)]
#[case("<= -3", None)]
#[case("= 3", None)]
#[case("", None)]
fn counts(#[case] text: &str, #[case] expected: Option<Limit<u64>>) {
    let count = |text: &At<String>, findings: &mut Findings| {
        words::count(&text.with(NumberOrText::Text(text.value.clone())), findings)
    };
    assert_eq!(word(text, count), expected);
}

#[rstest]
#[case("syn", Some(SYN))]
#[case("syn + ack", Some(SYN | ACK))]
#[case("syn,ack", None)]
#[case("", None)]
#[case("s\u{e4}n", None)]
fn tcp_flags(#[case] text: &str, #[case] expected: Option<u8>) {
    assert_eq!(word(text, words::tcp_flags), expected);
}

#[rstest]
#[case("7", Some((7, u32::MAX)))]
#[case("0x100/0xff00", Some((0x100, 0xff00)))]
#[case("0x1/0xff00", None)]
#[case("0xg", None)]
#[case("0x100000000", None)]
fn marks(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
    assert_eq!(word(text, words::mark), expected);
}

#[rstest]
#[case("192.0.2.1", Some(("192.0.2.1", None)))]
#[case("192.0.2.1:53", Some(("192.0.2.1", Some(53))))]
#[case("[2001:db8::1]:53", Some(("2001:db8::1", Some(53))))]
#[case("2001:db8::1", Some(("2001:db8::1", None)))]
#[case("192.0.2.1:", None)]
#[case("192.0.2.1:65536", None)]
fn endpoints(#[case] text: &str, #[case] expected: Option<(&str, Option<u16>)>) {
    let found = word(text, words::endpoint).map(|found| (found.address.to_string(), found.port));
    assert_eq!(found, expected.map(|(address, port)| (address.to_owned(), port)));
}

/// Every scenario of the repository, valid and broken.
fn corpus() -> &'static [String] {
    fn collect(folder: &Path, texts: &mut Vec<String>) {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                collect(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    static CORPUS: OnceLock<Vec<String>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = vec![format!("{LEAST}step = []")];
        collect(&here.join("../../scenarios"), &mut texts);
        collect(&here.join("tests/broken"), &mut texts);
        texts
    })
}

/// Reads a text as far as it goes: to findings, which can be told, or to a plan.
fn exhaust(text: &str) {
    match parse(text) {
        Ok(scenario) => {
            plan::build(&scenario.topology, scenario.ipv6);
        }
        Err(findings) => {
            assert!(!findings.is_empty());
            render("scenario", text, &findings, false);
        }
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Byte(u8),
    DeleteLine,
    RepeatLine,
    Replace(&'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u8>().prop_map(Mutation::Byte),
        Just(Mutation::DeleteLine),
        Just(Mutation::RepeatLine),
        prop::sample::select(vec![
            "\"",
            "[",
            "{}",
            "[]",
            "\"\"",
            "0",
            "-1",
            "::/0",
            "0.0.0.0/0",
            "\u{e4}",
            ":",
            "internet",
            "/32"
        ])
        .prop_map(Mutation::Replace),
    ]
}

fn mutate(text: &str, at: usize, mutation: &Mutation) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let line = at % lines.len().max(1);
    match mutation {
        Mutation::Byte(byte) => {
            let mut bytes = text.as_bytes().to_vec();
            if let Some(target) = bytes.get_mut(at % text.len().max(1)) {
                *target = *byte;
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Mutation::DeleteLine => {
            lines.iter().enumerate().filter(|(n, _)| *n != line).map(|(_, line)| *line).collect()
        }
        Mutation::RepeatLine => {
            lines.iter().enumerate().flat_map(|(n, text)| vec![*text; 1 + usize::from(n == line)]).collect()
        }
        Mutation::Replace(with) => {
            // What stands between two quotes is where names and addresses are.
            let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
            match quotes.get(at % quotes.len().max(1)..) {
                Some([start, end, ..]) => format!("{}{with}{}", &text[..=*start], &text[*end..]),
                _ => format!("{text}{with}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_mutation_of_a_scenario_makes_the_parser_fail(
        which in any::<prop::sample::Index>(),
        mutations in prop::collection::vec((any::<usize>(), mutation()), 1..5),
    ) {
        let mut text = which.get(corpus()).clone();
        for (at, mutation) in &mutations {
            text = mutate(&text, *at, mutation);
        }
        exhaust(&text);
    }
}
