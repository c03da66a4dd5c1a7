//! How long it takes to build labs: `build star 100 20` builds a star of 100 hosts 20 times, each in a process of
//! its own, and prints the quantiles in milliseconds.
#![expect(clippy::print_stdout, reason = "a program that measures")]

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use harness_lab::{capture::Capture, lab::Lab, sandbox};

#[path = "../tests/sandboxed/plans.rs"]
#[expect(clippy::unwrap_used, reason = "plans are made of literals, and shared with the tests")]
mod plans;

const PHASES: [&str; 5] = ["sandbox", "build", "capture", "fence", "close"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse::<u32>());
    let shape = arguments.first().map_or("small", String::as_str);
    let hosts = number(1, 100)?;
    if arguments.last().is_some_and(|last| last == "once") {
        return once(shape, hosts);
    }
    let mut times = vec![Vec::new(); PHASES.len() + 1];
    for _ in 0..number(2, 20)? {
        let start = Instant::now();
        let output = Command::new(std::env::current_exe()?)
            .args([shape, &hosts.to_string(), "once"])
            .stderr(Stdio::inherit())
            .output()?;
        let whole = start.elapsed().as_secs_f64() * 1e3;
        let line = String::from_utf8(output.stdout)?;
        for (phase, word) in line.split_whitespace().enumerate() {
            times[phase].push(word.parse::<f64>()?);
        }
        times[PHASES.len()].push(whole);
    }
    for (phase, times) in PHASES.iter().chain(&["process"]).zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at =
            |share: f64| times.get(((times.len() - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        println!("{phase:8} median {:8.2} 99 % {:8.2} worst {:8.2} ms", at(0.5), at(0.99), at(1.0));
    }
    Ok(())
}

fn once(shape: &str, hosts: u32) -> Result<(), Box<dyn std::error::Error>> {
    let mut lap = Instant::now();
    let mut done = || {
        let time = lap.elapsed().as_secs_f64() * 1e3;
        lap = Instant::now();
        time
    };
    sandbox::enter(&sandbox::Options::default())?;
    sandbox::pin(0)?;
    let sandbox = done();
    let lab = Lab::build(&if shape == "star" { plans::star(hosts) } else { plans::small() })?;
    let build = done();
    let mut capture = Capture::open(&lab)?;
    let open = done();
    let mut records = Vec::new();
    while capture.fence(&mut records)? {}
    let fence = done();
    capture.close();
    println!("{sandbox} {build} {open} {fence} {}", done());
    Ok(())
}
