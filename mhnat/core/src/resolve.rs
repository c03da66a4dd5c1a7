//! Dynamic uplinks: what a DHCP client, a PPP daemon or router advertisements gave to the kernel takes the
//! place of what the file leaves open.
//!
//! The result is a model like any other, so nothing that derives from it need know. A leg for which there is
//! nothing (yet) stays, without addresses: it can carry no packets, but its guard by mark holds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::family::Family;
use crate::link::{Link, Links};
use crate::model::{FanOut, Leg, Model, Uplink};
use crate::routing::priority::MAX_ADDRESSES;

/// The model with the addresses and next hops that the links have now. `families` are those that the kernel
/// knows at all: a dynamic uplink has no leg in another.
#[must_use]
pub fn resolve(model: &Model, links: &Links, families: &BTreeSet<Family>) -> Model {
    let mut resolved = model.clone();
    for uplink in &mut resolved.uplinks {
        let link = links.get(&uplink.interface);
        if uplink.dynamic.address {
            uplink.legs.retain(|family, _| families.contains(family));
        }
        let dynamic = uplink.dynamic;
        for (family, leg) in &mut uplink.legs {
            if dynamic.address {
                leg.addresses = addresses(link, *family);
            }
            if dynamic.gateway {
                leg.gateway = link.and_then(|link| gateway(link, *family));
            }
        }
    }
    if resolved.forwarding_implied {
        let needed = |family: &Family| {
            resolved.fan_outs.iter().map(FanOut::family).any(|it| it == *family)
                || legs(&resolved.uplinks, *family).any(|leg| !leg.addresses.is_empty())
        };
        resolved.forwarding = model.forwarding.iter().copied().filter(needed).collect();
    }
    resolved
}

fn legs(uplinks: &[Uplink], family: Family) -> impl Iterator<Item = &Leg> {
    uplinks.iter().filter_map(move |uplink| uplink.legs.get(&family))
}

fn addresses(link: Option<&Link>, family: Family) -> Vec<IpAddr> {
    let all = link.into_iter().flat_map(|link| &link.preferred).copied();
    all.filter(|it| Family::of(*it) == family).take(MAX_ADDRESSES).collect()
}

/// On a point-to-point device there is only one other end.
fn gateway(link: &Link, family: Family) -> Option<IpAddr> {
    if link.point_to_point {
        return None;
    }
    link.learned.iter().map(|hop| hop.gateway).find(|it| Family::of(*it) == family)
}

#[cfg(test)]
mod tests;
