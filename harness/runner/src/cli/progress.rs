//! The live line: how far the run is, and what is running now.

use std::time::{Duration, Instant};

use harness_model::event::{Outcome, TestId, Totals};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A run that is over sooner needs no progress.
const PATIENCE: Duration = Duration::from_millis(200);
/// Tests that are named.
const NAMED: usize = 3;

/// Shows progress on a terminal, behind what is printed.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    tests: usize,
    totals: Totals,
    running: Vec<TestId>,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(tests: usize) -> Self {
        Progress { begun: Instant::now(), tests, totals: Totals::default(), running: Vec::new(), bar: None }
    }

    pub(super) fn began(&mut self, test: TestId) {
        self.running.push(test);
        self.draw();
    }

    pub(super) fn over(&mut self, test: &TestId, outcome: &Outcome) {
        self.running.retain(|running| running != test);
        self.totals.count(outcome);
        self.draw();
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        self.draw();
    }

    /// Does something while the line is not there.
    pub(super) fn without<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self) {
        if self.bar.is_none() && self.begun.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(self.tests as u64), ProgressDrawTarget::stderr());
            // The template is a constant; without it the bar has another look.
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}  {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        let bad = self.totals.failed + self.totals.errors;
        let failed = if bad > 0 { format!("{bad} failed  ") } else { String::new() };
        let named: Vec<String> = self.running.iter().take(NAMED).map(TestId::to_string).collect();
        let more = if self.running.len() > NAMED { " ..." } else { "" };
        bar.set_position(self.totals.all() as u64);
        bar.set_message(format!("{failed}{}{more}", named.join(", ")));
    }
}
