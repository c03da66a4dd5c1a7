//! The nft program: rulesets go in as text on its standard input.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mhnat_core::nft::{Inventory, TABLE, inventory};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::failure::{Exit, Failure, with_causes};
use crate::fault;

/// Something that nft would not do.
#[derive(Debug, Error)]
pub(crate) enum NftError {
    /// There is no such program.
    #[error("nft was not found")]
    NotFound,
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
}

impl From<NftError> for Failure {
    fn from(error: NftError) -> Self {
        let text = with_causes(&error);
        match &error {
            NftError::NotFound => Self::new(Exit::Cannot, text)
                .hint("install nftables 0.9.8 or later, or name the program with --nft"),
            NftError::Run { .. } => Self::new(Exit::Cannot, text).hint("is --nft the nft program?"),
            NftError::Refused { message, .. } if message.contains("Operation not permitted") => {
                Self::new(Exit::Cannot, text).hint("run as root, or in a network namespace of your own")
            }
            NftError::Refused { message, .. } if lacks_feature(message) => {
                Self::new(Exit::Cannot, text).hint("is nf_tables with NAT part of this kernel?")
            }
            NftError::Refused { .. } => Self::new(Exit::Failed, text),
        }
    }
}

fn lacks_feature(message: &str) -> bool {
    ["Operation not supported", "Protocol not supported", "Could not process rule: No such file"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// The nft program at its path.
#[derive(Debug)]
pub(crate) struct Nft {
    path: PathBuf,
}

impl Nft {
    /// Where the program is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The program that was named, or the first in PATH, then where distributions put it.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, NftError> {
        if let Some(path) = named {
            return Ok(Self { path: path.to_owned() });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .map(|directory| directory.join("nft"))
            .find(|file| file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0))
            .map(|path| Self { path })
            .ok_or(NftError::NotFound)
    }

    /// What stands in our table now, or nothing when there is no such table.
    pub(crate) async fn inventory(&self) -> Result<Option<Inventory>, NftError> {
        // `list table` fails for a table that does not exist in words that differ between versions; the list
        // of tables does not. Terse: only names are needed, and maps may be long.
        let tables = self.run("to list tables", &["list", "tables"], "").await?;
        if !tables.lines().any(|line| line.trim() == format!("table {TABLE}")) {
            return Ok(None);
        }
        Ok(Some(inventory(&self.list(&["--terse"]).await?)))
    }

    /// Our table as nft prints it.
    pub(crate) async fn listing(&self) -> Result<String, NftError> {
        self.list(&[]).await
    }

    async fn list(&self, options: &[&str]) -> Result<String, NftError> {
        let mut arguments = options.to_vec();
        arguments.extend(["list", "table"]);
        arguments.extend(TABLE.split(' '));
        self.run("to list our table", &arguments, "").await
    }

    /// Loads a ruleset in one transaction: all of it takes effect at one moment, or none.
    pub(crate) async fn load(&self, ruleset: &str) -> Result<(), NftError> {
        self.run("the ruleset", &["-f", "-"], ruleset).await.map(drop)
    }

    /// Deletes our table.
    pub(crate) async fn delete_table(&self) -> Result<(), NftError> {
        self.run("to delete our table", &["-f", "-"], &format!("delete table {TABLE}\n")).await.map(drop)
    }

    async fn run(&self, what: &'static str, arguments: &[&str], input: &str) -> Result<String, NftError> {
        let broken = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => NftError::NotFound,
            _ => NftError::Run { path: self.path.clone(), source },
        };
        fault::point(what).map_err(broken)?;
        let mut child = Command::new(&self.path)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal must not end it halfway through a list of steps.
            .process_group(0)
            .spawn()
            .map_err(broken)?;
        let stdin = child.stdin.take();
        // Both ends at once: nft may fill its output before it has read its input.
        let feed = async {
            match stdin {
                Some(mut stdin) => stdin.write_all(input.as_bytes()).await,
                None => Ok(()),
            }
        };
        let (fed, output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(broken)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let message = stderr.lines().map(str::trim).find(|line| !line.is_empty());
            let message = message.map_or_else(|| output.status.to_string(), str::to_owned);
            return Err(NftError::Refused { what, message });
        }
        fed.map_err(broken)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
