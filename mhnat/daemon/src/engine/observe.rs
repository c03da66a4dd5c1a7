//! What there is, and what there should be: the same for an apply and for one who only compares.

use std::time::{Duration, Instant};

use mhnat_core::changes::Changes;
use mhnat_core::converge::Routing;
use mhnat_core::desired::{Desired, desired};
use mhnat_core::device::{self, Present};
use mhnat_core::link::{Availability, Unusable};
use mhnat_core::model::Model;
use mhnat_core::nft::{Inventories, inventories};
use mhnat_core::resolve::resolve;
use mhnat_core::slot::Slots;
use mhnat_core::sysctl::{self as settings, Surroundings, SysctlPlan};

use crate::failure::Failure;
use crate::kernel::{Devices, Kernel};
use crate::nft::Nft;
use crate::state::{Former, State};
use crate::sysctl;

/// How long duplicate address detection is waited for. It takes one to two seconds by default (RFC 4862).
const DETECTION: Duration = Duration::from_secs(3);

/// The way from what there is to what there should be.
#[derive(Debug)]
pub(super) struct Prospect {
    /// The model with what the links say of its dynamic uplinks.
    pub(super) model: Model,
    pub(super) devices: Devices,
    pub(super) availability: Availability,
    pub(super) former: Former,
    /// The tables as they are now, by names.
    pub(super) tables: Inventories,
    /// Whether somebody else has changed them since it was applied.
    pub(super) altered: bool,
    pub(super) slots: Slots,
    pub(super) desired: Desired,
    /// The tables of the desired state as text.
    pub(super) text: String,
    /// What stands under the names of our devices now.
    pub(super) present: Present,
    /// The way to the devices that there should be.
    pub(super) pairs: device::Steps,
    pub(super) sysctls: SysctlPlan,
}

impl Prospect {
    pub(super) fn wanted(&self) -> Routing {
        Routing { rules: self.desired.rules.clone(), routes: self.desired.routes.clone() }
    }

    pub(super) fn changes(&self) -> Changes {
        let kept = self.former.state.as_ref().map(|state| state.kept.clone()).unwrap_or_default();
        let present = self.former.ruleset.as_deref().unwrap_or_default();
        Changes { altered: self.altered, ..Changes::default() }
            .ruleset(present, &self.text)
            .devices(&self.pairs, &self.present)
            .routing(&self.former.routing, &self.wanted())
            .sysctls(&self.sysctls, &self.former.values, &kept)
    }
}

pub(super) async fn observe(
    model: &Model,
    state: Option<State>,
    kernel: &Kernel,
    nft: &Nft,
) -> Result<Prospect, Failure> {
    let tables = Nft::inventories()?;
    let (devices, model, availability) = settled(model, kernel).await?;
    let around =
        Surroundings { interfaces: devices.names.clone(), advertised: kernel.advertised(&devices).await? };
    let (known_slots, kept) =
        state.as_ref().map(|state| (state.slots.clone(), state.kept.clone())).unwrap_or_default();
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let slots = Slots::allocate(names, &known_slots, model.mask.capacity());
    let desired = desired(&model, &slots, &availability);
    let present = Kernel::present(&devices)?;
    // Before anything is changed: a device of somebody else is neither used nor removed.
    let pairs = device::steps(&present, &desired.devices)?;
    let mut keys = settings::relevant(&desired.sysctls, &around);
    keys.extend(kept.keys().cloned());
    let values = sysctl::read(&keys)?;
    let sysctls = settings::plan(&desired.sysctls, &around, &values, &kept);
    let applied = state.as_ref().and_then(|state| state.applied.as_ref()).map(|it| it.ruleset.clone());
    let (ruleset, altered) = match applied {
        text if tables.is_empty() => (None, text.is_some_and(|text| !text.is_empty())),
        Some(text) if inventories(&text) == tables => (Some(text), false),
        text => (Some(nft.listing().await?), text.is_some()),
    };
    let routing = kernel.routing(&devices).await?;
    let former = Former { state, ruleset, devices: present.pairs.clone(), routing, values };
    let text = desired.ruleset_text();
    Ok(Prospect {
        model,
        devices,
        availability,
        former,
        tables,
        altered,
        slots,
        desired,
        text,
        present,
        pairs,
        sysctls,
    })
}

/// The links and what they say of dynamic uplinks, once no address of ours is waiting for duplicate address
/// detection: the kernel takes no route with a tentative source.
async fn settled(model: &Model, kernel: &Kernel) -> Result<(Devices, Model, Availability), Failure> {
    let deadline = Instant::now() + DETECTION;
    loop {
        let (devices, model, availability) = links(model, kernel).await?;
        let waiting = availability.unusable().any(|(_, _, why)| matches!(why, Unusable::Tentative(_)));
        if !waiting || Instant::now() >= deadline {
            return Ok((devices, model, availability));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The links as they are, and the model with what they say of dynamic uplinks.
pub(super) async fn links(model: &Model, kernel: &Kernel) -> Result<(Devices, Model, Availability), Failure> {
    let mut devices = kernel.devices().await?;
    let asking = model.uplinks.iter().filter(|uplink| uplink.dynamic.gateway);
    kernel.learn(&mut devices, asking.map(|uplink| &uplink.interface)).await?;
    let model = resolve(model, &devices.links, &Kernel::families());
    let availability = Availability::observe(&model, &devices.links);
    Ok((devices, model, availability))
}

/// What an apply of this model would change.
pub(crate) async fn compare(model: &Model, state: Option<State>, nft: &Nft) -> Result<Changes, Failure> {
    let kernel = Kernel::open()?;
    Ok(observe(model, state, &kernel, nft).await?.changes())
}
