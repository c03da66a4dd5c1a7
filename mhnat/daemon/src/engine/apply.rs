//! Applying: observe, plan, remember, change, verify; and back again when any of it fails.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::time::Duration;

use mhnat_core::health::Ailments;
use mhnat_core::link::lacking_gateway;
use mhnat_core::model::Model;
use mhnat_core::nft::replacement;

use super::Done;
use super::change::Change;
use super::interrupt::Deferred;
use super::observe::{Prospect, observe};
use super::restore::{remember, restore};
use super::supervisor::{Supervisor, boot_time};
use crate::failure::{Exit, Failure};
use crate::kernel::Kernel;
use crate::nft::{Loader, Nft};
use crate::state::{Applied, Config, Former, Prepared, State, StateDir, Unconfirmed};

/// Brings the kernel to what the model says. `state` is what is remembered. With a time to confirm in, it is taken back unless somebody does.
pub(crate) async fn apply(
    model: &Model,
    config: Config,
    state: Option<State>,
    confirm: Option<Duration>,
    dir: &StateDir,
    nft: &Nft,
    loader: Loader,
) -> Result<Done, Failure> {
    let kernel = Kernel::open()?;
    let Prospect { picture, former, altered: _, text } = observe(model, state, &kernel, nft).await?;
    let mut next = former.state.clone().map_or_else(State::new, Ok)?;
    next.slots = picture.slots.clone();
    // What was applied does not belong to the new slots: whoever finds this journal asks nft what is loaded.
    next.applied = None;
    next.kept.extend(picture.sysctls.keep.clone());
    let _deferred = Deferred::new()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot defer signals: {error}")))?;
    // Whatever becomes of this process from here on, somebody is there to take the change back.
    let mut supervisor = match confirm {
        Some(time) => Some((Supervisor::start(dir, nft)?, time)),
        None => None,
    };
    if let Some((supervisor, time)) = &supervisor {
        let (id, deadline, former) = (supervisor.id(), boot_time(*time)?, former.clone());
        next.unconfirmed = Some(Box::new(Unconfirmed { id, deadline, former }));
    }

    // Who applies ends then: to take tens of thousands of entries apart one by one would be for nothing.
    let picture = ManuallyDrop::new(picture);
    let commands = replacement(&picture.tables, &text);
    let loading = Cell::new(false);
    let change = Change { kernel: &kernel, nft, picture: &picture, commands: &commands, loading };
    let mut done = next.clone();
    done.kept.retain(|key, _| !picture.sysctls.obsolete.contains(key));
    let (ruleset, devices) = (text, picture.desired.devices.clone());
    // Nobody probes from here on, so every uplink whose link is well counts as well.
    let (routing, health) = (picture.wanted(), Ailments::default());
    done.applied = Some(Applied { config, ruleset, devices, routing, health });
    // With a time to confirm in, it says when that ends, which is not known before.
    let mut prepared = None;
    let prepare = || prepared = confirm.is_none().then(|| dir.prepare(&done));
    // A journal that could not be written may still have replaced the one before it.
    let forward = match dir.write(&next) {
        Ok(()) => match change.forward(loader, &next.kept, prepare).await {
            Ok(read) => change.verify(read).await,
            Err(failure) => Err(failure),
        },
        Err(error) => Err(error.into()),
    };
    let outcome = match (forward, prepared) {
        (Err(failure), _) => Err(failure),
        (Ok(ruleset), Some(prepared)) => match prepared.and_then(Prepared::commit) {
            Ok(()) => ruleset.end().await.map_err(Failure::from),
            Err(error) => Err(error.into()),
        },
        (Ok(ruleset), None) => match ruleset.end().await {
            Ok(()) => time_runs(dir, &mut done, supervisor.as_mut()),
            Err(error) => Err(error.into()),
        },
    };
    if let Err(failure) = outcome {
        return Err(back(&change, &former, dir, failure).await);
    }
    Ok(Done {
        nft_rules: picture.desired.inventories().values().map(|it| it.comments.len()).sum(),
        policy_rules: picture.desired.rules.len(),
        routes: picture.desired.routes.len(),
        sysctls: done.kept.len(),
        unusable: picture.availability.complaints(&picture.model),
        lacking_gateway: lacking_gateway(&picture.model, &picture.devices.links)
            .into_iter()
            .map(|(name, family)| (name.clone(), family))
            .collect(),
    })
}

/// Remembers what is applied; from here on, time runs.
fn time_runs(
    dir: &StateDir,
    done: &mut State,
    supervisor: Option<&mut (Supervisor, Duration)>,
) -> Result<(), Failure> {
    if let (Some((_, time)), Some(unconfirmed)) = (&supervisor, &mut done.unconfirmed) {
        unconfirmed.deadline = boot_time(*time)?;
    }
    dir.write(done)?;
    match supervisor {
        Some((supervisor, _)) => supervisor.applied(),
        None => Ok(()),
    }
}

/// Returns to the former state, and says so in the failure that made it necessary.
async fn back(change: &Change<'_>, former: &Former, dir: &StateDir, failure: Failure) -> Failure {
    let Change { kernel, nft, picture, .. } = change;
    let mut errors = restore(kernel, nft, &picture.devices, former, change.loading.get()).await;
    if errors.is_empty() {
        errors.extend(remember(dir, former.state.as_ref()).err());
    }
    let Failure { exit, message, hint, report } = failure;
    let Some(first) = errors.into_iter().next() else {
        return Failure { exit, message: format!("{message}; the host is as it was before"), hint, report };
    };
    // The journal stays: what it keeps is what `down` needs.
    let message = format!(
        "{message}; undoing it failed too, so the host may be neither as before nor as planned: {}",
        first.message
    );
    Failure { exit: Exit::Failed, message, hint, report }
        .hint("`mhnat down` takes back what is left, once that works again")
}
