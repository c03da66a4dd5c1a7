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
use mhnat_core::sysctl::{self as settings, Surroundings, SysctlPlan, Values};

use crate::failure::Failure;
use crate::kernel::{Devices, Kernel};
use crate::nft::Nft;
use crate::state::{Former, State};
use crate::sysctl;

/// How long duplicate address detection is waited for. It takes one to two seconds by default (RFC 4862).
const DETECTION: Duration = Duration::from_secs(3);

/// What there is, and what there should be instead.
#[derive(Debug)]
pub(super) struct Picture {
    /// The model with what the links say of its dynamic uplinks.
    pub(super) model: Model,
    pub(super) devices: Devices,
    pub(super) availability: Availability,
    /// The tables as they are now, by names.
    pub(super) tables: Inventories,
    /// The generation of the kernel's tables at that moment.
    pub(super) generation: u32,
    /// Rules and routes of ours as they are now.
    pub(super) routing: Routing,
    pub(super) slots: Slots,
    pub(super) desired: Desired,
    /// What stands under the names of our devices now.
    pub(super) present: Present,
    /// The way to the devices that there should be.
    pub(super) pairs: device::Steps,
    /// The settings that matter as they are now.
    pub(super) values: Values,
    pub(super) sysctls: SysctlPlan,
}

impl Picture {
    pub(super) fn wanted(&self) -> Routing {
        self.desired.routing()
    }

    /// Of what the links are now, taken by [`links`]. `known` is what the tables hold for as long as their generation is
    /// this one, where that is known.
    pub(super) async fn take(
        (devices, model, availability): (Devices, Model, Availability),
        state: Option<&State>,
        known: Option<(&Desired, u32)>,
        kernel: &Kernel,
    ) -> Result<Self, Failure> {
        let (tables, generation) = match known {
            Some((desired, then)) if Nft::generation()? == then => (desired.inventories(), then),
            _ => Nft::inventories_at()?,
        };
        let around = Surroundings {
            interfaces: devices.names.clone(),
            advertised: kernel.advertised(&devices).await?,
        };
        let (known_slots, kept) =
            state.map(|state| (state.slots.clone(), state.kept.clone())).unwrap_or_default();
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
        let routing = kernel.routing(&devices).await?;
        Ok(Self {
            model,
            devices,
            availability,
            tables,
            generation,
            routing,
            slots,
            desired,
            present,
            pairs,
            values,
            sysctls,
        })
    }
}

/// A picture with all that it takes to come back to what there was.
#[derive(Debug)]
pub(super) struct Prospect {
    pub(super) picture: Picture,
    pub(super) former: Former,
    /// Whether somebody else has changed the tables since they were applied.
    pub(super) altered: bool,
    /// The tables of the desired state as text.
    pub(super) text: String,
}

impl Prospect {
    pub(super) fn changes(&self) -> Changes {
        let Picture { routing, present, pairs, sysctls, values, .. } = &self.picture;
        let kept = self.former.state.as_ref().map(|state| state.kept.clone()).unwrap_or_default();
        let ruleset = self.former.ruleset.as_deref().unwrap_or_default();
        Changes { altered: self.altered, ..Changes::default() }
            .ruleset(ruleset, &self.text)
            .devices(pairs, present)
            .routing(routing, &self.picture.wanted())
            .sysctls(sysctls, values, &kept)
    }
}

pub(super) async fn observe(
    model: &Model,
    state: Option<State>,
    kernel: &Kernel,
    nft: &Nft,
) -> Result<Prospect, Failure> {
    let picture = Picture::take(settled(model, kernel).await?, state.as_ref(), None, kernel).await?;
    let applied = state.as_ref().and_then(|state| state.applied.as_ref()).map(|it| it.ruleset.clone());
    let (ruleset, altered) = match applied {
        text if picture.tables.is_empty() => (None, text.is_some_and(|text| !text.is_empty())),
        Some(text) if inventories(&text) == picture.tables => (Some(text), false),
        text => (Some(nft.listing().await?), text.is_some()),
    };
    let former = Former {
        state,
        ruleset,
        devices: picture.present.pairs.clone(),
        routing: picture.routing.clone(),
        values: picture.values.clone(),
    };
    let text = picture.desired.ruleset_text();
    Ok(Prospect { picture, former, altered, text })
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
    let (model, availability) = judge(model, &devices);
    Ok((devices, model, availability))
}

/// What follows from these devices.
pub(super) fn judge(model: &Model, devices: &Devices) -> (Model, Availability) {
    let model = resolve(model, &devices.links, &Kernel::families());
    let availability = Availability::observe(&model, &devices.links);
    (model, availability)
}

/// What an apply of this model would change.
pub(crate) async fn compare(model: &Model, state: Option<State>, nft: &Nft) -> Result<Changes, Failure> {
    let kernel = Kernel::open()?;
    Ok(observe(model, state, &kernel, nft).await?.changes())
}
