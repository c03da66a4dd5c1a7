//! `mhlab soak`: tests whose links break at random, again and again from one seed after the other; and of a failure the
//! fewest breaks with which it happens, as a scenario of its own.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use harness_model::{
    event::{Event, Outcome, TestId},
    scenario::{
        self, Drawn,
        flap::{Breaks, drawn, rewritten},
    },
    shrink::Shrink,
};
use harness_report::{
    Report as _,
    terminal::{Style, Terminal},
};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::{Exit, Stop, args::Soak, console::Console, files, run::Signals, selection::select};
use crate::{
    discover::{Loaded, Selected},
    machine::{self, Offer},
    pool::{Limits, Notice, Pool, Task},
};

/// Between two lines that tell how far it is.
const TOLD: Duration = Duration::from_secs(10);
/// How often breaks must fail, of so many times, to be held for the cause: two of three.
const OF: usize = 3;
const LEAST: usize = 2;

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

/// What it came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Soaked {
    /// The seed of the first run; each further one has the next.
    first_seed: u64,
    /// The seed of the last run.
    last_seed: u64,
    runs: u64,
    breaks: u64,
    micros: u64,
    failures: Vec<Failed>,
}

/// A run that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Failed {
    test: TestId,
    seed: u64,
    /// Steps and invariants, or the reason why it could not be carried out.
    why: Vec<String>,
    /// The scenario with the fewest breaks, if it was looked for and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<PathBuf>,
    /// How many those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaks: Option<usize>,
}

impl Soaked {
    fn text(&self) -> String {
        let seconds = self.micros as f64 / 1e6;
        let rate = self.breaks as f64 / seconds.max(0.001);
        let mut out = format!(
            "{} breaks in {} runs, seeds {} to {}, in {seconds:.0} s, {rate:.1} a second: {}\n",
            self.breaks,
            self.runs,
            self.first_seed,
            self.last_seed,
            match self.failures.len() {
                0 => "nothing failed".to_owned(),
                1 => "1 run failed".to_owned(),
                runs => format!("{runs} runs failed"),
            }
        );
        for Failed { test, seed, why, scenario, breaks } in &self.failures {
            out += &format!("  {test} from seed {seed}: {}\n", why.join(", "));
            if let Some((scenario, breaks)) = scenario.as_ref().zip(*breaks) {
                out += &format!("    {breaks} breaks are enough: {}\n", scenario.display());
            }
        }
        out
    }
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

/// A run that is over.
struct Over {
    test: TestId,
    /// None: chance had no say.
    seed: Option<u64>,
    /// Why it failed; empty if it did not.
    why: Vec<String>,
    events: Vec<Event>,
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

    /// Looks for the fewest breaks with which a test fails as it did, and writes them into a scenario beside the test's.
    fn shrink(
        &mut self,
        test: &Selected,
        seed: u64,
        over: &Over,
        console: &Console,
    ) -> Result<Option<(PathBuf, usize)>, Stop> {
        let begun = Instant::now();
        let scenario = &test.loaded.scenario;
        let all = drawn(scenario, seed);
        let steps: Vec<usize> = all.iter().map(|(step, _)| *step).collect();
        let flat = all.into_iter().flat_map(|(step, list)| list.into_iter().map(move |it| (step, it)));
        let flat: Vec<(usize, Drawn)> = flat.collect();
        let Some(_) = with(test, seed, &steps, &flat) else {
            console.error(
                "the breaks cannot be told one by one (hint: it needs `flap = { ... }` within its step)",
            );
            return Ok(None);
        };
        console.complain(format_args!("looking for the fewest of {} breaks with which it fails", flat.len()));
        if !self.fails(test, seed, &steps, &flat, over) {
            console.complain("the same breaks do not fail twice in three times: nothing to shrink");
            return Ok(None);
        }
        let mut shrink = Shrink::new(flat);
        while let Some(candidate) = shrink.candidate() {
            if begun.elapsed() >= self.options.shrink || self.signals.came.is_some() {
                break;
            }
            let fails = self.fails(test, seed, &steps, &candidate, over);
            if fails {
                console.complain(format_args!("{} breaks are enough", candidate.len()));
            }
            shrink.tried(fails);
        }
        let mut least = shrink.least().to_vec();
        let sooner = at_once(&least);
        if sooner != least && self.signals.came.is_none() && self.fails(test, seed, &steps, &sooner, over) {
            least = sooner;
        }
        let Some(found) = with(test, seed, &steps, &least) else { return Ok(None) };
        let path = &test.loaded.path;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let file = path.with_file_name(format!("{stem}-seed-{seed}.toml"));
        let head = format!("# The fewest breaks of {} from seed {seed} with which it failed.\n", over.test);
        files::write(&file, &(head + &found.loaded.text))?;
        Ok(Some((file, least.len())))
    }

    /// Whether a test fails with these breaks as it did.
    fn fails(
        &mut self,
        test: &Selected,
        seed: u64,
        steps: &[usize],
        breaks: &[(usize, Drawn)],
        before: &Over,
    ) -> bool {
        let Some(test) = with(test, seed, steps, breaks) else { return false };
        let (mut runs, mut failed) = (0, 0);
        while runs < OF && failed < LEAST && runs - failed <= OF - LEAST {
            // As many as are needed in any case.
            let number = (LEAST - failed).min(OF - runs);
            let tasks = (0..number).map(|_| self.task(test.clone(), Some(seed))).collect();
            let over = self.round(tasks);
            runs += number;
            failed += over.iter().filter(|over| over.is_like(before)).count();
        }
        failed >= LEAST
    }
}

impl Over {
    /// None if it was stopped before it was over.
    fn of(events: Vec<Event>) -> Option<Self> {
        let seed = events.iter().find_map(|event| match event {
            Event::TestStarted { seed, .. } => *seed,
            _ => None,
        });
        let finished = events.iter().find_map(|event| match event {
            Event::TestFinished { test, outcome, .. } => Some((test.clone(), outcome.clone())),
            _ => None,
        });
        let (test, outcome) = finished?;
        let why = match outcome {
            Outcome::Passed => Vec::new(),
            Outcome::Failed { failed, unbroken } => [failed, unbroken].concat(),
            Outcome::Error { reason } | Outcome::Skipped { reason } => vec![reason],
        };
        Some(Over { test, seed, why, events })
    }

    fn is_error(&self) -> bool {
        let error =
            |event: &Event| matches!(event, Event::TestFinished { outcome: Outcome::Error { .. }, .. });
        self.events.iter().any(error)
    }

    /// Whether it failed in one of the ways in which another did. What an error says may differ in its numbers.
    fn is_like(&self, other: &Over) -> bool {
        let own: BTreeSet<_> = self.why.iter().collect();
        (self.is_error() && other.is_error()) || other.why.iter().any(|why| own.contains(why))
    }
}

fn id(test: &Selected) -> TestId {
    TestId { scenario: test.loaded.id.clone(), variant: test.variant().name.clone() }
}

/// A test with just these breaks, by the step that each belongs to. None if its text does not allow it.
fn with(test: &Selected, seed: u64, steps: &[usize], breaks: &[(usize, Drawn)]) -> Option<Selected> {
    let Loaded { id, path, text, scenario } = &*test.loaded;
    let of = |step: usize| breaks.iter().filter(move |(of, _)| *of == step).map(|(_, it)| it.clone());
    let lists: Breaks = steps.iter().map(|step| (*step, of(*step).collect())).collect();
    let text = rewritten(text, scenario, seed, &lists)?;
    let scenario = scenario::parse(&text).ok()?;
    let loaded = Loaded { id: id.clone(), path: path.clone(), text, scenario };
    Some(Selected { loaded: Arc::new(loaded), variant: test.variant })
}

/// The same without the time that nothing happens before the first of each step.
fn at_once(breaks: &[(usize, Drawn)]) -> Vec<(usize, Drawn)> {
    let first = |step: usize| {
        let of_step = breaks.iter().filter(|(of, _)| *of == step);
        of_step.map(|(_, it)| it.after).min().unwrap_or_default()
    };
    let sooner = |(step, it): &(usize, Drawn)| {
        (*step, Drawn { after: it.after.saturating_sub(first(*step)), ..it.clone() })
    };
    breaks.iter().map(sooner).collect()
}

fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed.
    u64::from(since.subsec_micros()) + since.as_secs() % 1_000 * 1_000_000
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
