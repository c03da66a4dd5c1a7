//! What it takes to apply: `mhnat apply` as a whole process beside `nft -f` of the same ruleset and beside
//! iptables-restore of linear rules that do the same; and a change of one fan-out by libnftables in a kept
//! context beside `nft -f` of that change.
//!
//! `cargo bench -p mhnat --bench apply [-- ROUNDS]`. All run in turn in network namespaces of this process alone, and
//! medians are printed. Root is not needed, but without it the kernel takes no more than a few thousand elements
//! at once, so the largest size is left out.
#![expect(clippy::print_stdout, reason = "a program that measures")]

#[expect(dead_code, reason = "some of it is for the other measuring programs")]
mod workload;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mhnat_core::config;
use mhnat_core::desired::desired;
use mhnat_core::link::Availability;
use mhnat_core::nft::Ruleset;
use mhnat_core::slot::Slots;

use crate::workload::{
    Error, configuration, enter, finish, has, linear, median, mhnat, path, program, shell,
};

fn main() -> Result<(), Error> {
    let rounds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(15);
    let root = enter()?;
    let bench = Bench { directory: PathBuf::from("/run/bench"), rounds };
    fs::create_dir_all(&bench.directory)?;
    shell(LINKS)?;

    println!("{:<10} {:<34} {:>10} {:>10} {:>7}", "fan-outs", "what", "ms", "nft -f", "ratio");
    for fan_outs in [1, 100, 10_000] {
        if fan_outs > 5_000 && !root {
            println!("{fan_outs:<10} (needs root)");
            continue;
        }
        bench.whole(fan_outs)?;
        // From two on, both uplinks have entries, so that one more needs no new chain.
        bench.change(fan_outs.max(2))?;
    }
    Ok(())
}

const LINKS: &str = "\
for n in 0 1; do
    ip link add eth$n type veth peer name far$n
    ip address add 10.$((n + 1)).0.2/24 dev eth$n
    ip link set eth$n up
    ip link set far$n up
done
ip link set lo up";

struct Bench {
    directory: PathBuf,
    rounds: usize,
}

impl Bench {
    /// Whole processes: into an empty kernel, and in the place of the same.
    fn whole(&self, fan_outs: u32) -> Result<(), Error> {
        let configuration = self.file("a.toml", &configuration(fan_outs))?;
        let text = ruleset(&workload::configuration(fan_outs))?.text();
        let load = self.file("load.nft", &text)?;
        let replace =
            self.file("replace.nft", &format!("table inet mhnat\ndelete table inet mhnat\n{text}"))?;
        let linear = self.file("linear.iptables", &linear(fan_outs))?;
        let apply = || mhnat(&["apply", path(&configuration)], "mhnat");
        let legacy = has("iptables-legacy-restore");
        let nft_linear = fan_outs <= 1_000 && has("iptables-nft-restore");
        let rounds = if fan_outs > 1_000 { self.rounds.div_ceil(3) } else { self.rounds };

        let mut times = [const { Vec::new() }; 6];
        let [first, first_nft, again, again_nft, by_legacy, by_nft] = &mut times;
        for _ in 0..rounds {
            first.push(settled(apply())?);
            again.push(settled(apply())?);
            mhnat(&["down"], "mhnat").status()?;
            first_nft.push(settled(program("nft", &["-f", path(&load)]))?);
            again_nft.push(settled(program("nft", &["-f", path(&replace)]))?);
            program("nft", &["delete", "table", "inet", "mhnat"]).status()?;
            if legacy {
                by_legacy.push(settled(program("iptables-legacy-restore", &[path(&linear)]))?);
                shell("iptables-legacy -t nat -F; iptables-legacy -t mangle -F")?;
            }
            if nft_linear {
                by_nft.push(settled(program("iptables-nft-restore", &[path(&linear)]))?);
                shell("nft delete table ip nat; nft delete table ip mangle")?;
            }
        }
        let [first, first_nft, again, again_nft, by_legacy, by_nft] = times.map(median);
        row(fan_outs, "mhnat apply, first", first, first_nft);
        row(fan_outs, "mhnat apply, again", again, again_nft);
        row(fan_outs, "iptables-legacy-restore, linear", by_legacy, first_nft);
        row(fan_outs, "iptables-nft-restore, linear", by_nft, first_nft);
        Ok(())
    }

    /// One fan-out comes and goes: what differs is worked out and loaded in the place where a daemon would do it.
    fn change(&self, fan_outs: u32) -> Result<(), Error> {
        let (less, more) = (ruleset(&configuration(fan_outs))?, ruleset(&configuration(fan_outs + 1))?);
        let load = self.file("load.nft", &less.text())?;
        let update = |wanted: &Ruleset, present: &Ruleset| wanted.update(present).ok_or("more than elements");
        let come = self.file("come.nft", &update(&more, &less)?)?;
        let go = self.file("go.nft", &update(&less, &more)?)?;
        finish(program("nft", &["-f", path(&load)]))?;
        let mut library = match mhnat::Library::open() {
            Ok(library) => library,
            Err(reason) => {
                println!("{fan_outs:<10} (no libnftables: {reason})");
                return Ok(());
            }
        };
        library.run("list tables")?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            for (wanted, present, file) in [(&more, &less, &come), (&less, &more, &go)] {
                let begun = Instant::now();
                library.run(&update(wanted, present)?)?;
                ours.push(begun.elapsed().as_secs_f64() * 1e3);
                // Back, untimed, so that the program does the same once more.
                library.run(&update(present, wanted)?)?;
                theirs.push(timed(program("nft", &["-f", path(file)]))?);
            }
        }
        drop(library);
        row(fan_outs, "one fan-out more or less, library", median(ours), median(theirs));
        finish(program("nft", &["delete", "table", "inet", "mhnat"]))
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

fn ruleset(configuration: &str) -> Result<Ruleset, Error> {
    let model = config::read(configuration.as_bytes()).map_err(|rejected| format!("{rejected:?}"))?;
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let slots = Slots::allocate(names, &Slots::default(), model.mask.capacity());
    Ok(desired(&model, &slots, &Availability::full()).ruleset)
}

/// As [`timed`], once the kernel has freed what the command before has deleted. It does that in the background, and
/// for ten thousand entries it takes longer than the command took.
fn settled(command: Command) -> Result<f64, Error> {
    let begun = Instant::now();
    let mut before = busy()?;
    while begun.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(50));
        let now = busy()?;
        if now - before <= 1 {
            break;
        }
        before = now;
    }
    timed(command)
}

/// How long the processors have worked since boot, in clock ticks (proc_stat(5)).
fn busy() -> Result<u64, Error> {
    let text = fs::read_to_string("/proc/stat")?;
    let all = text.lines().next().ok_or("/proc/stat is empty")?;
    let times: Vec<u64> = all.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    let [user, nice, system, _, _, interrupt, deferred, ..] = times[..] else {
        return Err("/proc/stat is not as proc_stat(5) says".into());
    };
    Ok(user + nice + system + interrupt + deferred)
}

/// Milliseconds from start to end.
fn timed(command: Command) -> Result<f64, Error> {
    let begun = Instant::now();
    finish(command)?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn row(fan_outs: u32, what: &str, ours: Option<f64>, nft: Option<f64>) {
    if let (Some(ours), Some(nft)) = (ours, nft) {
        println!("{fan_outs:<10} {what:<34} {ours:>10.2} {nft:>10.2} {:>7.2}", ours / nft);
    }
}
