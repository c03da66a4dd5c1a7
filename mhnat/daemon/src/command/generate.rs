//! `mhnat completions` and `mhnat man`: what follows from the definition of the command line.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

pub(super) fn completions(shell: Shell, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mhnat", &mut script);
    terminal.print(&String::from_utf8_lossy(&script));
    Ok(())
}

pub(super) fn man(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Cli::command(), directory)).map_err(
        |error| Failure::new(Exit::Failed, format!("cannot write to {}: {error}", directory.display())),
    )
}
