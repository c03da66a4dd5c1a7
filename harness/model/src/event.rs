//! The events of a run: the one interface between what runs scenarios and what reports them.
//!
//! A worker emits them, the runner passes them on, and reports consume nothing else. What a person sees and what
//! a machine reads comes from this one stream, so that they cannot differ. Times are in microseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the JSON form of the events and of the JSON report.
pub const VERSION: u32 = 1;

/// A scenario with one of its variants: what makes one test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TestId {
    /// The scenario's path below the given directory, without extension: `seeds/fix-fan-out`.
    pub scenario: String,
    /// The variant's name.
    pub variant: String,
}

impl std::fmt::Display for TestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.scenario, self.variant)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// How many tests there are.
        tests: usize,
        /// What it runs on.
        machine: Machine,
    },
    /// A test begins.
    TestStarted {
        /// Which.
        test: TestId,
        /// The scenario's title.
        title: String,
        /// The steps and invariants that must fail: a control. Empty: all must hold.
        breaks: Vec<String>,
        /// How many steps there are.
        steps: usize,
        /// Where all chance comes from, if it has a say: the same seed does the same again.
        seed: Option<u64>,
    },
    /// The lab of a test stands.
    LabBuilt {
        /// Which.
        test: TestId,
        /// How many namespaces.
        namespaces: usize,
        /// How many links.
        links: usize,
        /// How long it took.
        micros: u64,
    },
    /// The subject was driven.
    SubjectDriven {
        /// Which test.
        test: TestId,
        /// `apply`, `reload`, `stop` or `kill`.
        action: String,
        /// Every command with what it printed.
        commands: Vec<CommandRun>,
        /// How long it took.
        micros: u64,
    },
    /// What a subject that stays printed, at the end of a test that did not pass.
    SubjectPrinted {
        /// Which test.
        test: TestId,
        /// How it was started.
        command: String,
        /// The end of both streams.
        output: String,
    },
    /// A step was judged.
    StepFinished {
        /// Which test.
        test: TestId,
        /// The step and its verdict.
        step: StepReport,
    },
    /// A test is over.
    TestFinished {
        /// Which.
        test: TestId,
        /// How it ended.
        outcome: Outcome,
        /// How long it took from the worker's start to the verdict.
        micros: u64,
        /// Most memory that the worker used, in KiB.
        peak_kib: u64,
        /// Frames seen.
        frames: u64,
    },
    /// The run is over.
    RunFinished {
        /// How many tests ended how.
        totals: Totals,
        /// How long it took.
        micros: u64,
    },
}

/// What a run ran on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// mhlab's version.
    pub mhlab: String,
    /// Kernel release and architecture.
    pub kernel: String,
    /// Whether labs are made by root or in a user namespace.
    pub privilege: String,
    /// Processors that the run may use.
    pub processors: usize,
    /// Versions of the tools that scenarios use, by name; absent tools are absent.
    pub tools: BTreeMap<String, String>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandRun {
    /// The command line.
    pub command: String,
    /// Exit status; 128 + n after signal n.
    pub status: i32,
    /// What it printed, both streams.
    pub output: String,
}

/// A step or an invariant, and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What was done, in words.
    pub action: String,
    /// Every expectation.
    pub checks: Vec<Check>,
    /// Where the packets of its exchange went.
    pub journeys: Vec<JourneyReport>,
    /// Its command, if it ran one.
    pub command: Option<CommandRun>,
    /// What happened at which moment, if it was more than one thing.
    pub timeline: Vec<String>,
    /// How long it took.
    pub micros: u64,
}

impl StepReport {
    /// Whether every expectation was met.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }
}

/// One expectation and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The expectation, in words.
    pub expected: String,
    /// What was found, in words.
    pub seen: String,
    /// Whether it was met.
    pub holds: bool,
}

/// The way of one packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JourneyReport {
    /// "question", "answer", "connection request" or another name for the packet.
    pub packet: String,
    /// Each node on the way.
    pub hops: Vec<HopReport>,
    /// How the way ended, in words.
    pub end: String,
}

/// One node on a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopReport {
    /// The node.
    pub node: String,
    /// The device that it came in by; None where it began.
    pub came_in: Option<String>,
    /// The device that it went out by; None where it ended.
    pub went_out: Option<String>,
    /// Source and destination as it came in, or as it began.
    pub before: String,
    /// Source and destination as it went out, if the node rewrote them.
    pub after: Option<String>,
    /// Microseconds since the journey began.
    pub micros: u64,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// All held; or, for a control, exactly the named steps failed.
    Passed,
    /// An expectation was not met.
    Failed {
        /// Names of the steps that failed and should not have.
        failed: Vec<String>,
        /// Names of the steps that should have failed, and did not.
        unbroken: Vec<String>,
    },
    /// This machine lacks something that the test needs.
    Skipped {
        /// What.
        reason: String,
    },
    /// The test could not be carried out.
    Error {
        /// Why.
        reason: String,
    },
}

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
    /// Could not be carried out.
    pub errors: usize,
}

impl Totals {
    /// Counts one more.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Skipped { .. } => self.skipped += 1,
            Outcome::Error { .. } => self.errors += 1,
        }
    }

    /// How many there were.
    pub fn all(&self) -> usize {
        self.passed + self.failed + self.skipped + self.errors
    }
}
