//! What steps have done to interfaces so far: nothing happens to one that is not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::super::{Findings, LinkAction, names::Names, raw, spanned::At};
use crate::{
    diagnostic::Diagnostic,
    topology::{LinkId, NodeId},
};

/// An interface: a node and the index of one of its interfaces.
type End = (NodeId, usize);

/// Links of which some step mutes an end.
pub(in super::super) fn muted(steps: &[At<raw::Step>], names: Names<'_>) -> BTreeSet<LinkId> {
    let changes = steps.iter().filter_map(|step| step.value.link.as_ref());
    let muted = changes.filter(|change| change.value.action.value == LinkAction::Mute);
    muted
        .filter_map(|change| {
            // What is wrong with the name is told when the step is read.
            let (node, interface) = names.interface(&change.value.at, &mut Findings::new())?;
            Some(names.topology.node(node).interfaces[interface].link)
        })
        .collect()
}

/// Which interfaces are not as they were in the beginning, and since which step.
#[derive(Default)]
pub(super) struct Links {
    removed: BTreeMap<End, Range<usize>>,
    muted: BTreeMap<End, Range<usize>>,
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
        let action = &change.action;
        let wrong =
            |why: &str, expected: &str| Diagnostic::new(&action.span, format!("`{name}` {why}"), expected);
        match (action.value, self.removed.get(&end).cloned()) {
            (LinkAction::Restore, Some(_)) => {
                for gone in ends_of(end, names) {
                    self.removed.remove(&gone);
                    self.muted.remove(&gone);
                }
            }
            (LinkAction::Restore, None) => findings.push(
                wrong("was not removed", "expected behind `remove`")
                    .hint("`mend` gives a carrier back, `up` a device that is down"),
            ),
            (LinkAction::Remove, None) => {
                for gone in ends_of(end, names) {
                    self.removed.insert(gone, action.span.clone());
                }
            }
            (_, Some(before)) => findings
                .push(wrong("is removed", "expected `restore` before this").related(&before, "removed here")),
            (LinkAction::Mute, None) => {
                if let Some(before) = self.muted.insert(end, action.span.clone()) {
                    findings.push(wrong("is mute already", "second time").related(&before, "first time"));
                }
            }
            (LinkAction::Unmute, None) => {
                if self.muted.remove(&end).is_none() {
                    findings.push(wrong("is not mute", "expected behind `mute`"));
                }
            }
            (LinkAction::Cut | LinkAction::Mend | LinkAction::Down | LinkAction::Up, None) => {}
        }
    }
}

/// The interfaces that go and come with one: itself, and the one at the other end of a mere cable.
fn ends_of(end: End, names: Names<'_>) -> Vec<End> {
    let (node, interface) = end;
    let link = names.topology.link(names.topology.node(node).interfaces[interface].link);
    if link.is_cable() { link.ends.clone() } else { vec![end] }
}
