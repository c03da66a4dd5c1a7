//! `mhlab list`

use std::fmt::Write as _;

use serde_json::json;

use super::{Exit, Stop, args::List, console::Console, selection::select};
use crate::discover::Selected;

pub(super) fn list(options: &List, console: &mut Console) -> Result<Exit, Stop> {
    let tests = select(&options.selection, console)?;
    let text = if options.json { machine_readable(&tests) } else { readable(&tests) };
    console.print(&text)?;
    Ok(Exit::Passed)
}

fn readable(tests: &[Selected]) -> String {
    let names: Vec<String> =
        tests.iter().map(|test| format!("{}::{}", test.loaded.id, test.variant().name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (test, name) in tests.iter().zip(&names) {
        let breaks = &test.variant().breaks;
        let control = if breaks.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = breaks.iter().map(|step| format!("`{step}`")).collect();
            format!("  (control: must break {})", quoted.join(", "))
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<width$}  {}{control}", test.loaded.scenario.title);
    }
    out
}

fn machine_readable(tests: &[Selected]) -> String {
    let list: Vec<serde_json::Value> = tests
        .iter()
        .map(|test| {
            let (scenario, variant) = (&test.loaded.scenario, test.variant());
            let requires: Vec<&str> =
                scenario.requirements(variant).iter().map(|requirement| requirement.word()).collect();
            json!({
                "scenario": test.loaded.id,
                "variant": variant.name,
                "path": test.loaded.path,
                "title": scenario.title,
                "tags": scenario.tags,
                "requires": requires,
                "breaks": variant.breaks,
                "steps": scenario.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(list))
}
