//! Whatever ends a run, nothing of it is left; and the host is the same before and after.
//!
//! Both are looked at from outside: processes in PID namespaces of their own, mounts, and all that `ip`, `nft` and
//! /proc/sys/net say of the host's own network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

/// How many random moments are tried, unless MHLAB_KILLS says otherwise.
const KILLS: u32 = 20;
/// How long the kernel may take to tear a lab down.
const TEARDOWN: Duration = Duration::from_secs(20);

/// The folder of scenarios that are run and killed, and the tests in it: some are enough, since every moment of a run is in them.
const FOLDER: &str = "seeds";
/// For `mhlab run`.
const FILTER: &str = "variant(mhnat)";
/// For the test program.
const TESTS: &str = "seeds/fix-fan-out";

fn scenarios() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.join("../../scenarios").join(FOLDER)
}

fn mhlab() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mhlab"));
    command.args(["run", "--jobs", "4", "--filter", FILTER]).arg(scenarios());
    silent(&mut command);
    command
}

/// The test program of the scenarios, started by a process that stands for cargo: that one is killed.
fn test_program() -> Option<Command> {
    let own = env::current_exe().ok()?;
    let newest = fs::read_dir(own.parent()?)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("scenarios-") && path.extension().is_none()
        })
        .max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())?;
    let mut command = Command::new("sh");
    // Without the last command the shell would become the program instead of waiting for it.
    command.args(["-c", "\"$0\" \"$1\"; true"]).arg(newest).arg(TESTS).env("CARGO", "cargo");
    silent(&mut command);
    Some(command)
}

fn silent(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
}

/// Processes in a PID namespace below ours, workers on their way there, and the test program of the scenarios,
/// each with its command line.
fn lab_processes() -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let nested = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))
            .is_some_and(|pids| pids.split_whitespace().count() > 1);
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let gone = status.lines().any(|line| line.starts_with("State:") && line.contains('Z'));
        let program = line.contains("/scenarios-") && !line.starts_with("rustc");
        if (nested || program || line.contains(harness::job::ENTRY)) && !gone {
            found.insert(pid, line);
        }
    }
    found
}

fn mounts() -> BTreeSet<String> {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().map(str::to_owned).collect()
}

/// Everything that a lab could have changed on the host.
fn host() -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    let commands: [&[&str]; 8] = [
        &["ip", "link"],
        &["ip", "address"],
        &["ip", "-4", "rule"],
        &["ip", "-6", "rule"],
        &["ip", "-4", "route", "show", "table", "all"],
        &["ip", "-6", "route", "show", "table", "all"],
        &["ip", "netns"],
        &["nft", "list", "ruleset"],
    ];
    for command in commands {
        let output = Command::new(command[0])
            .args(&command[1..])
            .env("PATH", format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default()))
            .output();
        let text = output
            .map_or_else(|error| error.to_string(), |out| String::from_utf8_lossy(&out.stdout).into_owned());
        state.insert(command.join(" "), text);
    }
    sysctls(Path::new("/proc/sys/net"), &mut state);
    state
}

fn sysctls(directory: &Path, state: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sysctls(&path, state);
        // The number of flows is no setting.
        } else if !path.ends_with("nf_conntrack_count")
            && let Ok(text) = fs::read_to_string(&path)
        {
            state.insert(path.display().to_string(), text);
        }
    }
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| format!("{key}\n  before: {:?}\n  after:  {:?}", before.get(key), after.get(key)))
        .collect()
}

/// Waits until no process of a lab is left, which the kernel sees to.
fn assert_nothing_left(before: &BTreeMap<u32, String>, when: &str) {
    let deadline = Instant::now() + TEARDOWN;
    loop {
        let left: BTreeMap<u32, String> =
            lab_processes().into_iter().filter(|(pid, _)| !before.contains_key(pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{when}: still there after {TEARDOWN:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Numbers that are the same in every run (xorshift64, Marsaglia 2003), so that a failure can be repeated.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % below.as_micros() as u64)
    }
}

/// Both tests look at the whole machine, so one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn kill_at_random_moments(name: &str, start: impl Fn() -> Command) {
    let _alone = ALONE.lock();
    let kills = env::var("MHLAB_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let (processes, mounted, network) = (lab_processes(), mounts(), host());
    // Moments from the program's start to somewhat past the end of an undisturbed run.
    let begun = Instant::now();
    let status = start().status().unwrap();
    let whole = begun.elapsed() + Duration::from_millis(20);
    assert_nothing_left(&processes, &format!("{name} ran to its end ({status})"));
    let mut moments = Moments(0x9e37_79b9_7f4a_7c15);
    for turn in 0..kills {
        let moment = moments.next(whole);
        let mut child: Child = start().spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_nothing_left(&processes, &format!("{name} killed after {moment:?} (turn {turn})"));
    }
    let changed = differences(&network, &host());
    assert!(changed.is_empty(), "{name}: the host has changed:\n{}", changed.join("\n"));
    assert_eq!(mounted, mounts(), "{name}: mounts");
}

#[test]
fn a_killed_run_leaves_nothing() {
    kill_at_random_moments("mhlab run", mhlab);
}

#[test]
fn a_killed_test_program_leaves_nothing() {
    match test_program() {
        Some(_) => kill_at_random_moments("the test program", || test_program().unwrap()),
        None => println!("skipped: the test program of the scenarios was not built"),
    }
}
