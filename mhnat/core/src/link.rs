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
    /// Those of them that are global and not deprecated, primary ones first: what a dynamic uplink has.
    pub preferred: Vec<IpAddr>,
    /// Default routes of other programs through it that name a next hop.
    pub learned: BTreeSet<NextHop>,
    /// Its addresses for which duplicate address detection has not ended, or has failed.
    pub tentative: BTreeSet<IpAddr>,
}

/// A next hop that another program gave to the kernel. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextHop {
    /// Whether the route is in another table than main.
    pub aside: bool,
    /// Who made it.
    pub origin: Origin,
    /// The metric of the route.
    pub metric: u32,
    /// The next hop, perhaps link-local.
    pub gateway: IpAddr,
}

/// Who made a default route. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A DHCP client.
    Dhcp,
    /// A router advertisement.
    Advertisement,
    /// The administrator, for good.
    Static,
    /// Whoever did not say.
    Boot,
    /// Another program.
    Other,
}

/// All devices, by name.
pub type Links = BTreeMap<IfName, Link>;

/// Whether an address means something beyond its link.
pub fn is_global(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    };
    !local && !address.is_loopback() && !address.is_multicast() && !address.is_unspecified()
}

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
    /// The device has no global address, from which a dynamic one could be taken.
    Nothing,
    /// No default route gives a next hop on the device.
    NoGateway,
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
            Self::Nothing => f.write_str("the interface has no global address"),
            Self::NoGateway => f.write_str("no default route through the interface gives its gateway"),
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
                if let Some(reason) = examine(links.get(&uplink.interface), uplink, *family, leg) {
                    unusable.0.entry(uplink.name.clone()).or_default().insert(*family, reason);
                }
            }
        }
        unusable
    }

    /// Whether this leg can carry packets. One without an address cannot, whatever was observed.
    pub fn usable(&self, uplink: &Uplink, family: Family) -> bool {
        uplink.legs.get(&family).is_some_and(|leg| !leg.addresses.is_empty())
            && self.0.get(&uplink.name).is_none_or(|legs| !legs.contains_key(&family))
    }

    /// The legs whose reason a person should hear of. That a dynamic uplink has only one family is how its
    /// provider is.
    pub fn complaints(&self, model: &Model) -> Vec<(UplinkName, Family, Unusable)> {
        let other_works = |name: &UplinkName| {
            model.uplink(name).is_some_and(|it| it.legs.keys().any(|family| self.usable(it, *family)))
        };
        self.unusable()
            .filter(|(name, _, why)| *why != Unusable::Nothing || !other_works(name))
            .map(|(name, family, why)| (name.clone(), family, why))
            .collect()
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
        // Without an address it is not usable anyway, and without a dynamic gateway neither.
        .filter(|(uplink, _, leg)| {
            leg.gateway.is_none() && !leg.addresses.is_empty() && !uplink.dynamic.gateway
        })
        .map(|(uplink, family, _)| (&uplink.name, family))
        .collect()
}

fn examine(link: Option<&Link>, uplink: &Uplink, family: Family, leg: &Leg) -> Option<Unusable> {
    let Some(link) = link else { return Some(Unusable::Absent) };
    if !link.up {
        return Some(Unusable::Down);
    }
    if !link.carrier {
        return Some(Unusable::NoCarrier);
    }
    let Some(address) = leg.preferred() else {
        let awaited = link.tentative.iter().find(|it| Family::of(**it) == family && is_global(**it));
        return Some(awaited.map_or(Unusable::Nothing, |address| Unusable::Tentative(*address)));
    };
    if link.addresses.contains(&address) {
        let lacking = uplink.dynamic.gateway && leg.gateway.is_none() && !link.point_to_point;
        lacking.then_some(Unusable::NoGateway)
    } else if link.tentative.contains(&address) {
        Some(Unusable::Tentative(address))
    } else {
        Some(Unusable::NoAddress(address))
    }
}
