//! The command line as a user meets it: exit codes, streams, and that bad input touches nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rstest::rstest;

fn mhnat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mhnat")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory of this test's own.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[rstest]
fn a_broken_file_exits_2_and_touches_nothing(
    #[files("../core/tests/broken/*.toml")] path: PathBuf,
    #[values("check", "plan", "apply")] command: &str,
) {
    let state = scratch(&format!("broken-{command}-{}", path.file_stem().unwrap().to_str().unwrap()));
    let state = state.join("state");
    let output = Command::new(env!("CARGO_BIN_EXE_mhnat"))
        .args([command, path.to_str().unwrap()])
        .env("MHNAT_STATE_DIR", &state)
        .env("MHNAT_NFT", "/nonexistent/nft")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&format!("--> {}:", path.display())), "{stderr}");
    assert!(stderr.ends_with("(hint: nothing was touched)\n"), "{stderr}");
    assert!(!stderr.contains('\x1b'), "no colour into a pipe: {stderr}");
    assert!(!state.exists());
}

#[rstest]
fn every_example_is_right(
    #[files("../examples/*.toml")] path: PathBuf,
    #[values(&["check"], &["plan"], &["plan", "--nft-only"], &["plan", "--json"])] command: &[&str],
) {
    let output = Command::new(env!("CARGO_BIN_EXE_mhnat")).args(command).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!output.stdout.is_empty());
}

#[test]
fn files_that_cannot_be_read_exit_2_with_a_hint() {
    let directory = scratch("unreadable");
    let huge = directory.join("huge.toml");
    fs::write(&huge, vec![b'#'; 3 << 20]).unwrap();
    let binary = directory.join("binary.toml");
    fs::write(&binary, b"name = \"\xff\"\n").unwrap();
    for (path, words) in [
        (directory.join("missing.toml"), "No such file"),
        (directory.clone(), "Is a directory"),
        (huge, "is larger than 1024 KiB"),
        (binary, "binary.toml:1: byte 0xff is not UTF-8 text"),
        (PathBuf::from("/dev/zero"), "is larger than 1024 KiB"),
    ] {
        let output = mhnat(&["check", path.to_str().unwrap()]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(words), "{stderr}");
        assert!(stderr.contains("(hint: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn without_nft_apply_exits_3() {
    let state = scratch("no-nft");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/uplink.toml");
    let state = state.to_str().unwrap();
    let output = mhnat(&["apply", example, "--nft", "/nonexistent/nft", "--state-dir", state]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("nft was not found (hint: install nftables"), "{stderr}");
}

#[test]
fn explain_tells_the_way_without_a_kernel() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/fan-out.toml");
    let state = scratch("explain");
    let output = Command::new(env!("CARGO_BIN_EXE_mhnat"))
        .args(["explain", example, "--in", "lan0", "--from", "10.9.0.2:5000", "--to", "192.0.2.2:443/tcp"])
        .env("MHNAT_STATE_DIR", &state)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("leaves   by uplink vpn-b: eth2 via 10.2.0.1 (table 10903)"), "{told}");
    assert!(told.contains("as       203.0.113.2:5000 -> 198.51.100.10:443"), "{told}");
}

#[rstest]
#[case(&["--to", "192.0.2.1:443"], "has no protocol (hint: end it with /tcp")]
#[case(&["--to", "192.0.2.1:443/sctp"], "none of tcp, udp, icmp")]
#[case(&["--to", "www.example.net:443/tcp"], "neither an address")]
#[case(&["--to", "192.0.2.1:443/tcp", "--from", "2001:db8::1"], "different families")]
#[case(&["--to", "192.0.2.1:443/tcp", "--in", "lan0"], "--from")]
#[case(&["--to", "192.0.2.1:443/tcp", "--established-mark", "blue"], "is no mark (hint: ")]
#[case(&["--to", "192.0.2.1:443/tcp", "--route", "lan0"], "is no route (hint: ")]
fn a_question_that_makes_no_sense_exits_2(#[case] arguments: &[&str], #[case] words: &str) {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/fan-out.toml");
    let output = mhnat(&[&["explain", example], arguments].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
}

#[test]
fn an_audit_without_nft_exits_1_and_says_so() {
    let state = scratch("audit");
    let empty = state.to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mhnat"))
        .args(["audit", "--json", "--nft", &format!("{empty}/nft")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\"id\": \"nft-program\""), "{}", text(&output.stdout));
}

#[test]
fn wrong_arguments_exit_2() {
    assert_eq!(mhnat(&["aply"]).status.code(), Some(2));
    assert_eq!(mhnat(&["plan", "--json", "--nft-only", "x"]).status.code(), Some(2));
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = text(&mhnat(&["--help"]).stdout);
    for words in ["Examples:", "mhnat plan", "Exit codes:", "cannot do it"] {
        assert!(help.contains(words), "{help}");
    }
}

#[test]
fn completions_and_manual_pages_are_written() {
    assert!(text(&mhnat(&["completions", "bash"]).stdout).contains("_mhnat"));
    let directory = scratch("man");
    assert_eq!(mhnat(&["man", directory.to_str().unwrap()]).status.code(), Some(0));
    assert!(directory.join("mhnat.1").is_file() && directory.join("mhnat-apply.1").is_file());
}

#[test]
fn plan_as_json_is_json() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/fan-out.toml");
    let plan: serde_json::Value =
        serde_json::from_slice(&mhnat(&["plan", "--json", example]).stdout).unwrap();
    for part in ["ruleset", "rules", "routes", "sysctls"] {
        assert!(plan.get(part).is_some(), "{part} is missing");
    }
}
