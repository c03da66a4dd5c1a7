//! What a sandbox and a lab in it are like.

use std::{fs, io, panic};

use harness_lab::lab::Lab;
use harness_model::scenario::LinkAction;

use crate::{Case, plans::*};

pub(crate) const ALL: [Case; 13] = [
    ("the_file_system_is_read_only", the_file_system_is_read_only),
    ("run_is_private", run_is_private),
    ("processes_outside_are_out_of_sight", processes_outside_are_out_of_sight),
    ("a_panic_in_a_node_leads_back", a_panic_in_a_node_leads_back),
    ("a_command_runs_in_its_node", a_command_runs_in_its_node),
    ("a_star_comes_up", a_star_comes_up),
    ("links_change", links_change),
    ("a_removed_device_is_gone", a_removed_device_is_gone),
    ("a_restored_device_has_another_index", a_restored_device_has_another_index),
    ("what_was_not_removed_is_not_restored", what_was_not_removed_is_not_restored),
    ("a_mute_link_keeps_its_carrier", a_mute_link_keeps_its_carrier),
    ("a_refusal_names_its_request", a_refusal_names_its_request),
    ("an_unknown_sysctl_is_named", an_unknown_sysctl_is_named),
];

fn the_file_system_is_read_only() {
    for path in ["/harness-lab-test", "/tmp/harness-lab-test", "/dev/shm/harness-lab-test"] {
        let error = fs::write(path, "").expect_err(path);
        assert!(
            matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotFound),
            "{path}: {error}"
        );
    }
    fs::write("/dev/null", "x").unwrap();
    let kept = format!("{}/{}", crate::WRITABLE, namespace().replace(':', "-"));
    fs::write(&kept, "x").unwrap();
    fs::remove_file(kept).unwrap();
}

fn run_is_private() {
    let mut names: Vec<_> = fs::read_dir("/run").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "mhlab", "netns", "tmp"]);
    let _lab = Lab::build(&small()).unwrap();
    assert!(fs::exists("/run/netns/alice").unwrap());
    fs::write("/run/tmp/file", "x").unwrap();
}

fn processes_outside_are_out_of_sight() {
    assert_eq!(std::process::id(), 1);
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let processes: Vec<_> = entries.filter(|name| name.to_str().unwrap().parse::<u32>().is_ok()).collect();
    assert_eq!(processes, ["1"]);
}

fn namespace() -> String {
    fs::read_link("/proc/thread-self/ns/net").unwrap().to_str().unwrap().to_owned()
}

fn a_panic_in_a_node_leads_back() {
    let lab = Lab::build(&small()).unwrap();
    let outside = namespace();
    let inside = lab.in_node(ALICE, || {
        let alice = namespace();
        lab.in_node(BOB, || assert_ne!(namespace(), alice)).unwrap();
        assert_eq!(namespace(), alice, "back from a node within a node");
        alice
    });
    assert_ne!(inside.unwrap(), outside);
    assert_eq!(namespace(), outside);
    panic::set_hook(Box::new(|_| {}));
    let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| lab.in_node(ALICE, || panic!("on purpose"))));
    assert!(caught.is_err());
    assert_eq!(namespace(), outside);
}

fn a_command_runs_in_its_node() {
    let lab = Lab::build(&small()).unwrap();
    let output = lab.command(BOB, "readlink").unwrap().arg("/proc/self/ns/net").output().unwrap();
    let expected = lab.in_node(BOB, namespace).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected);
}

fn a_star_comes_up() {
    let mut lab = Lab::build(&star(30)).unwrap();
    for node in 0..30 {
        let device = lab.plan().nodes[node].devices[0].index;
        assert!(lab.device_up(node, device).unwrap());
    }
}

fn links_change() {
    let mut lab = Lab::build(&small()).unwrap();
    let ends = [(ROUTER, ROUTER_WAN), (SERVER, SERVER_ETH0)];
    let up = |lab: &mut Lab| ends.map(|(node, device)| lab.device_up(node, device).unwrap());
    for _ in 0..20 {
        assert_eq!(up(&mut lab), [true, true]);
        lab.change(ROUTER, ROUTER_WAN, LinkAction::Cut).unwrap();
        assert_eq!(up(&mut lab), [false, false]);
        lab.change(ROUTER, ROUTER_WAN, LinkAction::Mend).unwrap();
        assert_eq!(up(&mut lab), [true, true]);
        lab.change(ROUTER, ROUTER_WAN, LinkAction::Down).unwrap();
        assert_eq!(up(&mut lab), [false, false]);
        lab.change(SERVER, SERVER_ETH0, LinkAction::Cut).unwrap();
        lab.change(ROUTER, ROUTER_WAN, LinkAction::Up).unwrap();
    }
}

fn a_removed_device_is_gone() {
    let mut lab = Lab::build(&small()).unwrap();
    lab.change(ALICE, ALICE_ETH0, LinkAction::Remove).unwrap();
    assert!(!lab.device_up(ALICE, ALICE_ETH0).unwrap());
    let error = lab.change(ALICE, ALICE_ETH0, LinkAction::Up).unwrap_err().to_string();
    assert_eq!(error, "alice: set eth0 up: No such device");
    let error = lab.change(ALICE, BOB_ETH0, LinkAction::Up).unwrap_err().to_string();
    assert_eq!(error, "alice: device 103 has no cable");
}

fn a_restored_device_has_another_index() {
    let mut lab = Lab::build(&small()).unwrap();
    let shown = |lab: &Lab, node: usize, what: &str| {
        let output = lab.command(node, "/bin/sh").unwrap().args(["-c", what]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let index = "grep -s eth0 /proc/net/if_inet6 | head -1 | cut -d' ' -f2";
    let routes = "cat /proc/net/route /proc/net/ipv6_route | grep -c eth0";
    let (before, had) = (shown(&lab, SERVER, index), shown(&lab, SERVER, routes));
    lab.leave_routes_to(ROUTER);
    // Either end takes the cable with it, and brings it back.
    for (node, device) in [(ROUTER, ROUTER_WAN), (SERVER, SERVER_ETH0), (ROUTER, ROUTER_WAN)] {
        let last = lab.index_now(SERVER_ETH0);
        lab.change(node, device, LinkAction::Remove).unwrap();
        assert!(!lab.device_up(ROUTER, ROUTER_WAN).unwrap());
        assert!(!lab.device_up(SERVER, SERVER_ETH0).unwrap());
        lab.change(node, device, LinkAction::Restore).unwrap();
        assert!(lab.device_up(ROUTER, ROUTER_WAN).unwrap());
        assert!(lab.device_up(SERVER, SERVER_ETH0).unwrap());
        assert_ne!(lab.index_now(SERVER_ETH0), last);
        assert_eq!(shown(&lab, SERVER, index), format!("{:02x}", lab.index_now(SERVER_ETH0)));
        assert_ne!(shown(&lab, SERVER, index), before);
        assert_eq!(shown(&lab, SERVER, routes), had);
        let own = shown(&lab, ROUTER, "ip route show dev wan 2>/dev/null || echo unknown");
        assert!(own == "unknown" || !own.contains("198.51.100.1"), "the router's own affair: {own}");
        lab.change(ROUTER, ROUTER_WAN, LinkAction::Down).unwrap();
        lab.change(ROUTER, ROUTER_WAN, LinkAction::Up).unwrap();
    }
}

fn what_was_not_removed_is_not_restored() {
    let mut lab = Lab::build(&small()).unwrap();
    let error = lab.change(ROUTER, ROUTER_WAN, LinkAction::Restore).unwrap_err().to_string();
    assert!(error.starts_with("lab: add cable wan - eth0: File exists"), "{error}");
    assert_eq!(lab.index_now(ROUTER_WAN), ROUTER_WAN);
    lab.change(ROUTER, ROUTER_WAN, LinkAction::Cut).unwrap();
    assert!(!lab.device_up(ROUTER, ROUTER_WAN).unwrap());
}

fn a_mute_link_keeps_its_carrier() {
    let mut lab = Lab::build(&small()).unwrap();
    for action in [LinkAction::Mute, LinkAction::Unmute, LinkAction::Mute] {
        lab.change(ALICE, ALICE_ETH0, action).unwrap();
        assert!(lab.device_up(ALICE, ALICE_ETH0).unwrap());
    }
    let error = lab.change(ROUTER, ROUTER_WAN, LinkAction::Mute).unwrap_err().to_string();
    assert_eq!(
        error,
        "wan: it is on a mere cable to eth0, which cannot be muted without a switch in between"
    );
}

fn a_refusal_names_its_request() {
    let mut plan = small();
    let again = plan.nodes[ROUTER].devices[0].addresses[0];
    plan.nodes[ROUTER].devices[0].addresses.push(again);
    let error = Lab::build(&plan).unwrap_err().to_string();
    assert!(error.starts_with("router: add address 10.0.0.1/24 to lan: File exists"), "{error}");
}

fn an_unknown_sysctl_is_named() {
    let mut plan = small();
    plan.nodes[BOB].sysctls.push(("ipv4/no_such".to_owned(), "1".to_owned()));
    let error = Lab::build(&plan).unwrap_err().to_string();
    assert!(error.starts_with("bob: write \"1\" to /proc/sys/net/ipv4/no_such (hint:"), "{error}");
}
