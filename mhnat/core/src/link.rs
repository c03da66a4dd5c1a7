//! What the kernel says of the links, and which legs of the uplinks can carry packets because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::family::Family;
use crate::model::{Leg, Model, Uplink};
use crate::name::{IfName, UplinkName};

/// One network device as the kernel reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Administratively up (`IFF_UP`). A device that is down can hold no route.
    pub up: bool,
    /// Has a carrier (`IFF_LOWER_UP`). Routes stay without it, but lead nowhere.
    pub carrier: bool,
    /// Needs no next hop (`IFF_POINTOPOINT` or `IFF_NOARP`).
    pub point_to_point: bool,
    /// Its addresses that may be used as a source.
    pub addresses: BTreeSet<IpAddr>,
    /// Its addresses for which duplicate address detection has not ended, or has failed.
    pub tentative: BTreeSet<IpAddr>,
}

/// All devices, by name.
pub type Links = BTreeMap<IfName, Link>;

/// Why a leg cannot carry packets now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusable {
    /// There is no such device.
    Absent,
    /// The device is administratively down.
    Down,
    /// The device has no carrier.
    NoCarrier,
    /// The device lacks the leg's first address.
    NoAddress(IpAddr),
    /// The device has the address, but it is not yet known to be unique.
    Tentative(IpAddr),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the interface does not exist"),
            Self::Down => f.write_str("the interface is down"),
            Self::NoCarrier => f.write_str("the interface has no carrier"),
            Self::NoAddress(address) => write!(f, "the interface does not have the address {address}"),
            Self::Tentative(address) => {
                write!(f, "duplicate address detection of {address} has not ended, or has failed")
            }
        }
    }
}

/// The legs that cannot be used now, with the reason. All others can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Availability(BTreeMap<UplinkName, BTreeMap<Family, Unusable>>);

impl Availability {
    /// Every leg usable: what a plan without a kernel assumes.
    pub fn full() -> Self {
        Self::default()
    }

    /// What follows from the state of the links.
    pub fn observe(model: &Model, links: &Links) -> Self {
        let mut unusable = Self::default();
        for uplink in &model.uplinks {
            for (family, leg) in &uplink.legs {
                if let Some(reason) = examine(links.get(&uplink.interface), leg) {
                    unusable.0.entry(uplink.name.clone()).or_default().insert(*family, reason);
                }
            }
        }
        unusable
    }

    /// Whether this leg can carry packets.
    pub fn usable(&self, uplink: &Uplink, family: Family) -> bool {
        self.0.get(&uplink.name).is_none_or(|legs| !legs.contains_key(&family))
    }

    /// Every leg that cannot be used, in the order of names.
    pub fn unusable(&self) -> impl Iterator<Item = (&UplinkName, Family, Unusable)> {
        self.0.iter().flat_map(|(name, legs)| legs.iter().map(move |(family, why)| (name, *family, *why)))
    }
}

/// Legs without a gateway on an interface that needs one: everything would be looked for on the link itself.
pub fn lacking_gateway<'a>(model: &'a Model, links: &Links) -> Vec<(&'a UplinkName, Family)> {
    let broadcast = |uplink: &Uplink| links.get(&uplink.interface).is_some_and(|it| !it.point_to_point);
    model
        .uplinks
        .iter()
        .filter(|uplink| broadcast(uplink))
        .flat_map(|uplink| uplink.legs.iter().map(move |(family, leg)| (uplink, *family, leg)))
        .filter(|(_, _, leg)| leg.gateway.is_none())
        .map(|(uplink, family, _)| (&uplink.name, family))
        .collect()
}

fn examine(link: Option<&Link>, leg: &Leg) -> Option<Unusable> {
    let Some(link) = link else { return Some(Unusable::Absent) };
    if !link.up {
        return Some(Unusable::Down);
    }
    if !link.carrier {
        return Some(Unusable::NoCarrier);
    }
    let address = leg.preferred()?;
    if link.addresses.contains(&address) {
        None
    } else if link.tentative.contains(&address) {
        Some(Unusable::Tentative(address))
    } else {
        Some(Unusable::NoAddress(address))
    }
}
