//! Applying: observe, plan, remember, change, verify; and back again when any of it fails.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use mhnat_core::converge::{self, Routing};
use mhnat_core::desired::Desired;
use mhnat_core::device;
use mhnat_core::link::lacking_gateway;
use mhnat_core::model::Model;
use mhnat_core::nft::replacement;
use mhnat_core::sysctl::{self as settings, SysctlPlan, Values, restore_order};

use super::interrupt::Deferred;
use super::observe::{Prospect, observe};
use super::restore::{remember, restore};
use super::supervisor::{Supervisor, boot_time};
use super::{Done, change_devices, differences, execute};
use crate::failure::{Exit, Failure};
use crate::kernel::{Devices, Kernel};
use crate::nft::{Loader, Nft};
use crate::state::{Applied, Config, Former, State, StateDir, Unconfirmed};
use crate::sysctl;

/// Brings the kernel to what the model says. With a time to confirm in, it is taken back unless somebody does.
pub(crate) async fn apply(
    model: &Model,
    config: Config,
    confirm: Option<Duration>,
    dir: &StateDir,
    nft: &Nft,
    loader: Loader,
) -> Result<Done, Failure> {
    let kernel = Kernel::open()?;
    let prospect = observe(model, dir.read()?.state, &kernel, nft).await?;
    let mut next = prospect.former.state.clone().map_or_else(State::new, Ok)?;
    next.slots = prospect.slots.clone();
    // What was applied does not belong to the new slots: whoever finds this journal asks nft what is loaded.
    next.applied = None;
    next.kept.extend(prospect.sysctls.keep.clone());
    let _deferred = Deferred::new()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot defer signals: {error}")))?;
    // Whatever becomes of this process from here on, somebody is there to take the change back.
    let mut supervisor = match confirm {
        Some(time) => Some((Supervisor::start(dir, nft)?, time)),
        None => None,
    };
    if let Some((supervisor, time)) = &supervisor {
        let (id, deadline, former) = (supervisor.id(), boot_time(*time)?, prospect.former.clone());
        next.unconfirmed = Some(Box::new(Unconfirmed { id, deadline, former }));
    }

    let change = Change { kernel: &kernel, nft, prospect: &prospect, loading: Cell::new(false) };
    // A journal that could not be written may still have replaced the one before it.
    let forward = match dir.write(&next) {
        Ok(()) => change.forward(loader, &next.kept).await,
        Err(error) => Err(error.into()),
    };
    let outcome = forward.and_then(|()| {
        next.kept.retain(|key, _| !prospect.sysctls.obsolete.contains(key));
        let (ruleset, devices) = (prospect.text.clone(), prospect.desired.devices.clone());
        next.applied = Some(Applied { config, ruleset, devices, routing: prospect.wanted() });
        finish(dir, &mut next, supervisor.as_mut())
    });
    if let Err(failure) = outcome {
        return Err(change.back(dir, failure).await);
    }
    Ok(Done {
        nft_rules: prospect.desired.inventories().values().map(|it| it.comments.len()).sum(),
        policy_rules: prospect.desired.rules.len(),
        routes: prospect.desired.routes.len(),
        sysctls: next.kept.len(),
        unusable: prospect.availability.complaints(&prospect.model),
        lacking_gateway: lacking_gateway(&prospect.model, &prospect.devices.links)
            .into_iter()
            .map(|(name, family)| (name.clone(), family))
            .collect(),
    })
}

/// Remembers what is applied; from here on, time runs.
fn finish(
    dir: &StateDir,
    next: &mut State,
    supervisor: Option<&mut (Supervisor, Duration)>,
) -> Result<(), Failure> {
    if let (Some((_, time)), Some(unconfirmed)) = (&supervisor, &mut next.unconfirmed) {
        unconfirmed.deadline = boot_time(*time)?;
    }
    dir.write(next)?;
    match supervisor {
        Some((supervisor, _)) => supervisor.applied(),
        None => Ok(()),
    }
}

struct Change<'a> {
    kernel: &'a Kernel,
    nft: &'a Nft,
    prospect: &'a Prospect,
    /// Whether nft was asked to change the table. Before that, it is the former one.
    loading: Cell<bool>,
}

impl Change<'_> {
    async fn forward(&self, loader: Loader, kept: &Values) -> Result<(), Failure> {
        let Prospect { former, desired, pairs, sysctls, .. } = self.prospect;
        let Desired { ruleset: _, bridge: _, devices: _, rules: _, routes: _, sysctls: _ } = desired;
        let SysctlPlan { keep: _, open, forward, obsolete } = sysctls;
        let wanted = self.prospect.wanted();

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
        restore_settings(switches)?;
        // Devices before the routes that lead into them, and behind the switches, which turn forwarding off on them.
        change_devices(self.kernel, &pairs.first).await?;
        let mended = self.mended(former).await?;
        let (devices, routing) =
            mended.as_ref().map_or((&self.prospect.devices, &former.routing), |(it, of)| (it, of));
        let steps = converge::steps(routing, &wanted);
        // Tables and rules before the marks that lead to them, and after those that led to them.
        execute(&steps.before_ruleset, devices)?;
        // Where nothing of them follows the ruleset, they are read back while nft works.
        let complete = steps.after_ruleset.is_empty() && pairs.last.is_empty();
        let early = async { if complete { Some(self.kernel.routing(devices).await) } else { None } };
        let (loaded, early) = tokio::join!(self.load(loader), early);
        loaded?;
        execute(&steps.after_ruleset, devices)?;
        // Nothing leads there any more.
        change_devices(self.kernel, &pairs.last).await?;
        restore_settings(filters)?;
        // Nothing is forwarded before its source is translated.
        for (key, value) in forward {
            sysctl::write(key, value)?;
        }
        let mut wrong = match early {
            Some(routing) => differences(&routing?, &wanted),
            None => differences(&self.kernel.routing(&self.kernel.devices().await?).await?, &wanted),
        };
        wrong.extend(self.deviations().await?);
        match wrong.first() {
            None => Ok(()),
            Some(first) => {
                Err(Failure::new(Exit::Failed, format!("the kernel did not end up as planned: {first}"))
                    .hint("does another program manage the same?"))
            }
        }
    }

    /// What the kernel has once devices were made or deleted: they have new indexes, and with those that went their
    /// routes went as well. Nothing if all that there were have stayed.
    async fn mended(&self, former: &Former) -> Result<Option<(Devices, Routing)>, Failure> {
        let first = &self.prospect.pairs.first;
        if !first.iter().any(|step| matches!(step, device::Step::Make(_) | device::Step::Delete(_))) {
            return Ok(None);
        }
        let devices = self.kernel.devices().await?;
        let lost = first.iter().any(|step| matches!(step, device::Step::Delete(_)));
        let routing = if lost { self.kernel.routing(&devices).await? } else { former.routing.clone() };
        Ok(Some((devices, routing)))
    }

    async fn load(&self, loader: Loader) -> Result<(), Failure> {
        let commands = replacement(&self.prospect.tables, &self.prospect.text);
        self.loading.set(!commands.is_empty());
        Ok(loader.load(self.nft, &commands).await?)
    }

    /// What was written, other than rules and routes, and reads otherwise. Another program may have been quicker than
    /// the lock can tell.
    async fn deviations(&self) -> Result<BTreeSet<String>, Failure> {
        let Prospect { desired, present, sysctls, .. } = self.prospect;
        let mut wrong = BTreeSet::new();
        if !(desired.devices.is_empty() && present.pairs.is_empty()) {
            let now = Kernel::present(&self.kernel.devices().await?)?;
            wrong.extend(device::differences(&now, &desired.devices));
        }
        if Nft::inventories()? != desired.inventories() {
            wrong.insert("an nft table is not what was loaded".to_owned());
        }
        let written: Values = sysctls.open.iter().chain(&sysctls.forward).cloned().collect();
        let keys: BTreeSet<_> = written.keys().cloned().collect();
        if sysctl::read(&keys)? != written {
            wrong.insert("a sysctl does not have the value that was written".to_owned());
        }
        Ok(wrong)
    }

    /// Returns to the former state, and says so in the failure that made it necessary.
    async fn back(&self, dir: &StateDir, failure: Failure) -> Failure {
        let Prospect { devices, former, .. } = self.prospect;
        let mut errors = restore(self.kernel, self.nft, devices, former, self.loading.get()).await;
        if errors.is_empty() {
            errors.extend(remember(dir, former.state.as_ref()).err());
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
}

fn restore_settings(order: Vec<(&settings::Key, &str)>) -> Result<(), Failure> {
    match sysctl::restore(order).into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}
