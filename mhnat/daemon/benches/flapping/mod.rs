//! What the measuring programs about flaps share: a gateway whose links can be broken, and who keeps it right.

pub(crate) mod subject;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::workload::{Error, Sender, program, shell};

/// Who keeps the gateway right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Mhnat,
    /// A shell loop that looks every five seconds.
    Poll,
}

impl Who {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mhnat => "mhnat run",
            Self::Poll => "poll loop",
        }
    }
}

/// A gateway, the far ends of its uplinks, and a host behind it.
pub(crate) struct Gateway {
    pub(crate) uplinks: u32,
}

impl Gateway {
    pub(crate) fn new(uplinks: u32) -> Result<Self, Error> {
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

    fn configuration(&self, on_return: &str) -> String {
        let mut text = String::from("pinning = true\n");
        for number in 0..self.uplinks {
            let net = number + 1;
            let _ = writeln!(
                text,
                "[[uplink]]\nname = \"up{number}\"\ninterface = \"u{number}\"\naddress = \"10.{net}.0.2\"\n\
                 gateway = \"10.{net}.0.1\"\nsource = \"masquerade\"\non-return = \"{on_return}\"\nmetric = {net}\nprefixes = [\"198.18.{number}.0/24\"]"
            );
        }
        text
    }

    /// The program that keeps it right. Connections go back to an uplink that has returned, or stay.
    pub(crate) fn keeper(&self, who: Who, on_return: &str, state: &str) -> Result<Command, Error> {
        let (name, mut command) = match who {
            Who::Mhnat => {
                fs::write("/run/flaps.toml", self.configuration(on_return))?;
                (env!("CARGO_BIN_EXE_mhnat"), vec!["run", "/run/flaps.toml", "--state-dir", state])
            }
            Who::Poll => {
                fs::write("/run/poll.sh", POLL)?;
                ("sh", vec!["/run/poll.sh"])
            }
        };
        let mut all = vec!["netns", "exec", "gw", name];
        all.append(&mut command);
        Ok(program("ip", &all))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = shell("for n in gw far lan; do ip netns del $n; done");
    }
}

/// The far ends of the uplinks, by one program for all changes.
pub(crate) struct Links {
    program: Child,
    commands: ChildStdin,
}

impl Links {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut command = program("ip", &["-n", "far", "-batch", "-"]);
        let mut program = command.stdin(Stdio::piped()).spawn()?;
        let commands = program.stdin.take().ok_or("no input")?;
        Ok(Self { program, commands })
    }

    pub(crate) fn set(&mut self, uplink: u32, state: &str) -> Result<(), Error> {
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
pub(crate) struct Traffic {
    host: Sender,
    uplinks: u32,
    each: u32,
}

impl Traffic {
    pub(crate) fn new(uplinks: u32, connections: u32) -> Result<Self, Error> {
        let traffic = Self { host: Sender::new("lan")?, uplinks, each: connections / uplinks };
        for uplink in 0..uplinks {
            traffic.renew(uplink)?;
        }
        Ok(traffic)
    }

    /// A packet of each connection by this uplink.
    pub(crate) fn renew(&self, uplink: u32) -> Result<(), Error> {
        for number in 0..self.each {
            let to = Ipv4Addr::new(198, 18, u8::try_from(uplink)?, u8::try_from(1 + number % 250)?);
            self.host.send(u16::try_from(10_000 + number)?, (to, 9))?;
        }
        Ok(())
    }

    /// Whether the gateway tracks all of them, but for packets that were lost.
    pub(crate) fn is_all_there(&self) -> Result<(), Error> {
        let mut command =
            program("ip", &["netns", "exec", "gw", "cat", "/proc/sys/net/netfilter/nf_conntrack_count"]);
        let text = String::from_utf8(command.stdout(Stdio::piped()).output()?.stdout)?;
        let (tracked, expected) = (text.trim().parse::<u32>()?, self.each * self.uplinks);
        if tracked < expected - expected / 1_000 {
            Err(format!("{tracked} connections are tracked, and not {expected}").into())
        } else {
            Ok(())
        }
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
