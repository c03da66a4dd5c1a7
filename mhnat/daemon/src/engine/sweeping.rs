//! Forgetting connections beside everything else: on a machine with very many it takes longer than a flap of a link.

use std::future::pending;
use std::time::{Duration, Instant};

use mhnat_core::link::Availability;
use mhnat_core::model::Model;
use mhnat_core::rehome::Sweep;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::failure::{Exit, Failure};
use crate::kernel::{Kernel, KernelError};

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
    begun: Instant,
    first: Vec<Sweep>,
    work: JoinHandle<Result<u64, KernelError>>,
}

/// What has become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Connections that begin anew.
    pub(crate) forgotten: u64,
    /// What it took to find and to forget them.
    pub(crate) took: Duration,
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
        let all: Vec<_> =
            self.again.drain(..).filter(|it| !it.is_empty()).chain(first.iter().cloned()).collect();
        if all.is_empty() {
            return;
        }
        let work = spawn_blocking(move || {
            let mut forgotten = 0;
            for sweep in &all {
                forgotten += Kernel::forget(sweep)?;
            }
            Ok(forgotten)
        });
        self.running = Some(Running { begun: Instant::now(), first, work });
    }

    /// Waits until those on their way are gone; for ever, if there are none.
    pub(super) async fn next(&mut self) -> Result<Swept, Failure> {
        let Some(running) = &mut self.running else { return pending().await };
        let outcome = (&mut running.work).await;
        let took = running.begun.elapsed();
        let first = self.running.take().map(|it| it.first).unwrap_or_default();
        let outcome = outcome
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot forget connections: {error}")))
            .and_then(|it| it.map_err(Failure::from));
        match outcome {
            Ok(forgotten) => {
                self.again = first;
                Ok(Swept { forgotten, took })
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
