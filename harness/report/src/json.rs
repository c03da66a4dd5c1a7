//! Everything that happened, for programs: one versioned document.

use harness_model::event::{Event, Machine, Totals, VERSION};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Format, Report, ReportError,
    record::{Recorder, Test},
};

/// The report of a run of mhlab. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "mhlab report")]
pub struct Document {
    /// Version of this form. It is raised when a field changes its meaning or goes away.
    pub version: u32,
    /// What the run ran on.
    pub machine: Machine,
    /// How many tests were to be run. More than there are below: the run was cut short.
    pub planned: usize,
    /// Every test that began, in the order of their names.
    pub tests: Vec<Test>,
    /// How many tests ended how.
    pub totals: Totals,
    /// How long the run took; absent if it was cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
}

/// Makes the document.
#[derive(Debug, Default)]
pub struct Json {
    recorder: Recorder,
}

impl Report for Json {
    fn event(&mut self, event: &Event) {
        self.recorder.event(event);
    }

    fn finish(self: Box<Self>) -> Result<String, ReportError> {
        let Recorder { planned, ref machine, micros, totals, .. } = self.recorder;
        let machine = machine.clone();
        let tests = self.recorder.into_tests();
        let document = Document { version: VERSION, machine, planned, tests, totals, micros };
        pretty(&document).map_err(|error| ReportError { format: Format::Json, source: Box::new(error) })
    }
}

/// The JSON Schema of the document, as text.
pub fn schema() -> String {
    pretty(&schemars::schema_for!(Document)).unwrap_or_default()
}

fn pretty(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}
