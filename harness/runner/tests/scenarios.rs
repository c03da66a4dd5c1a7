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
    sync::{PoisonError, RwLock},
};

use harness::{
    discover::{self, Selected},
    lifeline,
    machine::{self, MHNAT_VARIABLE, Offer},
    pool::{self, Limits, Task},
    worker,
};
use harness_model::{event::Outcome, scenario::Requirement};
use harness_report::{record::Recorder, terminal};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    worker::main_if_worker();
    lifeline::end_with_cargo();
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(text) => {
            // There is nobody to tell that this failed.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(2)
        }
    }
}

fn trials() -> Result<Vec<Trial>, String> {
    let scenarios = discover::discover(&[directory()]).map_err(|broken| broken.render(false))?;
    let mhnat = env::var_os(MHNAT_VARIABLE).map(PathBuf::from);
    let mut offer = Offer::new(mhnat.as_deref()).map_err(|error| format!("error: {error}"))?;
    let strict = env::var_os("MHLAB_STRICT").is_some_and(|value| !value.is_empty() && value != "0");
    // Only without root's powers is there reason to doubt that a lab can be made.
    let no_lab = if machine::is_admin() { None } else { machine::sandbox_problem() };
    Ok(discover::tests(&scenarios)
        .into_iter()
        .map(|selected| trial(selected, &mut offer, no_lab.as_ref(), strict))
        .collect())
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

fn trial(selected: Selected, offer: &mut Offer, no_lab: Option<&String>, strict: bool) -> Trial {
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
    Trial::test(name, move || run(task)).with_kind(kind).with_ignored_flag(ignored)
}

/// Held for writing by a test that measures times: others would prolong them.
static PEACE: RwLock<()> = RwLock::new(());

fn run(task: Task) -> Result<(), Failed> {
    let measures = task.selected.loaded.scenario.measures_time();
    // A test that panicked has let go of it all the same.
    let _alone = measures.then(|| PEACE.write().unwrap_or_else(PoisonError::into_inner));
    let _among_others = (!measures).then(|| PEACE.read().unwrap_or_else(PoisonError::into_inner));
    let events = pool::run_one(task, Limits::DEFAULT_TIMEOUT)?;
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
