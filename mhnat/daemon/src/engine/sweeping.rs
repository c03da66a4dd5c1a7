//! Forgetting connections beside everything else: on a machine with very many it takes longer than a flap of a link.
//!
//! Most of those that leave a lost uplink are forgotten by one request, which the kernel answers soon. To list all that
//! are tracked takes it longer, even where they are few, and it forwards nothing on that processor meanwhile
//! (`ctnetlink_dump_table()` in net/netfilter/nf_conntrack_netlink.c). So lists wait until packets have found their new
//! way: lists for the rest, for sweeps of other kinds, and for whatever was on its way when the state changed.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::{Duration, Instant};

use mhnat_core::link::Availability;
use mhnat_core::model::Model;
use mhnat_core::rehome::Sweep;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::failure::{Exit, Failure};
use crate::kernel::{Forgotten, Kernel, KernelError};

/// When connections are looked for once more: one may have been on its way when the state changed.
const AGAIN: Duration = Duration::from_millis(20);

/// Connections on their way out.
#[derive(Debug, Default)]
pub(crate) struct Sweeping {
    /// Sweeps of which most is to be forgotten by a few requests.
    soon: Vec<Sweep>,
    /// Requests for most of some: one task at a time, since the kernel answers one after the other, and what waits
    /// meanwhile may be the same once more, or not be right any more.
    at_once: Option<JoinHandle<AtOnce>>,
    /// What is to be looked for in a list.
    waiting: Vec<Sweep>,
    /// What was looked for, and is once more from this moment on.
    again: Vec<Sweep>,
    again_from: Option<Instant>,
    listing: Option<Listing>,
}

#[derive(Debug)]
struct AtOnce {
    sweeps: Vec<Sweep>,
    /// Of which of them the rest can wait until they are looked for once more.
    outcome: Result<(Swept, Vec<bool>), KernelError>,
}

#[derive(Debug)]
struct Listing {
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
    /// Begins with these, and with what is to be looked for once more, as far as that is right still. One list is made at
    /// a time.
    pub(super) fn begin(&mut self, sweeps: Vec<Sweep>, model: &Model, now: &Availability) {
        // An uplink that was lost may be back by now, and have connections that are right.
        for sweep in self.soon.iter_mut().chain(&mut self.waiting).chain(&mut self.again) {
            sweep.hold(model, now);
        }
        let (at_once, listed): (Vec<_>, Vec<_>) = sweeps.into_iter().partition(|it| !it.bulks().is_empty());
        self.soon.extend(at_once);
        self.ask_at_once();
        self.waiting.extend(listed);
        if self.listing.is_none() {
            let due = self.again_from.is_some_and(|it| it <= Instant::now());
            let again = if due { std::mem::take(&mut self.again) } else { Vec::new() };
            self.list(again);
        }
    }

    fn ask_at_once(&mut self) {
        if self.at_once.is_some() {
            return;
        }
        let mut sweeps = std::mem::take(&mut self.soon);
        sweeps.retain(|it| !it.is_empty());
        if !sweeps.is_empty() {
            self.at_once = Some(spawn_blocking(|| forget_most(sweeps)));
        }
    }

    fn list(&mut self, mut again: Vec<Sweep>) {
        let mut first = std::mem::take(&mut self.waiting);
        first.retain(|it| !it.is_empty());
        again.retain(|it| !it.is_empty());
        if first.is_empty() && again.is_empty() {
            return;
        }
        let (begun, new) = (Instant::now(), first.clone());
        let work = spawn_blocking(move || forget(&new, &again, begun));
        self.listing = Some(Listing { first, work });
    }

    /// Waits until some of those on their way are gone; for ever, if there are none.
    pub(super) async fn next(&mut self) -> Result<Swept, Failure> {
        let Self { at_once, listing, .. } = self;
        tokio::select! {
            done = async { match at_once { Some(it) => it.await, None => pending().await } } => {
                self.done_at_once(done)
            }
            listed = async { match listing { Some(it) => (&mut it.work).await, None => pending().await } } => {
                self.done_listing(listed)
            }
        }
    }

    fn done_at_once(&mut self, done: Result<AtOnce, JoinError>) -> Result<Swept, Failure> {
        self.at_once = None;
        self.ask_at_once();
        let AtOnce { sweeps, outcome } = done.map_err(broken)?;
        let (swept, rests_wait) = match outcome {
            Ok((swept, rests_wait)) => (Ok(swept), rests_wait),
            Err(error) => (Err(error.into()), Vec::new()),
        };
        // What has failed is looked for in a list.
        let (mut later, mut listed) = (Vec::new(), Vec::new());
        for (place, sweep) in sweeps.into_iter().enumerate() {
            if rests_wait.get(place) == Some(&true) { &mut later } else { &mut listed }.push(sweep);
        }
        self.look_again(later);
        self.waiting.extend(listed);
        if self.listing.is_none() {
            self.list(Vec::new());
        }
        swept
    }

    fn done_listing(
        &mut self,
        listed: Result<Result<Swept, KernelError>, JoinError>,
    ) -> Result<Swept, Failure> {
        let first = self.listing.take().map(|it| it.first).unwrap_or_default();
        match listed.map_err(broken).and_then(|it| it.map_err(Failure::from)) {
            Ok(swept) => {
                self.look_again(first);
                Ok(swept)
            }
            Err(failure) => {
                // Looked for at the next turn, as far as the links are still so.
                self.waiting.extend(first);
                Err(failure)
            }
        }
    }

    fn look_again(&mut self, sweeps: Vec<Sweep>) {
        if sweeps.is_empty() {
            return;
        }
        // Those that wait already are not put off by others.
        if self.again.is_empty() {
            self.again_from = Some(Instant::now() + AGAIN);
        }
        self.again.extend(sweeps);
    }

    /// When a turn is due because of them.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.listing.is_some() {
            // Its end is waited for.
            return None;
        }
        if !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        let from = self.again_from.filter(|_| !self.again.is_empty())?;
        Some(from.saturating_duration_since(Instant::now()))
    }
}

fn broken(error: JoinError) -> Failure {
    Failure::new(Exit::Failed, format!("cannot forget connections: {error}"))
}

fn forget_most(sweeps: Vec<Sweep>) -> AtOnce {
    let (begun, many) = (Instant::now(), Kernel::tracks_many());
    let mut swept = Swept::default();
    let (mut asked, mut rests_wait) = (BTreeSet::new(), Vec::new());
    for sweep in &sweeps {
        match Kernel::forget_most(sweep, &mut asked) {
            Ok(most) => {
                rests_wait.push(most.is_some() && (many || sweep.is_mostly_bulks()));
                swept.add(most.unwrap_or_default());
            }
            Err(error) => return AtOnce { sweeps, outcome: Err(error) },
        }
    }
    swept.took = begun.elapsed();
    AtOnce { sweeps, outcome: Ok((swept, rests_wait)) }
}

fn forget(first: &[Sweep], again: &[Sweep], begun: Instant) -> Result<Swept, KernelError> {
    let all: Vec<&Sweep> = first.iter().chain(again).collect();
    let mut swept = Swept { forgotten: Kernel::forget(&all)?, ..Swept::default() };
    swept.took = begun.elapsed();
    for sweep in all {
        match Kernel::close(sweep) {
            Ok(closed) => swept.closed += closed,
            Err(error) => swept.unclosed = Some(error.into()),
        }
    }
    Ok(swept)
}
