//! A scenario's text in which breaks are told one by one, where it had them at random.

use std::{fmt::Write as _, ops::Range, time::Duration};

use super::{Drawn, Flap, What};
use crate::{
    scenario::{Action, Scenario},
    topology::Topology,
};

/// The breaks of a run: for each step with any, by its place among the steps.
pub type Breaks = Vec<(usize, Vec<Drawn>)>;

/// The breaks that a seed draws for each step that has any at random.
pub fn drawn(scenario: &Scenario, seed: u64) -> Breaks {
    let steps = scenario.steps.iter().enumerate();
    steps
        .filter_map(|(at, step)| match &step.action {
            Action::Flap { flap: flap @ Flap::Random(_), .. } => Some((at, flap.draw(seed, &step.name))),
            _ => None,
        })
        .collect()
}

/// The text of a scenario with these breaks. `seed` decides whatever else is left to chance. Everything else stays as it is
/// written, comments too. None if a step's breaks are a table of their own, `[step.flap]`, which has no place of its own.
pub fn rewritten(text: &str, scenario: &Scenario, seed: u64, breaks: &Breaks) -> Option<String> {
    let mut parts: Vec<(Range<usize>, String)> = Vec::new();
    for (at, list) in breaks {
        let Action::Flap { written, .. } = &scenario.steps.get(*at)?.action else { return None };
        if !text.get(written.clone())?.starts_with('{') {
            return None;
        }
        parts.push((written.clone(), table(list, &scenario.topology)));
    }
    parts.push(match &scenario.seed_written {
        Some(written) => (written.clone(), seed.to_string()),
        None => (0..0, format!("seed = {seed}\n")),
    });
    parts.sort_by_key(|(range, _)| range.start);
    let mut out = text.to_owned();
    for (range, new) in parts.into_iter().rev() {
        out.replace_range(range, &new);
    }
    Some(out)
}

fn table(list: &[Drawn], topology: &Topology) -> String {
    if list.is_empty() {
        return "{ list = [] }".to_owned();
    }
    let mut out = "{ list = [\n".to_owned();
    for Drawn { after, lasting, what } in list {
        let what = match what {
            What::Subject => "kind = \"kill\"".to_owned(),
            What::Link { node, interface, way } => {
                let node = topology.node(*node);
                let at = format!("{}:{}", node.name, node.interfaces[*interface].name);
                format!("at = \"{at}\", kind = \"{}\"", way.kind.word())
            }
        };
        let (after, lasting) = (time(*after), time(*lasting));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "    {{ {what}, after = \"{after}\", for = \"{lasting}\" }},");
    }
    out + "] }"
}

fn time(time: Duration) -> String {
    let micros = time.as_micros();
    if micros.is_multiple_of(1_000) { format!("{}ms", micros / 1_000) } else { format!("{micros}us") }
}
