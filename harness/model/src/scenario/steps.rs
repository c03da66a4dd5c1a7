//! Steps and invariants: names resolved, words parsed.

use std::{collections::BTreeMap, ops::Range};

use super::{
    Always, Findings, Step,
    names::Names,
    raw::{self, Raw},
    spanned::At,
    words,
};
use crate::diagnostic::Diagnostic;

mod action;
mod change;
mod expect;
mod flap;
mod links;
mod pattern;
mod streams;

use action::Flows;
use links::Links;
pub(super) use links::{impaired, muted};
use streams::Streams;

/// What steps have done so far.
#[derive(Default)]
struct Past {
    flows: Flows,
    links: Links,
    streams: Streams,
}

/// Steps and invariants share one set of names.
pub(super) fn unique_names(raw: &Raw, findings: &mut Findings) {
    let mut seen: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
    let steps = raw.step.iter().map(|step| &step.value.name);
    for name in steps.chain(raw.always.iter().map(|always| &always.value.name)) {
        if name.value.trim().is_empty() {
            findings.push(Diagnostic::new(&name.span, "the name is empty", "expected a few words"));
        } else if let Some(former) = seen.insert(&name.value, &name.span) {
            findings.push(
                Diagnostic::new(
                    &name.span,
                    format!("the name \"{}\" is in use already", name.value),
                    "second use",
                )
                .related(former, "first use")
                .hint("steps and invariants share one set of names"),
            );
        }
    }
}

/// All steps.
pub(super) fn steps(raw: &[At<raw::Step>], names: Names<'_>, findings: &mut Findings) -> Vec<Step> {
    let mut past = Past::default();
    let steps = raw.iter().filter_map(|step| one(&step.value, names, &mut past, findings)).collect();
    past.streams.all_ended(findings);
    steps
}

fn one(step: &raw::Step, names: Names<'_>, past: &mut Past, findings: &mut Findings) -> Option<Step> {
    let within = step.within.as_ref().and_then(|text| words::duration(text, findings));
    let kind = action::kind(step, past, findings);
    let action = kind.and_then(|_| action::action(step, names, past, findings));
    let expect = expect::expect(step.expect.as_ref(), kind, names, findings);
    let instead = step
        .instead
        .iter()
        .map(|(variant, at)| (variant.value.clone(), expect::expect(Some(at), kind, names, findings)));
    let instead = instead.collect();
    past.streams.check(step, names, findings);
    Some(Step { name: step.name.value.clone(), action: action?, expect, instead, within })
}

/// All invariants.
pub(super) fn always(raw: &[At<raw::Always>], names: Names<'_>, findings: &mut Findings) -> Vec<Always> {
    raw.iter()
        .filter_map(|always| {
            let at = &always.value.never;
            let pattern = &at.value;
            for count in [&pattern.count, &pattern.at_least, &pattern.at_most].into_iter().flatten() {
                findings.push(Diagnostic::new(
                    &count.span,
                    "an invariant says never, so it counts nothing",
                    "not possible here",
                ));
            }
            if let Some(own) = pattern.own.as_ref().filter(|own| own.value) {
                findings.push(Diagnostic::new(
                    &own.span,
                    "an invariant belongs to no step, so no packet is its own",
                    "not possible here",
                ));
            }
            let never = pattern::pattern(at, names, findings)?;
            Some(Always { name: always.value.name.value.clone(), never })
        })
        .collect()
}
