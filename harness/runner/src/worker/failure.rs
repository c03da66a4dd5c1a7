//! Why a test could not be carried out: not a verdict on the subject, but the lack of one.

use std::{error::Error, io, path::PathBuf};

/// Why a test could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The runner and its worker do not understand each other.
    #[error("cannot read the job")]
    Job(#[source] io::Error),
    /// No sandbox.
    #[error(transparent)]
    Sandbox(#[from] harness_lab::sandbox::SandboxError),
    /// No lab.
    #[error(transparent)]
    Lab(#[from] harness_lab::lab::LabError),
    /// No observation.
    #[error("cannot observe the lab")]
    Capture(#[source] Box<dyn Error + Send + Sync>),
    /// More frames than the capture could take: a verdict on what is left would be a guess.
    #[error(
        "the capture lost {0} frames, so nothing can be judged (hint: send less, or run as root, which may use larger socket buffers)"
    )]
    Lost(u64),
    /// Traffic that goes on by itself.
    #[error(
        "traffic did not come to rest within {0} s, so nothing can be judged (hint: does the subject, or a command in the background, go on talking?)"
    )]
    Restless(u64),
    /// A socket of a service or a client.
    #[error("{what}")]
    Socket {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A hand-made frame.
    #[error("cannot send the hand-made frame: {0}")]
    Inject(String),
    /// A file or text of the subject.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that is not there, or that cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A command that does not come to an end.
    #[error("`{command}` still ran after {seconds} s; what it printed: {output}")]
    Endless {
        /// Which.
        command: String,
        /// How long.
        seconds: u64,
        /// What it printed.
        output: String,
    },
    /// The subject could not be put in place.
    #[error("`{command}` ended with status {status}: {output}")]
    Subject {
        /// Which.
        command: String,
        /// How.
        status: i32,
        /// What it printed.
        output: String,
    },
    /// A subject that stays did not do so, or did not do what it was told.
    #[error("`{command}` {how}")]
    Daemon {
        /// How it was started.
        command: String,
        /// What it did or did not do.
        how: String,
    },
    /// The scenario is not what the runner has checked.
    #[error("{0}")]
    Scenario(String),
}

impl Failure {
    /// The failure with all that led to it, on one line.
    pub fn in_full(&self) -> String {
        in_full(self)
    }
}

/// An error with all that led to it, on one line.
pub(super) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
