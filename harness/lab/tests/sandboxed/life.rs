//! How sandboxes end.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Case, Check, process};

/// Checks from outside.
pub(crate) const ALL: [Check; 3] = [
    ("the_exit_status_is_passed_on", the_exit_status_is_passed_on),
    ("nothing_survives_the_supervisor", nothing_survives_the_supervisor),
    ("nothing_survives_the_runner", nothing_survives_the_runner),
];

/// What these run within their sandboxes.
pub(crate) const WITHIN: [Case; 3] =
    [("exits_with_7", || std::process::exit(7)), ("aborts", || std::process::abort()), ("sleeps", sleeps)];

/// Tells the processes of one check from all others on the machine.
const MARK: &str = "HARNESS_LAB_MARK";

fn the_exit_status_is_passed_on(way: &str) {
    let status =
        |case: &str| process(&format!("{way}::{case}")).stderr(Stdio::null()).status().unwrap().code();
    assert_eq!(status("exits_with_7"), Some(7));
    // The kernel keeps from PID 1 what it sends itself, SIGABRT included; abort(3) then resorts to a fault.
    assert!(matches!(status("aborts"), Some(134 | 139)));
}

/// Starts a process, tells that it is there, and never returns.
fn sleeps() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    println!("ready");
    child.wait().unwrap();
}

fn nothing_survives_the_supervisor(way: &str) {
    let mark = format!("supervisor-{way}-{}", std::process::id());
    let mut supervisor =
        process(&format!("{way}::sleeps")).env(MARK, &mark).stdout(Stdio::piped()).spawn().unwrap();
    await_line(supervisor.stdout.take().unwrap());
    await_marked(&mark, 3);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    await_marked(&mark, 0);
}

fn nothing_survives_the_runner(way: &str) {
    let mark = format!("runner-{way}-{}", std::process::id());
    // A shell as the runner; the second command keeps it from replacing itself by the first one.
    let mut runner = Command::new("sh")
        .args(["-c", "\"$0\"; exit 3"])
        .arg(std::env::current_exe().unwrap())
        .env(crate::CASE, format!("{way}::sleeps"))
        .env(MARK, &mark)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    await_line(runner.stdout.take().unwrap());
    await_marked(&mark, 4);
    runner.kill().unwrap();
    runner.wait().unwrap();
    await_marked(&mark, 0);
}

fn await_line(from: impl std::io::Read) {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

/// How many processes have the mark in their environment.
fn marked(mark: &str) -> usize {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    processes.filter(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == wanted)).count()
}

/// A process that has just been started may not have its environment yet.
fn await_marked(mark: &str, expected: usize) {
    let start = Instant::now();
    while marked(mark) != expected {
        assert!(start.elapsed() < Duration::from_secs(5), "{} processes, not {expected}", marked(mark));
        thread::sleep(Duration::from_millis(1));
    }
}
