//! Which tests the user means.

use harness_model::{diagnostic, filter::Filter};

use super::{Stop, args::Selection, console::Console};
use crate::discover::{self, Selected};

/// Reads a filter, and complains about it as about a file.
pub(super) fn filter(text: Option<&str>, console: &Console) -> Result<Option<Filter>, Stop> {
    text.map(|text| {
        Filter::parse(text).map_err(|finding| {
            Stop::Findings(diagnostic::render("--filter", text, &[finding], console.colour_err()))
        })
    })
    .transpose()
}

/// Every test that is meant. An empty selection is a mistake.
pub(super) fn select(selection: &Selection, console: &Console) -> Result<Vec<Selected>, Stop> {
    let filter = filter(selection.filter.as_deref(), console)?;
    let scenarios = discover::discover(&selection.paths)
        .map_err(|broken| Stop::Findings(broken.render(console.colour_err())))?;
    let mut tests = discover::tests(&scenarios);
    let all = tests.len();
    if let Some(filter) = filter {
        tests.retain(|test| test.is_meant_by(&filter));
    }
    if tests.is_empty() {
        let text = selection.filter.as_deref().unwrap_or_default();
        return Err(Stop::BadInput(format!(
            "no test matches the filter `{text}`, of {all} (hint: `mhlab list` shows their names, `mhlab list \
             --json` their tags)"
        )));
    }
    Ok(tests)
}
