//! `mhlab run`

use std::{
    io,
    time::{Duration, Instant},
};

use harness_model::{
    event::{Event, Machine, Totals},
    scenario::Requirement,
};
use harness_report::{
    Report,
    terminal::{Style, Terminal},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::{
    Exit, Stop,
    args::{ReportTarget, Run},
    console::Console,
    files,
    progress::Progress,
    selection::select,
};
use crate::{
    machine::{self, Offer},
    pool::{Limits, Notice, Pool, Task},
};

/// How often the live line is drawn anew.
const TICK: Duration = Duration::from_millis(100);

pub(super) fn run(options: &Run, console: &mut Console) -> Result<Exit, Stop> {
    let begun = Instant::now();
    files::check(&options.reports)?;
    let mut offer =
        Offer::new(options.mhnat.as_deref()).map_err(|error| Stop::BadInput(error.to_string()))?;
    let tasks = tasks(options, &mut offer, console)?;
    let no_runtime = |error: io::Error| Stop::Cannot(format!("the run cannot begin: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;

    let presenter = Presenter::new(options, tasks.len(), begun, console);
    let jobs = options.jobs.unwrap_or_else(Limits::default_jobs);
    let pool = Pool::new(Limits { jobs, timeout: options.timeout });
    let (totals, interrupted) = runtime.block_on(async {
        let mut signals = Signals::new().map_err(no_runtime)?;
        let (tell, told) = unbounded_channel();
        // Tests begin at once; what the machine is gets asked meanwhile, and only if a report tells it.
        let facts = facts(options, offer);
        let stop = async { signals.any().await };
        let (totals, ()) = tokio::join!(presenter.present(told, facts), pool.run(tasks, tell, stop));
        Ok((totals?, signals.came))
    })?;
    Ok(verdict(options, totals, interrupted, console))
}

/// What the outcomes mean for the exit status, with a sentence where it is not plain.
fn verdict(options: &Run, totals: Totals, interrupted: Option<u8>, console: &Console) -> Exit {
    if let Some(number) = interrupted {
        console
            .error(format_args!("interrupted by signal {number}: the tests that were running were stopped"));
        return Exit::Signal(number);
    }
    if totals.failed + totals.errors > 0 {
        return Exit::Failed;
    }
    if totals.passed == 0 {
        console.error("every test was skipped, so nothing was shown: this machine cannot run them");
        return Exit::Cannot;
    }
    if options.strict && totals.skipped > 0 {
        let tests = if totals.skipped == 1 { "a test was skipped" } else { "tests were skipped" };
        console.error(format_args!("{tests}, and --strict makes that a failure"));
        return Exit::Failed;
    }
    Exit::Passed
}

fn tasks(options: &Run, offer: &mut Offer, console: &Console) -> Result<Vec<Task>, Stop> {
    let tests = select(&options.selection, console)?;
    let task = |selected: crate::discover::Selected| {
        let requirements = selected.loaded.scenario.requirements(selected.variant());
        let mhnat = requirements.contains(&Requirement::Mhnat).then(|| offer.mhnat()).flatten();
        let skip = offer.missing(&requirements);
        Task { selected, skip, mhnat, without_rule: options.without_rule, seed: options.seed }
    };
    Ok(tests.into_iter().map(task).collect())
}

/// What the run runs on; with the versions of tools if somebody will read them.
async fn facts(options: &Run, mut offer: Offer) -> Machine {
    let mut facts = machine::facts();
    if options.verbose || !options.reports.is_empty() {
        facts.tools = machine::tools(offer.mhnat()).await;
    }
    facts
}

/// The signals that end a run in good order.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The one that came.
    pub(super) came: Option<u8>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())?, came: None })
    }

    pub(super) async fn any(&mut self) {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        self.came = u8::try_from(kind.as_raw_value()).ok();
    }
}

/// Hands every event to every report.
struct Presenter<'a> {
    console: &'a mut Console,
    terminal: Box<Terminal>,
    /// Standard output belongs to a report, so people read standard error.
    aside: bool,
    reports: Vec<(ReportTarget, Box<dyn Report>)>,
    progress: Option<Progress>,
    tests: usize,
    begun: Instant,
}

impl<'a> Presenter<'a> {
    fn new(options: &Run, tests: usize, begun: Instant, console: &'a mut Console) -> Self {
        let aside = options.reports.iter().any(|target| target.file.is_none());
        let colour = if aside { console.colour_err() } else { console.colour_out() };
        let terminal = Box::new(Terminal::new(Style { colour, verbose: options.verbose }));
        let reports = options.reports.iter().map(|target| (target.clone(), target.format.report())).collect();
        let progress = console.is_watched().then(|| Progress::new(tests));
        Presenter { console, terminal, aside, reports, progress, tests, begun }
    }

    async fn present(
        mut self,
        mut told: UnboundedReceiver<Notice>,
        facts: impl Future<Output = Machine>,
    ) -> Result<Totals, Stop> {
        let machine = facts.await;
        self.event(&Event::RunStarted { tests: self.tests, machine })?;
        let mut totals = Totals::default();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let notice = tokio::select! {
                biased;
                notice = told.recv() => notice,
                _ = ticks.tick(), if self.progress.is_some() => {
                    self.progress.iter_mut().for_each(Progress::tick);
                    continue;
                }
            };
            match notice {
                None => break,
                Some(Notice::Began(test)) => {
                    if let Some(progress) = &mut self.progress {
                        progress.began(test);
                    }
                }
                Some(Notice::Over(events)) => {
                    for event in &events {
                        if let Event::TestFinished { test, outcome, .. } = event {
                            totals.count(outcome);
                            if let Some(progress) = &mut self.progress {
                                progress.over(test, outcome);
                            }
                        }
                        self.event(event)?;
                    }
                }
            }
        }
        let micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.event(&Event::RunFinished { totals, micros })?;
        self.finish()?;
        Ok(totals)
    }

    fn event(&mut self, event: &Event) -> Result<(), Stop> {
        for (_, report) in &mut self.reports {
            report.event(event);
        }
        self.terminal.event(event);
        if matches!(event, Event::RunFinished { .. }) {
            self.progress.iter_mut().for_each(Progress::end);
        }
        let text = self.terminal.take();
        self.print(&text)
    }

    fn print(&mut self, text: &str) -> Result<(), Stop> {
        if text.is_empty() {
            return Ok(());
        }
        let (console, aside) = (&mut *self.console, self.aside);
        let mut print = || {
            if aside {
                console.complain_raw(text);
                return Ok(());
            }
            console.print(text)
        };
        match &self.progress {
            Some(progress) => progress.without(print),
            None => print(),
        }
    }

    fn finish(self) -> Result<(), Stop> {
        let mut first = Ok(());
        for (target, report) in self.reports {
            let written =
                report.finish().map_err(|error| Stop::Cannot(error.to_string())).and_then(
                    |text| match &target.file {
                        Some(file) => files::write(file, &text),
                        None => self.console.print(&text),
                    },
                );
            // One report that cannot be written takes no other with it.
            first = first.and(written);
        }
        first
    }
}
