//! The process that takes an unconfirmed change back, and both ends of what passes between it and `apply`.
//!
//! It is this program again, in a session of its own, so that the terminal and whoever sits at it may go: the
//! change may be what cuts the line. It is there before the change begins. Until it has heard that the change
//! is complete, the end of its input means that `apply` has died, and it takes back what there is at once.
//! After that it waits for the deadline, and watches the state directory for the confirmation, which is that
//! the change is no longer in the state. As long as it lives it holds a lock of its own, from which everybody
//! sees that it does, whatever killed it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::time::{ClockId, clock_gettime};

use super::interrupt::Deferred;
use super::restore::roll_back;
use crate::failure::{Exit, Failure};
use crate::fault;
use crate::nft::Nft;
use crate::state::{StateDir, Unconfirmed, look};
use crate::terminal::Terminal;

/// The hidden subcommand that this program starts itself with.
pub(crate) const SUBCOMMAND: &str = "await-confirmation";

/// How long the process before it may take to notice that it is not needed any more.
const SUCCESSION: Duration = Duration::from_secs(10);

/// What `apply` says once the change is complete.
const APPLIED: &str = "applied\n";

/// Now and some time in `CLOCK_BOOTTIME`, which goes on while a machine sleeps, in milliseconds.
pub(crate) fn boot_time(ahead: Duration) -> Result<u64, Failure> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(broken("read the clock"))?;
    u64::try_from((Duration::from(now) + ahead).as_millis())
        .map_err(|error| Failure::new(Exit::BadInput, format!("that is too long: {error}")))
}

fn broken<E: std::fmt::Display>(verb: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::new(Exit::Failed, format!("cannot {verb}: {error}"))
}

/// Whether a process waits for the confirmation of a change.
pub(crate) fn alive(directory: &Path) -> bool {
    let Ok(file) = File::open(lock_file(directory)) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

fn lock_file(directory: &Path) -> PathBuf {
    directory.join("supervisor")
}

/// The process as `apply` has it. Dropped before it was told that the change is complete, it rolls back.
pub(super) struct Supervisor {
    child: Child,
    input: ChildStdin,
}

impl Supervisor {
    /// Starts it, and returns once it waits.
    pub(super) fn start(dir: &StateDir, nft: &Nft) -> Result<Self, Failure> {
        fault::point("start the supervisor").map_err(broken("start the process that would roll back"))?;
        let directory = std::path::absolute(dir.path()).map_err(broken("find the state directory"))?;
        let nft = nft.name().map_err(broken("find nft"))?;
        // A terminal may hear of the outcome. A pipe would keep its reader, such as ssh, waiting.
        let stderr =
            if io::IsTerminal::is_terminal(&io::stderr()) { Stdio::inherit() } else { Stdio::null() };
        let mut command = Command::new("/proc/self/exe");
        command.arg(SUBCOMMAND).arg("--state-dir").arg(directory).arg("--nft").arg(nft);
        // A fault that a test asks of `apply` is not meant for this process; it has a variable of its own.
        if cfg!(feature = "fault-injection") {
            command.env_remove("MHNAT_FAULT");
            if let Some(order) = std::env::var_os("MHNAT_FAULT_SUPERVISOR") {
                command.env("MHNAT_FAULT", order);
            }
        }
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(broken("start the process that would roll back"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut said = String::new();
        if let Some(output) = output {
            BufReader::new(output)
                .read_to_string(&mut said)
                .map_err(broken("hear the process that would roll back"))?;
        }
        match (input, said.strip_prefix("ready")) {
            (Some(input), Some(_)) => Ok(Self { child, input }),
            (_, _) => {
                let why = if said.is_empty() { "it ended" } else { said.trim() };
                Err(Failure::new(
                    Exit::Failed,
                    format!("the process that would roll back did not start: {why}"),
                ))
            }
        }
    }

    /// Names the change: no two of one boot have the same supervisor at the same time of the clock.
    pub(super) fn id(&self) -> String {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        format!("{}-{}", self.child.id(), now.as_nanos())
    }

    /// The change is complete: time runs.
    pub(super) fn applied(&mut self) -> Result<(), Failure> {
        fault::point("tell the supervisor")
            .and_then(|()| self.input.write_all(APPLIED.as_bytes()))
            .map_err(broken("reach the process that would roll back"))
    }
}

/// The life of that process.
pub(crate) struct Watch {
    _alive: Flock<File>,
    directory: PathBuf,
    complete: bool,
}

impl Watch {
    /// Leaves the terminal's session, and waits until `apply` has said that the change is complete, or died.
    pub(crate) fn begin(directory: &Path) -> Result<Self, Failure> {
        let mut stdout = io::stdout();
        // Held back from the beginning, so that none ends this process before it has rolled back.
        signals().thread_block().map_err(broken("hold signals back"))?;
        let begun =
            nix::unistd::setsid().map_err(broken("leave the session")).and_then(|_| succeed(directory));
        let alive = match begun {
            Ok(alive) => alive,
            Err(failure) => {
                let _ = write!(stdout, "{}", failure.message);
                return Err(failure);
            }
        };
        // `apply` reads to the end: the stream must close, not only be flushed.
        let null = File::options().write(true).open("/dev/null").map_err(broken("open /dev/null"))?;
        stdout.write_all(b"ready\n").and_then(|()| stdout.flush()).map_err(broken("reach apply"))?;
        nix::unistd::dup2_stdout(&null).map_err(broken("close the stream"))?;
        let mut said = String::new();
        let complete = io::stdin().lock().read_line(&mut said).is_ok() && said == APPLIED;
        Ok(Self { _alive: alive, directory: directory.to_owned(), complete })
    }

    /// Waits for the confirmation or the deadline, and rolls back.
    pub(crate) async fn serve(self, nft: &Nft, terminal: &mut Terminal) -> Result<(), Failure> {
        let Some(id) = unconfirmed(&self.directory).map(|it| it.id) else { return Ok(()) };
        // Nothing else is to be done meanwhile, so that the runtime may stand still.
        if self.complete && !self.wait(&id)? {
            return Ok(());
        }
        let _deferred = Deferred::new().map_err(broken("defer signals"))?;
        signals().thread_unblock().map_err(broken("receive signals"))?;
        // A change that is being confirmed, or taken back, holds the lock.
        let dir = StateDir::lock_within(&self.directory, Duration::from_secs(3600)).await?;
        let Some(change) = dir.read()?.state.and_then(|state| state.unconfirmed).filter(|it| it.id == id)
        else {
            return Ok(());
        };
        let outcome = roll_back(&dir, &change.former, nft).await;
        match &outcome {
            Ok(()) => {
                announce("the change was not confirmed, and has been rolled back");
                terminal.warn("the change was not confirmed, and has been rolled back", None);
            }
            Err(failure) => announce(&failure.message),
        }
        outcome
    }

    /// Whether the time has run out; not, when the change is confirmed or gone.
    fn wait(&self, id: &str) -> Result<bool, Failure> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&signals(), flags).map_err(broken("wait for signals"))?;
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(broken("watch files"))?;
        inotify
            .add_watch(&self.directory, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE)
            .map_err(broken("watch the state directory"))?;
        loop {
            // Looked at after the watch began, so that nothing is missed.
            let Some(change) = unconfirmed(&self.directory).filter(|it| it.id == id) else {
                return Ok(false);
            };
            let left = change.deadline.saturating_sub(boot_time(Duration::ZERO)?);
            if left == 0 {
                return Ok(true);
            }
            let mut sources = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(inotify.as_fd(), PollFlags::POLLIN),
            ];
            // At most a minute at a time: poll(2) does not count the time that a machine sleeps.
            let limit = PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX));
            match poll(&mut sources, limit) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(broken("wait")(errno)),
            }
            let _ = inotify.read_events();
            while let Ok(Some(signal)) = signals.read_signal() {
                // A polite kill, as at the end of a login session: better now than never. A terminal that goes
                // is just what this process is there for.
                if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGTERM as i32) {
                    return Ok(true);
                }
            }
        }
    }
}

/// What would end the process while it waits.
fn signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT])
}

/// Takes over from the process before, which may not have noticed yet that it is not needed any more.
fn succeed(directory: &Path) -> Result<Flock<File>, Failure> {
    let deadline = Instant::now() + SUCCESSION;
    let open = || File::options().create(true).append(true).open(lock_file(directory));
    let mut file = open().map_err(broken("open the supervisor's lock"))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = back;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err((_, errno)) => return Err(broken("take the supervisor's lock")(errno)),
        }
    }
}

fn unconfirmed(directory: &Path) -> Option<Box<Unconfirmed>> {
    look(directory).ok()?.state?.unconfirmed
}

/// Tells the system's log (syslog(3), facility daemon, warning); whoever was at the terminal may have lost it.
fn announce(message: &str) {
    let line = format!("<28>mhnat[{}]: {message}", std::process::id());
    let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(line.as_bytes(), "/dev/log"));
}
