//! Small phrases that several reports use.

use harness_model::event::{Machine, Outcome};

use crate::record::Test;

/// Microseconds as a person reads them: `21 us`, `2.14 ms`, `21.3 ms`, `1.27 s`.
pub(crate) fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// A number and what it counts.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Names between backquotes, with commas.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// How a test ended, in a sentence; nothing for a plain pass.
pub(crate) fn ending(test: &Test) -> Option<String> {
    match &test.result {
        Outcome::Passed if test.is_control() => {
            Some(format!("control: must break {} and did", names(&test.breaks)))
        }
        Outcome::Passed => None,
        Outcome::Failed { failed, unbroken } => {
            let mut parts = Vec::new();
            if !failed.is_empty() {
                let but = if test.is_control() { " and should not have" } else { "" };
                parts.push(format!("failed: {}{but}", names(failed)));
            }
            if !unbroken.is_empty() {
                parts.push(format!("control: should have broken {} but held", names(unbroken)));
            }
            if parts.is_empty() {
                parts.push("failed, and nothing says where".to_owned());
            }
            Some(parts.join("; "))
        }
        Outcome::Skipped { reason } => Some(first_line(reason).to_owned()),
        Outcome::Error { reason } => Some(format!("could not be carried out: {}", first_line(reason))),
    }
}

/// The first line of a text; the rest is told elsewhere.
fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or("no reason was given")
}

/// What a run ran on, in a line.
pub(crate) fn machine(machine: &Machine) -> String {
    let mut parts = Vec::new();
    for (text, before) in [(&machine.mhlab, "mhlab "), (&machine.kernel, "Linux "), (&machine.privilege, "")]
    {
        if !text.is_empty() {
            parts.push(format!("{before}{text}"));
        }
    }
    if machine.processors > 0 {
        parts.push(count(machine.processors, "processor"));
    }
    parts.extend(machine.tools.iter().map(|(tool, version)| format!("{tool} {version}")));
    parts.join(", ")
}

/// A text from outside without what would move a terminal's cursor or change its colours.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' if characters.next_if_eq(&'[').is_some() => {
                // A control sequence ends with its first letter.
                while characters.next().is_some_and(|inner| !('@'..='~').contains(&inner)) {}
            }
            '\n' | '\t' => clean.push(character),
            '\r' => {}
            other if other.is_control() => clean.push('\u{fffd}'),
            other => clean.push(other),
        }
    }
    clean
}
