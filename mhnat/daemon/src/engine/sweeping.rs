//! Forgetting connections beside everything else: on a machine with very many it takes longer than a flap of a link.

use std::future::pending;
use std::time::{Duration, Instant};

use mhnat_core::link::Availability;
use mhnat_core::model::Model;
use mhnat_core::rehome::Sweep;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::failure::{Exit, Failure};
use crate::kernel::{Forgotten, Kernel, KernelError};

/// When connections are looked for once more: one may have been on its way when the state changed.
const AGAIN: Duration = Duration::from_millis(20);

/// Connections on their way out.
#[derive(Debug, Default)]
pub(crate) struct Sweeping {
    /// What is to be looked for.
    waiting: Vec<Sweep>,
    /// What was looked for, and is once more.
    again: Vec<Sweep>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    first: Vec<Sweep>,
    work: JoinHandle<Result<Swept, KernelError>>,
}

/// What has become of them.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Connections that begin anew, by the uplink that they have left.
    pub(crate) forgotten: Forgotten,
    /// What it took to find and to forget them.
    pub(crate) took: Duration,
    /// Sockets of this host that were closed.
    pub(crate) closed: u64,
    /// Why sockets were not closed that should be. Everything else was done.
    pub(crate) unclosed: Option<Failure>,
}

impl Swept {
    fn add(&mut self, forgotten: Forgotten) {
        for (key, number) in forgotten {
            *self.forgotten.entry(key).or_default() += number;
        }
    }
}

impl Sweeping {
    /// Begins with these, and with what is to be looked for once more, as far as that is right still; unless others are
    /// on their way, which end first.
    pub(super) fn begin(&mut self, sweeps: Vec<Sweep>, model: &Model, now: &Availability) {
        self.waiting.extend(sweeps);
        if self.running.is_some() {
            return;
        }
        // An uplink that was lost may be back by now, and have connections that are right.
        for sweep in self.waiting.iter_mut().chain(&mut self.again) {
            sweep.hold(model, now);
        }
        let first: Vec<_> = self.waiting.drain(..).filter(|it| !it.is_empty()).collect();
        let again: Vec<_> = self.again.drain(..).filter(|it| !it.is_empty()).collect();
        if first.is_empty() && again.is_empty() {
            return;
        }
        let (begun, new) = (Instant::now(), first.clone());
        let work = spawn_blocking(move || sweep(&new, &again, begun));
        self.running = Some(Running { first, work });
    }

    /// Waits until those on their way are gone; for ever, if there are none.
    pub(super) async fn next(&mut self) -> Result<Swept, Failure> {
        let Some(running) = &mut self.running else { return pending().await };
        let outcome = (&mut running.work).await;
        let first = self.running.take().map(|it| it.first).unwrap_or_default();
        let outcome = outcome
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot forget connections: {error}")))
            .and_then(|it| it.map_err(Failure::from));
        match outcome {
            Ok(swept) => {
                self.again = first;
                Ok(swept)
            }
            Err(failure) => {
                // Looked for at the next turn, as far as the links are still so.
                self.waiting.extend(first);
                Err(failure)
            }
        }
    }

    /// When a turn is due because of them.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.running.is_some() {
            // Their end is waited for.
            return None;
        }
        if !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        (!self.again.is_empty()).then_some(AGAIN)
    }
}

fn sweep(first: &[Sweep], again: &[Sweep], begun: Instant) -> Result<Swept, KernelError> {
    let mut swept = Swept::default();
    let mut rest = Vec::new();
    for sweep in first {
        // Whatever this leaves is found when they are looked for once more.
        match Kernel::forget_most(sweep)? {
            Some(most) => swept.add(most),
            None => rest.push(sweep),
        }
    }
    rest.extend(again);
    swept.add(Kernel::forget(&rest)?);
    swept.took = begun.elapsed();
    for sweep in first.iter().chain(again) {
        match Kernel::close(sweep) {
            Ok(closed) => swept.closed += closed,
            Err(error) => swept.unclosed = Some(error.into()),
        }
    }
    Ok(swept)
}
