//! What steps have done to interfaces so far: nothing happens to one that is not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::super::{
    Findings,
    names::Names,
    raw::{self, FlapKind, LinkWord},
    spanned::At,
};
use crate::{
    diagnostic::Diagnostic,
    topology::{LinkId, NodeId},
};

/// An interface: a node and the index of one of its interfaces.
pub(super) type End = (NodeId, usize);

/// Links of which some step mutes an end.
pub(in super::super) fn muted(steps: &[At<raw::Step>], names: Names<'_>) -> BTreeSet<LinkId> {
    changed(steps, names, &[LinkWord::Mute], &[FlapKind::Mute])
}

/// Links of which some step breaks more than the kernel can: what is wrong with frames, or with some of them.
pub(in super::super) fn impaired(steps: &[At<raw::Step>], names: Names<'_>) -> BTreeSet<LinkId> {
    changed(steps, names, &[LinkWord::Impair, LinkWord::Silence], &[FlapKind::Silence])
}

fn changed(
    steps: &[At<raw::Step>],
    names: Names<'_>,
    words: &[LinkWord],
    kinds: &[FlapKind],
) -> BTreeSet<LinkId> {
    let changes = steps.iter().filter_map(|step| step.value.link.as_ref());
    let changed = changes.filter(|change| words.contains(&change.value.action.value));
    let flaps = steps.iter().filter_map(|step| step.value.flap.as_ref());
    let places = flaps.flat_map(|flap| flap.value.places());
    let flapped = places.filter(|(_, ways)| ways.iter().any(|way| kinds.contains(way))).map(|(at, _)| at);
    let places = changed.map(|change| change.value.at.clone()).chain(flapped);
    places
        .filter_map(|place| {
            // What is wrong with the name is told when the step is read.
            Some(link_of(names.interface(&place, &mut Findings::new())?, names))
        })
        .collect()
}

/// Which interfaces are not as they were in the beginning, and since which step.
#[derive(Default)]
pub(super) struct Links {
    removed: BTreeMap<End, Range<usize>>,
    muted: BTreeMap<End, Range<usize>>,
    silent: BTreeMap<End, Range<usize>>,
}

impl Links {
    /// Takes note of a change, or reports that it is not possible by now.
    pub(super) fn change(
        &mut self,
        change: &raw::LinkChange,
        end: End,
        names: Names<'_>,
        findings: &mut Findings,
    ) {
        let name = &change.at.value;
        if change.lasting.is_some() {
            return self.must_be_there(&change.at, end, findings);
        }
        let action = &change.action;
        let wrong =
            |why: &str, expected: &str| Diagnostic::new(&action.span, format!("`{name}` {why}"), expected);
        match (action.value, self.removed.get(&end).cloned()) {
            (LinkWord::Restore, Some(_)) => {
                for gone in ends_of(end, names) {
                    self.removed.remove(&gone);
                    self.muted.remove(&gone);
                    self.silent.remove(&gone);
                }
            }
            (LinkWord::Restore, None) => findings.push(
                wrong("was not removed", "expected behind `remove`")
                    .hint("`mend` gives a carrier back, `up` a device that is down"),
            ),
            (LinkWord::Remove, None) => {
                for gone in ends_of(end, names) {
                    self.removed.insert(gone, action.span.clone());
                }
            }
            (_, Some(before)) => findings
                .push(wrong("is removed", "expected `restore` before this").related(&before, "removed here")),
            (LinkWord::Mute, None) => {
                if let Some(before) = self.muted.insert(end, action.span.clone()) {
                    findings.push(wrong("is mute already", "second time").related(&before, "first time"));
                }
            }
            (LinkWord::Unmute, None) => {
                if self.muted.remove(&end).is_none() {
                    findings.push(wrong("is not mute", "expected behind `mute`"));
                }
            }
            (LinkWord::Silence, None) => {
                if let Some(before) = self.silent.insert(end, action.span.clone()) {
                    findings.push(wrong("is silent already", "second time").related(&before, "first time"));
                }
            }
            (LinkWord::Speak, None) => {
                if self.silent.remove(&end).is_none() {
                    findings.push(wrong("is not silent", "expected behind `silence`"));
                }
            }
            (LinkWord::Repair, None) => {
                if names.topology.link(link_of(end, names)).relayed.is_none() {
                    findings.push(wrong(
                        "is on a link with which nothing is ever wrong",
                        "expected behind `impair`",
                    ));
                }
            }
            (
                LinkWord::Cut
                | LinkWord::Mend
                | LinkWord::Down
                | LinkWord::Up
                | LinkWord::Impair
                | LinkWord::Readdress,
                None,
            ) => {}
        }
    }
}

impl Links {
    /// Reports an interface that is removed by now.
    pub(super) fn must_be_there(&self, name: &At<String>, end: End, findings: &mut Findings) {
        if let Some(before) = self.removed.get(&end) {
            let finding = Diagnostic::new(
                &name.span,
                format!("`{}` is removed", name.value),
                "expected `restore` before this",
            );
            findings.push(finding.related(before, "removed here"));
        }
    }
}

/// The link of an interface.
pub(super) fn link_of((node, interface): End, names: Names<'_>) -> LinkId {
    names.topology.node(node).interfaces[interface].link
}

/// The interfaces that go and come with one: itself, and the one at the other end of a mere cable.
fn ends_of(end: End, names: Names<'_>) -> Vec<End> {
    let link = names.topology.link(link_of(end, names));
    if link.is_cable() { link.ends.clone() } else { vec![end] }
}
