use rstest::rstest;

use super::*;
use crate::config;
use crate::host::{Hop, HostAction, HostRoute, HostRule};
use crate::routing::TableId;

const CONFIG: &str = r#"
[[uplink]]
name = "first"
interface = "eth0"
address = ["10.1.0.2", "10.1.0.3"]
gateway = "10.1.0.1"
source = "masquerade"
metric = 10

[[uplink]]
name = "second"
interface = "eth1"
address = "10.2.0.2"
gateway = "10.2.0.1"
source = "10.2.0.2"
metric = 20
"#;

/// A host on which nothing bites.
fn clean() -> Facts {
    let mut facts = Facts { nft: NftProgram::Version(1, 0, 6), ..Facts::default() };
    for interface in ["all", "eth0", "eth1"] {
        for (setting, value) in [
            ("rp_filter", 0),
            ("src_valid_mark", 0),
            ("promote_secondaries", 1),
            ("arp_ignore", 0),
            ("arp_announce", 0),
        ] {
            facts.settings.insert(path(Family::V4, interface, setting), value.to_string());
        }
        facts.settings.insert(path(Family::V6, interface, "forwarding"), "1".to_owned());
        facts.settings.insert(path(Family::V6, interface, "accept_ra"), "1".to_owned());
    }
    set(&mut facts, "net/netfilter/nf_conntrack_count", "10");
    set(&mut facts, "net/netfilter/nf_conntrack_max", "1000");
    set(&mut facts, "net/netfilter/nf_conntrack_tcp_loose", "0");
    facts.host.routes.push(route("10.1.0.0/24", "eth0", 0, 2, 254));
    facts.host.routes.push(route("0.0.0.0/0", "eth0", 0, 3, 254));
    facts
}

fn set(facts: &mut Facts, path: &str, value: &str) {
    facts.settings.insert(path.to_owned(), value.to_owned());
}

fn route(to: &str, device: &str, metric: u32, protocol: u8, table: u32) -> HostRoute {
    HostRoute {
        table: TableId::from_number(table),
        to: to.parse().unwrap(),
        metric,
        kind: "unicast".to_owned(),
        hops: vec![Hop { device: device.to_owned(), gateway: None }],
        source: None,
        protocol,
    }
}

fn rule(priority: u32, mark: Option<(u32, u32)>) -> HostRule {
    HostRule {
        family: Family::V4,
        priority,
        from: None,
        to: None,
        mark,
        iif: None,
        action: HostAction::Lookup(TableId::MAIN, None),
        beyond: None,
    }
}

fn line(facts: &mut Facts, text: &str) {
    facts.foreign.push(ForeignRule { place: "table ip other, chain x".to_owned(), text: text.to_owned() });
}

fn found(facts: &Facts) -> Vec<(&'static str, Severity)> {
    let model = config::read(CONFIG.as_bytes()).unwrap();
    audit(facts, Some(&model)).iter().map(|it| (it.id, it.severity)).collect()
}

#[rstest]
#[case::nothing(|_: &mut Facts| {}, &[])]
#[case::strict(|it: &mut Facts| set(it, "net/ipv4/conf/eth0/rp_filter", "1"),
    &[("rp-filter", Severity::Warning), ("src-valid-mark", Severity::Warning)])]
#[case::strict_with_marks(|it: &mut Facts| {
    set(it, "net/ipv4/conf/eth0/rp_filter", "1");
    set(it, "net/ipv4/conf/all/src_valid_mark", "1");
}, &[("rp-filter", Severity::Warning)])]
#[case::strict_for_all_but_loose_here(|it: &mut Facts| {
    set(it, "net/ipv4/conf/all/rp_filter", "1");
    set(it, "net/ipv4/conf/eth0/rp_filter", "2");
    set(it, "net/ipv4/conf/eth1/rp_filter", "2");
}, &[])]
#[case::loose_tcp(|it: &mut Facts| set(it, "net/netfilter/nf_conntrack_tcp_loose", "1"), &[("tcp-loose", Severity::Note)])]
#[case::no_promotion(|it: &mut Facts| {
    set(it, "net/ipv4/conf/eth0/promote_secondaries", "0");
    set(it, "net/ipv4/conf/all/promote_secondaries", "0");
}, &[("promote-secondaries", Severity::Warning)])]
#[case::advertised(|it: &mut Facts| it.host.routes.push(route("::/0", "eth0", 1024, 9, 254)), &[("accept-ra", Severity::Warning)])]
#[case::advertised_and_heeded(|it: &mut Facts| {
    it.host.routes.push(route("::/0", "eth0", 1024, 9, 254));
    set(it, "net/ipv6/conf/eth0/accept_ra", "2");
}, &[])]
#[case::one_prefix_twice(|it: &mut Facts| it.host.routes.push(route("10.1.0.0/24", "eth1", 0, 2, 254)), &[("arp-flux", Severity::Warning)])]
#[case::one_prefix_twice_but_quiet(|it: &mut Facts| {
    it.host.routes.push(route("10.1.0.0/24", "eth1", 0, 2, 254));
    set(it, "net/ipv4/conf/all/arp_ignore", "1");
    set(it, "net/ipv4/conf/all/arp_announce", "2");
}, &[])]
#[case::their_mark(|it: &mut Facts| line(it, "meta mark set 0x00000001"), &[("mark-bits", Severity::Warning)])]
#[case::their_mark_beside_ours(|it: &mut Facts| line(it, "meta mark set meta mark & 0xffffff00 | 0x00000001"), &[])]
#[case::their_mark_read(|it: &mut Facts| line(it, "ct mark & 0x00000f00 == 0x00000100 accept"), &[("mark-bits", Severity::Warning)])]
#[case::their_mark_read_beside_ours(|it: &mut Facts| line(it, "ct mark & 0x000000ff == 0x1 accept"), &[])]
#[case::iptables_mark(|it: &mut Facts| line(it, "-A PREROUTING -j MARK --set-xmark 0x100/0xff00"), &[("mark-bits", Severity::Warning)])]
#[case::iptables_mark_beside_ours(|it: &mut Facts| line(it, "-A PREROUTING -j MARK --set-xmark 0x80000/0x80000"), &[])]
#[case::rule_mark(|it: &mut Facts| it.host.rules.push(rule(100, Some((0x100, 0xff00)))), &[("rule-mark", Severity::Warning)])]
#[case::rule_mark_beside_ours(|it: &mut Facts| it.host.rules.push(rule(100, Some((0x80000, 0xff0000)))), &[])]
#[case::rule_between_ours(|it: &mut Facts| it.host.rules.push(rule(10_050, None)), &[("foreign-rule", Severity::Warning)])]
#[case::rule_above_ours(|it: &mut Facts| it.host.rules.push(rule(16_000, None)), &[])]
#[case::route_in_our_table(|it: &mut Facts| it.host.routes.push(route("0.0.0.0/0", "eth9", 5, 3, 10_901)), &[("foreign-route", Severity::Warning)])]
#[case::masquerade(|it: &mut Facts| line(it, "oifname \"eth0\" masquerade"), &[("foreign-translation", Severity::Warning)])]
#[case::masquerade_everywhere(|it: &mut Facts| line(it, "ip saddr 10.0.0.0/8 snat to 192.0.2.1"), &[("foreign-translation", Severity::Warning)])]
#[case::masquerade_elsewhere(|it: &mut Facts| line(it, "-A POSTROUTING -o docker0 -j MASQUERADE"), &[])]
#[case::flowtable(|it: &mut Facts| line(it, "ip protocol tcp flow add @ft"), &[("flow-offload", Severity::Warning)])]
#[case::nearly_full(|it: &mut Facts| set(it, "net/netfilter/nf_conntrack_count", "850"), &[("conntrack-full", Severity::Warning)])]
#[case::full(|it: &mut Facts| set(it, "net/netfilter/nf_conntrack_count", "990"), &[("conntrack-full", Severity::Error)])]
#[case::no_nft(|it: &mut Facts| it.nft = NftProgram::Missing, &[("nft-program", Severity::Error)])]
#[case::old_nft(|it: &mut Facts| it.nft = NftProgram::Version(0, 9, 7), &[("nft-program", Severity::Error)])]
#[case::no_feature(|it: &mut Facts| it.refused.push(("fib".to_owned(), "Error: no".to_owned())), &[("kernel-feature", Severity::Error)])]
#[case::bridge(|it: &mut Facts| {
    set(it, "net/bridge/bridge-nf-call-iptables", "1");
    it.bridges.push("br0".to_owned());
}, &[("bridge-netfilter", Severity::Warning)])]
#[case::no_bridge(|it: &mut Facts| set(it, "net/bridge/bridge-nf-call-iptables", "1"), &[])]
#[case::two_defaults(|it: &mut Facts| it.host.routes.push(route("0.0.0.0/0", "eth1", 0, 3, 254)), &[("equal-defaults", Severity::Warning)])]
#[case::two_defaults_in_order(|it: &mut Facts| it.host.routes.push(route("0.0.0.0/0", "eth1", 100, 3, 254)), &[])]
fn findings(#[case] change: fn(&mut Facts), #[case] expected: &[(&str, Severity)]) {
    let mut facts = clean();
    change(&mut facts);
    assert_eq!(found(&facts), expected);
}

#[test]
fn the_worst_comes_first_and_everything_has_a_remedy() {
    let mut facts = clean();
    set(&mut facts, "net/netfilter/nf_conntrack_tcp_loose", "1");
    line(&mut facts, "meta mark set 0x00000001");
    facts.nft = NftProgram::Missing;
    let model = config::read(CONFIG.as_bytes()).unwrap();
    let findings = audit(&facts, Some(&model));
    assert_eq!(
        findings.iter().map(|it| it.severity).collect::<Vec<_>>(),
        [Severity::Error, Severity::Warning, Severity::Note]
    );
    assert!(findings.iter().all(|it| !it.remedy.is_empty() && !it.evidence.is_empty()));
    insta::assert_snapshot!(text(&findings));
}

#[test]
fn without_a_model_the_default_mask_counts_and_uplinks_are_not_guessed() {
    let mut facts = clean();
    set(&mut facts, "net/ipv4/conf/eth0/rp_filter", "1");
    line(&mut facts, "masquerade");
    assert_eq!(audit(&facts, None), []);
    line(&mut facts, "meta mark set 0x00000100");
    assert_eq!(audit(&facts, None).len(), 1);
}
