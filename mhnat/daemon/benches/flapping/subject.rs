//! The program that is measured: its lines, its memory, and its times.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::workload::Error;

/// After this, nothing is expected to come any more.
const TOO_LONG: Duration = Duration::from_secs(20);

/// What was measured, in milliseconds.
#[derive(Default)]
pub(crate) struct Times(pub(crate) Vec<f64>);

impl Times {
    /// The time that this share of them does not exceed, to so many decimals; a dash if there are none.
    pub(crate) fn share(&mut self, share: f64, decimals: usize) -> String {
        self.0.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand"
        )]
        let at = (self.0.len().saturating_sub(1) as f64 * share).round() as usize;
        self.0.get(at).map_or_else(|| "-".to_owned(), |time| format!("{time:.decimals$}"))
    }
}

/// The time that a line of the log tells.
pub(crate) fn milliseconds(line: &str) -> Option<f64> {
    let (before, _) = line.split_once(" ms")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// What keeps the kernel right, and the lines that it writes.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    pub(crate) fn start(mut command: Command) -> Result<Self, Error> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Forgets the lines that have come.
    pub(crate) fn drain(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Waits for a line with this text in it.
    pub(crate) fn line(&self, text: &str) -> Result<String, Error> {
        loop {
            match self.lines.recv_timeout(TOO_LONG) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(format!("no word of `{text}`").into()),
                Err(RecvTimeoutError::Disconnected) => return Err("the subject has ended".into()),
            }
        }
    }

    /// How often it has run per second, while nothing happens.
    pub(crate) fn idle(&self) -> Result<f64, Error> {
        let switches = || -> Result<f64, Error> {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
            let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
            Ok(counts.filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok()).sum())
        };
        thread::sleep(Duration::from_secs(1));
        let before = switches()?;
        let time = Duration::from_secs(5);
        thread::sleep(time);
        Ok((switches()? - before) / time.as_secs_f64())
    }

    /// Its memory at most until now, in MiB.
    pub(crate) fn resident(&self) -> Result<f64, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        let kib: f64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    pub(crate) fn end(mut self) -> Result<(), Error> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
