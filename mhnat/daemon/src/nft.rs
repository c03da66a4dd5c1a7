//! Our nft table: changed through nft, by its program or its library, and read from the kernel itself.

mod commit;
mod counters;
mod library;
mod program;
mod tables;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use mhnat_core::nft::Inventories;
use nix::errno::Errno;
use thiserror::Error;

pub(crate) use self::commit::InForce;
pub(crate) use self::counters::Leaked;
pub use self::library::Library;
use self::program::Waiting;
pub(crate) use self::program::{Program, in_path};
use crate::failure::{Exit, Failure, with_causes};
use crate::fault;

/// Something that nft would not do.
#[derive(Debug, Error)]
pub(crate) enum NftError {
    /// There is no such program.
    #[error("nft was not found")]
    NotFound,
    /// The library cannot be used.
    #[error("cannot load libnftables: {reason}")]
    NoLibrary {
        /// What the dynamic loader said.
        reason: String,
    },
    /// The program did not start, or its pipes broke.
    #[error("cannot run {}", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ran, and said no.
    #[error("nft refused {what}: {message}")]
    Refused {
        /// What it was to do.
        what: &'static str,
        /// The first line that it wrote, or its exit status.
        message: String,
    },
    /// The kernel does not say what is in our table.
    #[error("cannot read the nft tables")]
    Read(#[source] io::Error),
}

impl From<NftError> for Failure {
    fn from(error: NftError) -> Self {
        let text = with_causes(&error);
        match &error {
            NftError::NotFound => Self::new(Exit::Cannot, text)
                .hint("install nftables 0.9.8 or later, or name the program with --nft"),
            NftError::NoLibrary { .. } => Self::new(Exit::Cannot, text)
                .hint("install libnftables, or leave --nft out to use the program"),
            NftError::Run { .. } => Self::new(Exit::Cannot, text).hint("is --nft the nft program?"),
            NftError::Refused { message, .. } if message.contains("Operation not permitted") => {
                Self::new(Exit::Cannot, text).hint("run as root, or in a network namespace of your own")
            }
            NftError::Refused { message, .. } if lacks_feature(message) => {
                Self::new(Exit::Cannot, text).hint("is nf_tables with NAT part of this kernel?")
            }
            NftError::Refused { .. } => Self::new(Exit::Failed, text),
            NftError::Read(source) => match source.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EPERM) => {
                    Self::new(Exit::Cannot, text).hint("run as root, or in a network namespace of your own")
                }
                Some(Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP | Errno::EINVAL) => {
                    Self::new(Exit::Cannot, text).hint("is nf_tables with NAT part of this kernel?")
                }
                _ => Self::new(Exit::Failed, text),
            },
        }
    }
}

fn lacks_feature(message: &str) -> bool {
    ["Operation not supported", "Protocol not supported", "Could not process rule: No such file"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// The refusal that the first line of a complaint tells.
fn refused(what: &'static str, complaint: &str, otherwise: &str) -> NftError {
    let message = complaint.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(otherwise);
    NftError::Refused { what, message: message.to_owned() }
}

/// What `--nft` calls the library.
const LIBRARY: &str = "lib";

/// What changes our table, as `--nft` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The program at this path.
    Program(PathBuf),
    /// The library.
    Library,
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == LIBRARY { Self::Library } else { Self::Program(text.into()) })
    }
}

/// What is loaded, in messages.
const RULESET: &str = "the ruleset";

/// What changes our table.
///
/// The program, unless somebody asks for the library: to apply once, both take the same time, and a program that
/// crashes takes nobody with it.
#[derive(Debug)]
pub(crate) enum Nft {
    Program(Program),
    Library(RefCell<Library>),
}

impl Nft {
    /// What `--nft` names it.
    pub(crate) fn name(&self) -> Result<PathBuf, io::Error> {
        match self {
            Self::Program(program) => std::path::absolute(program.path()),
            Self::Library(_) => Ok(PathBuf::from(LIBRARY)),
        }
    }

    /// What was named, or the first program in PATH, then where distributions put it.
    pub(crate) fn find(named: Option<&Choice>) -> Result<Self, NftError> {
        match named {
            None => Program::find(None).map(Self::Program),
            Some(Choice::Program(path)) => Program::find(Some(path)).map(Self::Program),
            Some(Choice::Library) => Library::load().map(RefCell::new).map(Self::Library),
        }
    }

    /// What stands in our tables now; nothing of those that do not exist.
    pub(crate) fn inventories() -> Result<Inventories, NftError> {
        Self::inventories_at().map(|(inventories, _)| inventories)
    }

    /// What stands in our tables now, with the generation of the kernel's tables.
    pub(crate) fn inventories_at() -> Result<(Inventories, u32), NftError> {
        fault::point("list our tables").and_then(|()| tables::inventories()).map_err(NftError::Read)
    }

    /// The generation of the kernel's tables: every transaction of anybody raises it by one.
    pub(crate) fn generation() -> Result<u32, NftError> {
        fault::point("ask for the generation")
            .and_then(|()| tables::current_generation())
            .map_err(NftError::Read)
    }

    /// Packets that our tables have kept from leaving, by the interface that they would have left by.
    pub(crate) fn leaked() -> Result<Leaked, NftError> {
        counters::leaked().map_err(NftError::Read)
    }

    /// Our tables as nft prints them.
    pub(crate) async fn listing(&self) -> Result<String, NftError> {
        let mut listing = String::new();
        for table in Self::inventories()?.keys() {
            listing.push_str(&self.run("to list our table", &format!("list table {table}\n")).await?);
        }
        Ok(listing)
    }

    /// Somebody who loads a ruleset that is not known yet. The program spends as much time on its start as on a small
    /// ruleset, so that it starts while the ruleset is worked out.
    pub(crate) fn loader(&self) -> Result<Loader, NftError> {
        match self {
            Self::Program(program) => program.waiting(RULESET).map(Some),
            Self::Library(_) => Ok(None),
        }
        .map(Loader)
    }

    /// Executes commands in one transaction: all of them take effect at one moment, or none.
    pub(crate) async fn load(&self, commands: &str) -> Result<(), NftError> {
        if commands.is_empty() {
            return Ok(());
        }
        self.run(RULESET, commands).await.map(drop)
    }

    async fn run(&self, what: &'static str, commands: &str) -> Result<String, NftError> {
        match self {
            Self::Program(program) => program.run(what, commands).await,
            // Held for the call only, which awaits nothing.
            Self::Library(library) => library.borrow_mut().execute(what, commands),
        }
    }
}

/// Whether an event of the kernel tells of a table of ours.
pub(crate) fn is_about_ours(message: &[u8]) -> bool {
    tables::is_about_ours(message)
}

/// Loads one ruleset: the program, where it has been started for that.
pub(crate) struct Loader(Option<Waiting>);

impl Loader {
    /// One that starts when there is something to load.
    pub(crate) const fn later() -> Self {
        Self(None)
    }

    /// Executes commands in one transaction: all of them take effect at one moment, or none.
    pub(crate) async fn load<'a>(self, nft: &Nft, commands: &'a str) -> Result<InForce<'a>, NftError> {
        match self.0 {
            Some(waiting) if !commands.is_empty() => waiting.run(commands).await,
            _ => nft.load(commands).await.map(|()| InForce::finally()),
        }
    }
}
