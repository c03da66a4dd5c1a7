//! The implementation under test, as it is put in place, put in place again, and taken away.
//!
//! Most parts are commands that end. Those that stay are in [`super::daemon`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use harness_model::{
    event::CommandRun,
    scenario::{Content, Part, PartKind, SubjectAction, Variant},
};

use super::{
    commands,
    daemon::{Daemon, Launch},
    failure::Failure,
    reactor::Reactor,
};

/// What scripts are for.
const SHELL: &str = "/bin/sh";
/// Where texts of a scenario become files: in the sandbox, on a file system of its own.
const TEXTS: &str = "/run/mhlab";

/// A variant, ready to be driven.
pub(super) struct Subject<'a> {
    place: Place<'a>,
    pieces: Vec<Piece>,
}

/// Where it runs, and what it needs of the machine.
struct Place<'a> {
    node: usize,
    directory: &'a Path,
    mhnat: Option<&'a Path>,
}

/// A part of a variant, in files.
struct Piece {
    kind: PartKind,
    path: PathBuf,
    /// How reports call its file.
    shown: String,
    /// The process, if its kind stays.
    daemon: Option<Daemon>,
}

impl<'a> Subject<'a> {
    /// Writes the texts of a variant to files.
    pub(super) fn prepare(
        reactor: &mut Reactor,
        variant: &Variant,
        node: usize,
        scenario: &'a Path,
        mhnat: Option<&'a Path>,
    ) -> Result<Self, Failure> {
        let directory = scenario.parent().unwrap_or(Path::new("/"));
        let mut pieces = Vec::new();
        for (number, part) in variant.parts.iter().enumerate() {
            let (path, shown) = place(part, directory)?;
            let line = match part.kind {
                PartKind::MhnatRun => format!("mhnat run {shown}"),
                _ => format!("sh {shown}"),
            };
            let daemon = part.kind.stays().then(|| Daemon::prepare(reactor, number, line)).transpose()?;
            pieces.push(Piece { kind: part.kind, path, shown, daemon });
        }
        Ok(Subject { place: Place { node, directory, mhnat }, pieces })
    }

    /// Drives it. All commands must succeed.
    pub(super) fn drive(
        &mut self,
        reactor: &mut Reactor,
        action: SubjectAction,
    ) -> Result<Vec<CommandRun>, Failure> {
        let mut runs = Vec::new();
        let mut pieces: Vec<_> = self.pieces.iter_mut().collect();
        // What was put in place last is taken away first.
        if matches!(action, SubjectAction::Stop | SubjectAction::Kill) {
            pieces.reverse();
        }
        for piece in pieces {
            if piece.daemon.is_some() {
                runs.extend(self.place.staying(reactor, action, piece)?);
            } else if action != SubjectAction::Kill {
                runs.push(self.place.passing(reactor, action, piece)?);
            }
        }
        Ok(runs)
    }

    /// Kills what stays of it, as [`SubjectAction::Kill`] does.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.staying().try_for_each(|daemon| daemon.kill().map(drop))
    }

    /// Starts what stays of it, and waits for nothing.
    pub(super) fn start(&mut self, reactor: &mut Reactor) -> Result<(), Failure> {
        self.pieces.iter_mut().try_for_each(|piece| self.place.start(reactor, piece))
    }

    /// Waits until what stays of it is ready.
    pub(super) fn await_ready(&mut self, reactor: &mut Reactor) -> Result<(), Failure> {
        self.staying().try_for_each(|daemon| daemon.await_ready(reactor, "ready"))
    }

    fn staying(&mut self) -> impl Iterator<Item = &mut Daemon> {
        self.pieces.iter_mut().filter_map(|piece| piece.daemon.as_mut())
    }

    /// Complains if a process that stays has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        self.staying().try_for_each(Daemon::check)
    }

    /// How processes that stay were started, and the end of what they printed.
    pub(super) fn printed(&mut self) -> impl Iterator<Item = (String, String)> {
        self.pieces.iter_mut().filter_map(|piece| piece.daemon.as_mut()?.printed())
    }
}

impl Place<'_> {
    /// A part that stays: its process is driven.
    fn staying(
        &self,
        reactor: &mut Reactor,
        action: SubjectAction,
        piece: &mut Piece,
    ) -> Result<Vec<CommandRun>, Failure> {
        if action == SubjectAction::Apply {
            self.start(reactor, piece)?;
        }
        let Piece { kind, path: _, shown: _, daemon } = piece;
        let Some(daemon) = daemon else { return Ok(Vec::new()) };
        let runs_mhnat = *kind == PartKind::MhnatRun;
        match action {
            SubjectAction::Apply => Ok(vec![daemon.started(reactor)?]),
            SubjectAction::Reload => Ok(vec![daemon.reload(reactor)?]),
            SubjectAction::Stop => {
                let mut runs = Vec::from_iter(daemon.stop(reactor)?);
                if runs_mhnat {
                    runs.push(self.run(reactor, &self.mhnat()?, &["down"], "mhnat down".to_owned())?);
                }
                Ok(runs)
            }
            SubjectAction::Kill => Ok(Vec::from_iter(daemon.kill()?)),
        }
    }

    /// Starts the process of a part that stays. Any other part is as it was.
    fn start(&self, reactor: &mut Reactor, piece: &mut Piece) -> Result<(), Failure> {
        let Piece { kind, path, shown: _, daemon } = piece;
        let Some(daemon) = daemon else { return Ok(()) };
        let file = path.to_string_lossy();
        let (program, arguments) = match kind {
            PartKind::MhnatRun => (self.mhnat()?, vec!["run", &file]),
            _ => (PathBuf::from(SHELL), vec![&*file]),
        };
        let (node, directory) = (self.node, self.directory);
        daemon.start(reactor, &Launch { node, program: &program, arguments: &arguments, directory })
    }

    /// A part that is put in place or taken away by a command, which ends.
    fn passing(
        &self,
        reactor: &mut Reactor,
        action: SubjectAction,
        piece: &Piece,
    ) -> Result<CommandRun, Failure> {
        let shown = &piece.shown;
        let file = piece.path.to_string_lossy();
        let stop = action == SubjectAction::Stop;
        let mut run =
            |program: PathBuf, arguments: &[&str], line: String| self.run(reactor, &program, arguments, line);
        match piece.kind {
            PartKind::Script | PartKind::Daemon => {
                let word = action.word();
                run(PathBuf::from(SHELL), &[&file, word], format!("sh {shown} {word}"))
            }
            PartKind::Nft if stop => {
                run(commands::find("nft")?, &["flush", "ruleset"], "nft flush ruleset".to_owned())
            }
            PartKind::Nft => run(commands::find("nft")?, &["-f", &file], format!("nft -f {shown}")),
            PartKind::Iptables | PartKind::Ip6tables => {
                let name =
                    if piece.kind == PartKind::Iptables { "iptables-restore" } else { "ip6tables-restore" };
                if stop {
                    let empty = write(&format!("{name}.empty"), EMPTY_TABLES)?;
                    let empty = empty.to_string_lossy();
                    return run(commands::find(name)?, &[&empty], format!("{name} with empty tables"));
                }
                run(commands::find(name)?, &[&file], format!("{name} {shown}"))
            }
            PartKind::Mhnat | PartKind::MhnatRun if stop => {
                run(self.mhnat()?, &["down"], "mhnat down".to_owned())
            }
            PartKind::Mhnat | PartKind::MhnatRun => {
                run(self.mhnat()?, &["apply", &file], format!("mhnat apply {shown}"))
            }
        }
    }

    /// A command that must succeed.
    fn run(
        &self,
        reactor: &mut Reactor,
        program: &Path,
        arguments: &[&str],
        line: String,
    ) -> Result<CommandRun, Failure> {
        let run = commands::run(reactor, self.node, program, arguments, self.directory, &line)?;
        if run.status != 0 {
            return Err(Failure::Subject {
                command: run.command,
                status: run.status,
                output: run.output.trim().to_owned(),
            });
        }
        Ok(run)
    }

    fn mhnat(&self) -> Result<PathBuf, Failure> {
        self.mhnat.map(Path::to_owned).ok_or_else(|| Failure::Start {
            program: "mhnat".to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "nobody said where it is"),
        })
    }
}

/// Restoring these empties them and lets all pass, which is how iptables takes its rules away.
const EMPTY_TABLES: &str = "\
    *raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n\
    *mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    :POSTROUTING ACCEPT [0:0]\nCOMMIT\n\
    *nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n\
    *filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

/// The file of a part, and how reports call it.
fn place(part: &Part, directory: &Path) -> Result<(PathBuf, String), Failure> {
    match &part.content {
        Content::File(name) => {
            let path = directory.join(&name.value);
            fs::metadata(&path).map_err(|source| Failure::File { path: path.clone(), source })?;
            Ok((path, name.value.clone()))
        }
        Content::Text(text) => {
            let name = match part.kind {
                PartKind::Script => "script.sh",
                PartKind::Daemon => "daemon.sh",
                PartKind::Nft => "ruleset.nft",
                PartKind::Iptables => "iptables.rules",
                PartKind::Ip6tables => "ip6tables.rules",
                PartKind::Mhnat | PartKind::MhnatRun => "mhnat.toml",
            };
            Ok((write(name, text)?, name.to_owned()))
        }
    }
}

fn write(name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(TEXTS).join(name);
    fs::write(&path, text).map_err(|source| Failure::File { path: path.clone(), source })?;
    Ok(path)
}
