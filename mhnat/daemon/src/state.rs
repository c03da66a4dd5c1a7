//! What is remembered on disk: the settings from before the first apply, and the numbers of the uplinks.
//!
//! The file is written before the kernel is changed and reaches the disk before the first change, so that a
//! run that was killed can be taken back by the next. Rules and routes are not in it, and the table need not
//! be: ours are known by their protocol number and name. Once a ruleset is applied, its text is added, because
//! nft does not print every rule the way that it reads it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use mhnat_core::slot::Slots;
use mhnat_core::sysctl::Values;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::{Exit, Failure, with_causes};

/// The format of the file. A program that finds another refuses to guess.
const VERSION: u32 = 1;

/// Something wrong with the state directory.
#[derive(Debug, Error)]
pub(crate) enum StateError {
    /// Another run holds the lock.
    #[error("another mhnat is at work with {}", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what this version writes.
    #[error("cannot make sense of {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where it stopped making sense, unless only the version differs.
        source: Option<serde_json::Error>,
    },
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let text = with_causes(&error);
        match &error {
            StateError::Busy { .. } => Self::new(Exit::Failed, text).hint("wait until it has ended"),
            StateError::File { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Self::new(Exit::Cannot, text).hint("run as root, or choose a directory with --state-dir")
            }
            StateError::File { .. } => Self::new(Exit::Failed, text),
            StateError::Content { .. } => {
                Self::new(Exit::Failed, text).hint("was it written by another version of mhnat?")
            }
        }
    }
}

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u32,
    /// The numbers of the uplinks that are applied.
    pub(crate) slots: Slots,
    /// Settings that were changed, with their former values.
    pub(crate) kept: Values,
    /// The ruleset that was applied last, to return to when the next cannot be; nothing while a change is
    /// under way.
    pub(crate) ruleset: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, slots: Slots::default(), kept: Values::new(), ruleset: None }
    }
}

/// The state directory, locked as long as this value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the directory if need be, and keeps other runs out of it.
    pub(crate) fn lock(path: &Path) -> Result<Self, StateError> {
        let fail = |verb| move |source| StateError::File { verb, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail("make the directory"))?;
        let file = path.join("lock");
        let file = File::options().create(true).append(true).open(&file).map_err(fail("open the lock in"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(StateError::Busy { path: path.to_owned() }),
            Err((_, errno)) => Err(fail("lock")(errno.into())),
        }
    }

    /// What is remembered; nothing before the first apply.
    pub(crate) fn read(&self) -> Result<Option<State>, StateError> {
        read(&self.path)
    }

    /// Remembers, and does not return before it is on disk.
    pub(crate) fn write(&self, state: &State) -> Result<(), StateError> {
        let (new, path) = (self.path.join("state.json.new"), file(&self.path));
        let fail = |source| StateError::File { verb: "write", path: path.clone(), source };
        let text = serde_json::to_vec_pretty(state).map_err(io::Error::from).map_err(fail)?;
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            // Whoever reads sees the old file or the new one, whole.
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(fail)
    }

    /// Forgets.
    pub(crate) fn forget(&self) -> Result<(), StateError> {
        let path = file(&self.path);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::File { verb: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

/// What is remembered, for one who only looks.
pub(crate) fn peek(directory: &Path) -> Option<State> {
    read(directory).ok().flatten()
}

fn file(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

fn read(directory: &Path) -> Result<Option<State>, StateError> {
    let path = file(directory);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::File { verb: "read", path, source }),
    };
    match serde_json::from_slice::<State>(&bytes) {
        Ok(state) if state.version == VERSION => Ok(Some(state)),
        Ok(_) => Err(StateError::Content { path, source: None }),
        Err(source) => Err(StateError::Content { path, source: Some(source) }),
    }
}
