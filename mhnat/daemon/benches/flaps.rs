//! How long the kernel's state is wrong after a link has failed or come back: `mhnat run` beside a shell loop that looks
//! every five seconds.
//!
//! `cargo bench -p mhnat --bench flaps [-- FLAPS]`. A gateway has 1, 8 or 64 uplinks in a network namespace of its own;
//! their far ends go down and come back. Inside is what mhnat logs, from its wake by the kernel to the last change.
//! Outside is measured by this process, from the command that changes the link to the kernel's last word of a rule, a
//! route or an nft element, and has in it what `ip` and the kernel need until the carrier is seen to be lost. With 100,000
//! tracked connections, those of the lost uplink are forgotten, and what that took is logged. Beside it stands what the
//! kernel needs for a request that matches none of them: no program that has it pass over its table can be faster. Needs
//! root.
#![expect(clippy::print_stdout, reason = "a program that measures")]

mod flapping;
#[path = "flapping/listener.rs"]
mod listener;
#[path = "flapping/walk.rs"]
mod walk;
#[expect(dead_code, reason = "some of it is for the other measuring programs")]
mod workload;

use std::thread;
use std::time::{Duration, Instant};

use crate::flapping::subject::{Daemon, Times, milliseconds};
use crate::flapping::{Gateway, Links, Traffic, Who};
use crate::listener::Listener;
use crate::walk::Walk;
use crate::workload::{Error, enter};

/// Between two changes of a link, so that each is a flap of its own: more than the time after which connections are
/// looked through once more.
const PAUSE: Duration = Duration::from_millis(50);
/// And that while there are very many of them, which takes the kernel longer.
const LONG_PAUSE: Duration = Duration::from_millis(150);
const CONNECTIONS: u32 = 100_000;

fn main() -> Result<(), Error> {
    let flaps = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(1_000);
    if !enter()? {
        println!("(as many devices and connections need root)");
        return Ok(());
    }
    println!(
        "{:<10} {:>7} {:>11} {:>7} | {:>7} {:>7} {:>7} | {:>8} {:>8} {:>8} | {:>8} {:>7} {:>7} | {:>6} {:>7} {:>7} | {:>7} {:>7}",
        "subject",
        "uplinks",
        "connections",
        "changes",
        "inside",
        "99 %",
        "max",
        "outside",
        "99 %",
        "max",
        "forget",
        "99 %",
        "max",
        "walk",
        "99 %",
        "max",
        "RSS MiB",
        "wakes/s",
    );
    println!("(times are milliseconds, the first column of each kind is the median)");
    for (uplinks, connections) in [(1, 0), (8, 0), (64, 0), (8, CONNECTIONS)] {
        let gateway = Gateway::new(uplinks)?;
        measure(&gateway, Who::Mhnat, flaps, connections)?;
    }
    let gateway = Gateway::new(2)?;
    measure(&gateway, Who::Poll, 6, 0)?;
    Ok(())
}

fn measure(gateway: &Gateway, who: Who, flaps: u32, connections: u32) -> Result<(), Error> {
    let state = format!("/run/state-{}-{connections}", gateway.uplinks);
    let command = gateway.keeper(who, "stay", &state)?;
    let pause = if connections > 0 { LONG_PAUSE } else { PAUSE };
    let listener = Listener::new("gw")?;
    let daemon = Daemon::start(command)?;
    daemon.line("in force")?;
    let mut links = Links::new()?;
    let traffic = if connections > 0 { Some(Traffic::new(gateway.uplinks, connections)?) } else { None };
    let walk = Walk::new("gw")?;
    let [mut inside, mut outside, mut forgotten, mut walks] = [const { Times(Vec::new()) }; 4];
    for flap in 0..flaps {
        // The loop acts upon the preferred one only.
        let uplink = if who == Who::Mhnat { flap % gateway.uplinks } else { 0 };
        for state in ["down", "up"] {
            thread::sleep(pause);
            if who == Who::Poll {
                // At another moment between two looks each time.
                thread::sleep(Duration::from_millis(u64::from(flap) * 1_700 % 5_000));
            }
            if let Some(traffic) = traffic.as_ref().filter(|_| state == "down") {
                traffic.is_all_there()?;
                walks.0.push(walk.took()?.as_secs_f64() * 1e3);
            }
            listener.drain()?;
            daemon.drain();
            let begun = Instant::now();
            let committed = listener.follow(|| {
                links.set(uplink, state)?;
                let line = daemon.line("in force")?;
                inside.0.extend(milliseconds(&line));
                if state == "down" && traffic.is_some() {
                    forgotten.0.extend(milliseconds(&daemon.line("anew")?));
                }
                Ok(())
            })?;
            outside.0.push((committed - begun).as_secs_f64() * 1e3);
        }
        if let Some(traffic) = &traffic {
            traffic.renew(uplink)?;
        }
    }
    thread::sleep(pause);
    let wakes = daemon.idle()?;
    let resident = daemon.resident()?;
    daemon.end()?;
    let cells = [(&mut inside, 7, 7), (&mut outside, 8, 8), (&mut forgotten, 8, 7), (&mut walks, 6, 7)].map(
        |(times, first, others)| {
            let [median, most, longest] = [0.5, 0.99, 1.0].map(|share| times.share(share, 2));
            format!("{median:>first$} {most:>others$} {longest:>others$}")
        },
    );
    println!(
        "{:<10} {:>7} {connections:>11} {:>7} | {} | {resident:>7.1} {wakes:>7.1}",
        who.name(),
        gateway.uplinks,
        outside.0.len(),
        cells.join(" | "),
    );
    Ok(())
}
