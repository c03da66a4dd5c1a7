//! Test Anything Protocol, version 14 (<https://testanything.org/tap-version-14-specification.html>).

use std::fmt::Write as _;

use harness_model::event::{Event, Outcome};

use crate::{
    Report, ReportError,
    record::{Recorder, Test},
    terminal, words,
};

/// Tests in the order of their names, each with its diagnostics as YAML.
#[derive(Debug, Default)]
pub struct Tap {
    recorder: Recorder,
}

impl Report for Tap {
    fn event(&mut self, event: &Event) {
        self.recorder.event(event);
    }

    fn finish(self: Box<Self>) -> Result<String, ReportError> {
        let run = &self.recorder;
        let mut out = String::from("TAP version 14\n");
        let begun = run.tests().count();
        line(&mut out, &format!("1..{}", run.planned.max(begun)));
        let machine = words::machine(&run.machine);
        if !machine.is_empty() {
            line(&mut out, &format!("# {machine}"));
        }
        for (index, test) in run.tests().enumerate() {
            one(&mut out, index + 1, test);
        }
        if run.planned > begun {
            let rest = words::count(run.planned - begun, "test");
            line(&mut out, &format!("Bail out! The run was cut short: {rest} did not begin"));
        }
        Ok(out)
    }
}

fn one(out: &mut String, number: usize, test: &Test) {
    let mark = match test.result {
        Outcome::Passed | Outcome::Skipped { .. } => "ok",
        Outcome::Failed { .. } | Outcome::Error { .. } => "not ok",
    };
    let mut head = format!("{mark} {number} - {}", escape(&test.id.to_string()));
    if let Outcome::Skipped { reason } = &test.result {
        head.push_str(" # SKIP ");
        head.push_str(&escape(reason));
    }
    line(out, &head);
    line(out, "  ---");
    field(out, "title", &test.title);
    if let Some(ending) = words::ending(test) {
        field(out, "message", &ending);
    }
    line(out, &format!("  duration_ms: {:.3}", test.micros as f64 / 1e3));
    if test.is_control() {
        let breaks: Vec<String> = test.breaks.iter().map(|name| quoted(name)).collect();
        line(out, &format!("  must_break: [{}]", breaks.join(", ")));
    }
    if matches!(test.result, Outcome::Failed { .. } | Outcome::Error { .. }) {
        let severity = if matches!(test.result, Outcome::Error { .. }) { "error" } else { "fail" };
        line(out, &format!("  severity: {severity}"));
        line(out, "  explanation: |-2");
        let text = terminal::explain(test, terminal::Style::default());
        for explained in text.lines() {
            line(out, format!("    {}", explained.replace('\t', "    ")).trim_end());
        }
    }
    line(out, "  ...");
}

fn field(out: &mut String, name: &str, value: &str) {
    line(out, &format!("  {name}: {}", quoted(value)));
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(words::printable(text)).to_string()
}

/// A description ends at `#`, and at the end of the line.
fn escape(text: &str) -> String {
    words::printable(text).replace('\\', "\\\\").replace('#', "\\#").replace(['\n', '\t'], " ")
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
