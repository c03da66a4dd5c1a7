//! Uplinks that carry less than their interface says.
//!
//! TCP is told at the handshake: a segment size that would not fit is lowered in what leaves by the uplink, and
//! in what comes in by it, whoever the ends are. The kernel only ever lowers it (`nft_exthdr_tcp_set_eval`,
//! net/netfilter/nft_exthdr.c). For everything else the uplink's routes have the MTU, so that this host
//! itself says what is too large, instead of a far router that may not.

use std::collections::BTreeSet;

use super::Context;
use super::ruleset::{Part, quoted, rule};
use crate::family::Family;
use crate::nft::{Chain, Map};

pub(super) fn part(context: &Context<'_>) -> Part {
    let mut part = Part::default();
    let mut sizes = BTreeSet::new();
    for family in Family::ALL {
        let mut narrow = Vec::new();
        for (it, _) in context.legs(family) {
            let Some(mtu) = it.uplink.mtu else { continue };
            let size = mtu.segment(family);
            sizes.insert(size);
            narrow.push((quoted(&it.uplink.interface), format!("jump {}", chain(size))));
        }
        if narrow.is_empty() {
            continue;
        }
        let map = format!("segments_{}", family.digit());
        let syn = format!("meta nfproto {} tcp flags syn", family.nft_protocol());
        part.mark_prerouting.push(rule(
            format!("{syn} iifname vmap @{map}"),
            format!("mtu: {family} connections agree on segments that can come in by the uplink"),
        ));
        part.mark_postrouting.push(rule(
            format!("{syn} oifname vmap @{map}"),
            format!("mtu: {family} connections agree on segments that can leave by the uplink"),
        ));
        part.maps.push(Map { name: map, key: "ifname", value: "verdict", elements: narrow });
    }
    part.chains.extend(sizes.into_iter().map(|size| Chain {
        name: chain(size),
        hook: None,
        rules: vec![rule(
            format!("tcp option maxseg size set {size}"),
            format!("mtu: segments of at most {size} bytes"),
        )],
    }));
    part
}

/// No name of an uplink makes another chain's name this one.
fn chain(size: u16) -> String {
    format!("segments_of_{size}")
}
