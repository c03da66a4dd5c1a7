use std::collections::BTreeSet;
use std::fmt::Write as _;

use rstest::rstest;

use crate::config;
use crate::desired::{Desired, desired};
use crate::link::Availability;
use crate::routing::Selector;
use crate::slot::Slots;

const UPLINKS: &str = "[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\n\
    address = [\"192.0.2.2\", \"192.0.2.3\", \"2001:db8::2\"]\nmetric = 1\n\
    [[uplink]]\nname = \"b\"\ninterface = \"eth1\"\naddress = \"198.51.100.2\"\n";

fn plan(text: &str) -> Desired {
    let model = config::read(text.as_bytes()).unwrap();
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let slots = Slots::allocate(names, &Slots::default(), model.mask.capacity());
    desired(&model, &slots, &Availability::full())
}

fn forward(words: &str) -> Desired {
    plan(&format!("{UPLINKS}[[forward]]\n{words}"))
}

fn elements(plan: &Desired, map: &str) -> Vec<String> {
    let map = plan.ruleset.maps.iter().find(|it| it.name == map);
    map.into_iter().flat_map(|it| &it.elements).map(|(key, value)| format!("{key} : {value}")).collect()
}

#[rstest]
#[case::port("tcp/2201", "10.0.0.1:22", "4", "tcp . 2201", "10.0.0.1", "22")]
#[case::same_port("udp/123", "10.0.0.1", "4", "udp . 123", "10.0.0.1", "123")]
#[case::v6("tcp/80", "[fd00::1]:8080", "6", "tcp . 80", "fd00::1", "8080")]
#[case::bare_v6("tcp/80", "fd00::1", "6", "tcp . 80", "fd00::1", "80")]
#[case::range_of_one("tcp/80-80", "10.0.0.1:1", "4", "tcp . 80", "10.0.0.1", "1")]
fn targets(
    #[case] port: &str,
    #[case] to: &str,
    #[case] digit: &str,
    #[case] key: &str,
    #[case] host: &str,
    #[case] host_port: &str,
) {
    let plan = forward(&format!("on = \"a\"\nport = \"{port}\"\nto = \"{to}\"\n"));
    assert_eq!(elements(&plan, &format!("forward_to_{digit}")), [format!("\"eth0\" . {key} : {host}")]);
    assert_eq!(
        elements(&plan, &format!("forward_port_{digit}")),
        [format!("\"eth0\" . {key} : {host_port}")]
    );
}

#[test]
fn a_range_keeps_its_ports() {
    let plan = forward("on = \"a\"\nport = \"tcp/80-90\"\nto = \"10.0.0.1\"\n");
    assert_eq!(elements(&plan, "forward_range_4"), ["\"eth0\" . tcp . 80-90 : 10.0.0.1"]);
    assert!(elements(&plan, "forward_port_4").is_empty());
}

#[test]
fn what_comes_in_is_told_from_what_is_led_back() {
    let plan = forward("on = [\"a\", \"b\"]\nport = \"tcp/80\"\nto = \"10.0.0.1\"\n");
    let text = plan.ruleset.text();
    assert!(text.contains("ct state new meta l4proto { tcp } iifname vmap @came_by"), "{text}");
    assert!(text.contains("iifname != @uplinks ct mark & 0x0000ff00 vmap @leave_by"), "{text}");
    let marks = plan.rules.iter().filter(|it| matches!(it.selector, Selector::Mark { .. })).count();
    // A lookup and its guard for each uplink; the first one has a leg of the other family as well.
    assert_eq!(marks, 6);
}

#[test]
fn clients_inside_ask_every_address_of_the_uplink() {
    let plan = forward("on = \"a\"\nport = \"tcp/80\"\nto = \"10.0.0.1\"\nhairpin = true\n");
    assert_eq!(
        elements(&plan, "hairpin_to_4"),
        ["192.0.2.2 . tcp . 80 : 10.0.0.1", "192.0.2.3 . tcp . 80 : 10.0.0.1"]
    );
    let text = plan.ruleset.text();
    assert!(text.contains("ip daddr . meta l4proto . th dport @hairpin_4 masquerade"), "{text}");
}

#[test]
fn one_source_serves_clients_inside_and_outside() {
    let words =
        "on = \"a\"\nport = \"tcp/80\"\nto = \"10.0.0.1:8080\"\nfull-nat = \"10.0.0.254\"\nhairpin = true\n";
    let plan = forward(words);
    assert_eq!(elements(&plan, "forward_source_4"), ["10.0.0.1 . tcp . 8080 : 10.0.0.254"]);
    assert!(!plan.ruleset.text().contains("masquerade"));
}

/// The kernel would refuse intervals that overlap.
#[test]
fn targets_that_overlap_become_one() {
    let forward = |on: &str, port: &str, to: &str, more: &str| {
        format!("[[forward]]\non = \"{on}\"\nport = \"tcp/{port}\"\nto = \"{to}\"\n{more}\n")
    };
    let (inside, seen) = ("hairpin = true", "full-nat = \"10.0.0.254\"");
    let plan = plan(
        &[
            UPLINKS.to_owned(),
            forward("a", "8005-8010", "10.0.0.1", inside),
            forward("b", "8000-8006", "10.0.0.1", inside),
            forward("a", "8003", "10.0.0.1", inside),
            forward("a", "9000", "10.0.0.1", inside),
            forward("a", "100-110", "10.0.0.2", seen),
            forward("b", "110", "10.0.0.2", seen),
            forward("b", "112", "10.0.0.2", seen),
        ]
        .concat(),
    );
    let set = plan.ruleset.sets.iter().find(|it| it.name == "hairpin_4").unwrap();
    assert_eq!(set.elements, ["10.0.0.1 . tcp . 8000-8010", "10.0.0.1 . tcp . 9000"]);
    assert_eq!(
        elements(&plan, "forward_source_4"),
        ["10.0.0.2 . tcp . 100-110 : 10.0.0.254", "10.0.0.2 . tcp . 112 : 10.0.0.254"]
    );
}

#[test]
fn forwards_imply_forwarding_of_their_family() {
    let demands = |extra: &str| {
        let words = "on = \"a\"\nport = \"tcp/80\"\nto = \"[fd00::1]:80\"\n";
        let plan = plan(&format!("{extra}{UPLINKS}[[forward]]\n{words}"));
        plan.sysctls.iter().map(ToString::to_string).filter(|it| it.contains("forward")).collect::<Vec<_>>()
    };
    assert_eq!(demands(""), ["net/ipv6/conf/all/forwarding = 1"]);
    assert!(demands("forwarding = false\n").is_empty());
}

#[test]
fn a_thousand_forwards_need_the_rules_of_one() {
    let forwards = |count: u16| {
        let mut text = UPLINKS.to_owned();
        for n in 1..=count {
            let [high, low] = n.to_be_bytes();
            for (port, to, seen) in [
                (format!("{n}"), format!("10.9.{high}.{low}:22"), "10.0.0.254"),
                (format!("{n}"), format!("[fd00::{n:x}]:22"), "fd00::ffff"),
                (format!("{}-{}", 2000 + 2 * n, 2001 + 2 * n), format!("10.8.{high}.{low}"), "10.0.0.254"),
            ] {
                let _ = writeln!(
                    text,
                    "[[forward]]\non = \"a\"\nport = \"tcp/{port}\"\nto = \"{to}\"\nhairpin = true\n\
                     {}full-nat = \"{seen}\"",
                    if n == 1 { "# " } else { "" }
                );
            }
        }
        plan(&text)
    };
    let (two, thousand) = (forwards(2), forwards(1000));
    assert_eq!(two.ruleset.chains, thousand.ruleset.chains);
    assert_eq!((two.rules, two.routes), (thousand.rules, thousand.routes));
    let rules: Vec<_> = thousand.ruleset.chains.iter().flat_map(|it| &it.rules).collect();
    let comments: BTreeSet<_> = rules.iter().map(|rule| &rule.comment).collect();
    assert_eq!(comments.len(), rules.len());
    assert!(comments.iter().all(|comment| comment.len() <= 128));
}
