//! The subcommands, one module each.

mod apply;
mod audit;
mod check;
mod config;
mod confirm;
mod diff;
mod down;
mod explain;
mod generate;
mod log;
mod plan;
mod run;
mod status;

use std::future::Future;
use std::mem::ManuallyDrop;

pub(crate) use self::log::Format;
use crate::cli::{Cli, Command};
use crate::failure::{Exit, Failure, Outcome};
use crate::serve::have_look;
use crate::terminal::Terminal;

/// Runs what was asked for.
pub(crate) fn run(cli: &Cli, terminal: &mut Terminal) -> Result<Outcome, Failure> {
    let done = |()| Outcome::Done;
    match &cli.command {
        Command::Check { config } => check::run(config, terminal).map(done),
        Command::Plan { config, diff: true, nft_only: _, json, state, nft } => {
            block_on(diff::run(config, *json, &state.state_dir, nft.nft.as_ref(), terminal))
        }
        Command::Plan { config, diff: false, nft_only, json, state, nft: _ } => {
            let format = match (nft_only, json) {
                (true, _) => plan::Format::Nft,
                (false, true) => plan::Format::Json,
                (false, false) => plan::Format::Text,
            };
            plan::run(config, format, &state.state_dir, terminal).map(done)
        }
        Command::Apply { config, confirm, state, nft } => {
            block_on(apply::run(config, *confirm, &state.state_dir, nft.nft.as_ref(), terminal)).map(done)
        }
        Command::Run { config, down_on_exit, metrics, log, state, nft } => {
            let options = run::Options {
                config,
                state_dir: &state.state_dir,
                nft: nft.nft.as_ref(),
                down_on_exit: *down_on_exit,
                metrics,
                log: *log,
            };
            block_on(run::run(&options, terminal)).map(done)
        }
        Command::Look { state } => have_look(&state.state_dir)
            .map(done)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot ask `mhnat run` to look: {error}"))),
        Command::Confirm { state } => block_on(confirm::confirm(&state.state_dir, terminal)).map(done),
        Command::Rollback { state, nft } => {
            block_on(confirm::rollback(&state.state_dir, nft.nft.as_ref(), terminal)).map(done)
        }
        Command::AwaitConfirmation { state, nft } => {
            let watch = confirm::begin(&state.state_dir)?;
            block_on(confirm::watch(watch, nft.nft.as_ref(), terminal)).map(done)
        }
        Command::Status { json, state } => block_on(status::run(*json, &state.state_dir, terminal)),
        Command::Down { state, nft } => {
            block_on(down::run(&state.state_dir, nft.nft.as_ref(), terminal)).map(done)
        }
        Command::Audit { config, json, nft } => {
            let model = config.as_ref().map(|it| config::load(it, terminal)).transpose()?;
            block_on(audit::run(model.as_ref(), nft.nft.as_ref(), *json, terminal)).map(done)
        }
        Command::Explain(arguments) => {
            let model = config::load(&arguments.config, terminal)?;
            block_on(explain::run(&model, arguments, terminal)).map(done)
        }
        Command::Completions { shell } => generate::completions(*shell, terminal).map(done),
        Command::Man { directory } => generate::man(directory).map(done),
    }
}

fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Cannot, format!("cannot start: {error}")))?;
    // The process is about to end, which closes all that the runtime would close one by one.
    ManuallyDrop::new(runtime).block_on(future)
}
