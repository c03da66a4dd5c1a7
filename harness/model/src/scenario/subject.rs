//! The implementation under test: its variants, and what they must break.

use std::collections::BTreeSet;

use super::{
    Content, Findings, Part, PartKind, Requirement, Variant,
    names::Names,
    raw::{Raw, Variant as RawVariant},
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
    (on, variants)
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
    let given = [
        (PartKind::Script, &value.script),
        (PartKind::Nft, &value.nft),
        (PartKind::Iptables, &value.iptables),
        (PartKind::Ip6tables, &value.ip6tables),
        (PartKind::Mhnat, &value.mhnat),
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
