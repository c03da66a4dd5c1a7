//! How long a stream is interrupted when the carrier of its uplink is lost: `mhnat run` beside a shell loop that looks every
//! five seconds.
//!
//! `cargo bench -p mhnat --bench outage [-- BREAKS]`. A host behind a gateway with two uplinks sends a datagram each
//! millisecond to one behind both. The far end of the first uplink goes down, and comes back later. The outage is the time
//! from the last packet that arrived to the next one that did, as they were sent; a break in which none was lost counts as
//! zero. All the same with 100,000 tracked connections, half of which go by that uplink. Needs root.
#![expect(clippy::print_stdout, reason = "a program that measures")]

#[expect(dead_code, reason = "some of it is for the other measuring program")]
mod flapping;
#[expect(dead_code, reason = "some of it is for the other measuring programs")]
mod workload;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::flapping::subject::{Daemon, Times};
use crate::flapping::{Gateway, Links, Traffic, Who};
use crate::workload::{Error, enter, inside, shell};

/// Between two packets.
const INTERVAL: Duration = Duration::from_millis(1);
/// From a change of the link to the next, for one who acts at once, and for one who looks every five seconds.
const REST: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(7_300)];
/// What is remembered of the stream before a break.
const BEFORE: Duration = Duration::from_millis(20);
/// Where the stream goes.
const TO: &str = "198.51.100.1:9";
const CONNECTIONS: u32 = 100_000;

fn main() -> Result<(), Error> {
    let breaks = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(200);
    if !enter()? {
        println!("(as many devices need root)");
        return Ok(());
    }
    println!("subject    connections breaks | outage, median    99 %     max | packets lost, median    max");
    println!("(milliseconds)");
    let rows = [
        (Who::Mhnat, 0, breaks, REST[0]),
        (Who::Mhnat, CONNECTIONS, breaks, REST[0]),
        (Who::Poll, 0, 6, REST[1]),
    ];
    for (who, connections, breaks, rest) in rows {
        let gateway = Gateway::new(2)?;
        shell(FAR)?;
        let daemon = Daemon::start(gateway.keeper(who, "rehome", &format!("/run/state-{connections}"))?)?;
        daemon.line("in force")?;
        let traffic = if connections > 0 { Some(Traffic::new(2, connections)?) } else { None };
        let (mut outages, mut losses) = measure(traffic.as_ref(), breaks, rest)?;
        daemon.end()?;
        println!(
            "{:<10} {connections:>11} {breaks:>6} | {:>14} {:>7} {:>7} | {:>20} {:>6}",
            who.name(),
            outages.share(0.5, 1),
            outages.share(0.99, 1),
            outages.share(1.0, 1),
            losses.share(0.5, 0),
            losses.share(1.0, 0),
        );
    }
    Ok(())
}

/// What became of the packets, by their numbers.
#[derive(Default)]
struct Ledger(Mutex<Vec<(Instant, bool)>>);

impl Ledger {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<(Instant, bool)>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From the last packet before one that was lost to the next that was not, in milliseconds, and how many were lost.
    fn outage(&self) -> (f64, f64) {
        self.with(|packets| {
            let (mut longest, mut last, mut lost, mut missing) = (Duration::ZERO, None, 0.0, 0.0);
            for (sent, arrived) in packets.iter() {
                if !arrived {
                    missing += 1.0;
                    continue;
                }
                if let Some(last) = last.filter(|_| missing > 0.0) {
                    longest = longest.max(*sent - last);
                }
                (last, lost, missing) = (Some(*sent), lost + missing, 0.0);
            }
            // It has not come back at all; those that are under way do not say that.
            if let (Some(last), Some((end, _))) = (last, packets.last())
                && *end - last > REST[0] / 4
            {
                (longest, lost) = (longest.max(*end - last), lost + missing);
            }
            (longest.as_secs_f64() * 1e3, lost)
        })
    }
}

/// The outages of all breaks, and what was lost.
fn measure(traffic: Option<&Traffic>, breaks: u32, rest: Duration) -> Result<(Times, Times), Error> {
    let (sender, receiver) =
        (inside("lan", || UdpSocket::bind("0.0.0.0:0"))?, inside("far", || UdpSocket::bind(TO))?);
    receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (ledger, over) = (Ledger::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| receive(&receiver, &ledger, &over));
        scope.spawn(|| send(&sender, &ledger, &over));
        let outcome = break_often(&ledger, traffic, breaks, rest);
        over.store(true, Ordering::Relaxed);
        outcome
    })
}

fn break_often(
    ledger: &Ledger,
    traffic: Option<&Traffic>,
    breaks: u32,
    rest: Duration,
) -> Result<(Times, Times), Error> {
    let (mut outages, mut losses) = (Times::default(), Times::default());
    let mut links = Links::new()?;
    thread::sleep(rest);
    for number in 0..breaks {
        // At another moment between two looks each time.
        thread::sleep(rest / 7 * (number % 7));
        if let Some(traffic) = traffic {
            traffic.renew(0)?;
            traffic.is_all_there()?;
        }
        ledger.with(Vec::clear);
        // What arrived last before the break is to be known.
        thread::sleep(BEFORE);
        links.set(0, "down")?;
        thread::sleep(rest);
        let (outage, lost) = ledger.outage();
        outages.0.push(outage);
        losses.0.push(lost);
        links.set(0, "up")?;
        thread::sleep(rest);
    }
    Ok((outages, losses))
}

fn send(socket: &UdpSocket, ledger: &Ledger, over: &AtomicBool) {
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now < due {
            thread::sleep(due - now);
            continue;
        }
        // What was due while something else had the processor is left out: a burst would be no steady pace.
        due = (due + INTERVAL).max(now);
        ledger.with(|packets| {
            let number = packets.len() as u64;
            packets.push((now, false));
            // Without a route it is lost as well.
            let _ = socket.send_to(&number.to_be_bytes(), TO);
        });
    }
}

fn receive(socket: &UdpSocket, ledger: &Ledger, over: &AtomicBool) {
    let mut datagram = [0; 8];
    while !over.load(Ordering::Relaxed) {
        let Ok(8) = socket.recv(&mut datagram) else { continue };
        let number = usize::try_from(u64::from_be_bytes(datagram)).unwrap_or(usize::MAX);
        ledger.with(|packets| {
            if let Some((_, arrived)) = packets.get_mut(number) {
                *arrived = true;
            }
        });
    }
}

/// The far host takes packets by whichever uplink, and whatever their source.
const FAR: &str = "
ip -n far address add 198.51.100.1/32 dev lo
ip netns exec far sh -c 'for it in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $it; done'
";
