//! A subject that stays: started, told to read its configuration again, stopped or killed.
//!
//! It says when it is ready by the protocol of sd_notify(3), as a service of systemd's types `notify` and `notify-reload`
//! does. Its process group is to it what a control group is to a service: whoever is left in it when it ends is killed.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use harness_lab::process;
use harness_model::event::CommandRun;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};

use super::{commands, failure::Failure, reactor::Reactor};

mod notices;

pub(super) use notices::Notices;

/// How long it may take to be ready, to be ready again, or to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where its socket and its output are: in the sandbox, on a file system of its own.
const DIRECTORY: &str = "/run/mhlab";
/// How much is told of what it prints, in bytes: of its end, which tells most.
const KEEP: u64 = 16 << 10;

/// What is started, and where.
pub(super) struct Launch<'a> {
    pub(super) node: usize,
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [&'a str],
    pub(super) directory: &'a Path,
}

/// A subject that stays, whether it runs or not.
pub(super) struct Daemon {
    /// How a person would call it.
    line: String,
    notices: Rc<Notices>,
    /// What all its lives printed.
    log: File,
    log_path: PathBuf,
    /// Up to where that has been told.
    told: u64,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Readable when it has ended.
    ended: OwnedFd,
}

impl Daemon {
    /// Makes its socket, which the loop reads from, and the file for its output. `number` tells it from others of the
    /// same variant.
    pub(super) fn prepare(reactor: &mut Reactor, number: usize, line: String) -> Result<Self, Failure> {
        let started = |source| Failure::Start { program: line.clone(), source };
        let path = Path::new(DIRECTORY).join(format!("notify-{number}"));
        let notices = Rc::new(Notices::listen(path).map_err(started)?);
        reactor.hub.notices.push(Rc::clone(&notices));
        let log_path = Path::new(DIRECTORY).join(format!("daemon-{number}.log"));
        let log = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&log_path)
            .map_err(|source| Failure::File { path: log_path.clone(), source })?;
        Ok(Daemon { line, notices, log, log_path, told: 0, running: None })
    }

    /// Starts it, and waits for nothing.
    pub(super) fn start(&mut self, reactor: &mut Reactor, launch: &Launch<'_>) -> Result<(), Failure> {
        let started = |source| Failure::Start { program: launch.program.display().to_string(), source };
        // What a former life said last is not about this one.
        self.notices.forget().map_err(started)?;
        let Launch { node, program, arguments, directory } = *launch;
        let mut command = commands::prepare(reactor, node, program, arguments, directory)?;
        let (out, err) = (self.log.try_clone().map_err(started)?, self.log.try_clone().map_err(started)?);
        command
            .env("NOTIFY_SOCKET", self.notices.path())
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .process_group(0);
        let child = command.spawn().map_err(started)?;
        let ended = process::ended(&child).map_err(started)?;
        self.running = Some(Running { child, ended });
        Ok(())
    }

    /// Returns when it is ready that was started.
    pub(super) fn started(&mut self, reactor: &mut Reactor) -> Result<CommandRun, Failure> {
        self.await_ready(reactor, "ready")?;
        Ok(self.did(self.line.clone()))
    }

    /// Tells it to read its configuration again, and returns when it is ready again.
    pub(super) fn reload(&mut self, reactor: &mut Reactor) -> Result<CommandRun, Failure> {
        self.notices.forget().map_err(|source| self.unknown(source))?;
        self.signal(Signal::SIGHUP)?;
        self.await_ready(reactor, "ready again after SIGHUP")?;
        Ok(self.did(format!("kill -HUP: {}", self.line)))
    }

    /// Asks it to end, and returns when it has. One that does not run is as good.
    pub(super) fn stop(&mut self, reactor: &mut Reactor) -> Result<Option<CommandRun>, Failure> {
        if self.running.is_none() {
            return Ok(None);
        }
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            reactor.hub.turn()?;
            if let Some(status) = self.ended()? {
                break status;
            }
            if Instant::now() >= deadline {
                let how = format!("still ran {} s after SIGTERM", PATIENCE.as_secs());
                return Err(Failure::Daemon { command: self.line.clone(), how });
            }
            self.wait(reactor, deadline)?;
        };
        // Without a handler it ends by the signal itself, as shells do.
        if status != 0 && status != 128 + Signal::SIGTERM as i32 {
            let how = format!("ended with {} after SIGTERM", describe(status));
            return Err(Failure::Daemon { command: self.line.clone(), how });
        }
        Ok(Some(self.did(format!("kill -TERM: {}", self.line))))
    }

    /// Ends it without a chance to clean up. One that does not run is as good.
    pub(super) fn kill(&mut self) -> Result<Option<CommandRun>, Failure> {
        let Some(mut running) = self.running.take() else { return Ok(None) };
        process::end_group(&mut running.child).map_err(|source| self.unknown(source))?;
        Ok(Some(self.did(format!("kill -KILL: {}", self.line))))
    }

    /// Complains if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                let how = format!("ended by itself with {}", describe(status));
                Err(Failure::Daemon { command: self.line.clone(), how })
            }
        }
    }

    /// How it was started, and the end of all that it printed. None if it printed nothing.
    pub(super) fn printed(&mut self) -> Option<(String, String)> {
        let text = self.text(0);
        (!text.trim().is_empty()).then(|| (self.line.clone(), text))
    }

    /// Waits until it says that it is ready.
    pub(super) fn await_ready(&mut self, reactor: &mut Reactor, what: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            reactor.hub.turn()?;
            if self.notices.ready() {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                let how = format!("ended with {} before it was {what}", describe(status));
                return Err(Failure::Daemon { command: self.line.clone(), how });
            }
            if Instant::now() >= deadline {
                let how = format!(
                    "was not {what} within {} s (hint: it says so by READY=1 to $NOTIFY_SOCKET, see sd_notify(3))",
                    PATIENCE.as_secs()
                );
                return Err(Failure::Daemon { command: self.line.clone(), how });
            }
            self.wait(reactor, deadline)?;
        }
    }

    /// Waits until it says something or ends, or something happens in the lab.
    fn wait(&self, reactor: &mut Reactor, deadline: Instant) -> Result<(), Failure> {
        let end = self.running.as_ref().map(|running| (running.ended.as_fd(), PollFlags::POLLIN));
        reactor.hub.wait(end.as_slice(), deadline)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let Some(running) = &self.running else {
            return Err(Failure::Daemon { command: self.line.clone(), how: "does not run".to_owned() });
        };
        process::signal(&running.child, signal).map_err(|source| self.unknown(source))
    }

    /// Its exit status, if it has ended; then nothing of it is left.
    fn ended(&mut self) -> Result<Option<i32>, Failure> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let mut end = [PollFd::new(running.ended.as_fd(), PollFlags::POLLIN)];
        match poll(&mut end, PollTimeout::ZERO) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(self.unknown(errno.into())),
        }
        let status = process::end_group(&mut running.child);
        self.running = None;
        status.map(|status| Some(commands::number(status))).map_err(|source| self.unknown(source))
    }

    /// A command that went well, with what was printed since the last one.
    fn did(&mut self, command: String) -> CommandRun {
        let output = self.text(self.told);
        self.told = self.log.metadata().map_or(self.told, |metadata| metadata.len());
        CommandRun { command, status: 0, output }
    }

    /// What was printed from an offset on, but not more than the end of it.
    fn text(&self, from: u64) -> String {
        let mut bytes = Vec::new();
        // What cannot be read was not printed. Opened anew: the offset of `log` is shared with the process.
        let read = File::open(&self.log_path).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(from.max(length.saturating_sub(KEEP))))?;
            file.take(KEEP).read_to_end(&mut bytes)
        });
        let _ = read;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn unknown(&self, source: io::Error) -> Failure {
        Failure::Daemon { command: self.line.clone(), how: format!("cannot be watched: {source}") }
    }
}

/// An exit status, as a shell counts it, in words.
fn describe(status: i32) -> String {
    if status > 128 { format!("signal {}", status - 128) } else { format!("status {status}") }
}
