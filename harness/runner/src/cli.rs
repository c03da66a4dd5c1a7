//! The command line of mhlab.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod check;
mod console;
mod files;
mod generate;
mod list;
mod mutants;
mod plan;
mod progress;
mod run;
mod selection;
mod soak;

use args::{Arguments, Command};
use console::Console;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked for was done, and every test passed.
    Passed,
    /// A test failed.
    Failed,
    /// The input was wrong; nothing was built.
    BadInput,
    /// This machine could not do it.
    Cannot,
    /// A signal ended the run.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Passed => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Cannot => 3,
            Exit::Signal(number) => 128 + number,
        })
    }
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The input is wrong, told in one line.
    #[error("{0}")]
    BadInput(String),
    /// The input is wrong, told in full.
    #[error("{0}")]
    Findings(String),
    /// This machine cannot do it.
    #[error("{0}")]
    Cannot(String),
    /// What the user reads could not be written.
    #[error("standard output cannot be written: {0}")]
    Output(#[source] std::io::Error),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut console = Console::new();
    let done = match arguments.command {
        Command::Run(options) => run::run(&options, &mut console),
        Command::Soak(options) => soak::soak(&options, &mut console),
        Command::Mutants(options) => mutants::mutants(&options, &mut console),
        Command::List(options) => list::list(&options, &mut console),
        Command::Check(options) => check::check(&options, &mut console),
        Command::Plan(options) => plan::plan(&options, &mut console),
        Command::Schema(options) => generate::schema(&options, &mut console),
        Command::Completions(options) => generate::completions(&options, &mut console),
        Command::Man(options) => generate::man(&options),
    };
    let exit = done.unwrap_or_else(|stop| {
        match &stop {
            Stop::Findings(text) => console.complain(text.trim_end()),
            Stop::BadInput(_) | Stop::Cannot(_) | Stop::Output(_) => console.error(&stop),
        }
        match stop {
            Stop::BadInput(_) | Stop::Findings(_) => Exit::BadInput,
            Stop::Cannot(_) | Stop::Output(_) => Exit::Cannot,
        }
    });
    exit.into()
}
