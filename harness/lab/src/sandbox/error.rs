//! What can go wrong with a sandbox.

use std::{io, path::PathBuf};

use nix::errno::Errno;

use super::hint;

/// A sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The process has other threads, which would stay outside.
    #[error("a sandbox is entered by a process with one thread (hint: enter it before any runtime starts)")]
    Threads,
    /// The runner is not there any more.
    #[error("the runner, process {expected}, is gone")]
    RunnerGone {
        /// Its process id.
        expected: u32,
    },
    /// A step failed.
    #[error("{what}: {source}{hint}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
        /// What to do about it, in parentheses, or nothing.
        hint: String,
    },
    /// A directory could not be kept writable.
    #[error("keep {} writable", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The processor is not to be had.
    #[error("bind the process to processor {processor} (hint: is it among those of /proc/self/status?)")]
    Pin {
        /// Its number.
        processor: usize,
        /// Why not.
        source: io::Error,
    },
    /// The probe's process ended without an answer.
    #[error("the process that tried to make a sandbox was killed (hint: a seccomp filter may do that)")]
    ProbeKilled,
}

impl SandboxError {
    pub(super) fn at(step: Step, errno: Errno) -> Self {
        Self::Step { what: step.what(), source: errno.into(), hint: hint::hint(step, errno) }
    }
}

/// The steps into a sandbox. The probe passes one on as a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Watch,
    Namespaces,
    UserNamespace,
    Identity,
    Fork,
    PrivateMounts,
    ReadOnly,
    Proc,
    Run,
    Files,
    Loopback,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Watch,
        Self::Namespaces,
        Self::UserNamespace,
        Self::Identity,
        Self::Fork,
        Self::PrivateMounts,
        Self::ReadOnly,
        Self::Proc,
        Self::Run,
        Self::Files,
        Self::Loopback,
    ];

    pub(super) fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == byte)
    }

    fn what(self) -> &'static str {
        match self {
            Self::Watch => "watch a process by its pidfd",
            Self::Namespaces => "create namespaces",
            Self::UserNamespace => "create a user namespace and others within",
            Self::Identity => "become root in the user namespace",
            Self::Fork => "fork",
            Self::PrivateMounts => "detach the mounts from the host's",
            Self::ReadOnly => "make the file system read-only",
            Self::Proc => "mount /proc for the sandbox's processes",
            Self::Run => "mount a private /run",
            Self::Files => "raise the limit of open files",
            Self::Loopback => "set the loopback device up",
        }
    }
}
