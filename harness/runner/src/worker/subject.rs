//! The implementation under test, as it is put in place, put in place again, and taken away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use harness_model::{
    event::CommandRun,
    scenario::{Content, Part, PartKind, SubjectAction, Variant},
};

use super::{commands, failure::Failure, reactor::Reactor};

/// Where texts of a scenario become files: in the sandbox, on a file system of its own.
const TEXTS: &str = "/run/mhlab";

/// A variant, ready to be driven.
pub(super) struct Subject<'a> {
    node: usize,
    directory: &'a Path,
    mhnat: Option<&'a Path>,
    parts: Vec<(PartKind, PathBuf, String)>,
}

impl<'a> Subject<'a> {
    /// Writes the texts of a variant to files.
    pub(super) fn prepare(
        variant: &Variant,
        node: usize,
        scenario: &'a Path,
        mhnat: Option<&'a Path>,
    ) -> Result<Self, Failure> {
        let directory = scenario.parent().unwrap_or(Path::new("/"));
        let mut parts = Vec::new();
        for part in &variant.parts {
            let (path, shown) = place(part, directory)?;
            parts.push((part.kind, path, shown));
        }
        Ok(Subject { node, directory, mhnat, parts })
    }

    /// Drives it. All commands must succeed.
    pub(super) fn drive(
        &self,
        reactor: &mut Reactor,
        action: SubjectAction,
    ) -> Result<Vec<CommandRun>, Failure> {
        let mut runs = Vec::new();
        let mut parts: Vec<_> = self.parts.iter().collect();
        // What was put in place last is taken away first.
        if action == SubjectAction::Stop {
            parts.reverse();
        }
        for (kind, path, shown) in parts {
            let run = self.part(reactor, action, *kind, path, shown)?;
            if run.status != 0 {
                return Err(Failure::Subject {
                    command: run.command,
                    status: run.status,
                    output: run.output.trim().to_owned(),
                });
            }
            runs.push(run);
        }
        Ok(runs)
    }

    fn part(
        &self,
        reactor: &mut Reactor,
        action: SubjectAction,
        kind: PartKind,
        path: &Path,
        shown: &str,
    ) -> Result<CommandRun, Failure> {
        let file = path.to_string_lossy();
        let stop = action == SubjectAction::Stop;
        let word = match action {
            SubjectAction::Apply => "apply",
            SubjectAction::Reload => "reload",
            SubjectAction::Stop => "stop",
        };
        let mut run = |program: PathBuf, arguments: &[&str], line: String| {
            commands::run(reactor, self.node, &program, arguments, self.directory, &line)
        };
        match kind {
            PartKind::Script => run(PathBuf::from("/bin/sh"), &[&file, word], format!("sh {shown} {word}")),
            PartKind::Nft if stop => {
                run(commands::find("nft")?, &["flush", "ruleset"], "nft flush ruleset".to_owned())
            }
            PartKind::Nft => run(commands::find("nft")?, &["-f", &file], format!("nft -f {shown}")),
            PartKind::Iptables | PartKind::Ip6tables => {
                let name = if kind == PartKind::Iptables { "iptables-restore" } else { "ip6tables-restore" };
                if stop {
                    let empty = write(&format!("{name}.empty"), EMPTY_TABLES)?;
                    let empty = empty.to_string_lossy();
                    return run(commands::find(name)?, &[&empty], format!("{name} with empty tables"));
                }
                run(commands::find(name)?, &[&file], format!("{name} {shown}"))
            }
            PartKind::Mhnat => {
                let mhnat = self.mhnat.ok_or_else(|| Failure::Start {
                    program: "mhnat".to_owned(),
                    source: std::io::Error::new(std::io::ErrorKind::NotFound, "nobody said where it is"),
                })?;
                if stop {
                    return run(mhnat.to_owned(), &["down"], "mhnat down".to_owned());
                }
                run(mhnat.to_owned(), &["apply", &file], format!("mhnat apply {shown}"))
            }
        }
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
                PartKind::Nft => "ruleset.nft",
                PartKind::Iptables => "iptables.rules",
                PartKind::Ip6tables => "ip6tables.rules",
                PartKind::Mhnat => "mhnat.toml",
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
