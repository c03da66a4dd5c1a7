//! `mhnat audit`: what on this host will bite?

use mhnat_core::audit::{Finding, Severity, audit, text};
use mhnat_core::model::Model;
use serde::Serialize;

use super::check::count;
use crate::facts;
use crate::failure::{Exit, Failure};
use crate::nft::Choice;
use crate::terminal::Terminal;

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    findings: &'a [Finding],
    /// What could not be read.
    unread: &'a [String],
}

pub(super) async fn run(
    model: Option<&Model>,
    nft: Option<&Choice>,
    json: bool,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let facts = facts::gather(nft).await?;
    let findings = audit(&facts, model);
    if json {
        let report = Report { findings: &findings, unread: &facts.unread };
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?;
        terminal.print(&(text + "\n"));
    } else {
        terminal.print(&text(&findings));
        if findings.is_empty() {
            terminal.print("nothing found\n");
        }
        for it in &facts.unread {
            terminal.warn(&format!("not read: {it}"), None);
        }
    }
    let number = |severity| findings.iter().filter(|it| it.severity == severity).count();
    match (number(Severity::Error), number(Severity::Warning)) {
        (0, 0) => Ok(()),
        (errors, warnings) => Err(Failure::new(
            Exit::Failed,
            format!("the audit found {} and {}", count(errors, "error"), count(warnings, "warning")),
        )),
    }
}
