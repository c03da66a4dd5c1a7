//! What runs, and what waits until it may go.

use std::future::pending;

use tokio::task::JoinSet;

use super::{
    Task,
    process::{Worker, reap},
};

/// What runs.
#[derive(Default)]
pub(super) struct Load {
    /// The weight of all tests that run.
    weight: usize,
    /// How many of them are timed.
    timed: usize,
}

impl Load {
    /// Whether there is room for one more. One that is timed waits until labs are gone that have to go.
    pub(super) fn admits(&self, task: &Task, jobs: usize, resting: &Resting) -> bool {
        let fits = self.weight == 0 || self.weight + task.weight() <= jobs;
        fits && !(task.is_timed() && (resting.are_many() || resting.are_leaving()))
    }

    pub(super) fn begins(&mut self, task: &Task) {
        self.weight += task.weight();
        self.timed += usize::from(task.is_timed());
    }

    pub(super) fn ends(&mut self, task: &Task) {
        self.weight -= task.weight();
        self.timed -= usize::from(task.is_timed());
    }

    /// Whether nobody minds that labs go.
    pub(super) fn lets_go(&self) -> bool {
        self.timed == 0
    }
}

/// Workers that have given their verdict and whose labs still stand.
#[derive(Default)]
pub(super) struct Resting {
    workers: Vec<Worker>,
    namespaces: usize,
    leaving: JoinSet<()>,
}

impl Resting {
    /// Workers at a time: each has three pipes with us.
    const WORKERS: usize = 32;
    /// Network namespaces at a time: each takes some hundred KiB of the kernel's memory.
    const NAMESPACES: usize = 256;

    pub(super) fn extend(&mut self, namespaces: usize, worker: Option<Worker>) {
        self.workers.extend(worker);
        self.namespaces += namespaces;
    }

    /// Whether it is time for them to go.
    pub(super) fn are_many(&self) -> bool {
        self.workers.len() >= Self::WORKERS || self.namespaces >= Self::NAMESPACES
    }

    /// Whether some are on their way out.
    fn are_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    pub(super) fn release(&mut self) {
        for worker in self.workers.drain(..) {
            self.leaving.spawn(reap(worker));
        }
        self.namespaces = 0;
    }

    /// Returns when one more has left; never, if none is on its way.
    pub(super) async fn left(&mut self) {
        if self.leaving.join_next().await.is_none() {
            pending::<()>().await;
        }
    }

    /// Returns when all have left that are on their way.
    pub(super) async fn all_left(&mut self) {
        while self.leaving.join_next().await.is_some() {}
    }
}
