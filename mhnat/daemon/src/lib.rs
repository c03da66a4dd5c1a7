//! The shell around [`mhnat_core`]: files, the kernel, and what a person sees.
//!
//! [`run`] reads the command line and hands over to one module of `command`. What is to be in the kernel
//! is decided in the core; `engine` brings it there or back, through `kernel` (rules, routes, links by
//! netlink), `nft` (our nft table) and `sysctl` (files below /proc/sys), and `state` remembers on disk
//! what was there before.
//!
//! All unsafe code is in the private module `sys`.

#![deny(unsafe_code)]

mod book;
mod cli;
mod command;
mod conntrackd;
mod engine;
mod facts;
mod failure;
mod fault;
mod kernel;
mod netlink;
mod nft;
mod notify;
mod probe;
mod serve;
mod state;
#[expect(
    unsafe_code,
    reason = "calls into a library of C and what a child does first; nothing else in this crate may be unsafe"
)]
mod sys;
mod sysctl;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::Outcome;
pub use crate::nft::Library;
use crate::terminal::Terminal;

/// Runs the program with the arguments and the environment of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let mut terminal = Terminal::new();
    match command::run(&cli, &mut terminal) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::from(Outcome::DIFFERS),
        Err(failure) => {
            terminal.fail(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}
