//! What runs, and what waits until it may go.

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
    /// How many of them measure times.
    pub(super) measuring: usize,
}

impl Load {
    /// Whether there is room for one more. One that measures times waits until labs are gone that have to go.
    pub(super) fn admits(&self, task: &Task, jobs: usize, resting: &Resting) -> bool {
        let fits = self.weight == 0 || self.weight + task.weight() <= jobs;
        fits && !(task.measures_time() && resting.are_many())
    }

    pub(super) fn begins(&mut self, task: &Task) {
        self.weight += task.weight();
        self.measuring += usize::from(task.measures_time());
    }

    pub(super) fn ends(&mut self, task: &Task) {
        self.weight -= task.weight();
        self.measuring -= usize::from(task.measures_time());
    }
}

/// Workers that have given their verdict and whose labs still stand.
#[derive(Default)]
pub(super) struct Resting {
    workers: Vec<Worker>,
    namespaces: usize,
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

    pub(super) fn release(&mut self, leaving: &mut JoinSet<()>) {
        for worker in self.workers.drain(..) {
            leaving.spawn(reap(worker));
        }
        self.namespaces = 0;
    }
}
