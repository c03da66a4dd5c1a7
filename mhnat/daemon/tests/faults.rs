//! Every operation on the kernel, on files and with nft fails in turn, or is the last before a SIGKILL. After
//! that the host is as before, or the next run completes or takes back what was begun.
//!
//! `cargo test --workspace --features mhnat/fault-injection --test faults -- --nocapture` prints how many
//! operations each pass went through.

#[path = "kernel/namespaces.rs"]
mod namespaces;

use rstest::rstest;

use self::namespaces::passes;

/// A failure and all that follow; one failure alone; death.
#[rstest]
fn apply(#[values("fail", "fail-from", "kill")] kind: &str, #[values("none", "other")] former: &str) {
    let script = include_str!("kernel/fault_apply.sh").replace("@KIND@", kind).replace("@FORMER@", former);
    passes(&format!("fault-apply-{kind}-{former}"), &script);
}

#[rstest]
fn down(#[values("fail", "fail-from", "kill")] kind: &str) {
    let script = include_str!("kernel/fault_down.sh").replace("@KIND@", kind);
    passes(&format!("fault-down-{kind}"), &script);
}

/// `apply --confirm`: whoever dies, the other one or the next run goes back to the former state.
#[rstest]
fn apply_with_confirmation(
    #[values("apply", "supervisor")] victim: &str,
    #[values("none", "other")] former: &str,
) {
    let script =
        include_str!("kernel/fault_confirm.sh").replace("@VICTIM@", victim).replace("@FORMER@", former);
    passes(&format!("fault-confirm-{victim}-{former}"), &script);
}
