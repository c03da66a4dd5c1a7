//! Finding scenario files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use harness_model::diagnostic::Diagnostic;

use super::{
    BrokenFile,
    read::{sibling, strange_kind, words},
};

/// A file that should be a scenario.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) path: PathBuf,
}

/// All scenario files of some paths, each once, in the order of their names.
pub(super) fn scenario_files(paths: &[PathBuf], broken: &mut Vec<BrokenFile>) -> Vec<Found> {
    let mut walk = Walk { found: BTreeMap::new(), directories: BTreeSet::new(), broken };
    for path in paths {
        walk.given(path);
    }
    with_ids(walk.found.into_values().collect())
}

/// A file with the directory that the user gave, if it was found in one.
struct Candidate {
    path: PathBuf,
    root: Option<PathBuf>,
}

struct Walk<'a> {
    /// By device and inode: a file that is given twice is one scenario.
    found: BTreeMap<(u64, u64), Candidate>,
    /// Directories that were entered, so that a symbolic link to a parent does not lead in circles.
    directories: BTreeSet<(u64, u64)>,
    broken: &'a mut Vec<BrokenFile>,
}

impl Walk<'_> {
    fn given(&mut self, path: &Path) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                let mut finding = Diagnostic::whole(match error.kind() {
                    io::ErrorKind::NotFound => "does not exist".to_owned(),
                    _ => format!("cannot be read: {}", words(&error)),
                });
                finding.hint = sibling(path, &path.to_string_lossy());
                return self.broken(path, finding);
            }
        };
        let key = (metadata.dev(), metadata.ino());
        if metadata.is_dir() {
            let (before, broken_before) = (self.found.len(), self.broken.len());
            if self.directories.contains(&key) {
                return;
            }
            self.directory(path, path, key);
            if self.found.len() == before && self.broken.len() == broken_before {
                let hint = "scenarios are files that end with .toml, and not with .mhnat.toml";
                self.broken(path, Diagnostic::whole("there is no scenario in this directory").hint(hint));
            }
        } else if let Some(kind) = strange_kind(metadata.file_type()) {
            let message = format!("is {kind}, expected a scenario file or a directory");
            self.broken(path, Diagnostic::whole(message));
        } else if is_config(path) {
            let finding = Diagnostic::whole("is a configuration of mhnat, expected a scenario")
                .hint("a scenario's variant names it; `mhnat check` reads it");
            self.broken(path, finding);
        } else {
            let candidate = Candidate { path: path.to_owned(), root: None };
            self.found.entry(key).or_insert(candidate);
        }
    }

    fn directory(&mut self, root: &Path, directory: &Path, key: (u64, u64)) {
        if !self.directories.insert(key) {
            return;
        }
        let entries = fs::read_dir(directory).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut paths: Vec<PathBuf> = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => {
                let finding = Diagnostic::whole(format!("cannot be read: {}", words(&error)));
                return self.broken(directory, finding);
            }
        };
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            let scenario = path.extension().is_some_and(|extension| extension == "toml") && !is_config(&path);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    self.directory(root, &path, (metadata.dev(), metadata.ino()));
                }
                Ok(metadata) if scenario => {
                    let key = (metadata.dev(), metadata.ino());
                    let candidate = Candidate { path, root: Some(root.to_owned()) };
                    self.found.entry(key).or_insert(candidate);
                }
                Err(error) if scenario => {
                    let finding = Diagnostic::whole(format!("cannot be read: {}", words(&error)));
                    self.broken(&path, finding);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn broken(&mut self, path: &Path, finding: Diagnostic) {
        let name = path.display().to_string();
        self.broken.push(BrokenFile { name, text: String::new(), findings: vec![finding] });
    }
}

fn is_config(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b".mhnat.toml"))
}

/// Names scenarios by their path below the given directory; where two would have one name, by the whole path.
fn with_ids(candidates: Vec<Candidate>) -> Vec<Found> {
    let short = |candidate: &Candidate| {
        let below = match &candidate.root {
            Some(root) => candidate.path.strip_prefix(root).unwrap_or(&candidate.path),
            None => candidate.path.file_name().map_or(candidate.path.as_path(), Path::new),
        };
        below.with_extension("").display().to_string()
    };
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for candidate in &candidates {
        *uses.entry(short(candidate)).or_default() += 1;
    }
    let mut found: Vec<Found> = candidates
        .into_iter()
        .map(|candidate| {
            let id = short(&candidate);
            let id = if uses[&id] > 1 { candidate.path.with_extension("").display().to_string() } else { id };
            Found { id, path: candidate.path }
        })
        .collect();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}
