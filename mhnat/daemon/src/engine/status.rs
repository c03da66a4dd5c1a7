//! What is in the kernel, beside what was applied. Only looks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mhnat_core::chronicle::{History, LegHistory};
use mhnat_core::desired::desired;
use mhnat_core::device;
use mhnat_core::family::Family;
use mhnat_core::link::Availability;
use mhnat_core::mark::Mark;
use mhnat_core::model::Model;
use mhnat_core::name::{IfName, UplinkName};
use mhnat_core::nft::{Inventories, Inventory, Table, inventories};
use mhnat_core::rehome::Sweep;
use mhnat_core::routing::TableId;
use mhnat_core::sysctl::{self as settings, Surroundings};
use serde::Serialize;

use super::observe::links;
use super::{alive, boot_time, differences};
use crate::failure::Failure;
use crate::kernel::{Counters, Devices, Kernel, flows, stranded};
use crate::nft::Nft;
use crate::serve::{Daemon, ask};
use crate::state::{Applied, State};
use crate::sysctl;

/// Everything that is known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Status {
    /// The configuration that was applied; nothing when none is, or when a change was cut off.
    pub(crate) config: Option<PathBuf>,
    /// Whether a run was killed in the middle of a change.
    pub(crate) cut_off: bool,
    /// A change that waits to be confirmed.
    pub(crate) unconfirmed: Option<Waiting>,
    /// The daemon that keeps it so; nothing when none does.
    pub(crate) daemon: Option<DaemonStatus>,
    /// Whether one did, and was killed.
    pub(crate) daemon_killed: bool,
    pub(crate) uplinks: Vec<UplinkStatus>,
    /// What is not as it was applied, in words.
    pub(crate) drift: Vec<String>,
    /// What could not be found out, and why.
    pub(crate) unknown: Vec<String>,
}

/// What a daemon has done since it began. What it says of each uplink stands with that.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct DaemonStatus {
    /// When that was, in RFC 3339.
    pub(crate) started: String,
    /// How often it looked at the kernel.
    pub(crate) looks: u64,
    /// How often it changed something there.
    pub(crate) turns: u64,
    /// How often that was although no uplink had changed.
    pub(crate) reasserted: u64,
    /// How often it did not succeed.
    pub(crate) failed: u64,
    /// Sockets of this host that it has closed.
    pub(crate) closed: u64,
}

/// A change that waits to be confirmed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Waiting {
    /// How long until it is taken back.
    pub(crate) milliseconds_left: u64,
    /// Whether somebody is there to take it back.
    pub(crate) supervised: bool,
}

/// One uplink.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct UplinkStatus {
    pub(crate) name: UplinkName,
    pub(crate) interface: IfName,
    /// The mark of its packets and connections with its mask, in hexadecimal.
    pub(crate) mark: Option<String>,
    pub(crate) table: Option<u32>,
    pub(crate) legs: BTreeMap<Family, LegStatus>,
    /// Nothing when the interface does not exist.
    pub(crate) counters: Option<Counters>,
    /// Tracked connections with its mark; nothing when they cannot be counted.
    pub(crate) flows: Option<u64>,
}

/// One family of an uplink.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LegStatus {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) gateway: Option<IpAddr>,
    /// Why it carries nothing now; nothing when it does.
    pub(crate) unusable: Option<String>,
    /// What speaks against it where it is used for want of another.
    pub(crate) despite: Option<String>,
    /// Connections that stay here while it cannot be used; nothing when they cannot be counted.
    pub(crate) stranded: Option<u64>,
    /// Packets that did not leave here because their source was not its own, since the tables were first loaded.
    pub(crate) leaked: Option<u64>,
    /// What a daemon has seen of it; nothing when none is there.
    pub(crate) history: Option<LegHistory>,
}

/// Looks at everything. The model is that of the configuration that was applied.
pub(crate) async fn status(
    directory: &Path,
    state: Option<&State>,
    model: Option<&Model>,
) -> Result<Status, Failure> {
    let kernel = Kernel::open()?;
    let devices = kernel.devices().await?;
    let tables = Nft::inventories()?;
    let routing = kernel.routing(&devices).await?;
    let applied = state.and_then(|state| state.applied.as_ref());

    let mut drift: Vec<String> = Vec::new();
    let expected = applied.map(|it| it.routing.clone()).unwrap_or_default();
    drift.extend(table_differences(applied, &tables));
    let pairs = applied.map(|it| it.devices.clone()).unwrap_or_default();
    drift.extend(device::differences(&Kernel::present(&devices)?, &pairs));
    drift.extend(differences(&routing, &expected));
    let mut status = Status {
        config: applied.map(|it| it.config.path.clone()),
        cut_off: state.is_some() && applied.is_none(),
        unconfirmed: waiting(directory, state)?,
        daemon: None,
        daemon_killed: false,
        uplinks: Vec::new(),
        drift,
        unknown: Vec::new(),
    };
    let mut history = status.ask(directory);
    if let (Some(state), Some(model)) = (state, model) {
        let (devices, model, availability) = links(model, &kernel).await?;
        let model = &model;
        let health = applied.map(|it| it.health.clone()).unwrap_or_default();
        let availability = availability.heed(model, &health);
        let advertised = kernel.advertised(&devices).await?;
        status.drift.extend(setting_differences(state, model, &availability, &devices, advertised)?);
        let marked = flows(model.mask.bits());
        if let Err(error) = &marked {
            status.unknown.push(format!("the number of flows: {}", crate::failure::with_causes(error)));
        }
        let staying = Sweep::stranded(model, model, &state.slots, &availability);
        let staying = status.known("the number of connections on lost uplinks", stranded(&staying));
        let leaked = status.known("the number of packets that were kept back", Nft::leaked());
        for uplink in &model.uplinks {
            let slot = state.slots.get(&uplink.name);
            let mark = slot.and_then(|slot| model.mask.mark(slot));
            let count = |mark: Mark| Some(marked.as_ref().ok()?.get(&mark.bits()).copied().unwrap_or(0));
            let legs = uplink.legs.iter().map(|(family, leg)| {
                let leg = LegStatus {
                    addresses: leg.addresses.clone(),
                    gateway: leg.gateway,
                    unusable: availability.why(&uplink.name, *family).map(|it| it.to_string()),
                    despite: availability.despite(&uplink.name, *family).map(|it| it.to_string()),
                    stranded: staying
                        .as_ref()
                        .map(|it| it.get(&(uplink.name.clone(), *family)).copied().unwrap_or(0)),
                    leaked: leaked
                        .as_ref()
                        .map(|it| it.get(&(uplink.interface.clone(), *family)).copied().unwrap_or(0)),
                    history: history.get_mut(&uplink.name).and_then(|it| it.remove(family)),
                };
                (*family, leg)
            });
            status.uplinks.push(UplinkStatus {
                name: uplink.name.clone(),
                interface: uplink.interface.clone(),
                mark: mark.map(|it| format!("{it}/{}", it.mask())),
                table: slot.map(|slot| TableId::of(slot).number()),
                legs: legs.collect(),
                counters: devices.counters.get(uplink.interface.as_str()).copied(),
                flows: mark.and_then(count),
            });
        }
    }
    Ok(status)
}

impl Status {
    /// What the daemon says of itself, and gives what it says of uplinks.
    fn ask(&mut self, directory: &Path) -> BTreeMap<UplinkName, BTreeMap<Family, LegHistory>> {
        match self.known("what the daemon has seen", ask(directory)) {
            Some(Daemon::Works(History { started, looks, turns, reasserted, failed, closed, uplinks })) => {
                self.daemon = Some(DaemonStatus { started, looks, turns, reasserted, failed, closed });
                uplinks
            }
            Some(Daemon::Killed) => {
                self.daemon_killed = true;
                BTreeMap::new()
            }
            Some(Daemon::Absent) | None => BTreeMap::new(),
        }
    }

    /// What was found out, or else a word about why not.
    fn known<T, E: std::error::Error>(&mut self, what: &str, outcome: Result<T, E>) -> Option<T> {
        outcome
            .inspect_err(|error| self.unknown.push(format!("{what}: {}", crate::failure::with_causes(error))))
            .ok()
    }
}

fn waiting(directory: &Path, state: Option<&State>) -> Result<Option<Waiting>, Failure> {
    let Some(change) = state.and_then(|state| state.unconfirmed.as_ref()) else { return Ok(None) };
    let now = boot_time(std::time::Duration::ZERO)?;
    Ok(Some(Waiting { milliseconds_left: change.deadline.saturating_sub(now), supervised: alive(directory) }))
}

fn table_differences(applied: Option<&Applied>, present: &Inventories) -> Vec<String> {
    let wanted = applied.map(|it| inventories(&it.ruleset)).unwrap_or_default();
    Table::ALL
        .into_iter()
        .flat_map(|table| match (wanted.get(&table), present.get(&table)) {
            (None, None) => Vec::new(),
            (Some(_), None) => vec![format!("table {table} is missing")],
            (None, Some(_)) => vec![format!("table {table} should not be there")],
            (Some(wanted), Some(present)) => content_differences(wanted, present),
        })
        .collect()
}

fn content_differences(wanted: &Inventory, present: &Inventory) -> Vec<String> {
    let mut out = Vec::new();
    for (what, wanted, present) in [
        ("set", &wanted.sets, &present.sets),
        ("map", &wanted.maps, &present.maps),
        ("chain", &wanted.base_chains, &present.base_chains),
        ("chain", &wanted.plain_chains, &present.plain_chains),
        ("rule", &wanted.comments, &present.comments),
    ] {
        out.extend(wanted.difference(present).map(|it| format!("nft {what} `{it}` is missing")));
        out.extend(present.difference(wanted).map(|it| format!("nft {what} `{it}` should not be there")));
    }
    out
}

fn setting_differences(
    state: &State,
    model: &Model,
    availability: &Availability,
    devices: &Devices,
    advertised: std::collections::BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    let around = Surroundings { interfaces: devices.names.clone(), advertised };
    let demands = desired(model, &state.slots, availability).sysctls;
    let current = sysctl::read(&settings::relevant(&demands, &around))?;
    let plan = settings::plan(&demands, &around, &current, &state.kept);
    let writes = plan.open.iter().chain(&plan.forward);
    Ok(writes
        .map(|(key, value)| {
            let now = current.get(key).map_or("absent", String::as_str);
            format!("sysctl {key} is {now}, and should be {value}")
        })
        .collect())
}
