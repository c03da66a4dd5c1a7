//! What packets pay: a gateway with mhnat's ruleset beside one with the linear iptables rules that do the same, for
//! more and more fan-outs and forwards.
//!
//! `cargo bench -p mhnat --bench forwarding [-- ROUNDS]`. Each gateway has a client, two uplinks and a far end in
//! namespaces of its own. One thread on one processor sends, and as veth hands a packet on within the sender's
//! system call, the processor time that it takes is that of the whole way; what else the machine does is not counted.
//! All gateways are measured in turn, and medians are printed:
//! packets of a known flow, and flows that are new with every packet: all to the last entry, which tells what the ruleset
//! costs, and evenly over all entries, which tells what as many destinations cost besides. Root is not needed, but
//! without it the kernel does not take the largest ruleset at once.
#![expect(clippy::print_stdout, reason = "a program that measures")]

#[expect(dead_code, reason = "some of it is for the other measuring programs")]
mod workload;

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::workload::{
    Error, Sender, configuration, enter, entry, finish, has, linear, median, program, shell,
};

/// Packets of one flow in one measurement, and flows in one.
const PACKETS: u32 = 20_000;
const FLOWS: u32 = 10_000;
/// How many fan-outs or forwards a gateway has.
const SIZES: [u32; 4] = [1, 100, 1_000, 10_000];
/// The first source port. Every flow of one measurement has one of its own, as those of real clients do: the kernel
/// keeps connections in lists by their source, and walks through one to translate the source of the next.
const SOURCE: u16 = 20_000;

/// What translates at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Nothing; packets are routed only.
    Routing,
    /// mhnat with fan-outs.
    FanOuts,
    /// mhnat with forwards.
    Forwards,
    /// iptables rules with fan-outs, one after the other.
    Linear,
}

fn main() -> Result<(), Error> {
    let rounds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(25);
    let root = enter()?;
    let mut gateways = Vec::new();
    let linear = has("iptables-legacy-restore");
    for entries in SIZES {
        if entries > 5_000 && !root {
            println!("({entries} entries need root)");
            continue;
        }
        for subject in [Subject::Routing, Subject::FanOuts, Subject::Forwards, Subject::Linear] {
            if subject != Subject::Linear || linear {
                gateways.push(Gateway::new(gateways.len(), subject, entries)?);
            }
        }
    }
    let mut set = CpuSet::new();
    set.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &set)?;

    for round in 0..rounds {
        for gateway in &mut gateways {
            gateway.known()?;
            gateway.new_flows(round, Spread::Last)?;
            gateway.new_flows(round, Spread::All)?;
        }
    }
    table(&gateways);
    Ok(())
}

/// Where new flows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// To the last entry: the worst place in a list.
    Last,
    /// Over all entries evenly.
    All,
}

/// One kind of what was measured at a gateway.
type Rates = fn(&Gateway) -> &[f64];

/// Rates, what they are of the rate with one entry, and of plain routing to as many destinations: those cost
/// something by themselves.
fn table(gateways: &[Gateway]) {
    let kinds: [(&str, Rates); 3] = [
        ("packets of a known flow", |it| &it.packets),
        ("new flows to the last entry", |it| &it.flows_to_last),
        ("new flows over all entries", |it| &it.flows),
    ];
    for (title, rates) in kinds {
        println!(
            "\n{title}\n{:<10} {:<8} {:>12} {:>6} {:>11}",
            "subject", "entries", "per second", "to 1", "to routing"
        );
        let rate = |subject, entries| -> Option<f64> {
            median(rates(gateways.iter().find(|it| it.subject == subject && it.entries == entries)?).to_vec())
        };
        for subject in [Subject::Routing, Subject::FanOuts, Subject::Forwards, Subject::Linear] {
            for entries in SIZES {
                let measured = (rate(subject, entries), rate(subject, 1), rate(Subject::Routing, entries));
                let (Some(own), Some(one), Some(routing)) = measured else { continue };
                println!(
                    "{:<10} {entries:<8} {own:>12.0} {:>6.2} {:>11.2}",
                    format!("{subject:?}").to_lowercase(),
                    own / one,
                    own / routing
                );
            }
        }
    }
}

struct Gateway {
    name: String,
    subject: Subject,
    entries: u32,
    client: Sender,
    packets: Vec<f64>,
    flows_to_last: Vec<f64>,
    flows: Vec<f64>,
}

impl Gateway {
    fn new(number: usize, subject: Subject, entries: u32) -> Result<Self, Error> {
        let name = number.to_string();
        shell(&NAMESPACES.replace('@', &name))?;
        let gateway = format!("gw{number}");
        match subject {
            Subject::Routing => {
                shell(&format!("{}\nip -n {gateway} route add default via 10.2.0.1", switches(&name)))?
            }
            Subject::FanOuts | Subject::Forwards => {
                let file = format!("/run/{name}.toml");
                if subject == Subject::Forwards {
                    shell(&format!("ip -n {gateway} route add 10.9.0.0/16 via 10.1.0.1"))?;
                    fs::write(&file, forwards(entries)?)?;
                } else {
                    fs::write(&file, configuration(entries))?;
                }
                let mhnat = env!("CARGO_BIN_EXE_mhnat");
                let state = format!("/run/state-{name}");
                finish(program(
                    "ip",
                    &["netns", "exec", &gateway, mhnat, "apply", &file, "--state-dir", &state],
                ))?;
            }
            Subject::Linear => {
                let file = format!("/run/{name}.iptables");
                fs::write(&file, linear(entries))?;
                shell(&format!(
                    "{}\nip netns exec {gateway} iptables-legacy-restore {file}\n\
                     for n in 1 2; do\n\
                     ip -n {gateway} rule add fwmark 0x${{n}}00/0xff00 lookup 10$n priority 10$n\n\
                     ip -n {gateway} route add default via 10.$n.0.1 table 10$n\ndone",
                    switches(&name)
                ))?;
            }
        }
        let client = Sender::new(&format!("client{number}"))?;
        Ok(Self {
            name,
            subject,
            entries,
            client,
            packets: Vec::new(),
            flows_to_last: Vec::new(),
            flows: Vec::new(),
        })
    }

    /// Where a packet of an entry goes. A forward has its port, where a fan-out takes any.
    fn target(&self, entry: u32, port: u16) -> Result<(Ipv4Addr, u16), Error> {
        match self.subject {
            Subject::Forwards => Ok((Ipv4Addr::new(10, 0, 0, 1), forwarded(entry)?)),
            _ => Ok((dummy(entry)?, port)),
        }
    }

    /// As many, unless a long list would take seconds over them.
    fn few(&self, count: u32) -> u32 {
        if self.subject == Subject::Linear {
            count.min(count.saturating_mul(100) / self.entries)
        } else {
            count
        }
    }

    /// Packets of one flow, the last entry's: the worst place in a list.
    fn known(&mut self) -> Result<(), Error> {
        let to = self.target(self.entries - 1, 9)?;
        self.client.send(SOURCE, to)?;
        let seen = self.arrived()?;
        let packets = self.few(PACKETS);
        let begun = processor_time()?;
        for _ in 0..packets {
            self.client.send(SOURCE, to)?;
        }
        self.packets.push(f64::from(packets) / (processor_time()? - begun).as_secs_f64());
        self.all_arrived(seen, packets)
    }

    /// A flow a packet.
    fn new_flows(&mut self, round: u32, spread: Spread) -> Result<(), Error> {
        shell(&format!("ip netns exec gw{} conntrack -F 2>/dev/null", self.name))?;
        let seen = self.arrived()?;
        let flows = self.few(FLOWS);
        // Over all entries, also where there are more of them than flows.
        let step = usize::try_from(self.entries.min(FLOWS).div_ceil(flows))?;
        let entries = match spread {
            Spread::Last => self.entries - 1..self.entries,
            Spread::All => 0..self.entries.min(FLOWS),
        };
        let targets = (0..flows)
            .zip(entries.step_by(step).cycle())
            .map(|(flow, entry)| self.target(entry, u16::try_from(1_024 + (flow + round * FLOWS) % 60_000)?))
            .collect::<Result<Vec<_>, _>>()?;
        let begun = processor_time()?;
        for (source, to) in (SOURCE..).zip(&targets) {
            self.client.send(source, *to)?;
        }
        let rate = f64::from(flows) / (processor_time()? - begun).as_secs_f64();
        match spread {
            Spread::Last => self.flows_to_last.push(rate),
            Spread::All => self.flows.push(rate),
        }
        self.all_arrived(seen, flows)
    }

    /// UDP packets that came in at the far end, translated as they should be.
    fn arrived(&self) -> Result<u64, Error> {
        let listing =
            program("ip", &["netns", "exec", &format!("far{}", self.name), "nft", "list", "counters"])
                .stdout(std::process::Stdio::piped())
                .output()?;
        let text = String::from_utf8(listing.stdout)?;
        let count = text.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        Ok(count.ok_or("no counter")?.parse()?)
    }

    /// A rate of packets that do not arrive is none.
    fn all_arrived(&self, before: u64, sent: u32) -> Result<(), Error> {
        let arrived = self.arrived()? - before;
        if arrived == u64::from(sent) {
            return Ok(());
        }
        Err(format!("{:?} with {} entries: {arrived} of {sent} packets arrived", self.subject, self.entries)
            .into())
    }
}

/// What this thread has had of its processor.
fn processor_time() -> Result<Duration, Error> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Ports of the address towards the client that lead to as many hosts behind the other link.
fn forwards(count: u32) -> Result<String, Error> {
    let mut text = String::from(
        "[[uplink]]\nname = \"in\"\ninterface = \"g\"\naddress = \"10.0.0.1\"\ngateway = \"10.0.0.2\"\n",
    );
    for number in 0..count {
        let (_, to, _, _) = entry(number);
        let port = forwarded(number)?;
        let _ = writeln!(text, "[[forward]]\non = \"in\"\nport = \"udp/{port}\"\nto = \"{to}:9\"");
    }
    Ok(text)
}

/// The port of a forward.
fn forwarded(number: u32) -> Result<u16, Error> {
    Ok(u16::try_from(1_024 + number)?)
}

fn dummy(number: u32) -> Result<Ipv4Addr, Error> {
    Ok(entry(number).0.parse()?)
}

/// What mhnat sets by itself.
fn switches(name: &str) -> String {
    format!(
        "ip netns exec gw{name} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2\n\
         ip -n gw{name} route add 198.18.0.0/15 via 10.1.0.1"
    )
}

/// A client, a gateway with two uplinks, and a far end that counts what comes and drops it.
const NAMESPACES: &str = "
for kind in client gw far; do
    ip netns add ${kind}@
    ip -n ${kind}@ link set lo up
done
ip -n client@ link add c type veth peer name g netns gw@
ip -n gw@ link add eth0 type veth peer name f0 netns far@
ip -n gw@ link add eth1 type veth peer name f1 netns far@
ip -n client@ address add 10.0.0.2/24 dev c
ip -n gw@ address add 10.0.0.1/24 dev g
ip -n client@ link set c up
ip -n gw@ link set g up
for n in 0 1; do
    ip -n gw@ address add 10.$((n + 1)).0.2/24 dev eth$n
    ip -n far@ address add 10.$((n + 1)).0.1/24 dev f$n
    ip -n gw@ link set eth$n up
    ip -n far@ link set f$n up
    mac=$(ip netns exec far@ cat /sys/class/net/f$n/address)
    ip -n gw@ neighbour replace 10.$((n + 1)).0.1 lladdr $mac dev eth$n nud permanent
done
mac=$(ip netns exec gw@ cat /sys/class/net/g/address)
ip -n client@ neighbour replace 10.0.0.1 lladdr $mac dev c nud permanent
ip -n client@ route add default via 10.0.0.1
ip netns exec far@ nft -f - <<RULES
table netdev far {
    counter arrived {
    }
    chain f0 { type filter hook ingress device f0 priority 0; policy accept; ip protocol udp counter name arrived drop
    }
    chain f1 { type filter hook ingress device f1 priority 0; policy accept; ip protocol udp counter name arrived drop
    }
}
RULES
";
