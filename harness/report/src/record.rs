//! The events of a run, gathered by test. Events of different tests may be mixed in the stream.

use std::collections::BTreeMap;

use harness_model::event::{CommandRun, Event, Machine, Outcome, StepReport, TestId, Totals};
use schemars::JsonSchema;
use serde::Serialize;

/// One test and all that happened in it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Test {
    /// Which.
    pub id: TestId,
    /// The scenario's title.
    pub title: String,
    /// The steps and invariants that must fail: a control. Empty: all must hold.
    pub breaks: Vec<String>,
    /// Where all chance came from, if it had a say.
    pub seed: Option<u64>,
    /// How it ended.
    pub result: Outcome,
    /// Microseconds from the worker's start to the verdict.
    pub micros: u64,
    /// Most memory that the worker used, in KiB.
    pub peak_kib: u64,
    /// Frames seen.
    pub frames: u64,
    /// The lab, if it was built.
    pub lab: Option<Lab>,
    /// What was done with the subject, in order.
    pub subject: Vec<Drive>,
    /// What processes of the subject that stay printed, if the test did not pass.
    pub printed: Vec<Printed>,
    /// How many steps the scenario has.
    pub planned_steps: usize,
    /// The steps and invariants that were judged, in order.
    pub steps: Vec<StepReport>,
}

/// A lab that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lab {
    /// How many namespaces.
    pub namespaces: usize,
    /// How many links.
    pub links: usize,
    /// Microseconds that it took.
    pub micros: u64,
}

/// One action on the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Drive {
    /// `apply`, `reload`, `stop` or `kill`.
    pub action: String,
    /// Every command with what it printed.
    pub commands: Vec<CommandRun>,
    /// Microseconds that it took.
    pub micros: u64,
}

/// What a process of the subject that stays printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Printed {
    /// How it was started.
    pub command: String,
    /// The end of both streams.
    pub output: String,
}

impl Test {
    fn new(id: TestId) -> Self {
        Test {
            id,
            title: String::new(),
            breaks: Vec::new(),
            seed: None,
            result: Outcome::Error { reason: "the run ended before this test did".to_owned() },
            micros: 0,
            peak_kib: 0,
            frames: 0,
            lab: None,
            subject: Vec::new(),
            printed: Vec::new(),
            planned_steps: 0,
            steps: Vec::new(),
        }
    }

    /// Whether it is there to show that something breaks.
    pub fn is_control(&self) -> bool {
        !self.breaks.is_empty()
    }
}

/// Gathers events.
#[derive(Debug, Default)]
pub struct Recorder {
    /// How many tests there are, from the run's start.
    pub planned: usize,
    /// What the run runs on.
    pub machine: Machine,
    /// How long the run took, once it is over.
    pub micros: Option<u64>,
    /// How the tests that are over ended.
    pub totals: Totals,
    tests: BTreeMap<TestId, Test>,
}

impl Recorder {
    /// Takes the next event. Returns the test that it ends, if it does.
    pub fn event(&mut self, event: &Event) -> Option<&Test> {
        match event {
            Event::RunStarted { tests, machine } => {
                self.planned = *tests;
                self.machine = machine.clone();
            }
            Event::TestStarted { test, title, breaks, steps, seed } => {
                let record = self.of(test);
                record.title.clone_from(title);
                record.breaks.clone_from(breaks);
                record.planned_steps = *steps;
                record.seed = *seed;
            }
            Event::LabBuilt { test, namespaces, links, micros } => {
                self.of(test).lab = Some(Lab { namespaces: *namespaces, links: *links, micros: *micros });
            }
            Event::SubjectDriven { test, action, commands, micros } => {
                let drive = Drive { action: action.clone(), commands: commands.clone(), micros: *micros };
                self.of(test).subject.push(drive);
            }
            Event::SubjectPrinted { test, command, output } => {
                let printed = Printed { command: command.clone(), output: output.clone() };
                self.of(test).printed.push(printed);
            }
            Event::StepFinished { test, step } => self.of(test).steps.push(step.clone()),
            Event::TestFinished { test, outcome, micros, peak_kib, frames } => {
                self.totals.count(outcome);
                let record = self.of(test);
                record.result = outcome.clone();
                record.micros = *micros;
                record.peak_kib = *peak_kib;
                record.frames = *frames;
                return Some(record);
            }
            Event::RunFinished { totals: _, micros } => self.micros = Some(*micros),
        }
        None
    }

    /// All tests that began, in the order of their names.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.tests.values()
    }

    /// All tests that began, in the order of their names.
    pub fn into_tests(self) -> Vec<Test> {
        self.tests.into_values().collect()
    }

    /// How many tests have not ended: the run was cut short.
    pub fn not_run(&self) -> usize {
        self.planned.saturating_sub(self.totals.all())
    }

    fn of(&mut self, id: &TestId) -> &mut Test {
        self.tests.entry(id.clone()).or_insert_with(|| Test::new(id.clone()))
    }
}
