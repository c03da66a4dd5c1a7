//! The program against a real kernel, in namespaces of each test's own. The host's are never touched.

#[path = "kernel/namespaces.rs"]
mod namespaces;

use rstest::rstest;

use self::namespaces::passes;

#[test]
fn down_leaves_the_host_as_it_was() {
    passes("down", include_str!("kernel/down.sh"));
}

#[test]
fn applying_again_changes_nothing_and_another_file_replaces_all() {
    passes("again", include_str!("kernel/again.sh"));
}

#[test]
fn others_keep_what_is_theirs() {
    passes("foreign", include_str!("kernel/foreign.sh"));
}

#[test]
fn links_that_are_down_or_absent_are_left_out() {
    passes("links", include_str!("kernel/links.sh"));
}

#[test]
fn default_routes_lead_where_the_ruleset_translates() {
    passes("order", include_str!("kernel/order.sh"));
}

#[test]
fn dynamic_uplinks_follow_what_the_kernel_was_told() {
    passes("dynamic", include_str!("kernel/dynamic.sh"));
}

#[test]
fn prefixes_come_and_go_with_their_uplink() {
    passes("prefixes", include_str!("kernel/prefixes.sh"));
}

#[test]
fn without_privileges_apply_exits_3() {
    passes("unprivileged", include_str!("kernel/unprivileged.sh"));
}

#[test]
fn two_runs_do_not_meet() {
    passes("lock", include_str!("kernel/lock.sh"));
}

/// The n-th call of nft fails, or kills mhnat as SIGKILL would at that moment.
#[rstest]
fn a_failure_at_any_call_of_nft_is_undone(#[values(1, 2, 3, 4, 5)] call: u32) {
    let script = include_str!("kernel/failure.sh").replace("@CALL@", &call.to_string());
    passes(&format!("failure-{call}"), &script);
}

/// From the n-th call on, nft fails for good: then the undoing fails too, and must not be claimed.
#[rstest]
fn an_undo_that_fails_is_said_and_down_repairs_it(#[values(1, 2, 3, 4, 5, 6)] call: u32) {
    let script = include_str!("kernel/failure_for_good.sh").replace("@CALL@", &call.to_string());
    passes(&format!("failure-for-good-{call}"), &script);
}

#[rstest]
fn a_kill_at_any_call_of_nft_is_repaired(
    #[values(1, 2, 3, 4, 5)] call: u32,
    #[values("before", "after")] moment: &str,
    #[values("down", "apply")] repair: &str,
) {
    let script = include_str!("kernel/kill.sh")
        .replace("@CALL@", &call.to_string())
        .replace("@MOMENT@", moment)
        .replace("@REPAIR@", repair);
    passes(&format!("kill-{call}-{moment}-{repair}"), &script);
}

#[rstest]
fn a_killed_down_is_finished_by_the_next(
    #[values(1, 2, 3)] call: u32,
    #[values("before", "after")] moment: &str,
) {
    let script =
        include_str!("kernel/kill_down.sh").replace("@CALL@", &call.to_string()).replace("@MOMENT@", moment);
    passes(&format!("kill-down-{call}-{moment}"), &script);
}

/// As an unprivileged user may load no more than a few thousand elements at once, where root may.
#[test]
fn what_is_too_much_for_the_kernel_is_undone() {
    passes("too-much", include_str!("kernel/too_much.sh"));
}

#[test]
fn what_nobody_confirms_is_rolled_back() {
    passes("confirm", include_str!("kernel/confirm.sh"));
}

#[test]
fn plan_shows_what_an_apply_would_change() {
    passes("diff", include_str!("kernel/diff.sh"));
}

#[test]
fn status_tells_usable_links_flows_and_drift() {
    passes("status", include_str!("kernel/status.sh"));
}

#[test]
fn a_state_counts_for_its_boot_and_namespace_only() {
    passes("state", include_str!("kernel/state.sh"));
}
