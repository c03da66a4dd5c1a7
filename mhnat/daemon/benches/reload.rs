//! Traffic while the ruleset is replaced again and again: no packet may leave with a source or by a link that is not
//! its own.
//!
//! `cargo bench -p mhnat --bench reload [-- RELOADS]` sends 100,000 packets a second, or as near as the machine
//! comes, to a dummy address of the second uplink, one in ten of them a new flow, while `mhnat apply` goes to and fro
//! between two configurations. The first uplink has the default route, so whatever escapes shows at its far end.
//! Exits with 1 when anything does.
#![expect(clippy::print_stdout, reason = "a program that measures")]

#[expect(dead_code, reason = "some of it is for the other measuring programs")]
mod workload;

use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::workload::{Error, Sender, configuration, enter, finish, median, program, shell};

/// Packets a second that are aimed at.
const RATE: f64 = 100_000.0;

fn main() -> Result<(), Error> {
    let reloads: u32 = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(50);
    enter()?;
    shell(NETWORK)?;
    // The second entry belongs to the second uplink; all else differs between the two.
    let other = configuration(40).replace("10.9.0.1\"", "10.9.7.7\"").replace("10.8.0.3\"", "10.8.0.99\"");
    fs::write("/run/a.toml", configuration(2))?;
    fs::write("/run/b.toml", format!("{other}\n[marks]\nmask = \"0x00ff0000\"\n"))?;
    apply("a")?;

    let stop = AtomicBool::new(false);
    let (sent, times) = std::thread::scope(|scope| -> Result<_, Error> {
        let sender = scope.spawn(|| send(&stop).map_err(|error| error.to_string()));
        let mut times = Vec::new();
        let mut outcome = Ok(());
        for reload in 0..reloads {
            let begun = Instant::now();
            outcome = apply(if reload % 2 == 0 { "b" } else { "a" });
            if outcome.is_err() {
                break;
            }
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| "the sender panicked")??;
        outcome?;
        Ok((sent, times))
    })?;
    let (packets, elapsed) = sent;
    let [right, wrong_source, wrong_link] = counters()?;
    println!(
        "{packets} packets in {:.1} s ({:.0} a second) during {reloads} reloads of {:.1} ms each (median)",
        elapsed.as_secs_f64(),
        packets as f64 / elapsed.as_secs_f64(),
        median(times).unwrap_or_default()
    );
    println!("{right} as they should be, {wrong_source} with a wrong source, {wrong_link} by the wrong link");
    let lost = packets.saturating_sub(right + wrong_source + wrong_link);
    println!("{lost} did not leave at all");
    if wrong_source + wrong_link > 0 || right == 0 { Err("packets went astray".into()) } else { Ok(()) }
}

fn apply(name: &str) -> Result<(), Error> {
    let file = format!("/run/{name}.toml");
    let program_path = env!("CARGO_BIN_EXE_mhnat");
    finish(program("ip", &["netns", "exec", "gw", program_path, "apply", &file, "--state-dir", "/run/state"]))
}

/// Sends until told to stop; gives the packets and the time that it took.
fn send(stop: &AtomicBool) -> Result<(u64, Duration), Error> {
    let client = Sender::new("client")?;
    let dummy = Ipv4Addr::new(198, 18, 0, 2);
    let begun = Instant::now();
    let mut packets = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        if packets as f64 > RATE * begun.elapsed().as_secs_f64() {
            std::thread::yield_now();
            continue;
        }
        for step in 0..10_u64 {
            // Nine packets of a known flow, and one that is new until all ports are used.
            let source = if step == 0 { 2_000 + packets / 10 % 60_000 } else { 9 };
            client.send(u16::try_from(source)?, (dummy, 9))?;
            packets += 1;
        }
    }
    Ok((packets, begun.elapsed()))
}

/// Translated and by its own link; by its own link otherwise; by the other link.
fn counters() -> Result<[u64; 3], Error> {
    let output = program("ip", &["netns", "exec", "far", "nft", "list", "counters"])
        .stdout(std::process::Stdio::piped())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let count = |name: &str| -> Result<u64, Error> {
        let mut words =
            text.split_whitespace().skip_while(|word| *word != name).skip_while(|word| *word != "packets");
        Ok(words.nth(1).ok_or("no counter")?.parse()?)
    };
    Ok([count("right")?, count("source")?, count("link")?])
}

const NETWORK: &str = "
for kind in client gw far; do
    ip netns add $kind
    ip -n $kind link set lo up
done
ip -n client link add c type veth peer name g netns gw
ip -n gw link add eth0 type veth peer name f0 netns far
ip -n gw link add eth1 type veth peer name f1 netns far
ip -n client address add 10.0.0.2/24 dev c
ip -n gw address add 10.0.0.1/24 dev g
ip -n client link set c up
ip -n gw link set g up
for n in 0 1; do
    ip -n gw address add 10.$((n + 1)).0.2/24 dev eth$n
    ip -n far address add 10.$((n + 1)).0.1/24 dev f$n
    ip -n gw link set eth$n up
    ip -n far link set f$n up
done
ip -n client route add default via 10.0.0.1
ip -n gw route add default via 10.1.0.1
ip netns exec far nft -f - <<RULES
table netdev far {
    counter right {
    }
    counter source {
    }
    counter link {
    }
    chain f0 { type filter hook ingress device f0 priority 0; policy accept;
        ip daddr { 198.18.0.0/15, 10.9.0.0/16 } ip protocol udp counter name link drop
    }
    chain f1 { type filter hook ingress device f1 priority 0; policy accept;
        ip saddr 10.8.0.2 ip daddr 10.9.0.2 ip protocol udp counter name right drop
        ip daddr { 198.18.0.0/15, 10.9.0.0/16 } ip protocol udp counter name source drop
    }
}
RULES
";
