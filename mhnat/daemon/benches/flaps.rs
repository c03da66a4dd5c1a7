//! How long the kernel's state is wrong after a link has failed or come back: `mhnat run` beside a shell loop that looks
//! every five seconds.
//!
//! `cargo bench -p mhnat --bench flaps [-- FLAPS]`. A gateway has 1, 8 or 64 uplinks in a network namespace of its own;
//! their far ends go down and come back. Inside is what mhnat logs, from its wake by the kernel to the last change.
//! Outside is measured by this process, from the command that changes the link to the kernel's last word of a rule, a
//! route or an nft element, and has in it what `ip` and the kernel need until the carrier is seen to be lost. With 100,000
//! tracked connections, those of the lost uplink are forgotten, and what that took is logged. Needs root.
#![expect(clippy::print_stdout, reason = "a program that measures")]

#[expect(dead_code, reason = "some of it is for the other measuring programs")]
mod workload;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use nix::unistd::Pid;

use crate::workload::{Error, Sender, enter, program, shell};

/// Between two changes of a link, so that each is a flap of its own: more than the time after which connections are
/// looked through once more.
const PAUSE: Duration = Duration::from_millis(30);
/// After this, nothing is expected to come any more.
const TOO_LONG: Duration = Duration::from_secs(20);
const CONNECTIONS: u32 = 100_000;

fn main() -> Result<(), Error> {
    let flaps = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(1_000);
    if !enter()? {
        println!("(as many devices and connections need root)");
        return Ok(());
    }
    println!(
        "{:<10} {:>7} {:>11} {:>7} | {:>7} {:>7} {:>7} | {:>8} {:>8} {:>8} | {:>8} {:>7} | {:>7} {:>7}",
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
        "RSS MiB",
        "wakes/s",
    );
    println!("(times are milliseconds, the first column of each kind is the median)");
    for (uplinks, connections) in [(1, 0), (8, 0), (64, 0), (8, CONNECTIONS)] {
        let gateway = Gateway::new(uplinks)?;
        gateway.measure("mhnat run", flaps, connections)?;
        shell("for n in gw far lan; do ip netns del $n; done")?;
    }
    let gateway = Gateway::new(2)?;
    gateway.measure("poll loop", 6, 0)?;
    Ok(())
}

/// A gateway, the far ends of its uplinks, and a host behind it.
struct Gateway {
    uplinks: u32,
}

impl Gateway {
    fn new(uplinks: u32) -> Result<Self, Error> {
        let mut script = String::from(LAN);
        for number in 0..uplinks {
            // Equal indexes at both ends would delay the news of a carrier by up to a second.
            let (near, far, net) = (1_000 + number, 2_000 + number, number + 1);
            let _ = writeln!(
                script,
                "ip -n gw link add u{number} index {near} type veth peer name f{number} index {far} netns far\n\
                 ip -n gw address add 10.{net}.0.2/24 dev u{number}\nip -n gw link set u{number} up\n\
                 ip -n far address add 10.{net}.0.1/24 dev f{number}\nip -n far link set f{number} up"
            );
        }
        shell(&script)?;
        Ok(Self { uplinks })
    }

    fn configuration(&self) -> String {
        let mut text = String::from("pinning = true\n");
        for number in 0..self.uplinks {
            let net = number + 1;
            let _ = writeln!(
                text,
                "[[uplink]]\nname = \"up{number}\"\ninterface = \"u{number}\"\naddress = \"10.{net}.0.2\"\n\
                 gateway = \"10.{net}.0.1\"\nsource = \"masquerade\"\nmetric = {net}\nprefixes = [\"198.18.{number}.0/24\"]"
            );
        }
        text
    }

    fn measure(&self, subject: &str, flaps: u32, connections: u32) -> Result<(), Error> {
        let ours = subject == "mhnat run";
        let command = if ours {
            fs::write("/run/flaps.toml", self.configuration())?;
            let mhnat = env!("CARGO_BIN_EXE_mhnat");
            let state = format!("/run/state-{}-{connections}", self.uplinks);
            program("ip", &["netns", "exec", "gw", mhnat, "run", "/run/flaps.toml", "--state-dir", &state])
        } else {
            fs::write("/run/poll.sh", POLL)?;
            program("ip", &["netns", "exec", "gw", "sh", "/run/poll.sh"])
        };
        let listener = Listener::new("gw")?;
        let daemon = Daemon::start(command)?;
        daemon.line("in force")?;
        let mut links = Links::new()?;
        let traffic = if connections > 0 { Some(Traffic::new(self.uplinks, connections)?) } else { None };
        let (mut inside, mut outside, mut forgotten) = (Times::default(), Times::default(), Times::default());
        for flap in 0..flaps {
            // The loop acts upon the preferred one only.
            let uplink = if ours { flap % self.uplinks } else { 0 };
            if let Some(traffic) = &traffic {
                traffic.renew(uplink)?;
            }
            for state in ["down", "up"] {
                thread::sleep(PAUSE);
                if !ours {
                    // At another moment between two looks each time.
                    thread::sleep(Duration::from_millis(u64::from(flap) * 1_700 % 5_000));
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
        }
        thread::sleep(PAUSE);
        let wakes = daemon.idle()?;
        let resident = daemon.resident()?;
        daemon.end()?;
        println!(
            "{subject:<10} {:>7} {connections:>11} {:>7} | {:>7.2} {:>7.2} {:>7.2} | {:>8.2} {:>8.2} {:>8.2} | \
             {:>8.2} {:>7.2} | {resident:>7.1} {wakes:>7.1}",
            self.uplinks,
            outside.0.len(),
            inside.share(0.5),
            inside.share(0.99),
            inside.share(1.0),
            outside.share(0.5),
            outside.share(0.99),
            outside.share(1.0),
            forgotten.share(0.5),
            forgotten.share(0.99),
        );
        Ok(())
    }
}

/// What was measured, in milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    /// The time that this share of them does not exceed; NaN if there are none.
    fn share(&mut self, share: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand"
        )]
        let at = (self.0.len().saturating_sub(1) as f64 * share).round() as usize;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// The time that a line of the log tells.
fn milliseconds(line: &str) -> Option<f64> {
    let (before, _) = line.split_once(" ms")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// What keeps the kernel right, and the lines that it writes.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    fn start(mut command: Command) -> Result<Self, Error> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Forgets the lines that have come.
    fn drain(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Waits for a line with this text in it.
    fn line(&self, text: &str) -> Result<String, Error> {
        loop {
            match self.lines.recv_timeout(TOO_LONG) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(format!("no word of `{text}`").into()),
                Err(RecvTimeoutError::Disconnected) => return Err("the subject has ended".into()),
            }
        }
    }

    /// How often it has run per second, while nothing happens.
    fn idle(&self) -> Result<f64, Error> {
        let switches = || -> Result<f64, Error> {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
            let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
            Ok(counts.filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok()).sum())
        };
        thread::sleep(Duration::from_secs(1));
        let before = switches()?;
        let time = Duration::from_secs(5);
        thread::sleep(time);
        Ok((switches()? - before) / time.as_secs_f64())
    }

    /// Its memory at most until now, in MiB.
    fn resident(&self) -> Result<f64, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        let kib: f64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
        Ok(kib / 1024.0)
    }

    fn end(mut self) -> Result<(), Error> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The far ends of the uplinks, by one program for all changes.
struct Links {
    program: Child,
    commands: ChildStdin,
}

impl Links {
    fn new() -> Result<Self, Error> {
        let mut command = program("ip", &["-n", "far", "-batch", "-"]);
        let mut program = command.stdin(Stdio::piped()).spawn()?;
        let commands = program.stdin.take().ok_or("no input")?;
        Ok(Self { program, commands })
    }

    fn set(&mut self, uplink: u32, state: &str) -> Result<(), Error> {
        writeln!(self.commands, "link set f{uplink} {state}")?;
        Ok(self.commands.flush()?)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Connections, as many by each uplink.
struct Traffic {
    host: Sender,
    each: u32,
}

impl Traffic {
    fn new(uplinks: u32, connections: u32) -> Result<Self, Error> {
        let traffic = Self { host: Sender::new("lan")?, each: connections / uplinks };
        for uplink in 0..uplinks {
            traffic.renew(uplink)?;
        }
        Ok(traffic)
    }

    /// A packet of each connection by this uplink.
    fn renew(&self, uplink: u32) -> Result<(), Error> {
        for number in 0..self.each {
            let to = Ipv4Addr::new(198, 18, u8::try_from(uplink)?, u8::try_from(1 + number % 250)?);
            self.host.send(u16::try_from(10_000 + number)?, (to, 9))?;
        }
        Ok(())
    }
}

/// Hears what the kernel tells in a namespace.
struct Listener {
    route: OwnedFd,
    nft: OwnedFd,
}

/// `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV4_RULE` (linux/rtnetlink.h).
const ROUTE_GROUPS: u32 = 0x40 | 0x80;
/// `NFNLGRP_NFTABLES` as a bit (linux/netfilter/nfnetlink.h).
const NFT_GROUPS: u32 = 1 << 6;

impl Listener {
    fn new(namespace: &str) -> Result<Self, Error> {
        let namespace = File::open(format!("/run/netns/{namespace}"))?;
        let open = |protocol, groups| -> nix::Result<OwnedFd> {
            let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_NONBLOCK, protocol)?;
            setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20))?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            Ok(socket)
        };
        let make = || -> nix::Result<Self> {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(Self {
                route: open(SockProtocol::NetlinkRoute, ROUTE_GROUPS)?,
                nft: open(SockProtocol::NetlinkNetFilter, NFT_GROUPS)?,
            })
        };
        let made = thread::scope(|scope| scope.spawn(make).join());
        Ok(made.map_err(|_| "the thread panicked")??)
    }

    /// Takes what has come; whether anything has.
    fn drain(&self) -> Result<bool, Error> {
        let mut any = false;
        for socket in [&self.route, &self.nft] {
            while arrived(socket)? {
                any = true;
            }
        }
        Ok(any)
    }

    /// When anything has changed last before `done` returns.
    fn follow(&self, done: impl FnOnce() -> Result<(), Error>) -> Result<Instant, Error> {
        let finished = AtomicBool::new(false);
        let heard = thread::scope(|scope| {
            let listening = scope.spawn(|| self.listen(&finished).map_err(|error| error.to_string()));
            let outcome = done();
            finished.store(true, Ordering::Release);
            let heard = listening.join().map_err(|_| "the thread panicked")??;
            outcome.map(|()| heard)
        })?;
        heard.ok_or_else(|| "nothing has changed".into())
    }

    fn listen(&self, finished: &AtomicBool) -> Result<Option<Instant>, Error> {
        let mut committed = None;
        loop {
            let last = finished.load(Ordering::Acquire);
            let mut ready =
                [&self.route, &self.nft].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            poll(&mut ready, PollTimeout::from(1u8))?;
            let now = Instant::now();
            if self.drain()? {
                committed = Some(now);
            }
            if last {
                return Ok(committed);
            }
        }
    }
}

/// Takes the next message, if there is one.
fn arrived(socket: &OwnedFd) -> Result<bool, Error> {
    let mut message = [0; 4096];
    match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

const LAN: &str = "
for n in gw far lan; do
    ip netns add $n
    ip -n $n link set lo up
done
ip -n lan link add eth0 index 3000 type veth peer name lan0 index 3001 netns gw
ip -n lan address add 10.200.0.2/24 dev eth0
ip -n lan link set eth0 up
ip -n gw address add 10.200.0.1/24 dev lan0
ip -n gw link set lan0 up
ip -n lan route add default via 10.200.0.1
ip netns exec gw sysctl -qw net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_max=1000000 net.netfilter.nf_conntrack_udp_timeout=600
";

/// What many a gateway has: the default route is that of the first uplink with a carrier.
const POLL: &str = r#"
old=
while :; do
    new=
    for n in 0 1; do
        if [ "$(cat /sys/class/net/u$n/carrier 2>/dev/null)" = 1 ]; then new=$n; break; fi
    done
    if [ "$new" != "$old" ]; then
        ip route replace default via 10.$((new + 1)).0.1 dev u$new
        old=$new
        echo in force
    fi
    sleep 5
done
"#;
