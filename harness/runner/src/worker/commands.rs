//! Programs in a node: started, listened to, waited for, while the lab goes on.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::fd::AsFd,
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
const KEEP: u64 = 4 << 20;
/// Where it is while it is made.
const OUTPUT: &str = "/run/mhlab/output";
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
    let mut output = Output::create().map_err(started)?;
    let (out, err) = output.ends().map_err(started)?;
    let mut command = prepare(reactor, node, program, arguments, directory)?;
    let mut child = command.stdout(out).stderr(err).spawn().map_err(started)?;
    let ended = harness_lab::process::ended(&child).map_err(started)?;
    let deadline = Instant::now() + LIMIT;
    loop {
        reactor.hub.turn()?;
        if let Some(status) = child.try_wait().map_err(started)? {
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
        reactor.hub.wait(&[(ended.as_fd(), PollFlags::POLLIN)], deadline)?;
    }
}

/// A program in a node, in a directory, with the environment that programs get. Its streams are for the caller to lead.
pub(super) fn prepare(
    reactor: &Reactor,
    node: usize,
    program: &Path,
    arguments: &[&str],
    directory: &Path,
) -> Result<Command, Failure> {
    let mut command = reactor.lab.command(node, program.as_os_str())?;
    command
        .args(arguments)
        .current_dir(directory)
        .env("PATH", path())
        .env("TMPDIR", "/run/tmp")
        .envs(reactor.mhnat.iter().map(|path| ("MHNAT", path)))
        .stdin(Stdio::null());
    Ok(command)
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
pub(super) fn number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// What a command prints, in a file without a name: a pipe would have to be read for as long as a process in the
/// background holds it, or break under it.
struct Output {
    file: File,
}

impl Output {
    fn create() -> io::Result<Self> {
        let path = Path::new(OUTPUT);
        let file = File::options().read(true).append(true).create_new(true).open(path)?;
        fs::remove_file(path)?;
        Ok(Output { file })
    }

    /// The same file for both streams, so that their order is kept.
    fn ends(&self) -> io::Result<(File, File)> {
        Ok((self.file.try_clone()?, self.file.try_clone()?))
    }

    fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        // What cannot be read was not printed.
        let _ = self.file.rewind();
        let _ = (&self.file).take(KEEP).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
