//! What the kernel says of the links, and which legs of the uplinks can carry packets because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::converge::Routing;
use crate::family::Family;
use crate::health::Ailments;
use crate::model::{Leg, Model, Target, Uplink};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Its link is well, and probes that it needs are not answered.
    Unanswered {
        /// The one that decided it.
        target: Target,
        /// How often in a row.
        times: u8,
        /// How many others of its targets are lost as well.
        others: u8,
    },
    /// Its link is back, and probes that it needs are not yet answered as often as they should be.
    Unproven {
        /// The first of those.
        target: Target,
        /// How often in a row it is to be answered.
        times: u8,
    },
    /// It was lost too often in a short time.
    Dampened,
}

impl Unusable {
    /// Whether the link itself could carry packets, as far as the kernel knows.
    pub const fn link_is_well(self) -> bool {
        match self {
            Self::Absent
            | Self::Down
            | Self::NoCarrier
            | Self::NoAddress(_)
            | Self::Nothing
            | Self::NoGateway
            | Self::Tentative(_) => false,
            Self::Unanswered { .. } | Self::Unproven { .. } | Self::Dampened => true,
        }
    }
}

/// `once`, `twice`, `3 times`.
struct Times(u8);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("once"),
            2 => f.write_str("twice"),
            more => write!(f, "{more} times"),
        }
    }
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
            Self::Unanswered { target, times, others } => {
                write!(f, "probe {target} unanswered {}", Times(*times))?;
                match others {
                    0 => Ok(()),
                    1 => f.write_str(", and so is the other one"),
                    more => write!(f, ", and so are {more} others"),
                }
            }
            Self::Unproven { target, times: 1 } => {
                write!(f, "the link is back, and probe {target} not yet answered")
            }
            Self::Unproven { target, times } => {
                write!(f, "the link is back, and probe {target} not yet answered {} in a row", Times(*times))
            }
            Self::Dampened => f.write_str("it was lost too often, and rests for a while"),
        }
    }
}

/// The legs that cannot be used now, with the reason. All others can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Availability {
    unusable: BTreeMap<UplinkName, BTreeMap<Family, Unusable>>,
    /// Legs that are used although something speaks against it.
    despite: BTreeMap<UplinkName, BTreeMap<Family, Unusable>>,
}

impl Availability {
    /// Every leg usable: what a plan without a kernel assumes.
    pub fn full() -> Self {
        Self::default()
    }

    /// What follows from the state of the links.
    pub fn observe(model: &Model, links: &Links) -> Self {
        let mut observed = Self::default();
        for uplink in &model.uplinks {
            for (family, leg) in &uplink.legs {
                if let Some(reason) = examine(links.get(&uplink.interface), uplink, *family, leg) {
                    observed.unusable.entry(uplink.name.clone()).or_default().insert(*family, reason);
                }
            }
        }
        observed
    }

    /// And of what is known of their health. The default route of a family is not given up for want of an answer
    /// unless there is another: of uplinks that all ail, the one that was well last is used as if it still were.
    #[must_use]
    pub fn heed(mut self, model: &Model, ailments: &Ailments) -> Self {
        for (name, family, ailment) in ailments.iter() {
            let known = model.uplink(name).is_some_and(|it| it.legs.contains_key(&family));
            if known {
                // What speaks against the link itself is said first.
                self.unusable.entry(name.clone()).or_default().entry(family).or_insert(ailment.why);
            }
        }
        for family in Family::ALL {
            let preferred = || model.uplinks.iter().filter(|it| it.metric.is_some());
            if preferred().any(|it| self.usable(it, family)) {
                continue;
            }
            let ailing = preferred().filter(|it| self.link_is_well(it, family));
            let last = ailing.max_by_key(|it| {
                let well = ailments.get(&it.name, family).map(|it| it.well);
                (well, std::cmp::Reverse(it.metric))
            });
            let Some(last) = last else { continue };
            let legs = self.unusable.get_mut(&last.name);
            if let Some(why) = legs.and_then(|legs| legs.remove(&family)) {
                self.despite.entry(last.name.clone()).or_default().insert(family, why);
            }
        }
        self
    }

    /// What follows from routes that the kernel has taken away: with a device or an address it takes those that need
    /// it, and does not bring them back, however short they were gone.
    pub fn lacking(model: &Model, put: &Routing, present: &Routing) -> Self {
        let mut lacking = Self::default();
        for route in put.routes.difference(&present.routes) {
            for uplink in model.uplinks.iter().filter(|it| it.interface == route.device) {
                let legs = lacking.unusable.entry(uplink.name.clone()).or_default();
                legs.insert(route.family, Unusable::Absent);
            }
        }
        lacking
    }

    /// What cannot be used by another account cannot be used by this one either.
    pub fn worsen(&mut self, other: &Self) {
        for (name, legs) in &other.unusable {
            for (family, why) in legs {
                self.unusable.entry(name.clone()).or_default().entry(*family).or_insert(*why);
            }
        }
    }

    /// Whether packets that can go nowhere else may be sent by this leg: its link is well, whatever is thought of
    /// what is behind it.
    pub fn link_is_well(&self, uplink: &Uplink, family: Family) -> bool {
        uplink.legs.get(&family).is_some_and(|leg| !leg.addresses.is_empty())
            && self.why(&uplink.name, family).is_none_or(Unusable::link_is_well)
    }

    /// Why this leg cannot be used; nothing when it can.
    pub fn why(&self, uplink: &UplinkName, family: Family) -> Option<Unusable> {
        self.unusable.get(uplink)?.get(&family).copied()
    }

    /// What speaks against this leg, which is used for want of another.
    pub fn despite(&self, uplink: &UplinkName, family: Family) -> Option<Unusable> {
        self.despite.get(uplink)?.get(&family).copied()
    }

    /// Whether this leg can carry packets. One without an address cannot, whatever was observed.
    pub fn usable(&self, uplink: &Uplink, family: Family) -> bool {
        uplink.legs.get(&family).is_some_and(|leg| !leg.addresses.is_empty())
            && self.why(&uplink.name, family).is_none()
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
        self.unusable
            .iter()
            .flat_map(|(name, legs)| legs.iter().map(move |(family, why)| (name, *family, *why)))
    }
}

/// Legs without a gateway on an interface that needs one: everything would be looked for on the link itself.
pub fn lacking_gateway<'a>(model: &'a Model, links: &Links) -> Vec<(&'a UplinkName, Family)> {
    let broadcast = |uplink: &Uplink| links.get(&uplink.interface).is_some_and(|it| !it.point_to_point);
    model
        .legs()
        .filter(|(uplink, _, _)| broadcast(uplink))
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
