//! The program against a real kernel, in namespaces of each test's own. The host's are never touched.

#[path = "kernel/generated.rs"]
mod generated;
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
fn both_tables_come_and_go_together() {
    passes("tables", include_str!("kernel/tables.sh"));
}

#[test]
fn the_loop_comes_and_goes_and_a_strangers_device_stays() {
    passes("loop", include_str!("kernel/loop.sh"));
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
fn the_daemon_follows_links_and_file() {
    passes("run", include_str!("kernel/run.sh"));
}

#[test]
fn the_daemon_tells_what_it_has_seen() {
    passes("watch", include_str!("kernel/watch.sh"));
}

#[test]
fn conntrackd_is_looked_after() {
    passes("sync", include_str!("kernel/sync.sh"));
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

#[rstest]
fn a_failure_of_nft_is_undone(#[values("before", "after", "meddled")] moment: &str) {
    let script = include_str!("kernel/failure.sh").replace("@MOMENT@", moment);
    passes(&format!("failure-{moment}"), &script);
}

/// From the first call on, nft fails for good: then the undoing fails too, and must not be claimed.
#[rstest]
fn an_undo_that_fails_is_said_and_down_repairs_it(#[values("before", "after")] moment: &str) {
    let script = include_str!("kernel/failure_for_good.sh").replace("@MOMENT@", moment);
    passes(&format!("failure-for-good-{moment}"), &script);
}

/// As SIGKILL would, before nft or after it.
#[rstest]
fn a_kill_around_nft_is_repaired(
    #[values("before", "after")] moment: &str,
    #[values("down", "apply")] repair: &str,
) {
    let script = include_str!("kernel/kill.sh").replace("@MOMENT@", moment).replace("@REPAIR@", repair);
    passes(&format!("kill-{moment}-{repair}"), &script);
}

#[rstest]
fn a_killed_down_is_finished_by_the_next(#[values("before", "after")] moment: &str) {
    let script = include_str!("kernel/kill_down.sh").replace("@MOMENT@", moment);
    passes(&format!("kill-down-{moment}"), &script);
}

#[test]
fn the_library_does_what_the_program_does() {
    passes("library", include_str!("kernel/library.sh"));
}

#[test]
fn packets_go_where_explain_says() {
    passes("explain", include_str!("kernel/explain.sh"));
}

#[test]
fn each_thing_that_will_bite_is_found() {
    passes("audit", include_str!("kernel/audit.sh"));
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
