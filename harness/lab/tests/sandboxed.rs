//! Labs in sandboxes, built by hand and looked at from outside.
//!
//! A sandbox is entered by a process with one thread, so that each case runs in a process of its own: this program
//! again, told by an environment variable which case to run. As root each case runs a second time, in a user
//! namespace, as it would for an ordinary user.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the standard harness")]

use std::process::{Command, ExitCode};

use harness_lab::sandbox::{self, Privilege};
use libtest_mimic::{Arguments, Failed, Trial};

#[path = "sandboxed/cases.rs"]
mod cases;
#[path = "sandboxed/life.rs"]
mod life;
#[path = "sandboxed/plans.rs"]
mod plans;
#[path = "sandboxed/traffic.rs"]
mod traffic;

/// Which case a process is to run, as "root::name" or "user::name".
const CASE: &str = "HARNESS_LAB_CASE";

/// A directory that stays writable within the sandboxes.
const WRITABLE: &str = env!("CARGO_TARGET_TMPDIR");

/// A case: its name and its code, which runs within a sandbox.
type Case = (&'static str, fn());

/// A check of sandboxes from outside: its name and its code, which is told as whom to make them.
type Check = (&'static str, fn(&str));

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        return run(&name);
    }
    let arguments = Arguments::from_args();
    let probed = sandbox::probe();
    let mut ways = vec!["user"];
    match &probed {
        Ok(Privilege::Root) => ways.push("root"),
        Ok(Privilege::UserNamespace) => {}
        Err(error) => println!("skipped: {error}"),
    }
    let cases = || cases::ALL.iter().chain(&traffic::ALL);
    let mut trials = Vec::new();
    for way in ways {
        for (name, _) in cases() {
            let name = format!("{way}::{name}");
            trials.push(Trial::test(name.clone(), move || passes(&name)));
        }
        for (name, check) in life::ALL {
            trials.push(Trial::test(format!("{way}::{name}"), move || {
                check(way);
                Ok(())
            }));
        }
    }
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(probed.is_err())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs one case, in this process.
fn run(name: &str) -> ExitCode {
    let (way, name) = name.split_once("::").unwrap();
    let options = sandbox::Options {
        privilege: Some(if way == "root" { Privilege::Root } else { Privilege::UserNamespace }),
        writable: vec![WRITABLE.into()],
        runner: Some(std::os::unix::process::parent_id()),
    };
    sandbox::enter(&options).unwrap();
    sandbox::pin(0).unwrap();
    let mut cases = cases::ALL.iter().chain(&traffic::ALL).chain(&life::WITHIN);
    let (_, case) = cases.find(|(known, _)| *known == name).unwrap();
    case();
    ExitCode::SUCCESS
}

/// This program, about to run a case.
fn process(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CASE, name);
    command
}

fn passes(name: &str) -> Result<(), Failed> {
    let output = process(name).output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}
