//! The implementation under test: its variants, and what they must break.

use std::{collections::BTreeSet, ops::Range};

use super::{
    Content, Findings, Part, PartKind, Requirement, SubjectAction, Variant,
    names::Names,
    raw::{self, Raw, Variant as RawVariant},
    spanned::At,
};
use crate::{
    diagnostic::{Diagnostic, hint_known, listed, nearest},
    topology::NodeId,
};

/// The words of `requires`.
pub(super) fn requirements(words: &[At<String>], findings: &mut Findings) -> BTreeSet<Requirement> {
    let mut found = BTreeSet::new();
    for word in words {
        match Requirement::ALL.iter().find(|(_, known)| *known == word.value) {
            Some((requirement, _)) => {
                found.insert(*requirement);
            }
            None => {
                let known = Requirement::ALL.map(|(_, word)| word);
                let label = format!("expected {}", listed(known.map(|word| format!("\"{word}\"")), "or"));
                let message = format!("unknown requirement \"{}\"", word.value);
                let finding = Diagnostic::new(&word.span, message, label);
                findings.push(match nearest(&word.value, known) {
                    Some(near) => finding.hint(format!("did you mean \"{near}\"?")),
                    None => finding,
                });
            }
        }
    }
    found
}

/// The subject's node and variants.
pub(super) fn subject(
    raw: &Raw,
    names: Names<'_>,
    findings: &mut Findings,
) -> (Option<NodeId>, Vec<Variant>) {
    let subject = &raw.subject.value;
    let on = names.node(&subject.on, findings);
    if subject.variant.is_empty() {
        findings.push(
            Diagnostic::new(&raw.subject.span, "the subject has no variant", "expected at least one")
                .hint("such as `variant.mhnat = { mhnat = \"gateway.mhnat.toml\" }`"),
        );
    }
    let breakable: BTreeSet<&str> = raw
        .step
        .iter()
        .map(|step| step.value.name.value.as_str())
        .chain(raw.always.iter().map(|always| always.value.name.value.as_str()))
        .collect();
    let variants: Vec<Variant> =
        subject.variant.iter().map(|(name, variant)| one(name, variant, &breakable, findings)).collect();
    // Without a step there is nothing to break, and that has been said.
    if !breakable.is_empty()
        && !variants.is_empty()
        && variants.iter().all(|variant| variant.breaks.is_empty())
    {
        findings.push(
            Diagnostic::new(
                &raw.subject.span,
                "no variant is a control, so nothing proves that the steps can fail",
                "expected a variant with `breaks`",
            )
            .hint("add one that must fail, such as `variant.nothing = { breaks = [\"name of a step\"] }`"),
        );
    }
    others(raw, findings);
    order(raw, &variants, findings);
    (on, variants)
}

/// Steps may expect something else of a variant that there is.
fn others(raw: &Raw, findings: &mut Findings) {
    let known: Vec<&str> = raw.subject.value.variant.names().collect();
    let named = raw.step.iter().flat_map(|step| step.value.instead.iter());
    for (name, _) in named.filter(|(name, _)| !known.is_empty() && !known.contains(&name.value.as_str())) {
        let finding = Diagnostic::new(
            &name.span,
            format!("there is no variant `{}`", name.value),
            "expected the name of a variant",
        );
        findings.push(hint_known(finding, &name.value, known.iter().copied()));
    }
}

/// What stays is started once before it is reloaded or killed, and again only after it was stopped or killed.
fn order(raw: &Raw, variants: &[Variant], findings: &mut Findings) {
    let steps: Vec<_> = raw.step.iter().flat_map(|step| driven(&step.value)).collect();
    if !variants.iter().any(Variant::stays) {
        // Without a readable variant nothing is known, and that has been said.
        for kill in steps.iter().filter(|step| step.value == SubjectAction::Kill && !variants.is_empty()) {
            findings.push(
                Diagnostic::new(
                    &kill.span,
                    "no variant stays, so there is nothing to kill",
                    "not possible here",
                )
                .hint("a variant stays with `daemon = \"SCRIPT\"`, or with `mhnat` and `run = true`"),
            );
        }
        return;
    }
    // Without a word about it, the subject is applied before the first step.
    let mut actions = raw.step.iter().filter_map(|step| step.value.subject.as_ref());
    let mut runs = !actions.any(|action| action.value == SubjectAction::Apply);
    let mut last: Option<&Range<usize>> = None;
    for step in &steps {
        let word = step.value.word();
        let wrong = match (step.value, runs) {
            (SubjectAction::Apply, true) => Some(("the subject runs already", "it is started here")),
            (SubjectAction::Reload | SubjectAction::Kill, false) => {
                Some(("the subject does not run", "it ends here"))
            }
            (SubjectAction::Apply, false) | (SubjectAction::Reload | SubjectAction::Kill, true) => None,
            // What a killed subject left behind can be taken away.
            (SubjectAction::Stop, _) => None,
        };
        if let Some((why, before)) = wrong {
            let finding = Diagnostic::new(&step.span, why, format!("`{word}` is not possible here"));
            let finding = last.iter().fold(finding, |finding, last| finding.related(last, before));
            findings.push(match step.value {
                SubjectAction::Apply => finding.hint("`reload` tells it to read its configuration again"),
                _ => finding.hint("`apply` starts it"),
            });
        }
        runs = match step.value {
            SubjectAction::Apply => true,
            SubjectAction::Reload => runs,
            SubjectAction::Stop | SubjectAction::Kill => false,
        };
        if step.value != SubjectAction::Reload {
            last = Some(&step.span);
        }
    }
}

/// What a step does to the subject, one thing after the other.
fn driven(step: &raw::Step) -> Vec<At<SubjectAction>> {
    let flap = step.flap.as_ref().filter(|flap| flap.value.kills());
    let kills =
        flap.into_iter().flat_map(|flap| [flap.with(SubjectAction::Kill), flap.with(SubjectAction::Apply)]);
    step.subject.clone().into_iter().chain(kills).collect()
}

fn one(
    name: &At<String>,
    variant: &At<RawVariant>,
    breakable: &BTreeSet<&str>,
    findings: &mut Findings,
) -> Variant {
    let value = &variant.value;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.is_empty() || !name.value.chars().all(plain) {
        findings.push(Diagnostic::new(
            &name.span,
            format!("`{}` cannot be a variant's name", name.value),
            "expected letters, digits, `-`, `_` or `.`",
        ));
    }
    let run = value.run.as_ref().filter(|run| run.value);
    if let Some(run) = run.filter(|_| value.mhnat.is_none()) {
        findings.push(
            Diagnostic::new(
                &run.span,
                format!("variant `{}` has no configuration of mhnat to run", name.value),
                "expected with `mhnat` only",
            )
            .hint("another program that stays is a script for `daemon`"),
        );
    }
    let given = [
        (PartKind::Script, &value.script),
        (PartKind::Daemon, &value.daemon),
        (PartKind::Nft, &value.nft),
        (PartKind::Iptables, &value.iptables),
        (PartKind::Ip6tables, &value.ip6tables),
        (if run.is_some() { PartKind::MhnatRun } else { PartKind::Mhnat }, &value.mhnat),
    ];
    let mut parts = Vec::new();
    for (kind, text) in given {
        let Some(text) = text else { continue };
        if text.value.trim().is_empty() {
            findings.push(Diagnostic::new(
                &text.span,
                "an empty text implements nothing",
                "expected a file's name, or a text with a line break",
            ));
        }
        let content = if text.value.contains('\n') {
            Content::Text(text.value.clone())
        } else {
            Content::File(text.clone())
        };
        parts.push(Part { kind, content });
    }
    let mut breaks = BTreeSet::new();
    for word in &value.breaks {
        if !breakable.is_empty() && !breakable.contains(word.value.as_str()) {
            let finding = Diagnostic::new(
                &word.span,
                format!(
                    "variant `{}` breaks \"{}\", which is no step and no invariant",
                    name.value, word.value
                ),
                "expected the name of a step or of an invariant",
            );
            findings.push(hint_known(finding, &word.value, breakable.iter().copied()));
        }
        breaks.insert(word.value.clone());
    }
    Variant { name: name.value.clone(), about: value.about.clone(), parts, breaks }
}
