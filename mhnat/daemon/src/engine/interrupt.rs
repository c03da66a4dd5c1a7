//! Signals that would end the program between two steps.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// While this lives, Ctrl-C, a closed terminal and a polite kill are not heeded: a handful of steps are left,
/// and finishing them, or undoing them, is what whoever sent it would want. SIGKILL remains; the next run
/// repairs what it leaves.
pub(super) struct Deferred {
    _signals: Vec<Signal>,
}

impl Deferred {
    pub(super) fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Self { _signals: kinds.into_iter().map(signal).collect::<io::Result<_>>()? })
    }
}
