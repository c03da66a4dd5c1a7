//! Whether a file that can be read makes sense: what its words mean, and whether they agree.
//!
//! Each table has a module of its own. All of them add to one list of complaints, and give what they could
//! make sense of, so that one mistake hides no other.

mod addresses;
mod arp_filter;
mod balance;
mod fan_outs;
mod forwards;
mod looped;
mod marks;
mod ports;
mod prefixes;
mod probe;
mod replies;
mod sources;
mod sync;
mod uplinks;

use std::collections::BTreeSet;

use super::{Named, raw};
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::mark::MarkMask;
use crate::model::{FanOut, Forward, Model, Source, Uplink};

/// The model, unless something in it makes no sense, and all complaints.
pub(super) fn validate(raw: &raw::Config, named: &Named<'_>) -> (Option<Model>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mask = raw.marks.as_ref().map_or(MarkMask::DEFAULT, |raw| marks::mask(raw, &mut found));
    let uplinks = uplinks::uplinks(&raw.uplink, named, mask, &mut found);
    let fan_outs = fan_outs::fan_outs(&raw.fan_out, &uplinks, &mut found);
    probe::elsewhere(&uplinks, &fan_outs, &mut found);
    let balance = balance::balance(raw.balance.as_ref(), &uplinks, &mut found);
    let replies = replies::replies(raw.replies.as_ref(), &uplinks, &mut found);
    let forwards = forwards::forwards(&raw.forward, &uplinks, &mut found);
    looped::beside(raw, &replies, (&fan_outs, &forwards), &uplinks, &mut found);
    let arp_filter = arp_filter::arp_filter(raw.arp_filter.as_ref(), &mut found);
    let sync = sync::sync(raw.sync.as_ref(), &uplinks, &mut found);
    let beside = !raw.forward.is_empty() || raw.arp_filter.is_some() || raw.sync.is_some();
    if !beside && raw.uplink.is_empty() && raw.fan_out.is_empty() && raw.replies.is_none() {
        found.push(
            Diagnostic::new("there is nothing to do", 0..0, "no `[[uplink]]`, `[[fan-out]]` or `[replies]`")
                .hint("`mhnat down` takes back what an earlier file asked for")
                .follows_from(&["uplink", "fan-out", "replies"]),
        );
    }
    let pinning = pinning(raw, &mut found);
    let uplinks: Vec<Uplink> = uplinks.into_iter().map(|known| known.uplink).collect();
    let mut forwarding = forwarding(raw, &uplinks, &fan_outs);
    if raw.forwarding.is_none() {
        forwarding.extend(forwards.iter().map(Forward::family));
    }
    let model = found.is_empty().then_some(Model {
        mask,
        forwarding,
        forwarding_implied: raw.forwarding.is_none(),
        pinning,
        uplinks,
        balance,
        fan_outs,
        forwards,
        arp_filter,
        replies,
        sync,
    });
    (model, found)
}

/// Without an uplink there is nothing to pin a connection to.
fn pinning(raw: &raw::Config, found: &mut Vec<Diagnostic>) -> bool {
    let Some(given) = raw.pinning.as_ref().filter(|it| *it.get_ref()) else { return false };
    if raw.uplink.is_empty() {
        found.push(
            Diagnostic::new("there is no uplink to pin connections to", given.span(), "asked for here")
                .hint("add an `[[uplink]]` for each way out")
                .follows_from(&["uplink"]),
        );
    }
    true
}

fn forwarding(raw: &raw::Config, uplinks: &[Uplink], fan_outs: &[FanOut]) -> BTreeSet<Family> {
    let legs = || uplinks.iter().flat_map(|uplink| &uplink.legs);
    match raw.forwarding.as_ref().map(|it| *it.get_ref()) {
        Some(false) => BTreeSet::new(),
        Some(true) => legs().map(|(family, _)| *family).chain(fan_outs.iter().map(FanOut::family)).collect(),
        // Translating the sources of what leaves is only of use to those behind this host.
        None => legs()
            .filter(|(_, leg)| leg.source != Source::Unchanged)
            .map(|(family, _)| *family)
            .chain(fan_outs.iter().map(FanOut::family))
            .collect(),
    }
}
