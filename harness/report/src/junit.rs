//! JUnit XML: a suite a scenario, a case a variant.

use std::{collections::BTreeMap, time::Duration};

use harness_model::event::{Event, Machine, Outcome};
use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use crate::{
    Format, Report, ReportError,
    record::{Recorder, Test},
    terminal, words,
};

/// A suite a scenario, a case a variant. It tells no date: a report is made from events alone.
#[derive(Debug, Default)]
pub struct Junit {
    recorder: Recorder,
}

impl Report for Junit {
    fn event(&mut self, event: &Event) {
        self.recorder.event(event);
    }

    fn finish(self: Box<Self>) -> Result<String, ReportError> {
        let mut document = Document::new("mhlab");
        if let Some(micros) = self.recorder.micros {
            document.set_time(Duration::from_micros(micros));
        }
        let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
        for test in self.recorder.tests() {
            let scenario = test.id.scenario.as_str();
            let suite = suites.entry(scenario).or_insert_with(|| suite(test, &self.recorder.machine));
            suite.add_test_case(case(test));
        }
        document.add_test_suites(suites.into_values());
        document.to_string().map_err(|error| ReportError { format: Format::Junit, source: Box::new(error) })
    }
}

fn suite(test: &Test, machine: &Machine) -> TestSuite {
    let mut suite = TestSuite::new(test.id.scenario.as_str());
    suite.add_property(("title", test.title.as_str()));
    let facts = [("mhlab", &machine.mhlab), ("kernel", &machine.kernel), ("privilege", &machine.privilege)];
    let tools = machine.tools.iter().map(|(tool, version)| (tool.as_str(), version));
    for (name, value) in facts.into_iter().chain(tools) {
        suite.add_property((name, value.as_str()));
    }
    suite
}

fn case(test: &Test) -> TestCase {
    let message = words::ending(test).unwrap_or_default();
    let status = match &test.result {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed { .. } => unsuccessful(NonSuccessKind::Failure, &message, test),
        Outcome::Error { .. } => unsuccessful(NonSuccessKind::Error, &message, test),
        Outcome::Skipped { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
    };
    let mut case = TestCase::new(test.id.variant.as_str(), status);
    case.set_classname(test.id.scenario.as_str());
    case.set_time(Duration::from_micros(test.micros));
    case.set_assertions(test.steps.iter().map(|step| step.checks.len()).sum());
    if test.is_control() {
        case.add_property(("must-break", test.breaks.join(", ").as_str()));
    }
    case
}

fn unsuccessful(kind: NonSuccessKind, message: &str, test: &Test) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status.set_type(if kind == NonSuccessKind::Error { "error" } else { "failed" });
    status.set_description(terminal::explain(test, terminal::Style::default()));
    status
}
