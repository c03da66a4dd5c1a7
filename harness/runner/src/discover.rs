//! From paths to scenarios, or to everything that is wrong with their files.
//!
//! Only reads. All broken files are reported together, and nobody gets a list with a broken one left out.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use harness_model::{
    diagnostic::{self, Diagnostic},
    filter::{Filter, Subject},
    scenario::{self, Scenario, Variant},
};

mod read;
mod walk;

/// A scenario file that was read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// Its path below the given directory, without extension: `seeds/fix-fan-out`.
    pub id: String,
    /// The file, as the user would call it.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// What it means.
    pub scenario: Scenario,
}

/// A scenario with one of its variants.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The scenario.
    pub loaded: Arc<Loaded>,
    /// Index of the variant.
    pub variant: usize,
}

impl Selected {
    /// The variant.
    pub fn variant(&self) -> &Variant {
        &self.loaded.scenario.variants[self.variant]
    }

    /// Whether a filter means it.
    pub fn is_meant_by(&self, filter: &Filter) -> bool {
        let variant = self.variant();
        filter.matches(&Subject {
            scenario: &self.loaded.id,
            variant: &variant.name,
            tags: &self.loaded.scenario.tags,
            control: !variant.breaks.is_empty(),
        })
    }
}

/// The files that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} broken", files(.0.len()))]
pub struct Broken(Vec<BrokenFile>);

/// One file that cannot be used.
#[derive(Debug)]
struct BrokenFile {
    name: String,
    text: String,
    findings: Vec<Diagnostic>,
}

impl Broken {
    /// Every finding of every file, for a person.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        let mut number = 0;
        for file in &self.0 {
            number += file.findings.len();
            out.push_str(&diagnostic::render(&file.name, &file.text, &file.findings, colour));
            out.push_str("\n\n");
        }
        let findings = if number == 1 { "1 finding".to_owned() } else { format!("{number} findings") };
        out.push_str(&format!("{findings} in {}: nothing was built\n", files(self.0.len())));
        out
    }
}

fn files(number: usize) -> String {
    if number == 1 { "1 file".to_owned() } else { format!("{number} files") }
}

/// Finds and reads every scenario of some files and directories, in the order of their names.
///
/// # Errors
/// All findings about all files, if there is any.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<Arc<Loaded>>, Broken> {
    let mut broken = Vec::new();
    let mut loaded = Vec::new();
    for found in walk::scenario_files(paths, &mut broken) {
        match load(&found.path) {
            Ok((text, scenario)) => {
                loaded.push(Arc::new(Loaded { id: found.id, path: found.path, text, scenario }));
            }
            Err(file) => broken.push(file),
        }
    }
    if broken.is_empty() { Ok(loaded) } else { Err(Broken(broken)) }
}

/// Every variant of every scenario.
pub fn tests(scenarios: &[Arc<Loaded>]) -> Vec<Selected> {
    scenarios
        .iter()
        .flat_map(|loaded| {
            (0..loaded.scenario.variants.len())
                .map(|variant| Selected { loaded: Arc::clone(loaded), variant })
        })
        .collect()
}

fn load(path: &Path) -> Result<(String, Scenario), BrokenFile> {
    let name = path.display().to_string();
    let text = match read::text(path) {
        Ok(text) => text,
        Err(unusable) => {
            let (text, finding) = *unusable;
            return Err(BrokenFile { name, text, findings: vec![finding] });
        }
    };
    match scenario::parse(&text) {
        Ok(scenario) => {
            let findings = named_files(path, &scenario);
            if findings.is_empty() { Ok((text, scenario)) } else { Err(BrokenFile { name, text, findings }) }
        }
        Err(findings) => Err(BrokenFile { name, text, findings }),
    }
}

/// Findings about the files that a scenario names.
fn named_files(path: &Path, scenario: &Scenario) -> Vec<Diagnostic> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut seen = BTreeSet::new();
    scenario
        .files()
        .filter(|named| seen.insert((named.span.start, named.value.clone())))
        .filter_map(|named| {
            let (message, hint) = read::problem_of_named(directory, &named.value)?;
            Some(Diagnostic::new(&named.span, message, "named here").hint(hint))
        })
        .collect()
}
