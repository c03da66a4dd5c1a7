//! Taking everything back.

use std::collections::BTreeSet;

use mhnat_core::converge::{Routing, steps};
use mhnat_core::device;
use mhnat_core::nft::replacement;
use mhnat_core::sysctl::restore_order;

use super::interrupt::Deferred;
use super::{change_all_devices, execute_all};
use crate::failure::{Exit, Failure};
use crate::kernel::Kernel;
use crate::nft::Nft;
use crate::state::{Memory, StateDir};
use crate::sysctl;

/// Takes back what is ours, and says whether there was anything. An error stops nothing: whatever can be
/// taken back is, and the state stays for another try.
pub(crate) async fn down(dir: &StateDir, nft: &Nft) -> Result<bool, Failure> {
    let kernel = Kernel::open()?;
    let Memory { state, stale } = dir.read()?;
    let tables = Nft::inventories()?;
    let devices = kernel.devices().await?;
    let routing = kernel.routing(&devices).await?;
    let _deferred = Deferred::new()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot defer signals: {error}")))?;

    let present = Kernel::present(&devices)?;
    // Wanting nothing, it cannot be in the way of anybody.
    let pairs = device::steps(&present, &BTreeSet::new())?;
    let found = state.is_some()
        || !tables.is_empty()
        || routing != Routing::default()
        || pairs != device::Steps::default();
    let kept = state.as_ref().map(|state| state.kept.clone()).unwrap_or_default();
    if let Some(mut state) = state {
        // Whoever waits to roll a change back is not needed any more, whatever becomes of this run.
        state.unconfirmed = None;
        state.applied = None;
        dir.write(&state)?;
    }
    let mut errors: Vec<Failure> = Vec::new();
    // Forwarding ends before the translation of sources does, and filters close when nothing passes them any
    // more by routes of ours.
    let (filters, switches): (Vec<_>, Vec<_>) =
        restore_order(&kept).into_iter().partition(|(key, _)| key.path().ends_with("/rp_filter"));
    errors.extend(sysctl::restore(switches).into_iter().map(Failure::from));
    // No packet takes a default route of ours once nothing translates its source.
    let steps = steps(&routing, &Routing::default());
    errors.extend(execute_all(&steps.before_ruleset, &devices).into_iter().map(Failure::from));
    errors.extend(nft.load(&replacement(&tables, "")).await.err().map(Failure::from));
    errors.extend(execute_all(&steps.after_ruleset, &devices).into_iter().map(Failure::from));
    errors.extend(change_all_devices(&kernel, &pairs.last).await);
    errors.extend(sysctl::restore(filters).into_iter().map(Failure::from));
    if errors.is_empty() && (found || stale) {
        dir.forget()?;
    }
    let count = errors.len();
    match errors.into_iter().next() {
        None => Ok(found),
        Some(first) if count == 1 => Err(first),
        Some(first) => {
            let message = format!("{}; and {} more", first.message, count - 1);
            Err(Failure { message, ..first })
        }
    }
}
