use std::collections::BTreeSet;

use proptest::prelude::*;
use rstest::rstest;

use super::{Filter, Subject};
use crate::diagnostic::render;

fn matches(filter: &str) -> bool {
    let tags = BTreeSet::from(["nat".to_owned(), "fan-out".to_owned()]);
    let subject = Subject { scenario: "seeds/fix-fan-out", variant: "bare-snat", tags: &tags, control: true };
    Filter::parse(filter).unwrap_or_else(|finding| panic!("{filter}: {}", finding.message)).matches(&subject)
}

fn error(filter: &str) -> String {
    let finding = Filter::parse(filter).expect_err(filter);
    render("--filter", filter, &[finding], false)
}

#[rstest]
#[case::part_of_the_name("fan-out", true)]
#[case::part_over_the_separator("out::bare", true)]
#[case::other_name("udp", false)]
#[case::quoted_text("'fix-fan-out::bare-snat'", true)]
#[case::quoted_text_is_no_pattern("'*'", false)]
#[case::quoted_keyword("\"and\"", false)]
#[case::scenario_in_full("scenario(seeds/fix-fan-out)", true)]
#[case::scenario_matches_from_end_to_end("scenario(seeds)", false)]
#[case::star_goes_over_slashes("scenario(*fan*)", true)]
#[case::question_mark("variant(bare?snat)", true)]
#[case::question_mark_needs_a_character("variant(bare-snat?)", false)]
#[case::star_may_stand_for_nothing("variant(*bare-snat*)", true)]
#[case::any_tag("tag(fan-*)", true)]
#[case::no_tag("tag(vpn)", false)]
#[case::quoted_pattern("tag( 'n*' )", true)]
#[case::control("control()", true)]
#[case::not("not control()", false)]
#[case::bang("!udp", true)]
#[case::twice_not("!!udp", false)]
#[case::and("fan-out and control()", true)]
#[case::ampersand("fan-out & udp", false)]
#[case::or("udp or control()", true)]
#[case::pipe("udp||tcp", false)]
#[case::and_binds_tighter_than_or("control() or fan-out and udp", true)]
#[case::parentheses_bind_tightest("(control() or fan-out) and udp", false)]
#[case::not_binds_tightest("not udp and control()", true)]
fn selects(#[case] filter: &str, #[case] expected: bool) {
    assert_eq!(matches(filter), expected, "{filter}");
}

#[test]
fn explains_what_is_wrong() {
    let broken = [
        "",
        "tags(nat)",
        "whatever(nat)",
        "seeds/*",
        "control(yes)",
        "tag()",
        "(udp or tcp",
        "tag(nat and control()",
        "udp)",
        "udp and not",
        "or udp",
        "fan out",
        "udp or 'tcp",
    ];
    let messages: Vec<String> = broken.into_iter().map(error).collect();
    insta::assert_snapshot!("errors", messages.join("\n\n"));
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    assert!(error(&"(".repeat(100_000)).contains("nested more than"));
    assert!(matches(&format!("{}udp", "!".repeat(99_999))));
    assert!(matches(&format!("{} fan-out", "fan-out and ".repeat(50_000))));
}

/// The plainest definition of a pattern.
fn model(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), None) => model(rest, text),
        (Some(('*', rest)), Some((_, shorter))) => model(rest, text) || model(pattern, shorter),
        (Some((wanted, rest)), Some((found, shorter))) => {
            (*wanted == '?' || wanted == found) && model(rest, shorter)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn globs_agree_with_the_plainest_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(
            super::glob::Glob::new(&pattern).matches(&text),
            model(&characters(&pattern), &characters(&text))
        );
    }

    #[test]
    fn no_text_makes_the_parser_fail(text in "[a-c()!&|'\" *]{0,24}|\\PC{0,24}") {
        if let Err(finding) = Filter::parse(&text) {
            render("--filter", &text, &[finding], false);
        }
    }
}
