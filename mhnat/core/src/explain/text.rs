//! An explanation as a person reads it.

use std::fmt::Write as _;

use super::{Connection, Explanation, Fate, Outcome};

pub(super) fn text(explanation: &Explanation, all: bool) -> String {
    let question = &explanation.question;
    let mut out = String::new();
    let source = question.source.map_or_else(|| "(any source)".to_owned(), |it| it.to_string());
    let entry =
        question.entry.as_ref().map_or_else(|| "from this host".to_owned(), |it| format!("in by {it}"));
    let connection = match question.connection {
        Connection::New => "a new connection".to_owned(),
        Connection::Established { mark, answer, .. } => {
            let which = if answer { "an answer" } else { "a packet" };
            format!("{which} of a connection with mark {mark:#x}")
        }
    };
    let _ = writeln!(
        out,
        "{} {source} -> {}, {entry}, {connection}",
        question.protocol.word(question.family()),
        question.destination
    );
    let several = explanation.outcomes.len() > 1;
    for (number, outcome) in (1..).zip(&explanation.outcomes) {
        out.push('\n');
        if several {
            let _ = writeln!(out, "outcome {number}");
        }
        describe(&mut out, outcome, all);
    }
    if explanation.more {
        out.push_str("\nThere are more outcomes than these.\n");
    }
    out
}

fn describe(out: &mut String, outcome: &Outcome, all: bool) {
    for when in &outcome.when {
        let _ = writeln!(out, "  if       {when}");
    }
    match &outcome.fate {
        Fate::Leaves { uplink, device, gateway, table } => {
            let uplink = uplink.as_ref().map_or_else(|| "no uplink".to_owned(), |it| format!("uplink {it}"));
            let gateway = gateway.map(|it| format!(" via {it}")).unwrap_or_default();
            let _ = writeln!(out, "  leaves   by {uplink}: {device}{gateway} (table {table})");
        }
        Fate::Delivered => out.push_str("  arrives  at this host\n"),
        Fate::Refused { by } => {
            let _ = writeln!(out, "  refused  by {by}");
        }
        Fate::Dropped { by } => {
            let _ = writeln!(out, "  dropped  by \"{by}\"");
        }
        Fate::Forgotten { masqueraded_on } => {
            let _ = writeln!(
                out,
                "  dropped  by connection tracking, which forgets what was masqueraded on {masqueraded_on}: the next packet \
                 begins a new connection"
            );
        }
        Fate::LeftToMain => out.push_str("  left     to table main: mhnat has no say\n"),
    }
    let _ = writeln!(out, "  as       {} -> {}", outcome.source, outcome.destination);
    let _ = writeln!(out, "  marks    packet {:#x}, connection {:#x}", outcome.mark, outcome.connection_mark);
    out.push_str("  why\n");
    for step in outcome.steps.iter().filter(|it| all || it.applied) {
        let sign = if step.applied { ' ' } else { '-' };
        let _ = writeln!(out, "  {sign} {:<19} {}", step.place, step.text);
        let comment = step.comment.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        let _ = writeln!(out, "  {sign} {:<19}   => {}{comment}", "", step.effect);
    }
    for it in &outcome.not_understood {
        let _ = writeln!(out, "  NOT UNDERSTOOD, so that all this may be wrong: {it}");
    }
    for it in &outcome.assumptions {
        let _ = writeln!(out, "  assumed  {it}");
    }
}
