//! `mhlab check`

use super::{Exit, Stop, args::Check, console::Console};
use crate::discover;

pub(super) fn check(options: &Check, console: &mut Console) -> Result<Exit, Stop> {
    let scenarios = discover::discover(&options.paths)
        .map_err(|broken| Stop::Findings(broken.render(console.colour_err())))?;
    let tests = discover::tests(&scenarios);
    let count = |number: usize, thing: &str| match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    };
    let text =
        format!("{} with {}: no finding\n", count(scenarios.len(), "scenario"), count(tests.len(), "test"));
    console.print(&text)?;
    Ok(Exit::Passed)
}
