//! Going back to what was there before a change: at once when a step of it fails, later when nobody confirms.

use mhnat_core::converge::{self, Routing};
use mhnat_core::device;
use mhnat_core::nft::replacement;
use mhnat_core::routing::Route;
use mhnat_core::sysctl::restore_order;

use super::{change_all_devices, execute_all};
use crate::failure::{Exit, Failure};
use crate::kernel::{Devices, Kernel};
use crate::nft::Nft;
use crate::state::{Former, State, StateDir};
use crate::sysctl;

/// Returns everything to the former state. An error stops nothing: all of them are gathered.
pub(super) async fn restore(
    kernel: &Kernel,
    nft: &Nft,
    devices: &Devices,
    former: &Former,
    table_may_differ: bool,
) -> Vec<Failure> {
    let mut errors: Vec<Failure> = Vec::new();
    // The reverse order: forwarding and filters, rules and routes around the ruleset.
    let (filters, switches): (Vec<_>, Vec<_>) =
        restore_order(&former.values).into_iter().partition(|(key, _)| key.path().ends_with("/rp_filter"));
    errors.extend(sysctl::restore(switches).into_iter().map(Failure::from));
    let (pairs, devices) = bring_back(kernel, devices, former, &mut errors).await;
    let devices = &devices;
    let present = match kernel.routing(devices).await {
        Ok(present) => present,
        Err(error) => {
            errors.push(error.into());
            former.routing.clone()
        }
    };
    let steps = converge::steps(&present, &former.routing);
    let before = execute_all(&steps.before_ruleset, devices);
    errors.extend(before.into_iter().map(Failure::from));
    if table_may_differ {
        errors.extend(reload(nft, former).await.err());
    }
    let after = execute_all(&steps.after_ruleset, devices);
    errors.extend(after.into_iter().map(Failure::from));
    errors.extend(change_all_devices(kernel, &pairs.last).await);
    errors.extend(sysctl::restore(filters).into_iter().map(Failure::from));
    errors
}

/// Makes devices of ours that have gone, and gives the steps that are left once no route uses the others; with the
/// devices as they are then.
async fn bring_back(
    kernel: &Kernel,
    seen: &Devices,
    former: &Former,
    errors: &mut Vec<Failure>,
) -> (device::Steps, Devices) {
    let mut devices = match kernel.devices().await {
        Ok(devices) => devices,
        Err(error) => {
            errors.push(error.into());
            return (device::Steps::default(), seen.clone());
        }
    };
    let present = match Kernel::present(&devices) {
        Ok(present) => present,
        Err(error) => {
            errors.push(error.into());
            return (device::Steps::default(), devices);
        }
    };
    let steps = device::steps(&present, &former.devices).unwrap_or_else(|taken| {
        errors.push(taken.into());
        device::Steps::default()
    });
    if !steps.first.is_empty() {
        errors.extend(change_all_devices(kernel, &steps.first).await);
        match kernel.devices().await {
            Ok(now) => devices = now,
            Err(error) => errors.push(error.into()),
        }
    }
    (steps, devices)
}

async fn reload(nft: &Nft, former: &Former) -> Result<(), Failure> {
    let present = Nft::inventories()?;
    let text = former.ruleset.as_deref().unwrap_or_default();
    Ok(nft.load(&replacement(&present, text)).await?)
}

/// Remembers what was remembered before.
pub(super) fn remember(dir: &StateDir, former: Option<&State>) -> Result<(), Failure> {
    match former {
        Some(state) => Ok(dir.write(state)?),
        None => Ok(dir.forget()?),
    }
}

/// Takes back a change that nobody has confirmed, some time after it was made.
pub(crate) async fn roll_back(dir: &StateDir, former: &Former, nft: &Nft) -> Result<(), Failure> {
    let kernel = Kernel::open()?;
    let devices = kernel.devices().await?;
    // Links may have gone since: with them went the routes, which no rollback can bring back.
    let mut goal = former.clone();
    goal.routing = Routing {
        rules: former.routing.rules.clone(),
        routes: former.routing.routes.iter().filter(|it| possible(it, &devices, former)).cloned().collect(),
    };
    let errors = restore(&kernel, nft, &devices, &goal, true).await;
    match errors.into_iter().next() {
        None => remember(dir, former.state.as_ref()),
        Some(first) => Err(Failure::new(Exit::Failed, format!("rolling back failed: {}", first.message))
            .hint("`mhnat rollback` tries again; `mhnat down` takes back everything that is ours")),
    }
}

/// Whether the kernel would take this route, once our own devices are back.
fn possible(route: &Route, devices: &Devices, former: &Former) -> bool {
    if former.devices.iter().any(|pair| pair.ends().contains(&&route.device)) {
        return true;
    }
    let link = devices.links.get(&route.device);
    link.is_some_and(|link| link.up && route.source.is_none_or(|it| link.addresses.contains(&it)))
}
