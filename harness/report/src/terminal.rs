//! What a person reads: a line for each test, an explanation for each failure, and a summary that hides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use harness_model::event::{Event, Outcome};

use crate::{
    Report, ReportError,
    paint::Paint,
    record::{Recorder, Test},
    words,
};

mod journey;
mod step;

/// How to write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// With the colours of a terminal.
    pub colour: bool,
    /// Steps and journeys of tests that passed as well.
    pub verbose: bool,
}

impl Style {
    fn paint(self) -> Paint {
        Paint { colour: self.colour }
    }
}

/// The report for a terminal. It can be streamed: see [`Terminal::take`].
#[derive(Debug)]
pub struct Terminal {
    style: Style,
    recorder: Recorder,
    /// Why tests were skipped, as far as it was told: one lack can skip them all.
    told: BTreeSet<String>,
    out: String,
}

impl Terminal {
    /// An empty report.
    pub fn new(style: Style) -> Self {
        Terminal { style, recorder: Recorder::default(), told: BTreeSet::new(), out: String::new() }
    }

    /// What was written since this was last asked.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }
}

impl Report for Terminal {
    fn event(&mut self, event: &Event) {
        let text = match (event, self.recorder.event(event)) {
            (_, Some(test)) => match &test.result {
                Outcome::Skipped { reason } if !self.told.insert(reason.clone()) => {
                    headline(test, self.style)
                }
                _ => finished(test, self.style),
            },
            (Event::RunStarted { tests, machine }, _) if self.style.verbose => {
                format!("{} on {}\n\n", words::count(*tests, "test"), words::machine(machine))
            }
            (Event::RunFinished { .. }, _) => summary(&self.recorder, self.style),
            _ => String::new(),
        };
        self.out.push_str(&text);
    }

    fn finish(mut self: Box<Self>) -> Result<String, ReportError> {
        if self.recorder.micros.is_none() && self.recorder.planned > 0 {
            let text = summary(&self.recorder, self.style);
            self.out.push_str(&text);
        }
        Ok(self.out)
    }
}

/// A test that is over: its line, and behind it the explanation where one is due.
pub fn finished(test: &Test, style: Style) -> String {
    let paint = style.paint();
    let mut out = headline(test, style);
    if let Some(ending) = words::ending(test) {
        let ending = words::printable(&ending);
        match test.result {
            Outcome::Passed => line(&mut out, 18, paint.faint(ending)),
            Outcome::Failed { .. } => line(&mut out, 18, paint.bad(ending)),
            Outcome::Skipped { .. } => line(&mut out, 18, ending),
            // The explanation tells the whole reason.
            Outcome::Error { .. } => {}
        }
    }
    let due = matches!(test.result, Outcome::Failed { .. } | Outcome::Error { .. });
    if due || (style.verbose && test.result == Outcome::Passed) {
        out.push('\n');
        for explained in explain(test, style).lines() {
            line(&mut out, if explained.is_empty() { 0 } else { 4 }, explained);
        }
        out.push('\n');
    }
    out
}

/// How a test ended, how long it took, and which it is.
fn headline(test: &Test, style: Style) -> String {
    let paint = style.paint();
    let head = match test.result {
        Outcome::Passed => paint.good("PASS"),
        Outcome::Failed { .. } => paint.bad("FAIL"),
        Outcome::Skipped { .. } => paint.doubtful("SKIP"),
        Outcome::Error { .. } => paint.bad("ERROR"),
    };
    let mut out = String::new();
    line(&mut out, 0, format_args!("{head:>5}  {:>9}  {}", words::time(test.micros), name(test, paint)));
    out
}

/// Why a test ended as it did: what was done, what was expected, what was seen, and where the packets went.
pub fn explain(test: &Test, style: Style) -> String {
    let paint = style.paint();
    let mut out = String::new();
    if !test.title.is_empty() {
        line(&mut out, 0, words::printable(&test.title));
    }
    if let Some(seed) = test.seed {
        line(&mut out, 0, paint.faint(format!("from seed {seed}: the same one does the same again")));
    }
    if let Outcome::Error { reason } = &test.result {
        line(&mut out, 0, paint.bad("could not be carried out:"));
        for told in words::printable(reason.trim()).lines() {
            line(&mut out, 2, told);
        }
    }
    for drive in &test.subject {
        step::drive(&mut out, drive, style);
    }
    for judged in &test.steps {
        step::step(&mut out, test, judged, style);
    }
    for printed in &test.printed {
        step::printed(&mut out, printed, style);
    }
    if test.planned_steps > test.steps.len() && !matches!(test.result, Outcome::Skipped { .. }) {
        let rest = words::count(test.planned_steps - test.steps.len(), "further step");
        line(&mut out, 0, paint.doubtful(format!("{rest} not reached")));
    }
    for name in missing(test) {
        line(&mut out, 0, paint.bad(format!("`{name}` was not judged")));
    }
    out
}

/// Names in the outcome that no judged step carries: nothing may be lost.
fn missing(test: &Test) -> Vec<&String> {
    let Outcome::Failed { failed, unbroken } = &test.result else { return Vec::new() };
    let judged = |name: &&String| test.steps.iter().any(|step| step.name == **name);
    failed.iter().chain(unbroken).filter(|name| !judged(name)).collect()
}

/// The end of a run: how many of what, what failed, and why tests were skipped.
fn summary(run: &Recorder, style: Style) -> String {
    let paint = style.paint();
    let totals = run.totals;
    let mut out = String::new();
    let of = |pick: fn(&Outcome) -> bool| run.tests().filter(move |test| pick(&test.result));
    let bad = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::Error { .. });
    let cut_short = run.not_run();

    line(&mut out, 0, "");
    if totals.failed + totals.errors > 0 {
        let width = 2;
        for test in of(bad).filter(|test| !(cut_short > 0 && test.micros == 0 && test.steps.is_empty())) {
            let ending = words::printable(&words::ending(test).unwrap_or_default());
            line(&mut out, width, format_args!("{}  {ending}", paint.bad(&test.id)));
        }
        let machine = words::machine(&run.machine);
        if !machine.is_empty() {
            line(&mut out, width, paint.faint(format!("on {machine}")));
        }
        line(&mut out, 0, "");
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for test in of(|outcome| matches!(outcome, Outcome::Skipped { .. })) {
        if let Outcome::Skipped { reason } = &test.result {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    for (reason, number) in reasons {
        line(
            &mut out,
            2,
            format_args!("{} {}: {reason}", paint.doubtful("skipped"), words::count(number, "test")),
        );
    }

    let controls = of(|outcome| *outcome == Outcome::Passed).filter(|test| test.is_control()).count();
    let mut parts = vec![match controls {
        0 => format!("{} passed", totals.passed),
        _ => format!(
            "{} passed ({} that broke what they must)",
            totals.passed,
            words::count(controls, "control")
        ),
    }];
    parts.push(format!("{} failed", totals.failed));
    parts.push(format!("{} skipped", totals.skipped));
    parts.push(words::count(totals.errors, "error"));
    if cut_short > 0 {
        parts.push(format!("{cut_short} not run"));
    }
    let took = run.micros.map(|micros| format!(" in {}", words::time(micros))).unwrap_or_default();
    let counts = format!("{} of {}{took}", parts.join(", "), words::count(run.planned, "test"));
    let verdict = if totals.failed + totals.errors > 0 {
        paint.bad("FAILED")
    } else if cut_short > 0 {
        paint.bad("CUT SHORT")
    } else if totals.passed == 0 {
        paint.doubtful("NOTHING RAN")
    } else {
        paint.good("PASSED")
    };
    line(&mut out, 0, format_args!("{verdict}  {counts}"));
    out
}

fn name(test: &Test, paint: Paint) -> String {
    format!("{}{}{}", paint.name(&test.id.scenario), paint.faint("::"), paint.name(&test.id.variant))
}

/// Appends a line behind some spaces.
fn line(out: &mut String, indent: usize, text: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}
