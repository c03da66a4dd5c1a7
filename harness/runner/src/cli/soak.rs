//! `mhlab soak`: tests whose links break at random, again and again from one seed after the other; and of a failure the
//! fewest breaks with which it happens, as a scenario of its own.

mod fewest;
mod outcome;

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use harness_model::{event::TestId, scenario::flap::drawn};
use harness_report::{
    Report as _,
    terminal::{Style, Terminal},
};
use tokio::runtime::Runtime;

use self::outcome::{Failed, Over, Soaked};
use super::{Exit, Stop, args::Soak, console::Console, run::Signals, selection::select};
use crate::{
    discover::Selected,
    machine::{self, Offer},
    pool::{Limits, Notice, Pool, Task},
};

/// Between two lines that tell how far it is.
const TOLD: Duration = Duration::from_secs(10);

pub(super) fn soak(options: &Soak, console: &mut Console) -> Result<Exit, Stop> {
    let mut offer =
        Offer::new(options.mhnat.as_deref()).map_err(|error| Stop::BadInput(error.to_string()))?;
    let mut tests = select(&options.selection, console)?;
    // A control fails anyway.
    tests.retain(|test| test.variant().breaks.is_empty() && !drawn(&test.loaded.scenario, 0).is_empty());
    if tests.is_empty() {
        let hint = "such tests have a step with `flap`, and are no controls";
        return Err(Stop::BadInput(format!("in no test links break at random (hint: {hint})")));
    }
    for test in &tests {
        let requirements = test.loaded.scenario.requirements(test.variant());
        if let Some(reason) = offer.missing(&requirements) {
            return Err(Stop::Cannot(reason));
        }
    }
    let mut field = Field::new(options, offer.mhnat())?;
    let first = options.seed.unwrap_or_else(seed_of_now);
    if !options.json {
        console.print(&format!("from seed {first}\n"))?;
    }
    let outcome = field.all(&tests, first, console)?;
    if options.json {
        let text = serde_json::to_string_pretty(&outcome).map_err(|error| Stop::Output(error.into()))?;
        console.print(&(text + "\n"))?;
    } else {
        console.print(&outcome.text())?;
    }
    Ok(match field.signals.came {
        Some(number) => Exit::Signal(number),
        None if outcome.failures.is_empty() => Exit::Passed,
        None => Exit::Failed,
    })
}

/// Where tests are run.
struct Field<'a> {
    options: &'a Soak,
    mhnat: Option<PathBuf>,
    runtime: Runtime,
    signals: Signals,
    /// Tests at a time.
    jobs: usize,
}

impl<'a> Field<'a> {
    fn new(options: &'a Soak, mhnat: Option<PathBuf>) -> Result<Self, Stop> {
        let cannot = |error: io::Error| Stop::Cannot(format!("the run cannot begin: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let signals = runtime.block_on(async { Signals::new() }).map_err(cannot)?;
        let jobs = options.jobs.map_or_else(|| machine::processors().len(), |jobs| jobs.get());
        Ok(Field { options, mhnat, runtime, signals, jobs: jobs.max(1) })
    }

    /// Runs until it is enough, or one failed.
    fn all(&mut self, tests: &[Selected], first: u64, console: &mut Console) -> Result<Soaked, Stop> {
        let begun = Instant::now();
        let mut soaked = Soaked {
            first_seed: first,
            last_seed: first,
            runs: 0,
            breaks: 0,
            micros: 0,
            failures: Vec::new(),
        };
        let (mut seed, mut told) = (first, Instant::now());
        loop {
            let mut tasks = Vec::new();
            while tasks.len() < self.jobs.max(tests.len()) {
                for test in tests {
                    let breaks = drawn(&test.loaded.scenario, seed);
                    soaked.breaks += breaks.iter().map(|(_, list)| list.len() as u64).sum::<u64>();
                    tasks.push(self.task(test.clone(), Some(seed)));
                }
                soaked.last_seed = seed;
                seed = seed.wrapping_add(1);
            }
            soaked.runs += tasks.len() as u64;
            let failed: Vec<Over> =
                self.round(tasks).into_iter().filter(|over| !over.why.is_empty()).collect();
            soaked.micros = micros(begun);
            for over in failed {
                self.tell(&over, console)?;
                let seed = over.seed.unwrap_or(seed);
                let least = match tests.iter().find(|test| id(test) == over.test) {
                    Some(test) if !self.options.keep_going => self.shrink(test, seed, &over, console)?,
                    _ => None,
                };
                let (scenario, breaks) = least.unzip();
                let Over { test, why, .. } = over;
                soaked.failures.push(Failed { test, seed, why, scenario, breaks });
                if !self.options.keep_going {
                    return Ok(soaked);
                }
            }
            let enough = match self.options.breaks {
                Some(breaks) => soaked.breaks >= breaks,
                None => begun.elapsed() >= self.options.lasting,
            };
            if enough || self.signals.came.is_some() {
                return Ok(soaked);
            }
            if told.elapsed() >= TOLD {
                told = Instant::now();
                let (breaks, seconds) = (soaked.breaks, begun.elapsed().as_secs_f64());
                let rate = breaks as f64 / seconds;
                let failed = soaked.failures.len();
                console.complain(format_args!(
                    "up to seed {}: {breaks} breaks, {rate:.1} a second, {failed} failed",
                    soaked.last_seed
                ));
            }
        }
    }

    fn task(&self, selected: Selected, seed: Option<u64>) -> Task {
        Task { selected, skip: None, mhnat: self.mhnat.clone(), without_rule: None, seed }
    }

    /// Runs tests at the same time, until all are over or a signal came.
    fn round(&mut self, tasks: Vec<Task>) -> Vec<Over> {
        let jobs = Limits::weighing(self.jobs);
        let pool = Pool::new(Limits { jobs, timeout: self.options.timeout });
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let signals = &mut self.signals;
        self.runtime.block_on(pool.run(tasks, tell, async { signals.any().await }));
        let mut over = Vec::new();
        while let Ok(notice) = told.try_recv() {
            if let Notice::Over(events) = notice {
                over.extend(Over::of(events));
            }
        }
        over
    }

    fn tell(&self, over: &Over, console: &mut Console) -> Result<(), Stop> {
        let colour = if self.options.json { console.colour_err() } else { console.colour_out() };
        let mut terminal = Terminal::new(Style { colour, verbose: self.options.verbose });
        over.events.iter().for_each(|event| terminal.event(event));
        let text = terminal.take();
        if self.options.json {
            console.complain_raw(&text);
            return Ok(());
        }
        console.print(&text)
    }
}

fn id(test: &Selected) -> TestId {
    TestId { scenario: test.loaded.id.clone(), variant: test.variant().name.clone() }
}

fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed.
    u64::from(since.subsec_micros()) + since.as_secs() % 1_000 * 1_000_000
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
