//! conntrackd(8) as a child: it shares connections with another node for as long as this process keeps its own
//! state right.
//!
//! Its file, its lock and its socket are in the state directory, so that two of them on one machine do not meet. It
//! is started once the link to the other node exists, again with growing pauses when it ends, and anew when the
//! link comes back as another device, whose index it does not know. It never outlives this process: nobody would
//! look after it. What it has written into the kernel stays there.

use std::fs::{self, OpenOptions};
use std::future::pending;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mhnat_core::conntrackd;
use mhnat_core::model::Model;
use mhnat_core::name::IfName;
use nix::net::if_::if_nametoindex;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::failure::{Exit, Failure};
use crate::nft::in_path;
use crate::{fault, sys};

const NAME: &str = "conntrackd";

/// How long it is left alone after it has ended, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whoever has run for so long ends for a new reason.
const STEADY: Duration = Duration::from_secs(10);

/// How long it may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest path of its socket in bytes: `sun_path` (unix(7)) less the terminating zero.
const MAX_PATH: usize = 107;

/// The one conntrackd of a state directory.
#[derive(Debug)]
pub(crate) struct Conntrackd {
    /// Absolute.
    directory: PathBuf,
    /// What is to run; nothing without `[sync]`.
    wanted: Option<Wanted>,
    running: Option<Running>,
    /// Not before then.
    due: Option<Instant>,
    pause: Duration,
}

/// All that a start needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    program: PathBuf,
    file: String,
    interface: IfName,
}

#[derive(Debug)]
struct Running {
    child: Child,
    with: Wanted,
    /// That of the link when it was started.
    index: u32,
    since: Instant,
    /// It has been asked to end, and is killed then.
    ending: Option<Instant>,
}

impl Running {
    fn ask_to_end(&self) {
        if let Some(id) = self.child.id().and_then(|it| i32::try_from(it).ok()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
    }

    /// Returns when it has ended, which it has to by then.
    async fn end_by(&mut self, deadline: Instant) {
        if timeout_at(deadline, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// What a look at it has led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tended {
    /// It is as it should be, or waits.
    Same,
    Started,
    Stopped,
}

impl Conntrackd {
    /// None runs yet.
    pub(crate) fn new(directory: &Path) -> Self {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        Self { directory, wanted: None, running: None, due: None, pause: PAUSE.0 }
    }

    /// What is to run for a model, or why it cannot. Nothing is touched yet.
    pub(crate) fn wanted(&self, model: &Model) -> Result<Option<Wanted>, Failure> {
        let Some(sync) = &model.sync else { return Ok(None) };
        let program = in_path(Path::new(NAME)).ok_or_else(|| {
            Failure::new(Exit::Cannot, "`[sync]` needs conntrackd, and there is none in PATH or /usr/sbin")
                .hint(
                    "install the package conntrackd, without enabling its own service, or leave `[sync]` out",
                )
        })?;
        let socket = self.path("ctl");
        // As its file can say them: conntrackd.conf(5) has no quotes.
        let plain = |path: &str| path.bytes().all(|it| it.is_ascii_graphic() && !b"\"#*{}".contains(&it));
        let directory = self.directory.to_str();
        let directory = directory.filter(|path| plain(path) && socket.as_os_str().len() <= MAX_PATH);
        let file = directory.and_then(|it| conntrackd::config(model, it)).ok_or_else(|| {
            let text = format!("conntrackd can have no socket at {}", socket.display());
            Failure::new(Exit::Cannot, text)
                .hint("choose another --state-dir: shorter than 90 bytes, without spaces, quotes and braces")
        })?;
        Ok(Some(Wanted { program, file, interface: sync.interface.clone() }))
    }

    /// From the next look on, this is what runs.
    pub(crate) fn want(&mut self, wanted: Option<Wanted>) {
        if self.wanted != wanted {
            (self.wanted, self.due, self.pause) = (wanted, None, PAUSE.0);
        }
    }

    /// Starts it or asks it to end, if that is due. It ends in its own time, and another one begins behind it.
    pub(crate) fn tend(&mut self) -> Result<Tended, Failure> {
        let index = self.wanted.as_ref().and_then(|it| if_nametoindex(it.interface.as_str()).ok());
        if let Some(running) = &mut self.running {
            let right = Some(&running.with) == self.wanted.as_ref() && Some(running.index) == index;
            if right || running.ending.is_some() {
                return Ok(Tended::Same);
            }
            running.ask_to_end();
            running.ending = Some(Instant::now() + PATIENCE);
            return Ok(Tended::Stopped);
        }
        let (Some(with), Some(index)) = (self.wanted.clone(), index) else { return Ok(Tended::Same) };
        if self.due.is_some_and(|due| Instant::now() < due) {
            return Ok(Tended::Same);
        }
        self.due = None;
        match self.start(&with) {
            Ok(child) => {
                self.running = Some(Running { child, with, index, since: Instant::now(), ending: None });
                Ok(Tended::Started)
            }
            Err(error) => {
                self.later();
                Err(Failure::new(Exit::Failed, format!("cannot start conntrackd: {error}")))
            }
        }
    }

    /// Waits until it has ended, and gives how if it was not asked to; or until it may be started again.
    pub(crate) async fn happened(&mut self) -> Option<String> {
        match (&mut self.running, self.due) {
            (Some(running), _) => {
                if let Some(deadline) = running.ending {
                    running.end_by(deadline).await;
                    self.running = None;
                    self.tidy();
                    return None;
                }
                let status = running.child.wait().await;
                if running.since.elapsed() >= STEADY {
                    self.pause = PAUSE.0;
                }
                self.running = None;
                self.later();
                Some(status.map_or_else(|error| error.to_string(), |status| status.to_string()))
            }
            (None, Some(due)) => {
                sleep_until(due).await;
                self.due = None;
                None
            }
            (None, None) => pending().await,
        }
    }

    /// Ends it, and returns when it has ended. What it has told the kernel stays.
    pub(crate) async fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.ask_to_end();
        running.end_by(Instant::now() + PATIENCE).await;
        self.tidy();
    }

    /// Removes what it needed.
    fn tidy(&self) {
        for file in ["conf.new", "conf", "lock", "ctl"] {
            let _ = fs::remove_file(self.path(file));
        }
    }

    fn later(&mut self) {
        self.due = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    fn start(&self, with: &Wanted) -> io::Result<Child> {
        let (file, new) = (self.path("conf"), self.path("conf.new"));
        fault::point("write the file of conntrackd")?;
        fs::remove_file(&new).or_else(absent_is_well)?;
        let mut text = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        text.write_all(with.file.as_bytes())?;
        drop(text);
        fs::rename(&new, &file)?;
        // One that was killed has left them, and it cannot live any more: it ends with whoever held this directory.
        for left in ["lock", "ctl"] {
            fs::remove_file(self.path(left)).or_else(absent_is_well)?;
        }
        let mut command = Command::new(&with.program);
        // What it has to say goes where our own words go.
        command.arg("-C").arg(&file).stdin(Stdio::null());
        // Ctrl-C at the terminal is for us: we end it when our own work is done.
        command.process_group(0);
        sys::ends_with_us(&mut command);
        fault::point("start conntrackd")?;
        command.spawn()
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{NAME}.{kind}"))
    }
}

fn absent_is_well(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
