//! The steps of a change, in the order in which no packet is misled, and the look at what they did.

use std::cell::Cell;
use std::collections::BTreeSet;

use mhnat_core::converge::{self, Routing};
use mhnat_core::desired::Desired;
use mhnat_core::device;
use mhnat_core::sysctl::{self as settings, SysctlPlan, Values, restore_order};

use super::observe::Picture;
use super::{change_devices, differences, execute};
use crate::failure::{Exit, Failure};
use crate::kernel::{Devices, Kernel};
use crate::nft::{InForce, Loader, Nft};
use crate::sysctl;

/// What is known of a change that was done.
pub(super) struct ReadBack<'a> {
    /// Rules and routes as they were read while nft worked, where nothing of them came after it.
    routing: Option<Routing>,
    ruleset: InForce<'a>,
}

/// A change on its way.
pub(super) struct Change<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) nft: &'a Nft,
    pub(super) picture: &'a Picture,
    /// What turns our tables into what they should be; empty where they are.
    pub(super) commands: &'a str,
    /// Whether nft was asked to change the tables. Before that, they are as they were.
    pub(super) loading: Cell<bool>,
}

impl<'a> Change<'a> {
    /// Does it. `kept` are the settings that are remembered; `meanwhile` is done while nft works.
    pub(super) async fn forward(
        &self,
        loader: Loader,
        kept: &Values,
        meanwhile: impl FnOnce(),
    ) -> Result<ReadBack<'a>, Failure> {
        let Picture { desired, pairs, sysctls, .. } = self.picture;
        let Desired { ruleset: _, bridge: _, devices: _, rules: _, routes: _, sysctls: _ } = desired;
        let SysctlPlan { keep: _, open, forward, obsolete } = sysctls;
        let wanted = self.picture.wanted();

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
        let mended = self.mended().await?;
        let (devices, routing) =
            mended.as_ref().map_or((&self.picture.devices, &self.picture.routing), |(it, of)| (it, of));
        let steps = converge::steps(routing, &wanted);
        // Tables and rules before the marks that lead to them, and after those that led to them.
        execute(&steps.before_ruleset, devices)?;
        // Where nothing of them follows the ruleset, they are read back while nft works.
        let complete = steps.after_ruleset.is_empty() && pairs.last.is_empty();
        let early = async {
            meanwhile();
            if complete { Some(self.kernel.routing(devices).await) } else { None }
        };
        let (loaded, early) = tokio::join!(self.load(loader), early);
        let ruleset = loaded?;
        execute(&steps.after_ruleset, devices)?;
        // Nothing leads there any more.
        change_devices(self.kernel, &pairs.last).await?;
        restore_settings(filters)?;
        // Nothing is forwarded before its source is translated.
        for (key, value) in forward {
            sysctl::write(key, value)?;
        }
        Ok(ReadBack { routing: early.transpose()?, ruleset })
    }

    /// Looks at what was done, and gives back whom else to wait for.
    pub(super) async fn verify(&self, read: ReadBack<'a>) -> Result<InForce<'a>, Failure> {
        let wanted = self.picture.wanted();
        let routing = match read.routing {
            Some(routing) => routing,
            None => self.kernel.routing(&self.kernel.devices().await?).await?,
        };
        let mut wrong = differences(&routing, &wanted);
        wrong.extend(self.deviations().await?);
        match wrong.first() {
            None => Ok(read.ruleset),
            Some(first) => {
                Err(Failure::new(Exit::Failed, format!("the kernel did not end up as planned: {first}"))
                    .hint("does another program manage the same?"))
            }
        }
    }

    /// What the kernel has once devices were made or deleted: they have new indexes, and with those that went their
    /// routes went as well. Nothing if all that there were have stayed.
    async fn mended(&self) -> Result<Option<(Devices, Routing)>, Failure> {
        let first = &self.picture.pairs.first;
        if !first.iter().any(|step| matches!(step, device::Step::Make(_) | device::Step::Delete(_))) {
            return Ok(None);
        }
        let devices = self.kernel.devices().await?;
        let lost = first.iter().any(|step| matches!(step, device::Step::Delete(_)));
        let routing = if lost { self.kernel.routing(&devices).await? } else { self.picture.routing.clone() };
        Ok(Some((devices, routing)))
    }

    async fn load(&self, loader: Loader) -> Result<InForce<'a>, Failure> {
        self.loading.set(!self.commands.is_empty());
        Ok(loader.load(self.nft, self.commands).await?)
    }

    /// What was written, other than rules and routes, and reads otherwise. Another program may have been quicker than
    /// the lock can tell.
    async fn deviations(&self) -> Result<BTreeSet<String>, Failure> {
        let Picture { desired, present, sysctls, .. } = self.picture;
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
}

fn restore_settings(order: Vec<(&settings::Key, &str)>) -> Result<(), Failure> {
    match sysctl::restore(order).into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}
