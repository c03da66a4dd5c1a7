//! Steps, and what was done with the subject.

use harness_model::event::{Check, CommandRun, Outcome, StepReport};

use super::{Style, journey, line};
use crate::{
    paint::Paint,
    record::{Drive, Printed, Test},
    words,
};

/// Lines of a command's output that are shown; its end tells most.
const OUTPUT_LINES: usize = 40;

/// A step: in full if it ended otherwise than it should have, or if everything is asked for.
pub(super) fn step(out: &mut String, test: &Test, step: &StepReport, style: Style) {
    let paint = style.paint();
    let must_break = test.breaks.contains(&step.name);
    let unbroken = matches!(&test.result, Outcome::Failed { unbroken, .. } if unbroken.contains(&step.name));
    let failed = matches!(&test.result, Outcome::Failed { failed, .. } if failed.contains(&step.name));
    let holds = step.holds();
    let (mark, note) = match (holds, must_break) {
        (true, false) => (paint.good("✓"), None),
        (false, true) => (paint.good("✗"), Some(paint.faint("must break, and did"))),
        (true, true) => (paint.bad("✓"), Some(paint.bad("should have broken, but held"))),
        (false, false) => (paint.bad("✗"), None),
    };
    let action = words::printable(&step.action);
    let mut head = format!("{mark} {}", paint.name(words::printable(&step.name)));
    if !action.is_empty() {
        head.push_str(&format!("  {action}"));
    }
    if let Some(note) = note {
        head.push_str(&format!("  ({note})"));
    }
    line(out, 0, head);
    let wrong = unbroken || failed || holds == must_break;
    if !wrong && !style.verbose {
        return;
    }
    for check in &step.checks {
        expectation(out, check, paint);
    }
    if step.checks.is_empty() {
        line(out, 4, paint.faint("nothing was expected of it"));
    }
    for moment in &step.timeline {
        line(out, 4, paint.faint(words::printable(moment)));
    }
    for way in &step.journeys {
        journey::journey(out, way, paint);
    }
    if let Some(command) = &step.command {
        ran(out, command, paint);
    }
}

fn expectation(out: &mut String, check: &Check, paint: Paint) {
    let (expected, seen) = (words::printable(&check.expected), words::printable(&check.seen));
    if check.holds {
        let text = if seen.is_empty() || seen == expected {
            format!("held      {expected}")
        } else {
            format!("held      {expected}: {seen}")
        };
        line(out, 4, paint.faint(text));
        return;
    }
    line(out, 4, format_args!("{}  {expected}", paint.bad("expected")));
    let seen = if seen.is_empty() { "nothing" } else { &seen };
    line(out, 4, format_args!("{:>8}  {}", "seen", paint.bad(seen)));
}

/// What was done with the subject: in full if a command failed, or if everything is asked for.
pub(super) fn drive(out: &mut String, drive: &Drive, style: Style) {
    let paint = style.paint();
    let bad = drive.commands.iter().any(|command| command.status != 0);
    if !bad && !style.verbose {
        return;
    }
    let mark = if bad { paint.bad("✗") } else { paint.good("✓") };
    let took = paint.faint(words::time(drive.micros));
    line(out, 0, format_args!("{mark} {} the subject  {took}", paint.name(words::printable(&drive.action))));
    for command in &drive.commands {
        ran(out, command, paint);
    }
}

fn ran(out: &mut String, run: &CommandRun, paint: Paint) {
    let status = match run.status {
        0 => paint.faint("exit status 0".to_owned()),
        signal @ 129..=192 => paint.bad(format!("killed by signal {}", signal - 128)),
        status => paint.bad(format!("exit status {status}")),
    };
    line(out, 4, format_args!("$ {}  ({status})", words::printable(run.command.trim_end())));
    output(out, &run.output, paint);
}

/// What a process of the subject printed while it stayed.
pub(super) fn printed(out: &mut String, printed: &Printed, style: Style) {
    let paint = style.paint();
    let what = words::printable(&printed.command);
    line(out, 0, format_args!("the end of what {} printed", paint.name(what)));
    output(out, &printed.output, paint);
}

fn output(out: &mut String, output: &str, paint: Paint) {
    let output = words::printable(output);
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let hidden = lines.len().saturating_sub(OUTPUT_LINES);
    if hidden > 0 {
        line(out, 6, paint.faint(format!("({} above are left out)", words::count(hidden, "line"))));
    }
    for printed in &lines[hidden..] {
        line(out, 6, printed.trim_end());
    }
}
