//! What a worker process is told: one test, complete, as one line of JSON on its standard input.
//!
//! A worker is this very program started anew (`/proc/self/exe`) with [`ENTRY`] as its only argument. It answers with events, one
//! JSON object a line, on its standard output, the last of which is `test-finished`. Its lab stands until its
//! standard input ends.

use std::path::PathBuf;

use harness_model::event::TestId;
use serde::{Deserialize, Serialize};

/// The argument that makes a program a worker. It is not a subcommand that a person would type.
pub const ENTRY: &str = "__mhlab-worker";

/// One test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub test: TestId,
    /// The scenario file, absolute: files that it names are beside it.
    pub path: PathBuf,
    /// Its text, as it was read when it was checked.
    pub text: String,
    /// The program mhnat, absolute, where a variant needs it.
    pub mhnat: Option<PathBuf>,
    /// The processor that the whole test runs on. One processor keeps packets in order, so that a fence frame
    /// proves that everything sent before it has arrived.
    pub processor: Option<usize>,
    /// The process that started the worker, so that a worker whose runner died at once does not stay.
    pub runner: u32,
    /// Delete the n-th rule of the subject's nft ruleset after it was applied (to prove that tests would notice).
    pub without_rule: Option<usize>,
    /// Where all chance comes from, instead of from the scenario's seed.
    pub seed: Option<u64>,
}
