//! The streams that steps have started so far.

use std::{collections::BTreeMap, ops::Range};

use super::super::{Findings, names::Names, raw, spanned::At};
use crate::diagnostic::{Diagnostic, hint_known};

/// The streams that steps have started so far.
#[derive(Default)]
pub(super) struct Streams {
    running: BTreeMap<String, Running>,
    ended: BTreeMap<String, Range<usize>>,
    /// The one that the step at hand ends.
    just_ended: Option<Running>,
}

struct Running {
    started: Range<usize>,
    /// Whether a link has changed since.
    link_changed: bool,
}

impl Streams {
    pub(super) fn start(&mut self, name: &At<String>, findings: &mut Findings) {
        self.ended.remove(&name.value);
        let running = Running { started: name.span.clone(), link_changed: false };
        if let Some(former) = self.running.insert(name.value.clone(), running) {
            let message = format!("stream `{}` runs already", name.value);
            findings.push(
                Diagnostic::new(&name.span, message, "started twice")
                    .related(&former.started, "started here")
                    .hint("end it first, or give this one another name"),
            );
        }
    }

    pub(super) fn link_changes(&mut self) {
        self.running.values_mut().for_each(|stream| stream.link_changed = true);
    }

    pub(super) fn end(&mut self, name: &At<String>, findings: &mut Findings) -> Option<String> {
        if let Some(running) = self.running.remove(&name.value) {
            self.ended.insert(name.value.clone(), name.span.clone());
            self.just_ended = Some(running);
            return Some(name.value.clone());
        }
        let label = "expected a stream that runs";
        findings.push(match self.ended.get(&name.value) {
            Some(ended) => {
                let message = format!("stream `{}` is ended already", name.value);
                Diagnostic::new(&name.span, message, label).related(ended, "ended here")
            }
            None => {
                let message = format!("stream `{}` was not started", name.value);
                let finding = Diagnostic::new(&name.span, message, label);
                if self.running.is_empty() {
                    finding.hint("start it in an earlier step: `stream = { name = ..., from = ..., to = ..., rate = ... }`")
                } else {
                    hint_known(finding, &name.value, self.running.keys().map(String::as_str))
                }
            }
        });
        None
    }

    /// Reports what a step expects of the stream that it ends and that no stream could show.
    pub(super) fn check(&mut self, step: &raw::Step, names: Names<'_>, findings: &mut Findings) {
        let Some(ended) = self.just_ended.take() else { return };
        for expect in step.expect.iter().chain(step.instead.iter().map(|(_, expect)| expect)) {
            Self::check_one(&ended, expect, names, findings);
        }
    }

    fn check_one(ended: &Running, expect: &At<raw::Expect>, names: Names<'_>, findings: &mut Findings) {
        if let Some(recovery) = expect.value.recovery.as_ref().filter(|_| !ended.link_changed) {
            findings.push(
                Diagnostic::new(
                    &recovery.span,
                    "no link changes while this stream runs, so there is nothing to recover from",
                    "expected a `link` step before this",
                )
                .related(&ended.started, "started here"),
            );
        }
        let provided = names.topology.links.iter().any(|link| link.provided.is_some());
        if let Some(leaked) = expect.value.leaked.as_ref().filter(|_| !provided) {
            findings.push(
                Diagnostic::new(
                    &leaked.span,
                    "no link is a provider's, so no source is foreign anywhere",
                    "expected an isp or a vpn in the topology",
                )
                .hint("of other links, `never` with `source-not` says as much"),
            );
        }
    }

    /// Reports streams that nobody ends.
    pub(super) fn all_ended(&self, findings: &mut Findings) {
        for (name, running) in &self.running {
            let message = format!("stream `{name}` is never ended, so nothing judges it");
            findings.push(
                Diagnostic::new(&running.started, message, "started here")
                    .hint(format!("end it in a later step: `end = {{ stream = \"{name}\" }}`")),
            );
        }
    }
}
