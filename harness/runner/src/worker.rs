//! One test, from a scenario's text to its verdict, in a process of its own.
//!
//! The process has one thread and is pinned to one processor; services, clients, captures and commands are all
//! served by one loop. So nothing is ever "probably done by now": when the loop finds nothing to do and a fence
//! frame has come through, everything that was set off has happened.

use std::{
    io::{self, BufRead, Write},
    time::Instant,
};

use harness_lab::sandbox::{self, Options};
use harness_model::event::{Event, Outcome, TestId};

use crate::job::{self, Job};

mod commands;
mod daemon;
mod drive;
mod failure;
mod mutant;
mod reactor;
mod subject;
mod traffic;

pub use failure::Failure;

/// If this process was started as a worker, does the work and exits; otherwise returns.
///
/// Must be the first thing that `main` does, while the process has one thread.
pub fn main_if_worker() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != job::ENTRY) || arguments.next().is_some() {
        return;
    }
    let started = Instant::now();
    let status = match work(started) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", error.in_full());
            1
        }
    };
    std::process::exit(status);
}

fn work(started: Instant) -> Result<(), Failure> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).map_err(Failure::Job)?;
    let job: Job = serde_json::from_str(&text).map_err(|error| Failure::Job(error.into()))?;
    if let Some(processor) = job.processor {
        sandbox::pin(processor)?;
    }
    let mut emit = |event: Event| {
        let mut out = io::stdout().lock();
        // Whoever reads has gone: the supervisor is about to end this process.
        let _ = serde_json::to_writer(&mut out, &event).map_err(io::Error::from).and_then(|()| {
            out.write_all(b"\n")?;
            out.flush()
        });
    };
    let options = Options { runner: Some(job.runner), ..Options::default() };
    if let Err(error) = sandbox::enter(&options) {
        emit(finished(job.test, Outcome::Error { reason: failure::in_full(&error) }, started, 0));
        return Ok(());
    }
    let remains = drive::run(&job, started, &mut emit);
    sandbox::end_others();
    await_release();
    remains.close();
    Ok(())
}

/// Waits until the runner closes our standard input: it says when labs are taken down. See [`crate::pool`].
fn await_release() {
    // An error is as good as the end: nobody will say anything any more.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
}

fn finished(test: TestId, outcome: Outcome, started: Instant, frames: u64) -> Event {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    Event::TestFinished {
        test,
        outcome,
        micros: micros(started),
        peak_kib: usage.map_or(0, |usage| usage.max_rss().unsigned_abs()),
        frames,
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
