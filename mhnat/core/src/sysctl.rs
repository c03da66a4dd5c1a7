//! Kernel settings: what must hold, what to write for it, and what to write to take it back.
//!
//! Former values are kept from the first write until the setting is no longer demanded. Two settings change
//! others when written, so that those others are kept as well:
//!
//! - `net.ipv4.ip_forward` sets `forwarding` of every interface and of `default`, and the opposite of itself
//!   in `net.ipv4.conf.all.accept_redirects` (`inet_forward_change`, net/ipv4/devinet.c);
//! - `net.ipv6.conf.all.forwarding` sets `forwarding` of every interface and of `default`, and removes default
//!   routes learned from router advertisements on interfaces whose `accept_ra` is not 2
//!   (`addrconf_fixup_forwarding`, net/ipv6/addrconf.c).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::family::Family;
use crate::name::IfName;

/// The path of a setting below /proc/sys, such as `net/ipv4/ip_forward`. An interface name in it may have
/// dots, so that the dotted form would be ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(String);

impl Key {
    /// A setting of one interface, or of `all` or `default`.
    pub fn of_interface(family: Family, interface: &str, setting: &str) -> Self {
        let tree = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        Self(format!("net/{tree}/conf/{interface}/{setting}"))
    }

    /// The switch that turns forwarding on and off for a whole family.
    pub fn forwarding(family: Family) -> Self {
        match family {
            Family::V4 => Self("net/ipv4/ip_forward".to_owned()),
            Family::V6 => Self::of_interface(family, "all", "forwarding"),
        }
    }

    /// A setting of connection tracking.
    fn conntrack(setting: &str) -> Self {
        Self(format!("net/netfilter/nf_conntrack_{setting}"))
    }

    /// The path below /proc/sys.
    pub fn path(&self) -> &str {
        &self.0
    }
}

/// As sysctl(8) prints it when the name has a slash.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Settings and their values, as read.
pub type Values = BTreeMap<Key, String>;

/// Something that the kernel's settings must allow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// The interface accepts packets whose source is routed elsewhere: `rp_filter` in effect is not 1.
    LooseReversePath(IfName),
    /// Packets may be forwarded.
    Forwarding(Family),
    /// Every connection tells of its changes, also one that was begun while nobody listened.
    ConntrackEvents,
    /// TCP segments are not checked by a window that conntrack may know only half of.
    LiberalWindows,
}

impl Demand {
    /// The setting that must be 1, for a demand that is one setting of connection tracking.
    fn conntrack(&self) -> Option<Key> {
        match self {
            Self::ConntrackEvents => Some(Key::conntrack("events")),
            Self::LiberalWindows => Some(Key::conntrack("tcp_be_liberal")),
            Self::LooseReversePath(_) | Self::Forwarding(_) => None,
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LooseReversePath(interface) => write!(
                f,
                "{} = 2  # only where reverse path filtering is strict",
                Key::of_interface(Family::V4, interface.as_str(), "rp_filter")
            ),
            Self::Forwarding(family) => write!(f, "{} = 1", Key::forwarding(*family)),
            Self::ConntrackEvents | Self::LiberalWindows => {
                self.conntrack().map_or(Ok(()), |key| write!(f, "{key} = 1"))
            }
        }
    }
}

/// What the kernel reports beside the values themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Every network device, `lo` included.
    pub interfaces: BTreeSet<String>,
    /// Devices with a default route learned from a router advertisement.
    pub advertised: BTreeSet<String>,
}

/// Every setting that the demands may read or change: what must be read before [`plan`].
pub fn relevant(demands: &BTreeSet<Demand>, around: &Surroundings) -> BTreeSet<Key> {
    demands.iter().flat_map(|demand| affected(demand, around)).collect()
}

fn affected(demand: &Demand, around: &Surroundings) -> Vec<Key> {
    match demand {
        Demand::LooseReversePath(interface) => ["all", interface.as_str()]
            .into_iter()
            .map(|name| Key::of_interface(Family::V4, name, "rp_filter"))
            .collect(),
        Demand::Forwarding(family) => {
            let names = around.interfaces.iter().map(String::as_str).chain(["default"]);
            let mut keys: Vec<Key> = names.map(|it| Key::of_interface(*family, it, "forwarding")).collect();
            keys.push(Key::forwarding(*family));
            match family {
                Family::V4 => keys.push(Key::of_interface(Family::V4, "all", "accept_redirects")),
                Family::V6 => keys.extend(around.advertised.iter().map(|it| accept_ra(it))),
            }
            keys
        }
        Demand::ConntrackEvents | Demand::LiberalWindows => demand.conntrack().into_iter().collect(),
    }
}

fn accept_ra(interface: &str) -> Key {
    Key::of_interface(Family::V6, interface, "accept_ra")
}

/// The writes that meet the demands, in three groups because the rest of `apply` goes between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SysctlPlan {
    /// Former values to keep from now on, beside those already kept.
    pub keep: Values,
    /// Writes for demands that come before routes and rules: filters are opened first.
    pub open: Vec<(Key, String)>,
    /// Writes for demands that come last: nothing is forwarded before its source is translated.
    pub forward: Vec<(Key, String)>,
    /// Kept settings that nothing demands any more: to be restored, then forgotten.
    pub obsolete: BTreeSet<Key>,
}

/// Compares the demands with the current values.
pub fn plan(
    demands: &BTreeSet<Demand>,
    around: &Surroundings,
    current: &Values,
    kept: &Values,
) -> SysctlPlan {
    let mut plan = SysctlPlan::default();
    let mut demanded = BTreeSet::new();
    for demand in demands {
        demanded.extend(affected(demand, around));
        match demand {
            Demand::LooseReversePath(interface) => {
                let value = |name: &str| {
                    let key = Key::of_interface(Family::V4, name, "rp_filter");
                    current.get(&key).and_then(|text| text.parse::<u8>().ok()).map(|value| (key, value))
                };
                let (Some((_, all)), Some((key, own))) = (value("all"), value(interface.as_str())) else {
                    continue;
                };
                // The kernel uses the greater of the two (ip-sysctl), and 1 is strict.
                if all.max(own) == 1 {
                    plan.keep.insert(key.clone(), own.to_string());
                    plan.open.push((key, "2".to_owned()));
                }
            }
            Demand::Forwarding(family) => {
                let switch = Key::forwarding(*family);
                if current.get(&switch).is_none_or(|value| value != "0") {
                    continue;
                }
                for key in affected(demand, around) {
                    if let Some(value) = current.get(&key) {
                        plan.keep.insert(key, value.clone());
                    }
                }
                if *family == Family::V6 {
                    let heeding = around.advertised.iter().map(|it| accept_ra(it));
                    let heeding = heeding.filter(|key| current.get(key).is_some_and(|value| value == "1"));
                    plan.forward.extend(heeding.map(|key| (key, "2".to_owned())));
                }
                plan.forward.push((switch, "1".to_owned()));
            }
            Demand::ConntrackEvents | Demand::LiberalWindows => {
                // Absent until connection tracking is there, which our own rules see to.
                let Some((key, value)) = demand.conntrack().and_then(|key| current.get_key_value(&key))
                else {
                    continue;
                };
                if value != "1" {
                    plan.keep.insert(key.clone(), value.clone());
                    plan.open.push((key.clone(), "1".to_owned()));
                }
            }
        }
    }
    plan.keep.retain(|key, _| !kept.contains_key(key));
    // A device that has gone has taken its settings with it; restoring skips it. An interface that is not
    // demanded by name may still belong to a demand for all.
    plan.obsolete = kept
        .keys()
        .filter(|key| !demanded.contains(key) && !belongs_to_forwarding(key, demands))
        .cloned()
        .collect();
    plan
}

fn belongs_to_forwarding(key: &Key, demands: &BTreeSet<Demand>) -> bool {
    demands.iter().any(|demand| match demand {
        Demand::Forwarding(Family::V4) => {
            key.path().starts_with("net/ipv4/") && !key.path().ends_with("/rp_filter")
        }
        Demand::Forwarding(Family::V6) => key.path().starts_with("net/ipv6/"),
        Demand::LooseReversePath(_) | Demand::ConntrackEvents | Demand::LiberalWindows => false,
    })
}

/// Orders kept values for restoring: the switches first, because writing them changes the others; then
/// `accept_ra` last of all, for while forwarding is on a 1 would mean that advertisements are ignored.
pub fn restore_order(kept: &Values) -> Vec<(&Key, &str)> {
    let mut order: Vec<(&Key, &str)> = kept.iter().map(|(key, value)| (key, value.as_str())).collect();
    let rank = |key: &Key| {
        if Family::ALL.into_iter().any(|family| *key == Key::forwarding(family)) {
            0
        } else if key.path().ends_with("/accept_ra") {
            2
        } else {
            1
        }
    };
    order.sort_by_key(|(key, _)| rank(key));
    order
}

#[cfg(test)]
mod tests;
