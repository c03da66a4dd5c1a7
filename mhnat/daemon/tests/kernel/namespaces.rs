//! A script in new user, mount and network namespaces, with `mhnat` in PATH, a private /run, and two
//! Ethernet-like links. Where the machine has no such namespaces, no nft or no ip, a test says that it is
//! skipped, on standard error beside the captured output, and `MHNAT_TEST_STRICT=1` makes that a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PRELUDE: &str = include_str!("prelude.sh");

const BOTH: &str = r#"
[[uplink]]
name = "first"
interface = "eth0"
address = ["10.1.0.2", "2001:db8:1::2"]
gateway = ["10.1.0.1", "2001:db8:1::1"]
source = "masquerade"
metric = 10

[[uplink]]
name = "second"
interface = "eth1"
address = ["10.2.0.2", "2001:db8:2::2"]
gateway = ["10.2.0.1", "2001:db8:2::1"]
source = ["10.2.0.2", "2001:db8:2::2"]
metric = 20

[[fan-out]]
dummy = "192.0.2.1"
to = "198.51.100.10"
source = "203.0.113.1"
uplink = "second"

[[fan-out]]
dummy = "2001:db8:ff::1"
to = "2001:db8:99::10"
source = "2001:db8:113::1"
uplink = "second"

[replies]
udp = "mark"
tcp = "mark"
"#;

const OTHER: &str = r#"
[[uplink]]
name = "first"
interface = "eth1"
address = "10.2.0.2"
gateway = "10.2.0.1"
metric = 5

[replies]
udp = "redirect"

[marks]
mask = "0x00ff0000"
"#;

const LOOP: &str = r#"
[[uplink]]
name = "first"
interface = "eth0"
address = ["10.1.0.2", "2001:db8:1::2"]
gateway = ["10.1.0.1", "2001:db8:1::1"]
metric = 10

[[uplink]]
name = "second"
interface = "eth1"
address = ["10.2.0.2", "2001:db8:2::2"]
gateway = ["10.2.0.1", "2001:db8:2::1"]
metric = 20

[replies]
udp = "loop"
server = ["10.255.0.1", "fd00:255::1"]
port = ["udp/53", "udp/5060-5061"]
"#;

/// Why this machine cannot run these tests, if it cannot.
fn obstacle() -> Option<String> {
    for program in ["unshare", "ip", "nft", "sysctl"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        if !places.map(|directory: PathBuf| directory.join(program)).any(|file| file.is_file()) {
            return Some(format!("there is no {program}"));
        }
    }
    let probe = namespaces().args(["sh", "-c", "nft list tables"]).output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--net"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Runs a script in new namespaces; `false` when the machine cannot.
pub(crate) fn run(name: &str, script: &str) -> Option<Output> {
    if let Some(obstacle) = obstacle() {
        // Straight to the stream: the test harness would swallow what eprintln! says.
        let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {obstacle}");
        assert!(std::env::var_os("MHNAT_TEST_STRICT").is_none(), "skipped under MHNAT_TEST_STRICT");
        return None;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("both.toml"), BOTH).unwrap();
    fs::write(directory.join("other.toml"), OTHER).unwrap();
    fs::write(directory.join("loop.toml"), LOOP).unwrap();
    fs::write(directory.join("explain.py"), include_str!("explain.py")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_mhnat"));
    let output = namespaces()
        .args(["bash", "-euc", &format!("{PRELUDE}\n{script}")])
        .current_dir(&directory)
        .env("MHNAT", program)
        .env("HOOK", concat!(env!("CARGO_MANIFEST_DIR"), "/../hooks/50-mhnat"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(output)
}

/// The script succeeds.
#[track_caller]
#[expect(clippy::print_stdout, reason = "what a script counts is for whoever runs it with --nocapture")]
pub(crate) fn passes(name: &str, script: &str) {
    if let Some(output) = run(name, script) {
        assert!(
            output.status.success(),
            "{}\n--- stdout\n{}--- stderr\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}
