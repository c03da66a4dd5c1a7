//! The fewest breaks with which a test fails as it did.

use std::{path::PathBuf, sync::Arc, time::Instant};

use harness_model::{
    scenario::{
        self, Drawn,
        flap::{Breaks, drawn, rewritten},
    },
    shrink::Shrink,
};

use super::super::{Stop, console::Console, files};
use super::{Field, outcome::Over};
use crate::discover::{Loaded, Selected};

/// How often breaks must fail, of so many times, to be held for the cause: two of three.
const OF: usize = 3;
const LEAST: usize = 2;

impl Field<'_> {
    /// Looks for the fewest breaks with which a test fails as it did, and writes them into a scenario beside the test's.
    pub(super) fn shrink(
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
