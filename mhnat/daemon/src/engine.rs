//! Applying and taking back: the order of steps, and what happens when one fails.
//!
//! Nothing is decided here that the core could decide. Both operations begin with what is there now, as the
//! kernel tells it, so that they also repair what a killed run left behind.

mod apply;
mod change;
mod down;
mod interrupt;
mod keep;
mod observe;
mod restore;
mod status;
mod supervisor;
mod sweeping;

use std::collections::BTreeSet;

use mhnat_core::converge::{Routing, Step};
use mhnat_core::device;
use mhnat_core::family::Family;
use mhnat_core::link::Unusable;
use mhnat_core::name::UplinkName;

pub(crate) use self::apply::apply;
pub(crate) use self::down::down;
pub(crate) use self::keep::{AGAIN, Keeper, Transition, Turn};
pub(crate) use self::observe::compare;
pub(crate) use self::restore::roll_back;
pub(crate) use self::status::{DaemonStatus, LegStatus, Status, UplinkStatus, status};
pub(crate) use self::supervisor::{SUBCOMMAND, Watch, alive, boot_time};
pub(crate) use self::sweeping::Swept;
use crate::failure::{Exit, Failure, with_causes};
use crate::kernel::{Devices, Kernel, KernelError, OnError};
use crate::sysctl::SysctlError;

/// What was applied, for the person who asked.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) nft_rules: usize,
    pub(crate) policy_rules: usize,
    pub(crate) routes: usize,
    /// Settings whose value from before the first apply is kept.
    pub(crate) sysctls: usize,
    /// Legs of uplinks that carry nothing now.
    pub(crate) unusable: Vec<(UplinkName, Family, Unusable)>,
    /// Legs without a gateway that seem to need one.
    pub(crate) lacking_gateway: Vec<(UplinkName, Family)>,
}

impl From<SysctlError> for Failure {
    fn from(error: SysctlError) -> Self {
        let text = with_causes(&error);
        if error.is_privilege() {
            Self::new(Exit::Cannot, text).hint("run as root, with /proc/sys writable")
        } else {
            Self::new(Exit::Failed, text)
        }
    }
}

fn execute(steps: &[Step], devices: &Devices) -> Result<(), KernelError> {
    match Kernel::execute(steps, devices, OnError::Stop).into_iter().next() {
        None => Ok(()),
        Some(first) => Err(first),
    }
}

/// Executes all steps, whatever becomes of each.
fn execute_all(steps: &[Step], devices: &Devices) -> Vec<KernelError> {
    Kernel::execute(steps, devices, OnError::GoOn)
}

/// Does the steps in order, up to the first that fails.
async fn change_devices(kernel: &Kernel, steps: &[device::Step]) -> Result<(), Failure> {
    for step in steps {
        kernel.change_device(step).await?;
    }
    Ok(())
}

/// Does all steps, whatever becomes of each.
async fn change_all_devices(kernel: &Kernel, steps: &[device::Step]) -> Vec<Failure> {
    let mut errors = Vec::new();
    for step in steps {
        errors.extend(kernel.change_device(step).await.err());
    }
    errors
}

/// What of `wanted` is not in `present`, and the other way round, in words.
fn differences(present: &Routing, wanted: &Routing) -> BTreeSet<String> {
    let rules = |a: &Routing, b: &Routing, word: &str| -> Vec<String> {
        a.rules.difference(&b.rules).map(|it| format!("{} rule `{it}` {word}", it.family)).collect()
    };
    let routes = |a: &Routing, b: &Routing, word: &str| -> Vec<String> {
        a.routes.difference(&b.routes).map(|it| format!("{} route `{it}` {word}", it.family)).collect()
    };
    [
        rules(wanted, present, "is missing"),
        rules(present, wanted, "should not be there"),
        routes(wanted, present, "is missing"),
        routes(present, wanted, "should not be there"),
    ]
    .concat()
    .into_iter()
    .collect()
}
