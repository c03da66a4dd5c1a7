//! Whole processes against whole processes: mhlab, the least that the same kernel objects can cost, and a shell
//! script. The two of a pair run in turn (A B A B ...), so that a machine whose speed drifts tells the same ratio.
//!
//! ```text
//! MHLAB_BASELINES=/path/to/baselines cargo bench -p harness --bench rivals [-- --runs 15] [-- --stalls 1000]
//! ```
//!
//! The rivals are a program `floor` (`nat` and `star 100`: raw netlink, one UDP exchange a client, no capture) and
//! a script `bash/nat.sh` (`ip -batch` and `nft`). Without them, only mhlab's own figures are printed.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    slice::from_ref,
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    harness::worker::main_if_worker();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let bench = Bench { runs: number("--runs").unwrap_or(15), work: work_directory() };
    if let Some(stalls) = number("--stalls") {
        bench.stalls(stalls);
        return ExitCode::SUCCESS;
    }
    println!(
        "medians of {} runs each, in turn; rivals until they end, mhlab until its verdict and its end\n",
        bench.runs
    );
    println!(
        "{:<40} {:>12} {:>9} {:>10} {:>7} {:>7} {:>8}",
        "", "verdict, ms", "end, ms", "rival, ms", "ratio", "(end)", "allowed"
    );
    let rivals = Rivals::build();
    let six = bench.scenario("six-nodes", SIX_NODES);
    let star = bench.scenario("star", &star(100));
    bench.pair("six nodes, rival: floor (raw netlink)", from_ref(&six), 1, rivals.floor(&["nat"]), Some(3.0));
    bench.pair("six nodes, rival: bash, ip -batch", from_ref(&six), 1, rivals.script(), Some(0.5));
    bench.pair("star of 100, rival: floor", &[star], 1, rivals.floor(&["star", "100"]), Some(1.3));
    let many: Vec<PathBuf> = (0..32).map(|at| bench.scenario(&format!("many/{at}"), SIX_NODES)).collect();
    bench.pair("32 at once, rival: 32 floors", &many, 32, rivals.floor(&["nat"]), Some(2.0));
    bench.suite();
    bench.memory(&six);
    let _ = fs::remove_dir_all(&bench.work);
    ExitCode::SUCCESS
}

struct Bench {
    runs: usize,
    work: PathBuf,
}

/// A rival's command, made anew for each run.
type Rival = Option<Box<dyn Fn() -> Command>>;

impl Bench {
    fn scenario(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work.join(name).with_extension("toml");
        fs::create_dir_all(path.parent().unwrap_or(&self.work)).expect("a directory for scenarios");
        fs::write(&path, text).expect("a scenario");
        path
    }

    /// mhlab over some scenarios, against as many rivals at once.
    fn pair(&self, what: &str, scenarios: &[PathBuf], at_once: usize, rival: Rival, allowed: Option<f64>) {
        let ours = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mhlab"));
            command
                .args(["run", "--filter", "not control()", "--jobs", &at_once.to_string()])
                .args(scenarios);
            command
        };
        let (mut verdicts, mut ends, mut rivals) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..=self.runs {
            let (verdict, end) = own(at_once, &ours);
            let other = rival.as_ref().map(|rival| wall(at_once, rival));
            // The first round warms caches up.
            if run > 0 {
                verdicts.push(verdict);
                ends.push(end);
                rivals.extend(other);
            }
        }
        row(what, [median(&mut verdicts), median(&mut ends), median(&mut rivals), allowed]);
    }

    fn suite(&self) {
        let suite: Vec<PathBuf> =
            (0..20).map(|at| self.scenario(&format!("suite/{at}"), SIX_NODES)).collect();
        let ours = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mhlab"));
            command.arg("run").args(&suite);
            command
        };
        let times: Vec<(f64, f64)> = (0..self.runs.min(7)).map(|_| own(suite.len(), &ours)).collect();
        let (mut verdicts, mut ends): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
        row("40 scenario variants", [median(&mut verdicts), median(&mut ends), None, None]);
    }

    fn memory(&self, scenario: &Path) {
        let report = self.work.join("report.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mhlab"));
        command.arg("run").arg(format!("--report=json={}", report.display())).arg(scenario);
        finish(start(command));
        let text = fs::read_to_string(report).unwrap_or_default();
        let peak = text
            .lines()
            .filter_map(|line| {
                line.trim().strip_prefix("\"peak_kib\": ")?.trim_end_matches(',').parse::<f64>().ok()
            })
            .fold(0.0, f64::max);
        println!("{:<40} {:>8.1} MiB", "peak memory of a scenario's worker", peak / 1024.0);
    }

    /// Runs the six nodes again and again; a stall of a second is what a lost ARP or a late carrier looks like.
    fn stalls(&self, runs: usize) {
        let six = self.scenario("six-nodes", SIX_NODES);
        let ours = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mhlab"));
            command.args(["run", "--filter", "not control()"]).arg(&six);
            command
        };
        let mut times: Vec<f64> = (0..runs).map(|_| wall(1, &ours)).collect();
        let middle = median(&mut times).unwrap_or(0.0);
        let longest = times.iter().copied().fold(0.0, f64::max);
        let stalls = times.iter().filter(|time| **time > 1000.0).count();
        println!("{runs} runs: median {middle:.1} ms, longest {longest:.1} ms, above one second: {stalls}");
        let _ = fs::remove_dir_all(&self.work);
    }
}

struct Rivals {
    floor: Option<PathBuf>,
    script: Option<(PathBuf, PathBuf)>,
}

impl Rivals {
    /// Builds the rivals in a directory of their own.
    fn build() -> Rivals {
        let Some(sources) = env::var_os("MHLAB_BASELINES").map(PathBuf::from) else {
            println!("(MHLAB_BASELINES names no directory with rivals)");
            return Rivals { floor: None, script: None };
        };
        let built = env::temp_dir().join(format!("mhlab-rivals-{}", std::process::id()));
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--manifest-path"]).arg(sources.join("floor/Cargo.toml"));
        cargo.arg("--target-dir").arg(&built);
        let floor = cargo.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        let who = built.join("udpwho");
        let mut rustc = Command::new("rustc");
        rustc.arg("-O").arg("-o").arg(&who).arg(sources.join("udpwho.rs"));
        let script = rustc.status().is_ok_and(|status| status.success());
        Rivals {
            floor: floor.then(|| built.join("release/floor")),
            script: script.then(|| (sources.join("bash/nat.sh"), who)),
        }
    }

    fn floor(&self, arguments: &[&str]) -> Rival {
        let program = self.floor.clone()?;
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Some(Box::new(move || {
            let mut command = Command::new(&program);
            command.args(&arguments);
            command
        }))
    }

    fn script(&self) -> Rival {
        let (script, who) = self.script.clone()?;
        Some(Box::new(move || {
            let line = format!(
                "mount -t tmpfs tmpfs /run && mkdir -p /run/netns && exec bash '{}'",
                script.display()
            );
            let mut command = Command::new("unshare");
            command.args(["-mnp", "--fork", "--mount-proc", "sh", "-c", &line]).env("UDPWHO", &who);
            command
        }))
    }
}

/// cargo's library path would make every program that a scenario starts look for its libraries in vain first.
fn without_cargo(command: &mut Command) {
    command.env_remove("LD_LIBRARY_PATH");
}

fn start(mut command: Command) -> Child {
    without_cargo(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

fn finish(mut child: Child) {
    let status = child.wait().expect("the program ends");
    assert!(status.success(), "a measured program failed: {status}");
}

/// Lets the kernel take the namespaces of the former run away, so that nobody pays for another's.
fn pause(at_once: usize) {
    std::thread::sleep(Duration::from_millis(150 + 50 * at_once as u64));
}

/// Milliseconds until so many at once have ended.
fn wall(at_once: usize, command: &dyn Fn() -> Command) -> f64 {
    pause(at_once);
    let begun = Instant::now();
    let children: Vec<Child> = (0..at_once).map(|_| start(command())).collect();
    children.into_iter().for_each(finish);
    begun.elapsed().max(Duration::from_micros(1)).as_secs_f64() * 1e3
}

/// Milliseconds until mhlab has told its verdict on all tests, and until it has ended.
fn own(at_once: usize, command: &dyn Fn() -> Command) -> (f64, f64) {
    pause(at_once);
    let begun = Instant::now();
    let mut command = command();
    without_cargo(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("mhlab starts");
    let mut verdict = None;
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        if line.expect("text").starts_with("PASSED") {
            verdict = Some(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    finish(child);
    (verdict.expect("every test passes"), begun.elapsed().as_secs_f64() * 1e3)
}

fn median(times: &mut [f64]) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// Prints verdict, end, rival and what is allowed.
fn row(what: &str, [verdict, end, rival, allowed]: [Option<f64>; 4]) {
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let ratio = |ours: Option<f64>| number(ours.zip(rival).map(|(ours, rival)| ours / rival), 2);
    println!(
        "{what:<40} {:>12} {:>9} {:>10} {:>7} {:>7} {:>8}",
        number(verdict, 1),
        number(end, 1),
        number(rival, 1),
        ratio(verdict),
        ratio(end),
        number(allowed, 2)
    );
}

fn work_directory() -> PathBuf {
    env::temp_dir().join(format!("mhlab-bench-{}", std::process::id()))
}

/// The scenario of the script: a router, two providers, two clients and a server.
const SIX_NODES: &str = include_str!("../../../scenarios/uplink/two-isps.toml");

/// Hosts on one switch, the first of which asks the last.
fn star(hosts: usize) -> String {
    let mut text = String::from(
        "title = \"A star\"\n[lan.star]\nprefix = \"10.0.0.0/16\"\n[subject]\non = \"h0\"\nvariant.nothing = {}\n\
         variant.control = { breaks = [\"across\"] }\n[[step]]\nname = \"across\"\n",
    );
    text.push_str(&format!("request = {{ from = \"h0\", to = \"h{}:7000\" }}\n[host]\n", hosts - 1));
    for host in 0..hosts {
        let serve = if host + 1 == hosts { ", serve = [\"udp/7000 echo\"]" } else { "" };
        text.push_str(&format!("h{host} = {{ on = \"star\"{serve} }}\n"));
    }
    text
}
