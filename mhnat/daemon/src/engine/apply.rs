//! Applying: observe, plan, remember, change, verify; and back again when any of it fails.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mhnat_core::converge::{self, Routing};
use mhnat_core::desired::{Desired, desired};
use mhnat_core::link::{Availability, Unusable, lacking_gateway};
use mhnat_core::model::Model;
use mhnat_core::nft::{Inventories, replacement};
use mhnat_core::resolve::resolve;
use mhnat_core::slot::Slots;
use mhnat_core::sysctl::{self as settings, Surroundings, SysctlPlan, Values, restore_order};

use super::interrupt::Deferred;
use super::{Applied, differences, execute, execute_all};
use crate::failure::{Exit, Failure};
use crate::kernel::{Devices, Kernel};
use crate::nft::Nft;
use crate::state::{State, StateDir};
use crate::sysctl;

/// How long duplicate address detection is waited for. It takes one to two seconds by default (RFC 4862).
const DETECTION: Duration = Duration::from_secs(3);

/// What was in the kernel before, ours and what we may change.
struct Former {
    state: Option<State>,
    tables: Inventories,
    /// The text of the tables: as it was applied, or as nft lists it when nothing remembers that.
    ruleset: Option<String>,
    routing: Routing,
    values: Values,
}

/// Brings the kernel to what the model says.
pub(crate) async fn apply(model: &Model, dir: &StateDir, nft: &Nft) -> Result<Applied, Failure> {
    let kernel = Kernel::open()?;
    let former_state = dir.read()?;
    let tables = nft.inventories().await?;
    let (devices, model, availability) = settled(model, &kernel).await?;
    let model = &model;
    let around =
        Surroundings { interfaces: devices.names.clone(), advertised: kernel.advertised(&devices).await? };
    let known = former_state.clone().unwrap_or_default();
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let slots = Slots::allocate(names, &known.slots, model.mask.capacity());
    let desired = desired(model, &slots, &availability);
    let mut keys = settings::relevant(&desired.sysctls, &around);
    keys.extend(known.kept.keys().cloned());
    let values = sysctl::read(&keys)?;
    let plan = settings::plan(&desired.sysctls, &around, &values, &known.kept);
    let ruleset = match former_state.as_ref().and_then(|state| state.ruleset.clone()) {
        _ if tables.is_empty() => None,
        Some(text) if !text.is_empty() => Some(text),
        _ => Some(nft.listing().await?),
    };
    let routing = kernel.routing(&devices).await?;
    let former = Former { state: former_state, tables, ruleset, routing, values };

    let mut next = known;
    next.slots = slots;
    // The old text does not belong to the new slots: whoever finds this journal asks nft what is loaded.
    next.ruleset = None;
    next.kept.extend(plan.keep.clone());
    let _deferred = Deferred::new()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot defer signals: {error}")))?;
    dir.write(&next)?;

    let change =
        Change { kernel: &kernel, nft, devices: &devices, former: &former, loading: Cell::new(false) };
    let outcome = match change.forward(&desired, &plan, &next.kept).await {
        Ok(()) => {
            next.kept.retain(|key, _| !plan.obsolete.contains(key));
            next.ruleset = Some(desired.ruleset_text());
            dir.write(&next).map_err(Failure::from)
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = outcome {
        return Err(change.back(dir, failure).await);
    }
    Ok(Applied {
        nft_rules: desired.inventories().values().map(|it| it.comments.len()).sum(),
        policy_rules: desired.rules.len(),
        routes: desired.routes.len(),
        sysctls: next.kept.len(),
        unusable: availability.complaints(model),
        lacking_gateway: lacking_gateway(model, &devices.links)
            .into_iter()
            .map(|(name, family)| (name.clone(), family))
            .collect(),
    })
}

/// The links and what they say of dynamic uplinks, once no address of ours is waiting for duplicate address detection: the kernel takes no route
/// with a tentative source.
async fn settled(model: &Model, kernel: &Kernel) -> Result<(Devices, Model, Availability), Failure> {
    let deadline = Instant::now() + DETECTION;
    let families = Kernel::families();
    loop {
        let mut devices = kernel.devices().await?;
        let asking = model.uplinks.iter().filter(|uplink| uplink.dynamic.gateway);
        kernel.learn(&mut devices, asking.map(|uplink| &uplink.interface)).await?;
        let model = resolve(model, &devices.links, &families);
        let availability = Availability::observe(&model, &devices.links);
        let waiting = availability.unusable().any(|(_, _, why)| matches!(why, Unusable::Tentative(_)));
        if !waiting || Instant::now() >= deadline {
            return Ok((devices, model, availability));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct Change<'a> {
    kernel: &'a Kernel,
    nft: &'a Nft,
    devices: &'a Devices,
    former: &'a Former,
    /// Whether nft was asked to change the table. Before that, it is the former one.
    loading: Cell<bool>,
}

impl Change<'_> {
    async fn forward(&self, desired: &Desired, plan: &SysctlPlan, kept: &Values) -> Result<(), Failure> {
        let Desired { ruleset: _, bridge: _, rules, routes, sysctls: _ } = desired;
        let SysctlPlan { keep: _, open, forward, obsolete } = plan;
        let wanted = Routing { rules: rules.clone(), routes: routes.clone() };
        let steps = converge::steps(&self.former.routing, &wanted);

        // Filters open before anything can come in where it did not before.
        for (key, value) in open {
            sysctl::write(key, value)?;
        }
        // Forwarding that is not wanted any more ends before the translation of sources does; filters that
        // need not be open any more close last. Both are in `obsolete`.
        let (filters, switches): (Vec<_>, Vec<_>) = restore_order(kept)
            .into_iter()
            .filter(|(key, _)| obsolete.contains(key))
            .partition(|(key, _)| key.path().ends_with("/rp_filter"));
        restore(switches)?;
        // Tables and rules before the marks that lead to them, and after those that led to them.
        execute(self.kernel, &steps.before_ruleset, self.devices).await?;
        self.load(desired).await?;
        execute(self.kernel, &steps.after_ruleset, self.devices).await?;
        restore(filters)?;
        // Nothing is forwarded before its source is translated.
        for (key, value) in forward {
            sysctl::write(key, value)?;
        }
        self.verify(desired, &wanted, plan).await
    }

    async fn load(&self, desired: &Desired) -> Result<(), Failure> {
        let commands = replacement(&self.former.tables, &desired.ruleset_text());
        self.loading.set(!commands.is_empty());
        Ok(self.nft.load(&commands).await?)
    }

    /// Reads back what was written. Another program may have been quicker than the lock can tell.
    async fn verify(&self, desired: &Desired, wanted: &Routing, plan: &SysctlPlan) -> Result<(), Failure> {
        let routing = self.kernel.routing(&self.kernel.devices().await?).await?;
        let mut wrong = differences(&routing, wanted);
        if self.nft.inventories().await? != desired.inventories() {
            wrong.insert("an nft table is not what was loaded".to_owned());
        }
        let written: Values = plan.open.iter().chain(&plan.forward).cloned().collect();
        let keys: BTreeSet<_> = written.keys().cloned().collect();
        if sysctl::read(&keys)? != written {
            wrong.insert("a sysctl does not have the value that was written".to_owned());
        }
        match wrong.first() {
            None => Ok(()),
            Some(first) => {
                Err(Failure::new(Exit::Failed, format!("the kernel did not end up as planned: {first}"))
                    .hint("does another program manage the same?"))
            }
        }
    }

    /// Returns to the former state, and says so in the failure that made it necessary.
    async fn back(&self, dir: &StateDir, failure: Failure) -> Failure {
        let mut errors = self.undo().await;
        if errors.is_empty() {
            let remembered = match &self.former.state {
                Some(state) => dir.write(state),
                None => dir.forget(),
            };
            errors.extend(remembered.err().map(Failure::from));
        }
        let Failure { exit, message, hint, report } = failure;
        let Some(first) = errors.into_iter().next() else {
            return Failure {
                exit,
                message: format!("{message}; the host is as it was before"),
                hint,
                report,
            };
        };
        // The journal stays: what it keeps is what `down` needs.
        let message = format!(
            "{message}; undoing it failed too, so the host may be neither as before nor as planned: {}",
            first.message
        );
        Failure { exit: Exit::Failed, message, hint, report }
            .hint("`mhnat down` takes back what is left, once that works again")
    }

    async fn undo(&self) -> Vec<Failure> {
        let mut errors: Vec<Failure> = Vec::new();
        // The reverse order: forwarding and filters, rules and routes around the ruleset.
        let (filters, switches): (Vec<_>, Vec<_>) = restore_order(&self.former.values)
            .into_iter()
            .partition(|(key, _)| key.path().ends_with("/rp_filter"));
        errors.extend(sysctl::restore(switches).into_iter().map(Failure::from));
        let present = match self.kernel.routing(self.devices).await {
            Ok(present) => present,
            Err(error) => {
                errors.push(error.into());
                self.former.routing.clone()
            }
        };
        let steps = converge::steps(&present, &self.former.routing);
        let before = execute_all(self.kernel, &steps.before_ruleset, self.devices).await;
        errors.extend(before.into_iter().map(Failure::from));
        errors.extend(self.reload().await.err());
        let after = execute_all(self.kernel, &steps.after_ruleset, self.devices).await;
        errors.extend(after.into_iter().map(Failure::from));
        errors.extend(sysctl::restore(filters).into_iter().map(Failure::from));
        errors
    }

    /// The former tables, if the present ones may differ.
    async fn reload(&self) -> Result<(), Failure> {
        if !self.loading.get() {
            return Ok(());
        }
        let present = self.nft.inventories().await?;
        let former = self.former.ruleset.as_deref().unwrap_or_default();
        Ok(self.nft.load(&replacement(&present, former)).await?)
    }
}

fn restore(order: Vec<(&settings::Key, &str)>) -> Result<(), Failure> {
    match sysctl::restore(order).into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}
