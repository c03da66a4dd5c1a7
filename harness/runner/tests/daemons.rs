//! What is told of a subject that should stay and does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rstest::rstest;

const SCENARIO: &str = r#"
title = "A daemon that misbehaves"

[node.gw]
interface.eth0 = "192.0.2.1/24"
serve = ["udp/7000 echo"]

[node.peer]
interface.eth0 = "192.0.2.2/24"

[[link]]
ends = ["gw:eth0", "peer:eth0"]

[subject]
on = "gw"
variant.nothing.breaks = ["asked"]
variant.daemon.daemon = """
tell() {
    perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0); send($s, $ARGV[0], 0, sockaddr_un($ENV{NOTIFY_SOCKET}))' "$1"
}
echo "this is on standard output"
echo "and this is the reason" >&2
SCRIPT
"""
"#;

const ASKED: &str = "
[[step]]
name = \"asked\"
request = { from = \"peer\", to = \"gw:7000\" }
expect = { answered = ANSWERED }
";

/// Runs the daemon variant with a script and further steps, and returns the exit status and what a person reads. It is run
/// as by nohup(1), which must make no difference to what is started.
fn run(name: &str, script: &str, steps: &str) -> (Option<i32>, String) {
    let scratch =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("daemon-{name}-{}.toml", std::process::id()));
    fs::write(&scratch, SCENARIO.replace("SCRIPT", script) + steps).unwrap();
    let output = Command::new("nohup")
        .arg(env!("CARGO_BIN_EXE_mhlab"))
        .args(["run", "--filter", "variant(daemon)"])
        .arg(&scratch)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    fs::remove_file(&scratch).unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[rstest]
#[case::ends_at_once("first", "exit 3", "", "`sh daemon.sh` ended with status 3 before it was ready")]
#[case::is_killed_at_once(
    "signal",
    "kill -KILL $$",
    "",
    "`sh daemon.sh` ended with signal 9 before it was ready"
)]
#[case::is_never_ready(
    "never",
    "tell STATUS=soon; sleep 100",
    "",
    "`sh daemon.sh` was not ready within 10 s (hint:"
)]
#[case::ends_by_itself("later", "tell READY=1; exit 0", "", "`sh daemon.sh` ended by itself with status 0")]
#[case::ends_when_it_is_to_reload(
    "reload",
    "trap 'tell RELOADING=1; exit 4' HUP; tell READY=1; sleep 100 & wait",
    "[[step]]\nname = \"reload\"\nsubject = \"reload\"\n",
    "`sh daemon.sh` ended with status 4 before it was ready again after SIGHUP"
)]
#[case::ends_badly(
    "stop",
    "trap 'exit 5' TERM; tell READY=1; sleep 100 & wait",
    "[[step]]\nname = \"stop\"\nsubject = \"stop\"\n",
    "`sh daemon.sh` ended with status 5 after SIGTERM"
)]
fn misbehaviour_is_an_error_with_its_reason(
    #[case] name: &str,
    #[case] script: &str,
    #[case] steps: &str,
    #[case] expected: &str,
) {
    // Without a daemon that stays there is nothing to ask; one that ends later does so before the question is judged.
    let asked = ASKED.replace("ANSWERED", "true");
    let wait = "[[step]]\nname = \"wait\"\nrun = { on = \"gw\", command = \"sleep 0.3\" }\n";
    let (status, text) = run(name, script, &format!("{steps}{wait}{asked}"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("the end of what sh daemon.sh printed"), "{text}");
    assert!(text.contains("and this is the reason"), "{text}");
}

#[test]
fn what_it_printed_explains_a_failed_expectation() {
    let (status, text) = run("failed", "tell READY=1; sleep 100 & wait", &ASKED.replace("ANSWERED", "false"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("this is on standard output"), "{text}");
}

#[test]
fn nothing_is_told_of_one_that_behaves() {
    let (status, text) = run("well", "tell READY=1; sleep 100 & wait", &ASKED.replace("ANSWERED", "true"));
    assert_eq!(status, Some(0), "{text}");
    assert!(!text.contains("printed"), "{text}");
}
