//! From a text to a scenario, or to everything that is wrong with it.

use std::{collections::BTreeSet, ops::Range};

use serde::Deserialize;
use toml::de::DeTable;

use super::{Findings, Scenario, names::Names, raw::Raw, schema, shape, steps, subject};
use crate::{diagnostic::Diagnostic, preset};

/// The largest scenario that is read, in bytes: far above any that a person wrote.
pub const MAX_BYTES: usize = 1 << 20;
/// So many errors of syntax are told.
const MAX_SYNTAX: usize = 20;

/// Reads a scenario.
///
/// # Errors
/// Every finding about the text: first of syntax; without those, of words and types; without those, of sense.
pub fn parse(text: &str) -> Result<Scenario, Findings> {
    if text.len() > MAX_BYTES {
        let size = text.len();
        return Err(vec![
            Diagnostic::whole(format!("the file has {size} bytes, expected at most {MAX_BYTES}"))
                .hint("is this a scenario? Put rulesets and configurations into files of their own"),
        ]);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax(text, &errors));
    }
    if document.get_ref().is_empty() {
        return Err(vec![
            Diagnostic::whole("the file is empty, expected a scenario")
                .hint("the least is a `title`, a `[gateway.NAME]`, a `[subject]` and a `[[step]]`"),
        ]);
    }
    let findings = shape::check(schema::value(), &document);
    if !findings.is_empty() {
        return Err(findings);
    }
    let raw = match Raw::deserialize(toml::de::Deserializer::from(document)) {
        Ok(raw) => raw,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            return Err(vec![Diagnostic::new(&span, error.message().trim().to_owned(), "here")]);
        }
    };
    sense(&raw)
}

/// Errors of syntax. The first one of a line is told: the parser finds its feet at the next one.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Findings {
    let mut findings = Findings::new();
    let mut lines = BTreeSet::new();
    let mut places: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    places.sort_by_key(|(span, _)| span.start);
    for (span, message) in places {
        let start = span.start.min(text.len());
        let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
        if !lines.insert(line) {
            continue;
        }
        if findings.len() == MAX_SYNTAX {
            findings.push(Diagnostic::whole(
                "there are more errors of syntax, and what follows may be no TOML at all",
            ));
            break;
        }
        findings.push(syntax_error(text, &span, message.trim()));
    }
    findings
}

fn syntax_error(text: &str, span: &Range<usize>, message: &str) -> Diagnostic {
    let found = text.get(span.clone()).unwrap_or_default();
    if message == "duplicate key" {
        return Diagnostic::new(span, format!("syntax: `{}` is there already", found.trim()), "second time");
    }
    let (message, label) = match message.split_once(", expected ") {
        Some((message, expected)) => (message, format!("expected {expected}")),
        None => (message, "here".to_owned()),
    };
    let finding = Diagnostic::new(span, format!("syntax: {message}"), label);
    match text.get(span.start..).and_then(|rest| rest.chars().next()) {
        Some(':') => finding.hint("in TOML, `=` stands between a word and its value"),
        Some('\n' | '\r') | None if message == "key with no value" => {
            finding.hint("every line of TOML is `word = value`, `[table]` or `[[list]]`")
        }
        _ => finding,
    }
}

fn sense(raw: &Raw) -> Result<Scenario, Findings> {
    let mut findings = Findings::new();
    if let Some(version) = raw.version.as_ref().filter(|version| version.value != 1) {
        findings.push(
            Diagnostic::new(
                &version.span,
                format!("version {} of the scenario language is not known", version.value),
                "expected 1",
            )
            .hint("a newer mhlab may know it"),
        );
    }
    if raw.title.value.trim().is_empty() {
        findings.push(Diagnostic::new(&raw.title.span, "the title is empty", "expected a sentence"));
    }
    let requires = subject::requirements(&raw.requires, &mut findings);
    let (mut topology, doubts) = preset::expand(raw, &mut findings);
    for link in steps::muted(&raw.step, Names { topology: &topology, doubts: &doubts }) {
        topology.links[link.0].switched = true;
    }
    for link in steps::impaired(&raw.step, Names { topology: &topology, doubts: &doubts }) {
        topology.links[link.0].relayed.get_or_insert_default();
    }
    let names = Names { topology: &topology, doubts: &doubts };
    let steps = steps::steps(&raw.step, names, &mut findings);
    let always = steps::always(&raw.always, names, &mut findings);
    steps::unique_names(raw, &mut findings);
    if raw.step.is_empty() {
        findings.push(
            Diagnostic::whole("the scenario has no step, so it cannot show anything")
                .hint("add a `[[step]]` with a `request` and what to `expect`"),
        );
    }
    let (on, variants) = subject::subject(raw, names, &mut findings);
    let Some(on) = on.filter(|_| findings.is_empty()) else {
        return Err(findings);
    };
    let ipv6 = topology.nodes.iter().any(|node| node.addresses().any(|address| address.is_ipv6()));
    Ok(Scenario {
        title: raw.title.value.clone(),
        about: raw.about.clone(),
        source: raw.source.clone(),
        tags: raw.tags.iter().map(|tag| tag.value.clone()).collect(),
        requires,
        seed: raw.seed.as_ref().map_or(1, |seed| seed.value),
        seed_written: raw.seed.as_ref().map(|seed| seed.span.clone()),
        topology,
        subject: on,
        variants,
        steps,
        always,
        ipv6,
    })
}
