//! What it costs to carry frames in user space, beside a veth pair: `relay 500` carries 500 times 8,000 datagrams.
//!
//! Packets a second: how many one processor carries that does nothing else, each from one node's queue and through the stack of
//! the other one; by processor time, so that what else the machine does changes little. What it takes to send them is told
//! apart; a veth pair's sender carries as well. Latency: everything on one processor, as in a lab; one datagram at a time, from the call that sends it to the
//! return of a blocking recv(2) in the other node, with all switches between threads that this takes.
#![expect(clippy::print_stdout, reason = "a program that measures")]

use std::{
    error::Error,
    fs,
    net::UdpSocket,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness_lab::{lab::Lab, relay::Relay, sandbox};
use harness_model::plan::{Cable, LabPlan, Layer, Neighbour, Place, Wire};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};
use plans::{address, cable, device, mac, node};

#[path = "../tests/sandboxed/plans.rs"]
#[expect(clippy::unwrap_used, reason = "plans are made of literals, and shared with the tests")]
#[expect(dead_code, reason = "shared with the tests")]
mod plans;

const WIRES: [&str; 3] = ["veth", "TAP", "TUN"];
/// Interface indexes of the two ends.
const ENDS: [u32; 2] = [101, 102];
/// Datagrams that wait at a time: fewer than a relayed device's queue holds.
const BATCH: u32 = 8_000;
/// Datagrams whose latency is measured.
const ROUNDS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [wire, rounds] = arguments.as_slice() {
        return once(wire, rounds.parse()?);
    }
    let rounds = arguments.first().map_or("100", String::as_str);
    for wire in WIRES {
        let status =
            Command::new(std::env::current_exe()?).args([wire, rounds]).stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("{wire}: {status}").into());
        }
    }
    Ok(())
}

fn once(wire: &str, rounds: u32) -> Result<(), Box<dyn Error>> {
    sandbox::enter(&sandbox::Options::default())?;
    sandbox::pin(0)?;
    let mut lab = Lab::build(&plan(wire))?;
    let mut relay = Relay::new(&mut lab, 1);
    let to = (address("10.0.0.2"), 4000);
    let sender = lab.in_node(0, || UdpSocket::bind("0.0.0.0:0"))??;
    sender.connect(to)?;
    // Not an address of the receiver, which drops it behind the look at its routes.
    let flood = lab.in_node(0, || UdpSocket::bind("0.0.0.0:0"))??;
    flood.connect((address("10.0.0.3"), 4000))?;
    let receiver = lab.in_node(1, || UdpSocket::bind(to))??;

    let [send, carry] = costs(&lab, &mut relay, &flood, rounds)?;
    let mut times = latency(&mut relay, &sender, &receiver)?;
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let rate = 1.0 / if carry > send / 100 { carry } else { send }.as_secs_f64();
    println!(
        "{wire:5} {rate:9.0} packets/s ({send:?} to send, {carry:?} to carry)   latency: median {:.1} us, 99 % {:.1} us",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

/// Two nodes that know each other.
fn plan(wire: &str) -> LabPlan {
    let nodes = [("a", 0, "10.0.0.1/24"), ("b", 1, "10.0.0.2/24")].map(|(name, at, own)| {
        let mut node = node(name);
        node.devices = vec![device("eth0", ENDS[at], &[own])];
        node.neighbours = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .map(|other| Neighbour { device: ENDS[at], address: address(other), mac: mac(ENDS[1 - at]) })
            .into_iter()
            .filter(|_| wire != "TUN")
            .collect();
        node
    });
    let relayed =
        |layer| Wire::Relayed { link: "a-b".to_owned(), layer, faults: Default::default(), over: None };
    let wire = match wire {
        "TAP" => relayed(Layer::Ethernet),
        "TUN" => relayed(Layer::Ip),
        _ => Wire::Veth,
    };
    let pair = cable(Place::Node(0), "eth0", ENDS[0], Place::Node(1), "eth0", ENDS[1]);
    let cables = vec![Cable { wire, ..pair }];
    LabPlan { ipv6: false, nodes: nodes.to_vec(), switches: Vec::new(), cables }
}

/// What it takes to send a datagram and what it takes to carry it, in processor time of this thread.
///
/// A veth pair's sender does both.
fn costs(
    lab: &Lab,
    relay: &mut Relay,
    flood: &UdpSocket,
    rounds: u32,
) -> Result<[Duration; 2], Box<dyn Error>> {
    let mut costs = [Duration::ZERO; 2];
    let before = received(lab)?;
    for _ in 0..rounds {
        let began = processor_time()?;
        for _ in 0..BATCH {
            flood.send(&[0; 18])?;
        }
        let sent = processor_time()?;
        while relay.turn() {}
        costs[0] += sent - began;
        costs[1] += processor_time()? - sent;
    }
    let all = u64::from(rounds * BATCH);
    let arrived = received(lab)? - before;
    if arrived != all {
        return Err(format!("{arrived} of {all} datagrams arrived").into());
    }
    Ok(costs.map(|cost| cost / (rounds * BATCH)))
}

/// What this thread has had of the processor, and the kernel on its behalf.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?))
}

/// Frames that the second node's device has received.
fn received(lab: &Lab) -> Result<u64, Box<dyn Error>> {
    let table = lab.in_node(1, || fs::read_to_string("/proc/thread-self/net/dev"))??;
    let counters = table.lines().find_map(|line| line.trim().strip_prefix("eth0:")).ok_or("no eth0")?;
    Ok(counters.split_whitespace().nth(1).ok_or("no counter")?.parse()?)
}

/// How long each datagram takes.
fn latency(
    relay: &mut Relay,
    sender: &UdpSocket,
    receiver: &UdpSocket,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    // What is left of the flood.
    while relay.turn() {}
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut times = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let sent = Instant::now();
                let result = sender.send(&[0; 18]).and_then(|_| receiver.recv(&mut [0; 32]));
                times.push(sent.elapsed());
                result?;
            }
            done.store(true, Ordering::Relaxed);
            Ok::<_, std::io::Error>(times)
        });
        while !done.load(Ordering::Relaxed) && !client.is_finished() {
            relay.turn();
            let mut fds: Vec<PollFd<'_>> = relay.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            poll(&mut fds, PollTimeout::from(10u8))?;
        }
        Ok(client.join().map_err(|_| "the client failed")??)
    })
}
