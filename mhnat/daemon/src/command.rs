//! The subcommands, one module each.

mod apply;
mod audit;
mod check;
mod config;
mod down;
mod explain;
mod generate;
mod plan;

use std::future::Future;

use crate::cli::{Cli, Command};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Runs what was asked for.
pub(crate) fn run(cli: &Cli, terminal: &mut Terminal) -> Result<(), Failure> {
    match &cli.command {
        Command::Check { config } => check::run(config, terminal),
        Command::Plan { config, nft_only, json, state } => {
            let format = match (nft_only, json) {
                (true, _) => plan::Format::Nft,
                (false, true) => plan::Format::Json,
                (false, false) => plan::Format::Text,
            };
            plan::run(config, format, &state.state_dir, terminal)
        }
        Command::Apply { config, state, nft } => {
            let model = config::load(config, terminal)?;
            block_on(apply::run(&model, &state.state_dir, nft.nft.as_ref(), terminal))
        }
        Command::Down { state, nft } => block_on(down::run(&state.state_dir, nft.nft.as_ref(), terminal)),
        Command::Audit { config, json, nft } => {
            let model = config.as_ref().map(|it| config::load(it, terminal)).transpose()?;
            block_on(audit::run(model.as_ref(), nft.nft.as_ref(), *json, terminal))
        }
        Command::Explain(arguments) => {
            let model = config::load(&arguments.config, terminal)?;
            block_on(explain::run(&model, arguments, terminal))
        }
        Command::Completions { shell } => generate::completions(*shell, terminal),
        Command::Man { directory } => generate::man(directory),
    }
}

fn block_on(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Cannot, format!("cannot start: {error}")))?
        .block_on(future)
}
