//! What is remembered on disk: the settings from before the first apply, and the numbers of the uplinks.
//!
//! The file is written before the kernel is changed and reaches the disk before the first change, so that a
//! run that was killed can be taken back by the next. Rules, routes and devices are not in it, and the table need
//! not be: ours are known by their protocol number, hardware address and name. Once a ruleset is applied, its text is added, because
//! nft does not print every rule the way that it reads it, and with it the configuration that it came from.
//! While a change waits to be confirmed, what was there before it is here whole.
//!
//! All of it is true of one boot and one network namespace, so both are in the file. What an earlier boot left
//! is forgotten: its kernel took everything with it, and its settings are not the former ones of this boot.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mhnat_core::converge::Routing;
use mhnat_core::device::VethPair;
use mhnat_core::health::Ailments;
use mhnat_core::slot::Slots;
use mhnat_core::sysctl::Values;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::{Exit, Failure, with_causes};
use crate::fault;
use crate::serve::SOCKET;

/// The format of the file. A program that finds another refuses to guess.
const VERSION: u32 = 3;

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
        /// Where it stopped making sense.
        source: serde_json::Error,
    },
    /// The file is of another version.
    #[error("{} has format {found}, and this mhnat writes format {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file is about another network namespace.
    #[error("{} is about another network namespace", path.display())]
    Namespace {
        /// The file.
        path: PathBuf,
    },
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let text = with_causes(&error);
        match &error {
            StateError::Busy { .. } => Self::new(Exit::Failed, text).hint(
                "wait until it has ended; if it is `mhnat run`, SIGHUP has it read its file again, and SIGTERM ends it",
            ),
            StateError::File { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Self::new(Exit::Cannot, text).hint("run as root, or choose a directory with --state-dir")
            }
            StateError::File { .. } => Self::new(Exit::Failed, text),
            StateError::Content { path, .. } => Self::new(Exit::Failed, text).hint(format!(
                "if it cannot be mended, remove {}; then `mhnat down` still finds what is ours, but not the \
                 former sysctls",
                path.display()
            )),
            StateError::Version { path, .. } => Self::new(Exit::Failed, text).hint(format!(
                "run `mhnat down` of the version that wrote it, or remove {} and restore sysctls by hand",
                path.display()
            )),
            StateError::Namespace { path } => Self::new(Exit::Failed, text).hint(format!(
                "give each namespace a --state-dir of its own; if the other one has ended, remove {}",
                path.display()
            )),
        }
    }
}

/// Where and when a state holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    /// The kernel's name for this boot.
    boot: String,
    /// The inode of the network namespace.
    namespace: u64,
}

impl Host {
    fn current() -> Result<Self, StateError> {
        let (boot, namespace) =
            (Path::new("/proc/sys/kernel/random/boot_id"), Path::new("/proc/self/ns/net"));
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::File { verb: "read", path, source }
        };
        Ok(Self {
            boot: fs::read_to_string(boot).map_err(fail(boot))?.trim().to_owned(),
            namespace: fs::metadata(namespace).map_err(fail(namespace))?.ino(),
        })
    }
}

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u32,
    host: Host,
    /// The numbers of the uplinks that are applied.
    pub(crate) slots: Slots,
    /// Settings that were changed, with their former values.
    pub(crate) kept: Values,
    /// What was applied last, to compare with and to return to; nothing while a change is under way.
    pub(crate) applied: Option<Applied>,
    /// A change that is taken back unless it is confirmed.
    pub(crate) unconfirmed: Option<Box<Unconfirmed>>,
}

impl State {
    /// Nothing yet, here and now.
    pub(crate) fn new() -> Result<Self, StateError> {
        let (slots, kept) = (Slots::default(), Values::new());
        Ok(Self { version: VERSION, host: Host::current()?, slots, kept, applied: None, unconfirmed: None })
    }
}

/// A configuration as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where it was.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

/// What was brought into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// What it follows from.
    pub(crate) config: Config,
    /// The table as text; empty for no table.
    pub(crate) ruleset: String,
    /// Network devices.
    pub(crate) devices: BTreeSet<VethPair>,
    /// Rules and routes.
    pub(crate) routing: Routing,
    /// What spoke against legs whose links were well.
    #[serde(default, skip_serializing_if = "Ailments::is_empty")]
    pub(crate) health: Ailments,
}

/// A change that is taken back unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unconfirmed {
    /// Which change this is: the process that waits for it compares this.
    pub(crate) id: String,
    /// When it is taken back, in milliseconds of `CLOCK_BOOTTIME`.
    pub(crate) deadline: u64,
    /// What to go back to.
    pub(crate) former: Former,
}

/// What was in the kernel before a change: ours, and what we may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Former {
    /// What was remembered then.
    pub(crate) state: Option<State>,
    /// The table: as it was applied, or as nft lists it when nothing remembers that. Nothing for no table.
    pub(crate) ruleset: Option<String>,
    /// Network devices of ours.
    pub(crate) devices: BTreeSet<VethPair>,
    /// Rules and routes.
    pub(crate) routing: Routing,
    /// Every setting that the change may touch.
    pub(crate) values: Values,
}

/// What is found in a state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What is remembered of this boot.
    pub(crate) state: Option<State>,
    /// Whether an earlier boot left something, which means nothing any more.
    pub(crate) stale: bool,
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
        fault::point("make the state directory").map_err(fail("make the directory"))?;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail("make the directory"))?;
        let file = path.join("lock");
        fault::point("open the lock").map_err(fail("open the lock in"))?;
        // Closed on exec, as std opens every file: nft must not hold the lock of an mhnat that was killed.
        let file = File::options().create(true).append(true).open(&file).map_err(fail("open the lock in"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                // A daemon that was killed has left it, and from here on somebody else is responsible.
                let _ = fs::remove_file(path.join(SOCKET));
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err((_, Errno::EWOULDBLOCK)) => Err(StateError::Busy { path: path.to_owned() }),
            Err((_, errno)) => Err(fail("lock")(errno.into())),
        }
    }

    /// As [`StateDir::lock`], for one who has a reason to wait for the other run.
    pub(crate) async fn lock_within(path: &Path, patience: Duration) -> Result<Self, StateError> {
        let deadline = Instant::now() + patience;
        loop {
            match Self::lock(path) {
                Err(StateError::Busy { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                done => return done,
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is remembered; nothing before the first apply.
    pub(crate) fn read(&self) -> Result<Memory, StateError> {
        read(&self.path)
    }

    /// Remembers, and does not return before it is on disk.
    pub(crate) fn write(&self, state: &State) -> Result<(), StateError> {
        self.prepare(state)?.commit()
    }

    /// Brings to disk what is to be remembered once it is so.
    pub(crate) fn prepare(&self, state: &State) -> Result<Prepared<'_>, StateError> {
        let new = self.path.join("state.json.new");
        let write = || {
            let text = serde_json::to_vec_pretty(state)?;
            fault::point("create the new state")?;
            let mut file = File::create(&new)?;
            fault::point("write the new state")?;
            file.write_all(&text)?;
            fault::point("sync the new state")?;
            file.sync_all()
        };
        match write() {
            Ok(()) => Ok(Prepared { directory: &self.path, new }),
            Err(source) => Err(StateError::File { verb: "write", path: file(&self.path), source }),
        }
    }

    /// Forgets.
    pub(crate) fn forget(&self) -> Result<(), StateError> {
        let path = file(&self.path);
        match fault::point("remove the state").and_then(|()| fs::remove_file(&path)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateError::File { verb: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

/// A state on disk that does not count yet. The next one takes its place.
#[derive(Debug)]
pub(crate) struct Prepared<'d> {
    directory: &'d Path,
    new: PathBuf,
}

impl Prepared<'_> {
    /// From now on it is what is remembered.
    pub(crate) fn commit(self) -> Result<(), StateError> {
        let path = file(self.directory);
        let replace = || {
            // Whoever reads sees the old file or the new one, whole.
            fault::point("rename the new state")?;
            fs::rename(&self.new, &path)?;
            fault::point("sync the state directory")?;
            File::open(self.directory)?.sync_all()
        };
        replace().map_err(|source| StateError::File { verb: "write", path: path.clone(), source })
    }
}

/// The numbers of the uplinks that are applied, as far as they can be read.
pub(crate) fn slots(directory: &Path) -> Slots {
    look(directory).ok().and_then(|memory| memory.state).map(|state| state.slots).unwrap_or_default()
}

/// What speaks against legs whose links are well, as far as it can be read.
pub(crate) fn health(directory: &Path) -> Ailments {
    let applied = look(directory).ok().and_then(|memory| memory.state?.applied);
    applied.map(|applied| applied.health).unwrap_or_default()
}

/// What is remembered, for one who only looks.
pub(crate) fn look(directory: &Path) -> Result<Memory, StateError> {
    read(directory)
}

fn file(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

fn read(directory: &Path) -> Result<Memory, StateError> {
    /// What is asked before anything else, in any version.
    #[derive(Deserialize)]
    struct Header {
        version: u32,
        host: Option<Host>,
    }

    let path = file(directory);
    let bytes = match fault::point("read the state").and_then(|()| fs::read(&path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
        Err(source) => return Err(StateError::File { verb: "read", path, source }),
    };
    let here = Host::current()?;
    let state: State = match serde_json::from_slice(&bytes) {
        Ok(state) => state,
        Err(source) => {
            // Perhaps it is of another boot or another version, and none of our business.
            return match serde_json::from_slice(&bytes) {
                Ok(Header { host: Some(host), .. }) if host.boot != here.boot => {
                    Ok(Memory { state: None, stale: true })
                }
                Ok(Header { version, .. }) if version != VERSION => {
                    Err(StateError::Version { path, found: version })
                }
                _ => Err(StateError::Content { path, source }),
            };
        }
    };
    if state.host.boot != here.boot {
        return Ok(Memory { state: None, stale: true });
    }
    if state.version != VERSION {
        return Err(StateError::Version { path, found: state.version });
    }
    if state.host.namespace != here.namespace {
        return Err(StateError::Namespace { path });
    }
    Ok(Memory { state: Some(state), stale: false })
}
