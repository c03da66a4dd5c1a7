//! Programs in a node: started, listened to, waited for, while the lab goes on.

use std::{
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use harness_model::{event::CommandRun, observation::CommandSeen};
use nix::poll::PollFlags;

use super::{failure::Failure, reactor::Reactor};

/// How long a command may run.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of a command's output is kept, in bytes.
const KEEP: usize = 64 << 10;
/// Where tools of the system are, whatever the caller's PATH says.
const SYSTEM_PATHS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program in a node and waits for its end. `line` is how a person would call it.
pub(super) fn run(
    reactor: &mut Reactor,
    node: usize,
    program: &Path,
    arguments: &[&str],
    directory: &Path,
    line: &str,
) -> Result<CommandRun, Failure> {
    let started = |source| Failure::Start { program: program.display().to_string(), source };
    let (reader, writer) = io::pipe().map_err(started)?;
    let second = writer.try_clone().map_err(started)?;
    let mut command: Command = reactor.lab.command(node, program.as_os_str())?;
    command
        .args(arguments)
        .current_dir(directory)
        .env("PATH", path())
        .env("TMPDIR", "/run/tmp")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second);
    let mut child = command.spawn().map_err(started)?;
    // The command holds the writing ends of the pipe: they must not outlive it here.
    drop(command);
    let ended = harness_lab::process::ended(&child).map_err(started)?;
    let mut output =
        Output { reader: nonblocking(reader.into()).map_err(started)?, text: Vec::new(), open: true };
    let deadline = Instant::now() + LIMIT;
    loop {
        reactor.turn()?;
        output.take();
        if let Some(status) = child.try_wait().map_err(started)? {
            output.take();
            return Ok(CommandRun {
                command: line.to_owned(),
                status: number(status),
                output: output.text(),
            });
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::Endless {
                command: line.to_owned(),
                seconds: LIMIT.as_secs(),
                output: output.text(),
            });
        }
        let mut also = vec![(ended.as_fd(), PollFlags::POLLIN)];
        if output.open {
            also.push((output.reader.as_fd(), PollFlags::POLLIN));
        }
        reactor.wait(&also, deadline)?;
    }
}

/// What a step sees of a command.
pub(super) fn seen(run: &CommandRun) -> CommandSeen {
    CommandSeen { status: run.status, output: run.output.clone() }
}

/// The PATH that programs get: the caller's, and the system's tools behind it.
fn path() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_PATHS}"),
        _ => SYSTEM_PATHS.to_owned(),
    }
}

/// A program by its name, as the shell would find it.
pub(super) fn find(name: &str) -> Result<std::path::PathBuf, Failure> {
    let found =
        path().split(':').map(|directory| Path::new(directory).join(name)).find(|path| path.is_file());
    found.ok_or_else(|| Failure::Start {
        program: name.to_owned(),
        source: io::Error::new(io::ErrorKind::NotFound, "no such program in PATH or among the system's"),
    })
}

/// 128 + n after signal n, as a shell has it.
fn number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

struct Output {
    reader: std::fs::File,
    text: Vec<u8>,
    open: bool,
}

impl Output {
    /// Takes what is there. A background process of the command may hold the pipe for as long as it lives, so
    /// its end is not waited for.
    fn take(&mut self) {
        let mut buffer = [0; 4096];
        while self.open {
            match self.reader.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(length) => {
                    let room = KEEP.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

fn nonblocking(fd: OwnedFd) -> io::Result<std::fs::File> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(fd.into())
}
