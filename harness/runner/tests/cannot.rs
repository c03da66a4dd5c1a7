//! What a machine lacks is told, and never counts as a pass.
//!
//! Each machine is made by `unshare -r`: a user namespace in which a program is hidden behind a bind mount, or a
//! limit is set to none. Where even that is impossible, there is nothing to show, and the test says so.

#![expect(clippy::print_stdout, reason = "a test that cannot show anything says so")]

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use rstest::rstest;

fn scenarios() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.join("../../scenarios/seeds/udp-reply-one-link.toml")
}

/// Runs mhlab on a machine that `prepare`, a line for the shell, has made.
fn on_a_machine(prepare: &str, arguments: &[&str]) -> Option<Output> {
    let can = Command::new("unshare").args(["-rm", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("skipped: this machine has no user namespaces to make poorer machines with");
        return None;
    }
    let line = format!("PATH=$PATH:/usr/sbin:/sbin; {prepare} && exec \"$0\" run \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &line, env!("CARGO_BIN_EXE_mhlab")]).args(arguments).arg(scenarios());
    Some(command.output().expect("unshare starts"))
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const NO_NFT: &str = "for nft in /usr/sbin/nft /sbin/nft /usr/bin/nft /usr/local/sbin/nft; do \
    if [ -e $nft ]; then mount --bind /dev/null $nft || exit 99; fi; done; true";

#[test]
fn without_nft_what_needs_it_is_skipped_and_counted() {
    let Some(output) = on_a_machine(NO_NFT, &["--filter", "variant(article-*) or variant(nothing)"]) else {
        return;
    };
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the program nft was not found"), "{text}");
    assert!(text.contains("2 passed") && text.contains("1 skipped"), "{text}");
}

#[test]
fn without_nft_strict_fails() {
    let Some(output) = on_a_machine(NO_NFT, &["--strict", "--filter", "variant(article-*)"]) else { return };
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
}

#[test]
fn a_run_of_nothing_but_skips_is_no_pass() {
    let Some(output) = on_a_machine(NO_NFT, &["--filter", "variant(article-nft)"]) else { return };
    let text = told(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("every test was skipped") && !text.contains("PASSED"), "{text}");
}

#[rstest]
#[case::without_network_namespaces("echo 0 > /proc/sys/user/max_net_namespaces")]
#[case::without_user_namespaces_and_privileges(
    "echo 0 > /proc/sys/user/max_user_namespaces && set -- \"$0\" run \"$@\" && \
     exec setpriv --bounding-set=-all --inh-caps=-all \"$@\""
)]
fn without_labs_nothing_passes(#[case] prepare: &str) {
    let Some(output) = on_a_machine(prepare, &["--filter", "variant(nothing)"]) else { return };
    let text = told(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("hint"), "{text}");
    assert!(!text.contains("PASSED"), "{text}");
}
