//! Every scenario with each of its variants is a test: `seeds/fix-fan-out::mhnat`.
//!
//! Tests are discovered from files when the program starts, so that a new scenario needs no code. Each runs in a
//! worker process, which is this very program started anew. What this machine lacks makes a test ignored, with
//! the reason before its name, and never passed; with `MHLAB_STRICT=1` it makes the test fail.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use harness::{
    discover::{self, Selected},
    lifeline,
    machine::{self, MHNAT_VARIABLE, Offer},
    pool::{self, Limits, Shared, Task},
    worker,
};
use harness_model::{event::Outcome, scenario::Requirement};
use harness_report::{record::Recorder, terminal};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    worker::main_if_worker();
    lifeline::end_with_cargo();
    let mut arguments = Arguments::from_args();
    match shared().and_then(|pool| Ok((trials(&pool)?, pool))) {
        Ok((trials, pool)) => {
            arguments.test_threads.get_or_insert(Limits::default_jobs().get());
            let conclusion = libtest_mimic::run(&arguments, trials);
            if let Some(pool) = Arc::into_inner(pool) {
                pool.end();
            }
            conclusion.exit_code()
        }
        Err(text) => {
            // There is nobody to tell that this failed.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(2)
        }
    }
}

/// One pool for all tests: it knows which of them may run at the same time.
fn shared() -> Result<Arc<Shared>, String> {
    let limits = Limits { jobs: Limits::default_jobs(), timeout: Limits::DEFAULT_TIMEOUT };
    Shared::start(limits).map(Arc::new).map_err(|error| format!("error: no test can begin: {error}"))
}

fn trials(pool: &Arc<Shared>) -> Result<Vec<Trial>, String> {
    let scenarios = discover::discover(&[directory()]).map_err(|broken| broken.render(false))?;
    let mhnat = env::var_os(MHNAT_VARIABLE).map(PathBuf::from);
    let mut offer = Offer::new(mhnat.as_deref()).map_err(|error| format!("error: {error}"))?;
    let strict = env::var_os("MHLAB_STRICT").is_some_and(|value| !value.is_empty() && value != "0");
    // Only without root's powers is there reason to doubt that a lab can be made.
    let no_lab = if machine::is_admin() { None } else { machine::sandbox_problem() };
    let mut tests = discover::tests(&scenarios);
    tests.sort_by_key(pool::turn);
    Ok(tests.into_iter().map(|selected| trial(selected, &mut offer, no_lab.as_ref(), strict, pool)).collect())
}

/// Where the scenarios are: as the environment says, or beside the sources of this test. Those may have moved
/// since it was built, when it comes from an archive.
fn directory() -> PathBuf {
    if let Some(named) = env::var_os("MHLAB_SCENARIOS") {
        return PathBuf::from(named);
    }
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let sources = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    match sources.ancestors().nth(2) {
        Some(workspace) => workspace.join("scenarios"),
        None => sources.join("../../scenarios"),
    }
}

fn trial(
    selected: Selected,
    offer: &mut Offer,
    no_lab: Option<&String>,
    strict: bool,
    pool: &Arc<Shared>,
) -> Trial {
    let name = format!("{}::{}", selected.loaded.id, selected.variant().name);
    let requirements = selected.loaded.scenario.requirements(selected.variant());
    let skip = no_lab.cloned().or_else(|| offer.missing(&requirements));
    let mhnat = requirements.contains(&Requirement::Mhnat).then(|| offer.mhnat()).flatten();
    let ignored = skip.is_some() && !strict;
    // A kind is a part of the name that filters see. Under nextest, names must be the same on every machine, so
    // that a partition is.
    let shown = skip.as_deref().filter(|_| env::var_os("NEXTEST").is_none());
    let kind = shown.and_then(|reason| reason.split(" (hint").next()).unwrap_or_default().to_owned();
    let task = Task { selected, skip, mhnat, without_rule: None, seed: None };
    let pool = Arc::clone(pool);
    Trial::test(name, move || run(task, &pool)).with_kind(kind).with_ignored_flag(ignored)
}

fn run(task: Task, pool: &Shared) -> Result<(), Failed> {
    let events = pool.run(task);
    let mut recorder = Recorder::default();
    for event in &events {
        if let Some(test) = recorder.event(event) {
            return match &test.result {
                Outcome::Passed => Ok(()),
                Outcome::Skipped { reason } => Err(Failed::from(format!("cannot run here: {reason}"))),
                Outcome::Failed { .. } | Outcome::Error { .. } => {
                    Err(Failed::from(terminal::finished(test, terminal::Style::default())))
                }
            };
        }
    }
    let last = events.last();
    Err(Failed::from(format!("the test did not end; its last event is {last:?}")))
}
