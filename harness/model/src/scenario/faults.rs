//! What is wrong with a link.

use std::time::Duration;

use super::{Findings, raw::Impair, spanned::At, words};
use crate::{
    diagnostic::{Diagnostic, hint_known},
    preset::Doubts,
    relay::{Faults, Share},
    topology::{LinkId, Topology},
};

/// The faults of a direction, or of both.
pub(crate) fn faults(impair: &At<Impair>, findings: &mut Findings) -> Faults {
    let Impair { towards: _, delay, jitter, loss, lose, duplicate, reorder, corrupt, rate, black_hole } =
        &impair.value;
    let mut time = |text: &Option<At<String>>| -> Duration {
        text.as_ref().and_then(|text| words::duration(text, findings)).unwrap_or_default()
    };
    let (delay, jitter) = (time(delay), time(jitter));
    let mut share = |text: &Option<At<String>>| -> Share {
        text.as_ref().and_then(|text| words::share(text, findings)).unwrap_or_default()
    };
    let (loss, duplicate) = (share(loss), share(duplicate));
    let (reorder, corrupt) = (share(reorder), share(corrupt));
    let rate = rate.as_ref().and_then(|text| words::rate(text, findings));
    for number in lose.iter().filter(|number| number.value == 0) {
        findings.push(Diagnostic::new(&number.span, "packets are counted from 1", "expected 1 or more"));
    }
    let lose = lose.iter().map(|number| number.value).collect();
    let black_hole = black_hole.as_ref().map(|bytes| bytes.value);
    Faults { delay, jitter, loss, lose, duplicate, reorder, corrupt, rate, black_hole }
}

/// Which of the two ends of a link frames with faults are on their way to: 0, 1, or both.
pub(crate) fn towards(
    impair: &At<Impair>,
    link: LinkId,
    topology: &Topology,
    doubts: &Doubts,
    findings: &mut Findings,
) -> [bool; 2] {
    let Some(name) = &impair.value.towards else { return [true, true] };
    let link = topology.link(link);
    let is = |at: usize| link.ends.get(at).is_some_and(|(node, _)| topology.node(*node).name == name.value);
    let found = [is(0), is(1)];
    let doubtful = topology.node_named(&name.value).is_some_and(|node| doubts.nodes.contains(&node));
    if found == [false, false] && !doubtful {
        let message = format!("`{}` is no end of link `{}`", name.value, link.name);
        let finding = Diagnostic::new(&name.span, message, "expected the node at one of its ends");
        let known = link.ends.iter().map(|(node, _)| topology.node(*node).name.as_str());
        findings.push(hint_known(finding, &name.value, known));
    }
    found
}

/// Whether a link can have faults: what is between its ends must be a cable, and not a switch.
pub(crate) fn between_two(
    place: &std::ops::Range<usize>,
    link: LinkId,
    topology: &Topology,
    findings: &mut Findings,
) -> bool {
    let link = topology.link(link);
    let fits = link.ends.len() == 2;
    if !fits {
        let message = format!("link `{}` has {} ends", link.name, link.ends.len());
        findings.push(
            Diagnostic::new(place, message, "expected on a link between two ends")
                .hint("what has more ends is a switch; put a router behind a link of its own"),
        );
    }
    fits
}
