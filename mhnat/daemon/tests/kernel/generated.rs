//! Whatever other programs have put into the kernel, in our ranges as well as outside, stays as it is to the byte.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use std::process::Output;

use super::namespaces::run;

/// Commands that set up what others have.
fn foreign() -> impl Strategy<Value = String> {
    let pieces =
        prop_oneof![docker(), firewalld(), neighbour_table(), rule(), rule(), route(), route(), sysctl()];
    prop::collection::vec(pieces, 1..12).prop_map(|pieces| pieces.concat())
}

/// As Docker writes it through iptables-nft.
fn docker() -> impl Strategy<Value = String> {
    (1u8..40, select(vec!["DOCKER", "DOCKER-USER", "mark_prerouting", "leave_by_first"])).prop_map(
        |(containers, chain)| {
            let mut text = format!(
                "nft -f - <<'RULES'\ntable ip nat {{\nchain {chain} {{\n}}\nchain PREROUTING {{ type nat hook prerouting \
                 priority -100; policy accept; fib daddr type local jump {chain}\n}}\nchain POSTROUTING {{ type nat hook \
                 postrouting priority 100; policy accept; ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade\n}}\n}}\n"
            );
            for number in 1..=containers {
                let _ = writeln!(
                    text,
                    "add rule ip nat {chain} tcp dport {} dnat to 172.17.0.{number}:80 comment \"container {number}\"",
                    8000 + u16::from(number)
                );
            }
            text + "RULES\n"
        },
    )
}

/// As firewalld writes it: one table, zones by interface, priorities beside the usual ones. A second one of the
/// same name replaces the first, as firewalld's reload does: the kernel lets no base chain change its priority.
fn firewalld() -> impl Strategy<Value = String> {
    (select(vec!["firewalld", "mhnat2", "mhna", "filter"]), -160i32..110, prop::collection::btree_set(1u16..9999, 1..20))
        .prop_map(|(table, priority, ports)| {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!(
                "nft -f - <<'RULES'\ntable inet {table}\ndelete table inet {table}\ntable inet {table} {{\nset ports {{ type inet_service; elements = {{ {} }}\n}}\n\
                 map zones {{ type ifname : verdict; elements = {{ \"eth0\" : jump zone_public, \"eth1\" : jump zone_public \
                 }}\n}}\nchain zone_public {{\ntcp dport @ports accept\nct state established,related accept\n}}\n\
                 chain filter_PREROUTING {{ type filter hook prerouting priority {priority}; policy accept; iifname vmap \
                 @zones\n}}\n}}\nRULES\n",
                ports.join(", ")
            )
        })
}

/// A table whose name is ours and whose family is not.
fn neighbour_table() -> impl Strategy<Value = String> {
    (select(vec!["ip", "ip6", "arp"]), any::<u16>()).prop_map(|(family, mark)| {
        let hook = if family == "arp" { "input" } else { "output" };
        format!(
            "nft -f - <<'RULES'\ntable {family} mhnat {{\nchain mark_output {{ type filter hook {hook} priority -150; \
             policy accept; meta mark {mark} accept comment \"mark: theirs\"\n}}\n}}\nRULES\n"
        )
    })
}

/// Numbers of tables, ours among them.
fn table() -> impl Strategy<Value = u32> {
    prop_oneof![10_890u32..10_910, select(vec![77u32, 254, 10_900, 10_901, 10_902])]
}

/// Protocol numbers, ours not among them: bird, static, boot and others.
fn protocol() -> impl Strategy<Value = u8> {
    select(vec![3u8, 4, 12, 99, 108, 110, 186])
}

fn rule() -> impl Strategy<Value = String> {
    let priority = prop_oneof![9_990u32..10_200, 10_990u32..11_050, 15_790u32..15_910, 1u32..32_000];
    (any::<bool>(), priority, 0u8..4, any::<u8>(), table(), protocol()).prop_map(
        |(v6, priority, selector, number, table, protocol)| {
            let (ip, prefix) = if v6 {
                ("ip -6", format!("2001:db8:{number:x}::/48"))
            } else {
                ("ip", format!("172.16.{number}.0/24"))
            };
            let selector = match selector {
                0 => format!("from {prefix}"),
                1 => format!("to {prefix}"),
                2 => format!("fwmark 0x{number:x}00/0xff00"),
                _ => "iif eth0 ipproto tcp".to_owned(),
            };
            // The same twice is refused by the kernel, which is no matter of ours.
            format!("{ip} rule add {selector} priority {priority} lookup {table} protocol {protocol} 2>/dev/null || true\n")
        },
    )
}

fn route() -> impl Strategy<Value = String> {
    (any::<bool>(), any::<u8>(), table(), protocol(), select(vec![0u32, 1, 5, 10, 20, 1024]), 0u8..4).prop_map(
        |(v6, number, table, protocol, metric, kind)| {
            let (ip, prefix, gateway) = if v6 {
                ("ip -6", format!("2001:db8:77{number:02x}::/48"), "2001:db8:1::1")
            } else {
                ("ip", format!("172.20.{number}.0/24"), "10.1.0.1")
            };
            let (kind, way) = match kind {
                0 => ("blackhole ", String::new()),
                1 => ("unreachable ", String::new()),
                _ => ("", format!("via {gateway} dev eth0 ")),
            };
            let metric = if metric == 0 { String::new() } else { format!("metric {metric} ") };
            format!("{ip} route add {kind}{prefix} {way}table {table} {metric}protocol {protocol} 2>/dev/null || true\n")
        },
    )
}

fn sysctl() -> impl Strategy<Value = String> {
    let values = vec![
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.all.rp_filter=2",
        "net.ipv4.conf.eth0.rp_filter=0",
        "net.ipv4.conf.eth1.rp_filter=2",
        "net.ipv4.conf.default.rp_filter=2",
        "net.ipv4.conf.eth0.accept_local=1",
        "net.ipv4.conf.eth1.arp_ignore=1",
        "net.ipv4.conf.eth1.forwarding=1",
        "net.ipv4.tcp_fwmark_accept=1",
        "net.ipv4.fwmark_reflect=1",
    ];
    select(values).prop_map(|value| format!("sysctl -qw {value}\n"))
}

/// Applies in a row, each by a file and a way to nft.
fn applies() -> impl Strategy<Value = String> {
    let one = (select(vec!["both", "other"]), select(vec!["", "--nft lib"]));
    prop::collection::vec(one, 1..5).prop_map(|all| {
        all.iter().fold(String::new(), |mut out, (file, way)| {
            let _ = writeln!(out, "step {file}.toml {way}");
            out
        })
    })
}

proptest! {
    // Each case is a kernel of its own, and takes seconds.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_others_have_stays_to_the_byte(foreign in foreign(), applies in applies()) {
        let script = include_str!("generated.sh").replace("@FOREIGN@", &foreign).replace("@APPLIES@", &applies);
        if let Some(Output { status, stdout, stderr }) = run("generated", &script) {
            prop_assert!(
                status.success(),
                "{}\n--- stdout\n{}--- stderr\n{}",
                status,
                String::from_utf8_lossy(&stdout),
                String::from_utf8_lossy(&stderr)
            );
        }
    }
}
