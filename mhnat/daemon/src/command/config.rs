//! Reading the configuration file, and saying what is wrong with it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use mhnat_core::config::{self, MAX_BYTES, MAX_PREFIX_FILE_BYTES, Rejected};
use mhnat_core::diagnostic;
use mhnat_core::model::Model;

use super::check::count;
use crate::failure::{Exit, Failure};
use crate::state::Config;
use crate::terminal::Terminal;

/// A file that is right.
pub(super) struct Loaded {
    pub(super) model: Model,
    /// The file itself, to be remembered.
    pub(super) config: Config,
}

/// The model of the file at `path`.
pub(super) fn load(path: &Path, terminal: &Terminal) -> Result<Model, Failure> {
    load_whole(path, terminal).map(|it| it.model)
}

/// The model of the file at `path`, with the file.
pub(super) fn load_whole(path: &Path, terminal: &Terminal) -> Result<Loaded, Failure> {
    let name = path.display();
    let bytes = read(path, MAX_BYTES).map_err(|error| {
        let failure = Failure::new(Exit::BadInput, format!("cannot read {name}: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint("is the path right? mhnat has no default file"),
            io::ErrorKind::IsADirectory => failure.hint("name a file, such as /etc/mhnat.toml"),
            io::ErrorKind::PermissionDenied => failure.hint("may this user read it?"),
            _ => failure,
        }
    })?;
    let model = parse(path, &bytes, terminal)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Loaded { model, config: Config { path, text } })
}

/// The model of a file that was read before.
pub(super) fn parse(path: &Path, bytes: &[u8], terminal: &Terminal) -> Result<Model, Failure> {
    let name = path.display();
    // What it names is relative to where it is.
    let directory = path.parent().unwrap_or(Path::new(""));
    let named = |file: &str| read(&directory.join(file), MAX_PREFIX_FILE_BYTES).map_err(|it| it.to_string());
    config::read_with(bytes, &named).map_err(|rejected| match rejected {
        Rejected::TooLarge => {
            Failure::new(Exit::BadInput, format!("{name} is larger than {} KiB", MAX_BYTES >> 10))
                .hint("is this a configuration of mhnat?")
        }
        Rejected::NotText { line, byte } => {
            Failure::new(Exit::BadInput, format!("{name}:{line}: byte {byte:#04x} is not UTF-8 text"))
                .hint("TOML files are UTF-8; is this a configuration of mhnat?")
        }
        Rejected::Wrong { source, diagnostics } => {
            let path = path.to_string_lossy();
            let report = diagnostic::render(&path, &source, &diagnostics, terminal.colour());
            Failure::new(Exit::BadInput, format!("{name} has {}", count(diagnostics.len(), "mistake")))
                .hint("nothing was touched")
                .report(report)
        }
    })
}

/// Reads no more than one byte beyond the limit: the path may be a device without end.
fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
