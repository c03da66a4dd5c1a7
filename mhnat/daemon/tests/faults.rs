//! Every operation on the kernel, on files and with nft fails in turn, or is the last before a SIGKILL. After
//! that the host is as before, or the next run completes or takes back what was begun.
//!
//! `cargo test --workspace --features mhnat/fault-injection --test faults -- --nocapture` prints how many
//! operations each pass went through.

#[path = "kernel/namespaces.rs"]
mod namespaces;

use rstest::rstest;

use self::namespaces::passes;

/// A failure and all that follow; one failure alone; death. On the way from one configuration to another.
#[rstest]
fn apply(
    #[values("fail", "fail-from", "kill")] kind: &str,
    #[values(("none", "both"), ("other", "both"), ("none", "loop"), ("loop", "other"))] way: (&str, &str),
) {
    let (former, target) = way;
    let script = filled(include_str!("kernel/fault_apply.sh"), former, target).replace("@KIND@", kind);
    passes(&format!("fault-apply-{kind}-{former}-{target}"), &script);
}

/// The same with libnftables instead of the program.
#[rstest]
fn apply_by_the_library(#[values("fail", "fail-from", "kill")] kind: &str) {
    let script = filled(include_str!("kernel/fault_apply.sh"), "other", "both").replace("@KIND@", kind);
    passes(&format!("fault-library-{kind}"), &format!("export MHNAT_NFT=lib\n{script}"));
}

#[rstest]
fn down(#[values("fail", "fail-from", "kill")] kind: &str, #[values("both", "loop")] target: &str) {
    let script = filled(include_str!("kernel/fault_down.sh"), "none", target).replace("@KIND@", kind);
    passes(&format!("fault-down-{kind}-{target}"), &script);
}

/// `apply --confirm`: whoever dies, the other one or the next run goes back to the former state.
#[rstest]
fn apply_with_confirmation(
    #[values("apply", "supervisor")] victim: &str,
    #[values(("none", "both"), ("other", "both"), ("loop", "other"))] way: (&str, &str),
) {
    let (former, target) = way;
    let script = filled(include_str!("kernel/fault_confirm.sh"), former, target).replace("@VICTIM@", victim);
    passes(&format!("fault-confirm-{victim}-{former}-{target}"), &script);
}

fn filled(script: &str, former: &str, target: &str) -> String {
    script.replace("@FORMER@", former).replace("@TARGET@", target)
}
