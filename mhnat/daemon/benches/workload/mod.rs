//! What the measuring programs share: namespaces of their own, fan-outs as mhnat and as linear rules, programs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use nix::unistd::{getgid, getuid};

pub(crate) type Error = Box<dyn std::error::Error>;

/// New namespaces for this process and all that it starts. Gives whether it is root outside of them as well.
pub(crate) fn enter() -> Result<bool, Error> {
    let (user, group) = (getuid(), getgid());
    let root = user.is_root();
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(if root { own } else { own | CloneFlags::CLONE_NEWUSER })?;
    if !root {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    Ok(root)
}

pub(crate) fn configuration(fan_outs: u32) -> String {
    let mut text = String::new();
    for (number, name) in ["a", "b"].iter().enumerate() {
        let (interface, net) = (number, number + 1);
        let _ = writeln!(
            text,
            "[[uplink]]\nname = \"{name}\"\ninterface = \"eth{interface}\"\naddress = \"10.{net}.0.2\"\n\
             gateway = \"10.{net}.0.1\"\n"
        );
    }
    for number in 0..fan_outs {
        let (dummy, to, source, uplink) = entry(number);
        let _ = writeln!(
            text,
            "[[fan-out]]\ndummy = \"{dummy}\"\nto = \"{to}\"\nsource = \"{source}\"\nuplink = \"{uplink}\"\n"
        );
    }
    text
}

pub(crate) fn entry(number: u32) -> (String, String, String, &'static str) {
    let (high, low) = (number / 250, number % 250 + 1);
    let uplink = if number.is_multiple_of(2) { "a" } else { "b" };
    (format!("198.18.{high}.{low}"), format!("10.9.{high}.{low}"), format!("10.8.0.{low}"), uplink)
}

/// The rules that a script would have for each fan-out: two marks, two destinations and a source.
pub(crate) fn linear(fan_outs: u32) -> String {
    let mut mangle = String::from("*mangle\n");
    let mut nat = String::from("*nat\n");
    for number in 0..fan_outs {
        let (dummy, to, source, uplink) = entry(number);
        let mark = if uplink == "a" { 0x100 } else { 0x200 };
        for chain in ["PREROUTING", "OUTPUT"] {
            let _ = writeln!(mangle, "-A {chain} -d {dummy} -j MARK --set-xmark {mark}/0xff00");
            let _ = writeln!(nat, "-A {chain} -d {dummy} -j DNAT --to-destination {to}");
        }
        let _ = writeln!(nat, "-A POSTROUTING -m conntrack --ctorigdst {dummy} -j SNAT --to-source {source}");
    }
    format!("{mangle}COMMIT\n{nat}COMMIT\n")
}

/// The program, with a state directory of that name.
pub(crate) fn mhnat(arguments: &[&str], state: &str) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_mhnat"), arguments);
    command.env("MHNAT_STATE_DIR", format!("/run/{state}"));
    command
}

pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    // cargo's library path would make every program look for its libraries in vain first.
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin")).env_remove("LD_LIBRARY_PATH");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

pub(crate) fn shell(script: &str) -> Result<(), Error> {
    finish(program("sh", &["-ec", script]))
}

pub(crate) fn has(name: &str) -> bool {
    let works = program(name, &["--version"]).status().is_ok_and(|status| status.success());
    if !works {
        println!("(there is no {name})");
    }
    works
}

pub(crate) fn finish(mut command: Command) -> Result<(), Error> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let _ = std::io::stderr().write_all(&output.stderr);
    Err(format!("{command:?} failed: {}", output.status).into())
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

pub(crate) fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// What is made in the network namespace of that name. A socket stays where it was made.
pub(crate) fn inside<T: Send, E: Send + Into<Error>>(
    namespace: &str,
    make: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, Error> {
    let namespace = File::open(format!("/run/netns/{namespace}"))?;
    let make = || {
        let entered = setns(&namespace, CloneFlags::CLONE_NEWNET);
        entered.map(|()| make())
    };
    let made = std::thread::scope(|scope| scope.spawn(make).join());
    made.map_err(|_| "the thread panicked")??.map_err(Into::into)
}

/// Sends datagrams from any port of a network namespace.
pub(crate) struct Sender(OwnedFd);

impl Sender {
    /// In the namespace of that name.
    pub(crate) fn new(namespace: &str) -> Result<Self, Error> {
        let make = || socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Udp);
        inside(namespace, make).map(Self)
    }

    /// A datagram of 64 bytes. Its checksum is left out, as IPv4 allows (RFC 768).
    pub(crate) fn send(&self, source: u16, to: (Ipv4Addr, u16)) -> Result<(), Error> {
        let mut datagram = [0; 72];
        for (at, field) in [(0, source), (2, to.1), (4, 72)] {
            datagram[at..at + 2].copy_from_slice(&u16::to_be_bytes(field));
        }
        // The port is in the datagram.
        let to = SockaddrIn::from(SocketAddrV4::new(to.0, 0));
        sendto(self.0.as_raw_fd(), &datagram, &to, MsgFlags::empty())?;
        Ok(())
    }
}
