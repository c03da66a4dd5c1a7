//! Runs tests, each in a process of its own, several at the same time.
//!
//! The worker is this very program started anew; see [`crate::job`]. Its verdict counts as soon as it is told.
//! That the kernel still takes the lab away holds up neither the verdict nor the next test, but no process is
//! left when [`Pool::run`] returns.
//!
//! Labs that have been judged stand until there are many of them, or until nothing else is to do. The kernel takes
//! network namespaces away in one worker for the whole machine (cleanup_net, net/core/net_namespace.c), and holds the
//! RTNL lock over waits for RCU meanwhile, once for all that it finds. One lab after another, this takes half of the time of
//! those that are being built.
//!
//! Tests whose verdict depends on time come first, and no lab is taken away meanwhile: a change of a link waits for the RTNL
//! lock, and so does whatever the subject does about it. Those that measure times have a processor to themselves.

use std::{cmp::Reverse, collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};

use harness_model::event::{Event, Outcome, TestId};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::JoinSet,
};

use crate::{discover::Selected, job::Job, machine};

mod load;
mod process;
mod processors;
mod shared;

pub use shared::Shared;

use load::{Load, Resting};
use process::{Conducted, conduct};
use processors::Processors;

/// One test that is to be run, or to be skipped.
#[derive(Debug)]
pub struct Task {
    /// The test.
    pub selected: Selected,
    /// Why it cannot be run here.
    pub skip: Option<String>,
    /// The program mhnat, where the variant needs it.
    pub mhnat: Option<std::path::PathBuf>,
    /// Delete the n-th rule of the subject's nft ruleset after it was applied.
    pub without_rule: Option<usize>,
    /// Where all chance comes from, instead of from the scenario's seed.
    pub seed: Option<u64>,
}

impl Task {
    /// Which test it is.
    pub fn id(&self) -> TestId {
        TestId { scenario: self.selected.loaded.id.clone(), variant: self.selected.variant().name.clone() }
    }

    /// The event that begins it.
    fn started(&self) -> Event {
        let scenario = &self.selected.loaded.scenario;
        Event::TestStarted {
            test: self.id(),
            title: scenario.title.clone(),
            breaks: self.selected.variant().breaks.iter().cloned().collect(),
            steps: scenario.steps.len(),
            seed: scenario.is_random().then_some(self.seed.unwrap_or(scenario.seed)),
        }
    }

    /// How many tests it counts for: one that measures times counts for as many as share a processor.
    fn weight(&self) -> usize {
        if self.measures_time() { SHARE } else { 1 }
    }

    fn measures_time(&self) -> bool {
        self.selected.loaded.scenario.measures_time()
    }

    /// Whether a lab that is taken away meanwhile could change the verdict.
    fn is_timed(&self) -> bool {
        self.selected.loaded.scenario.is_timed(self.selected.variant())
    }

    fn skipped(&self, reason: &str) -> Vec<Event> {
        let outcome = Outcome::Skipped { reason: reason.to_owned() };
        let finished = Event::TestFinished { test: self.id(), outcome, micros: 0, peak_kib: 0, frames: 0 };
        vec![self.started(), finished]
    }

    fn job(&self, processor: usize) -> Job {
        let loaded = &self.selected.loaded;
        Job {
            test: self.id(),
            path: std::path::absolute(&loaded.path).unwrap_or_else(|_| loaded.path.clone()),
            text: loaded.text.clone(),
            mhnat: self.mhnat.clone(),
            processor: Some(processor),
            runner: std::process::id(),
            without_rule: self.without_rule,
            seed: self.seed,
        }
    }
}

/// What the pool tells while it works.
#[derive(Debug)]
pub enum Notice {
    /// A test begins.
    Began(TestId),
    /// A test is over: all of its events, so that tests that ran at the same time do not mix.
    Over(Vec<Event>),
}

/// Tests on a processor at a time: while some wait, others build their labs.
const SHARE: usize = 4;

/// How many tests at a time, and how long each may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tests at a time.
    pub jobs: NonZeroUsize,
    /// Until a test is stopped.
    pub timeout: Duration,
}

impl Limits {
    /// As many as all processors take.
    pub fn default_jobs() -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(SHARE * machine::processors().len() - 1)
    }

    /// As many as let so many tests that measure times run at a time.
    pub fn weighing(measuring: usize) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add((SHARE * measuring).saturating_sub(1))
    }

    /// How long a test may take unless something else is said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
}

/// Runs tests.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    processors: Processors,
    /// Whether labs can be made at all; looked at when a test fails before its lab stood.
    sandbox: Option<Result<(), String>>,
}

impl Pool {
    /// A pool that may use every processor of this process.
    pub fn new(limits: Limits) -> Self {
        Pool { limits, processors: Processors::new(machine::processors()), sandbox: None }
    }

    /// Runs tests until all are over, or until `stop` tells that the user has had enough: then tests that are
    /// running are ended without a word, and the others do not begin.
    pub async fn run(
        self,
        mut tasks: Vec<Task>,
        tell: UnboundedSender<Notice>,
        stop: impl Future<Output = ()>,
    ) {
        tasks.sort_by_key(|task| turn(&task.selected));
        let (give, given) = unbounded_channel();
        for task in tasks {
            // It is received below.
            let _ = give.send(task);
        }
        drop(give);
        self.serve(given, tell, stop).await;
    }

    /// Runs tests as they are given, in that order, until nobody can give any more and all are over. `stop` as in
    /// [`Pool::run`].
    async fn serve(
        mut self,
        mut given: UnboundedReceiver<Task>,
        tell: UnboundedSender<Notice>,
        stop: impl Future<Output = ()>,
    ) {
        let mut queue: VecDeque<Task> = VecDeque::new();
        let mut more = true;
        let mut load = Load::default();
        let mut running: JoinSet<(Arc<Task>, usize, Conducted)> = JoinSet::new();
        let mut resting = Resting::default();
        let (stopping, stopped) = watch::channel(false);
        let notify = |notice| {
            // Nobody listens any more: then nobody misses it.
            let _ = tell.send(notice);
        };
        tokio::pin!(stop);
        loop {
            while let Ok(task) = given.try_recv() {
                queue.push_back(task);
            }
            while !*stopped.borrow() {
                let jobs = self.limits.jobs.get();
                if !queue.front().is_some_and(|task| load.admits(task, jobs, &resting)) {
                    break;
                }
                let Some(task) = queue.pop_front() else { break };
                if let Some(reason) = self.reason_to_skip(&task) {
                    notify(Notice::Over(task.skipped(&reason)));
                    continue;
                }
                notify(Notice::Began(task.id()));
                load.begins(&task);
                let processor = self.processors.take(task.weight());
                let (job, task) = (task.job(processor), Arc::new(task));
                let (begun, timeout, stopped) = (task.started(), self.limits.timeout, stopped.clone());
                running.spawn(async move { (task, processor, conduct(&job, begun, timeout, stopped).await) });
            }
            if running.is_empty() && (*stopped.borrow() || !more && queue.is_empty()) {
                break;
            }
            tokio::select! {
                Some(over) = running.join_next() => match over {
                    Ok((task, processor, conducted)) => {
                        self.processors.give_back(processor, task.weight());
                        load.ends(&task);
                        resting.extend(conducted.namespaces(), conducted.remains);
                        if resting.are_many() && load.lets_go() {
                            resting.release();
                        }
                        if let Some(events) = conducted.events {
                            notify(Notice::Over(self.unless_no_lab_can_be_made(&task, events)));
                        }
                    }
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                },
                task = given.recv(), if more => match task {
                    Some(task) => queue.push_back(task),
                    None => more = false,
                },
                () = &mut stop, if !*stopped.borrow() => {
                    stopping.send_replace(true);
                }
                () = resting.left() => {}
            }
        }
        drop(tell);
        resting.release();
        resting.all_left().await;
    }

    fn reason_to_skip(&self, task: &Task) -> Option<String> {
        let no_lab = self.sandbox.as_ref().and_then(|sandbox| sandbox.as_ref().err());
        task.skip.as_ref().or(no_lab).cloned()
    }

    /// A test that failed because this machine cannot make labs was not run.
    fn unless_no_lab_can_be_made(&mut self, task: &Task, events: Vec<Event>) -> Vec<Event> {
        if !ended_before_its_lab(&events) {
            return events;
        }
        let sandbox = self.sandbox.get_or_insert_with(|| machine::sandbox_problem().map_or(Ok(()), Err));
        match sandbox {
            Ok(()) => events,
            Err(reason) => task.skipped(reason),
        }
    }
}

/// Whose turn it is, the least first: tests that measure times, others whose verdict depends on time, and then the rest. Among
/// equals those that wait longest, so that none of them is still waiting when all others are over.
pub fn turn(selected: &Selected) -> impl Ord + use<> {
    let (scenario, variant) = (&selected.loaded.scenario, selected.variant());
    (!scenario.measures_time(), !scenario.is_timed(variant), Reverse(scenario.patience(variant)))
}

fn ended_before_its_lab(events: &[Event]) -> bool {
    let error = |event: &Event| matches!(event, Event::TestFinished { outcome: Outcome::Error { .. }, .. });
    events.iter().any(error) && !events.iter().any(|event| matches!(event, Event::LabBuilt { .. }))
}
