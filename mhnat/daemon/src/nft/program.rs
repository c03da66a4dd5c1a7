//! The nft program: rulesets go in as text on its standard input.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::commit::{Commits, Ending, InForce};
use super::{NftError, refused};
use crate::fault;

/// The nft program at its path.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
}

/// A program at its path; or by its bare name the first in PATH, as for a shell, then where distributions put what is
/// for root.
pub(crate) fn in_path(name: &Path) -> Option<PathBuf> {
    let runs =
        |file: &Path| file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    if name.as_os_str().as_bytes().contains(&b'/') {
        return runs(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|file| runs(file))
}

impl Program {
    /// The program at the path that was named; else the first of that name, or nft, in PATH, then where distributions
    /// put it.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, NftError> {
        // Known before anything is changed. Whether it is nft shows when it is asked for something.
        let path = in_path(named.unwrap_or(Path::new("nft"))).ok_or(NftError::NotFound)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs commands in one transaction and gives what was printed.
    pub(super) async fn run(&self, what: &'static str, commands: &str) -> Result<String, NftError> {
        self.call(what, &["-f", "-"], commands).await
    }

    /// The version, if the program tells one.
    pub(crate) async fn version(&self) -> Result<Option<(u32, u32, u32)>, NftError> {
        let text = self.call("to tell its version", &["--version"], "").await?;
        let numbers = text.split_whitespace().find_map(|word| {
            let numbers: Option<Vec<u32>> =
                word.strip_prefix('v')?.split('.').map(|part| part.parse().ok()).collect();
            numbers
        });
        Ok(match numbers.as_deref() {
            Some([a, b, c, ..]) => Some((*a, *b, *c)),
            Some([a, b]) => Some((*a, *b, 0)),
            _ => None,
        })
    }

    /// All tables as nft prints them. Terse: only rules are needed, and sets may be long.
    pub(crate) async fn everything(&self) -> Result<String, NftError> {
        self.call("to list the rulesets", &["--terse", "list", "ruleset"], "").await
    }

    /// Whether program and kernel would take a ruleset. Nothing is loaded.
    pub(crate) async fn check(&self, ruleset: &str) -> Result<(), NftError> {
        self.call("a ruleset on trial", &["--check", "-f", "-"], ruleset).await.map(drop)
    }

    async fn call(&self, what: &'static str, arguments: &[&str], input: &str) -> Result<String, NftError> {
        fault::point(what).map_err(|error| self.broken(error))?;
        self.finish(start(&self.path, arguments), what, input).await
    }

    /// Starts it, to read commands that are not known yet.
    pub(super) fn waiting(&self, what: &'static str) -> Result<Waiting, NftError> {
        fault::point(what).map_err(|error| self.broken(error))?;
        let (path, runtime) = (self.path.clone(), Handle::current());
        let start = move || {
            let _runtime = runtime.enter();
            start(&path, &["-f", "-"])
        };
        let starting = thread::Builder::new().spawn(start).map_err(|error| self.broken(error))?;
        // While this thread could run, the kernel executes the program on another, idle processor (sched_exec() in
        // kernel/sched/core.c). If this thread itself started it and slept meanwhile, both would share one.
        thread::yield_now();
        Ok(Waiting { program: self.clone(), what, starting })
    }

    /// Gives it its input, and gives what it printed.
    async fn finish(
        &self,
        child: io::Result<Child>,
        what: &'static str,
        input: &str,
    ) -> Result<String, NftError> {
        let broken = |error| self.broken(error);
        let mut child = child.map_err(broken)?;
        let stdin = child.stdin.take();
        // Both ends at once: nft may fill its output before it has read its input.
        let feed = async {
            match stdin {
                Some(mut stdin) => stdin.write_all(input.as_bytes()).await,
                None => Ok(()),
            }
        };
        let (fed, output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(broken)?;
        if !output.status.success() {
            return Err(refused(what, &String::from_utf8_lossy(&output.stderr), &output.status.to_string()));
        }
        fed.map_err(broken)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn broken(&self, source: io::Error) -> NftError {
        match source.kind() {
            io::ErrorKind::NotFound => NftError::NotFound,
            _ => NftError::Run { path: self.path.clone(), source },
        }
    }
}

fn start(path: &Path, arguments: &[&str]) -> io::Result<Child> {
    Command::new(path)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C at the terminal must not end it halfway through a list of steps.
        .process_group(0)
        // Without its commands it has nothing to do.
        .kill_on_drop(true)
        .spawn()
}

/// The program while it waits for its commands.
pub(crate) struct Waiting {
    program: Program,
    what: &'static str,
    starting: JoinHandle<io::Result<Child>>,
}

impl Waiting {
    /// Runs commands in one transaction.
    pub(super) async fn run(self, commands: &str) -> Result<InForce<'_>, NftError> {
        let Self { program, what, starting } = self;
        fault::point(what).map_err(|error| program.broken(error))?;
        let commits = Commits::watch(commands);
        let child = starting.join().unwrap_or_else(|_| Err(io::Error::other("it could not be started")));
        let process = child.as_ref().ok().and_then(Child::id);
        let mut ending: Ending<'_> =
            Box::pin(async move { program.finish(child, what, commands).await.map(drop) });
        let (Some(mut commits), Some(process)) = (commits, process) else {
            return ending.await.map(|()| InForce::finally());
        };
        tokio::select! {
            ended = &mut ending => ended.map(|()| InForce::finally()),
            () = commits.by(process) => Ok(InForce::but_for(ending)),
        }
    }
}
