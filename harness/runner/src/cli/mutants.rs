//! `mhlab mutants`: deletes each nft rule of a subject in turn, and says which deletions no test notices.
//!
//! A test that cannot fail proves nothing, and a rule that nobody misses either does nothing or is not tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use harness_model::event::{Event, Outcome, TestId};

use super::{Exit, Stop, args::Mutants, console::Console, selection::select};
use crate::{
    discover::Selected,
    machine::Offer,
    pool::{Limits, Notice, Pool, Task},
};

/// What is known of one rule, over all tests whose subject has it.
#[derive(Default)]
struct Rule {
    /// The tests that failed without it.
    missed_by: BTreeSet<TestId>,
    /// The tests that passed without it.
    passed: usize,
}

pub(super) fn mutants(options: &Mutants, console: &mut Console) -> Result<Exit, Stop> {
    let mut alive: Vec<Selected> = select(&options.selection, console)?;
    // A control fails anyway, and what stays puts a deleted rule back.
    alive.retain(|test| test.variant().breaks.is_empty() && !test.variant().stays());
    let mut offer =
        Offer::new(options.mhnat.as_deref()).map_err(|error| Stop::BadInput(error.to_string()))?;
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    let mut n = 0;
    while !alive.is_empty() {
        if console.is_watched() {
            console.complain(format_args!("rule {n} of {} subjects", alive.len()));
        }
        let over = round(&alive, n, &mut offer)?;
        alive.retain(|test| {
            let id = TestId { scenario: test.loaded.id.clone(), variant: test.variant().name.clone() };
            over.iter().any(|result| result.test == id && result.rule.is_some())
        });
        for result in over {
            let Some(rule) = result.rule else { continue };
            let rule = rules.entry(rule).or_default();
            match result.outcome {
                Outcome::Failed { .. } => {
                    rule.missed_by.insert(result.test);
                }
                _ => rule.passed += 1,
            }
        }
        n += 1;
    }
    console.print(&text(&rules))?;
    if rules.is_empty() {
        console.error("no test's subject has an nft rule (hint: see `mhlab list`, and --filter)");
        return Ok(Exit::BadInput);
    }
    let all_missed = rules.values().all(|rule| !rule.missed_by.is_empty());
    Ok(if all_missed { Exit::Passed } else { Exit::Failed })
}

/// How one test ended without a rule.
struct Ended {
    test: TestId,
    /// The rule. None: the subject has not so many.
    rule: Option<String>,
    outcome: Outcome,
}

fn round(tests: &[Selected], n: usize, offer: &mut Offer) -> Result<Vec<Ended>, Stop> {
    let tasks = tests.iter().map(|selected| {
        let requirements = selected.loaded.scenario.requirements(selected.variant());
        Task {
            selected: selected.clone(),
            skip: offer.missing(&requirements),
            mhnat: offer.mhnat(),
            without_rule: Some(n),
            seed: None,
        }
    });
    let tasks: Vec<Task> = tasks.collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Cannot(format!("the run cannot begin: {error}")))?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let pool = Pool::new(Limits { jobs: Limits::default_jobs(), timeout: Limits::DEFAULT_TIMEOUT });
    runtime.block_on(pool.run(tasks, tell, std::future::pending()));
    let mut ended = Vec::new();
    while let Ok(notice) = told.try_recv() {
        if let Notice::Over(events) = notice {
            ended.extend(read(&events)?);
        }
    }
    Ok(ended)
}

fn read(events: &[Event]) -> Result<Option<Ended>, Stop> {
    let rule = events.iter().find_map(|event| match event {
        Event::SubjectDriven { commands, .. } => {
            let deleted = commands.iter().find(|run| run.command.starts_with("delete rule "));
            deleted.filter(|run| run.status == 0).map(|run| name(&run.output))
        }
        _ => None,
    });
    let finished = events.iter().find_map(|event| match event {
        Event::TestFinished { test, outcome, .. } => Some((test.clone(), outcome.clone())),
        _ => None,
    });
    match finished {
        Some((test, Outcome::Error { reason })) => Err(Stop::Cannot(format!("{test}: {reason}"))),
        Some((test, Outcome::Skipped { reason })) => Err(Stop::Cannot(format!("{test}: {reason}"))),
        Some((test, outcome)) => Ok(Some(Ended { test, rule, outcome })),
        None => Ok(None),
    }
}

/// A rule's comment, which says what it is for in every scenario; without one, its text.
fn name(rule: &str) -> String {
    match rule.rsplit_once(" comment \"").and_then(|(_, comment)| comment.split_once('"')) {
        Some((comment, _)) => comment.to_owned(),
        None => rule.to_owned(),
    }
}

fn text(rules: &BTreeMap<String, Rule>) -> String {
    let mut out = String::new();
    for (name, rule) in rules {
        let tests = rule.missed_by.len() + rule.passed;
        // Writing to a String cannot fail.
        let _ = match rule.missed_by.first() {
            Some(first) => {
                writeln!(
                    out,
                    "missed     {name}\n           by {} of {tests} tests, such as {first}",
                    rule.missed_by.len()
                )
            }
            None => writeln!(out, "NOT MISSED {name}\n           {tests} tests passed without it"),
        };
    }
    let unnoticed = rules.values().filter(|rule| rule.missed_by.is_empty()).count();
    let _ = writeln!(out, "\n{} rules, {unnoticed} of which no test misses", rules.len());
    out
}
