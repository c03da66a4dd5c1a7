//! What a soak came to.

use std::{collections::BTreeSet, path::PathBuf};

use harness_model::event::{Event, Outcome, TestId};
use serde::Serialize;

/// What it came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Soaked {
    /// The seed of the first run; each further one has the next.
    pub(super) first_seed: u64,
    /// The seed of the last run.
    pub(super) last_seed: u64,
    pub(super) runs: u64,
    pub(super) breaks: u64,
    pub(super) micros: u64,
    pub(super) failures: Vec<Failed>,
}

/// A run that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failed {
    pub(super) test: TestId,
    pub(super) seed: u64,
    /// Steps and invariants, or the reason why it could not be carried out.
    pub(super) why: Vec<String>,
    /// The scenario with the fewest breaks, if it was looked for and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scenario: Option<PathBuf>,
    /// How many those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) breaks: Option<usize>,
}

impl Soaked {
    pub(super) fn text(&self) -> String {
        let seconds = self.micros as f64 / 1e6;
        let rate = self.breaks as f64 / seconds.max(0.001);
        let mut out = format!(
            "{} breaks in {} runs, seeds {} to {}, in {seconds:.0} s, {rate:.1} a second: {}\n",
            self.breaks,
            self.runs,
            self.first_seed,
            self.last_seed,
            match self.failures.len() {
                0 => "nothing failed".to_owned(),
                1 => "1 run failed".to_owned(),
                runs => format!("{runs} runs failed"),
            }
        );
        for Failed { test, seed, why, scenario, breaks } in &self.failures {
            out += &format!("  {test} from seed {seed}: {}\n", why.join(", "));
            if let Some((scenario, breaks)) = scenario.as_ref().zip(*breaks) {
                out += &format!("    {breaks} breaks are enough: {}\n", scenario.display());
            }
        }
        out
    }
}

/// A run that is over.
pub(super) struct Over {
    pub(super) test: TestId,
    /// None: chance had no say.
    pub(super) seed: Option<u64>,
    /// Why it failed; empty if it did not.
    pub(super) why: Vec<String>,
    pub(super) events: Vec<Event>,
}

impl Over {
    /// None if it was stopped before it was over.
    pub(super) fn of(events: Vec<Event>) -> Option<Self> {
        let seed = events.iter().find_map(|event| match event {
            Event::TestStarted { seed, .. } => *seed,
            _ => None,
        });
        let finished = events.iter().find_map(|event| match event {
            Event::TestFinished { test, outcome, .. } => Some((test.clone(), outcome.clone())),
            _ => None,
        });
        let (test, outcome) = finished?;
        let why = match outcome {
            Outcome::Passed => Vec::new(),
            Outcome::Failed { failed, unbroken } => [failed, unbroken].concat(),
            Outcome::Error { reason } | Outcome::Skipped { reason } => vec![reason],
        };
        Some(Over { test, seed, why, events })
    }

    fn is_error(&self) -> bool {
        let error =
            |event: &Event| matches!(event, Event::TestFinished { outcome: Outcome::Error { .. }, .. });
        self.events.iter().any(error)
    }

    /// Whether it failed in one of the ways in which another did. What an error says may differ in its numbers.
    pub(super) fn is_like(&self, other: &Over) -> bool {
        let own: BTreeSet<_> = self.why.iter().collect();
        (self.is_error() && other.is_error()) || other.why.iter().any(|why| own.contains(why))
    }
}
