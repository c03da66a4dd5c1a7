use std::{fmt::Write as _, net::IpAddr};

use super::{Evidence, Ground, judge, judge_always};
use crate::{
    diagnostic::render,
    event::Check,
    observation::{CommandSeen, Entry, EntryEvent, ExchangeSeen, Record, SocketResult, Tuple},
    packet::{Ip, Packet, Token, TokenKind, Transport, flags},
    plan::{self, LabPlan},
    scenario::{EntryChange, Protocol, Scenario, parse},
    topology::NodeId,
};

/// A client behind a gateway that rewrites its source, a server, and a second way that nobody takes.
const LAB: &str = r#"
title = "A client, a gateway, a server"

[node]
client = { interface = { eth0 = "10.0.0.2/24" } }
gate = { interface = { lan = "10.0.0.1/24", wan = "192.0.2.1/24", spare = "198.51.100.1/24" }, forward = true }
server = { interface = { eth0 = "192.0.2.80/24", eth1 = "198.51.100.80/24" } }

[subject]
on = "gate"
variant.nothing = { breaks = ["step"] }

[[link]]
name = "home"
ends = ["client:eth0", "gate:lan"]

[[link]]
name = "access"
ends = ["gate:wan", "server:eth0"]

[[link]]
name = "spare"
ends = ["gate:spare", "server:eth1"]
"#;
const CLIENT: usize = 0;
const GATE: usize = 1;
const SERVER: usize = 2;
const PROBE: u32 = 7;
const ISN: u32 = 1000;

fn read(step: &str) -> Scenario {
    let text = format!("{LAB}\n[[step]]\nname = \"step\"\n{step}\n");
    parse(&text).unwrap_or_else(|findings| panic!("{}", render("verdict", &text, &findings, false)))
}

/// A packet on its way: source, destination, transport and mark.
#[derive(Clone)]
struct Draft(&'static str, &'static str, Transport, Option<Token>);

impl Draft {
    fn ip(&self) -> Ip {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (source, destination) = (address(self.0), address(self.1));
        let payload = b"mhlab and more".to_vec();
        Ip { source, destination, ttl: 63, length: 44, transport: self.2.clone(), token: self.3, payload }
    }
}

fn udp(source: u16, destination: u16) -> Transport {
    Transport::Udp { source, destination }
}

fn token(kind: TokenKind) -> Option<Token> {
    Some(Token { kind, id: PROBE })
}

/// The record of a packet at a device, which is named.
fn record(plan: &LabPlan, (node, device, sent): (usize, &str, bool), packet: Packet) -> Record {
    let device = plan.nodes[node].devices.iter().find(|own| own.name == device).unwrap().index;
    Record { at: 0, node, device, sent, overheard: false, packet, times: 1 }
}

fn way(plan: &LabPlan, hops: &[(usize, &str, bool)], drafts: &[&Draft]) -> Vec<Record> {
    let pairs = hops.iter().zip(drafts);
    pairs.map(|(hop, draft)| record(plan, *hop, Packet::Ip(draft.ip()))).collect()
}

const THERE: [(usize, &str, bool); 4] =
    [(CLIENT, "eth0", true), (GATE, "lan", false), (GATE, "wan", true), (SERVER, "eth0", false)];
const BACK: [(usize, &str, bool); 4] =
    [(SERVER, "eth0", true), (GATE, "wan", false), (GATE, "lan", true), (CLIENT, "eth0", false)];

/// A question that is answered, with its source rewritten on the way.
fn answered(plan: &LabPlan) -> Vec<Record> {
    let inner = Draft("10.0.0.2", "192.0.2.80", udp(4000, 7), token(TokenKind::Question));
    let outer = Draft("192.0.2.1", "192.0.2.80", udp(4000, 7), token(TokenKind::Question));
    let answer = Draft("192.0.2.80", "192.0.2.1", udp(7, 4000), token(TokenKind::Answer));
    let home = Draft("192.0.2.80", "10.0.0.2", udp(7, 4000), token(TokenKind::Answer));
    let mut records = way(plan, &THERE, &[&inner, &inner, &outer, &outer]);
    records.extend(way(plan, &BACK, &[&answer, &answer, &home, &home]));
    records
}

/// A question that the gateway drops.
fn dropped(plan: &LabPlan) -> Vec<Record> {
    let inner = Draft("10.0.0.2", "192.0.2.80", udp(4000, 7), token(TokenKind::Question));
    way(plan, &THERE[..2], &[&inner, &inner])
}

/// A connection that the server refuses.
fn refused(plan: &LabPlan) -> Vec<Record> {
    let tcp = |source, destination, flags, sequence, acknowledgement| Transport::Tcp {
        source,
        destination,
        flags,
        sequence,
        acknowledgement,
    };
    let syn = Draft("10.0.0.2", "192.0.2.80", tcp(4000, 7, flags::SYN, ISN, 0), None);
    let rst = Draft("192.0.2.80", "10.0.0.2", tcp(7, 4000, flags::RST | flags::ACK, 0, ISN + 1), None);
    let mut records = way(plan, &THERE, &[&syn; 4]);
    records.extend(way(plan, &BACK, &[&rst; 4]));
    records
}

fn exchange(protocol: Protocol, result: SocketResult) -> ExchangeSeen {
    ExchangeSeen {
        node: CLIENT,
        probe: PROBE,
        protocol,
        local: "10.0.0.2:4000".parse().unwrap(),
        remote: "192.0.2.80:7".parse().unwrap(),
        result,
    }
}

fn entry() -> Entry {
    let address = |text: &str| text.parse().unwrap();
    let tuple = |source, destination, source_port, destination_port| Tuple {
        source: address(source),
        destination: address(destination),
        source_port,
        destination_port,
    };
    Entry {
        protocol: 17,
        original: tuple("10.0.0.2", "192.0.2.80", 4000, 7),
        reply: tuple("192.0.2.80", "192.0.2.1", 7, 4000),
        mark: 0x1ff,
        zone: 0,
        status: 0,
        timeout: 30,
    }
}

fn line(text: &mut String, check: &Check) {
    let verdict = if check.holds { "holds" } else { "FAILS" };
    let _ = writeln!(text, "{verdict} | {} | {}", check.expected, check.seen);
}

/// Judges each expectation by itself, and puts down the verdicts.
fn table(
    expectations: &[&str],
    protocol: &str,
    records: fn(&LabPlan) -> Vec<Record>,
    result: SocketResult,
) -> String {
    let mut text = String::new();
    let asked = if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp };
    for expectation in expectations {
        let request =
            format!("request = {{ from = \"client\", to = \"server:7\", protocol = \"{protocol}\" }}");
        let scenario = read(&format!("{request}\nexpect = {{ {expectation} }}"));
        let plan = plan::build(&scenario.topology, false);
        let records = records(&plan);
        let evidence = Evidence {
            records: &records,
            exchange: Some(exchange(asked, result)),
            conntrack: &[(NodeId(GATE), vec![entry()])],
            changes: &[(NodeId(GATE), vec![EntryEvent { change: EntryChange::Destroyed, entry: entry() }])],
            ..Evidence::default()
        };
        let ground = Ground { topology: &scenario.topology, plan: &plan };
        let judged = judge(ground, &scenario.steps[0].expect, &evidence);
        let _ = writeln!(text, "{expectation}");
        // A pattern alone says nothing against the answer, so that is expected as well.
        for check in judged
            .checks
            .iter()
            .filter(|check| expectation.contains("answered") || !check.expected.starts_with("answered"))
        {
            text.push_str("  ");
            line(&mut text, check);
        }
    }
    text
}

#[test]
fn an_answered_question() {
    let expectations = [
        "answered = true",
        "answered = false",
        "error = \"refused\"",
        "reply-from = \"192.0.2.80:7\"",
        "reply-from = \"192.0.2.81\"",
        "seen-from = \"192.0.2.1\"",
        "seen-from = \"192.0.2.1:4001\"",
        "seen-from = \"10.0.0.2\"",
        "seen-to = \"192.0.2.80:7\"",
        "seen-to = \"198.51.100.80\"",
        "reached = \"server\"",
        "reached = \"gate\"",
        "by = \"access\"",
        "by = \"spare\"",
        "reply-by = \"access\"",
        "reply-by = \"spare\"",
        "path = [\"client\", \"gate\", \"server\"]",
        "path = [\"client\", \"server\"]",
        "reply-path = [\"server\", \"gate\", \"client\"]",
        "reply-path = [\"server\"]",
    ];
    insta::assert_snapshot!(table(&expectations, "udp", answered, SocketResult::Answered));
}

#[test]
fn a_dropped_question() {
    let expectations = [
        "answered = true",
        "answered = false",
        "reached = \"server\"",
        "seen-from = \"192.0.2.1\"",
        "by = \"home\"",
        "by = \"access\"",
        "reply-from = \"192.0.2.80\"",
        "reply-by = \"access\"",
        "path = [\"client\", \"gate\"]",
        "reply-path = [\"server\"]",
    ];
    insta::assert_snapshot!(table(&expectations, "udp", dropped, SocketResult::Silence));
}

#[test]
fn a_refused_connection() {
    let expectations = [
        "error = \"refused\"",
        "error = \"unreachable\"",
        "error = \"reset\"",
        "answered = false",
        "reached = \"server\"",
        "by = \"access\"",
        "seen = [{ at = \"client\", direction = \"in\", flags = \"rst+ack\" }]",
        "never = [{ on = \"access\", flags = \"syn\", own = true }]",
        "seen = [{ on = \"spare\", own = true, at-most = 0 }]",
    ];
    insta::assert_snapshot!(table(&expectations, "tcp", refused, SocketResult::Refused));
}

#[test]
fn patterns_over_packets() {
    let expectations = [
        // Eight records, but four frames on two links.
        "seen = [{ own = true, count = 4 }]",
        "seen = [{ on = \"access\", own = true, count = 2 }]",
        "seen = [{ on = \"access\", count = 3 }]",
        "seen = [{ on = \"access\", at-least = 1, at-most = 2 }]",
        "seen = [{ on = \"access\", at-least = 3 }]",
        "seen = [{ on = \"access\", at-most = 1 }]",
        "seen = [{ at = \"gate\", count = 4 }]",
        "seen = [{ at = \"gate:wan\", count = 2 }]",
        "seen = [{ at = \"gate:wan\", direction = \"out\", count = 1 }]",
        "seen = [{ at = \"gate\", direction = \"in\", protocol = \"udp\", destination-port = 7 }]",
        "seen = [{ at = \"gate\", protocol = \"tcp\" }]",
        "never = [{ on = \"access\", source = \"10.0.0.0/8\" }]",
        "never = [{ on = \"home\", source = \"10.0.0.0/8\" }]",
        "never = [{ on = \"access\", source-not = [\"192.0.2.1\", \"192.0.2.80\"] }]",
        "never = [{ on = \"access\", source-not = \"192.0.2.80\" }]",
        // It names a family that is not there, so it says nothing about these packets.
        "never = [{ on = \"access\", source-not = \"2001:db8::/32\" }]",
        "seen = [{ destination = \"192.0.2.1\", source-port = 7, ttl = 63, payload = \"and more\" }]",
        "seen = [{ ttl = 64 }]",
        "never = [{ payload = \"secret\" }]",
        "never = [{ protocol = \"icmp\" }]",
        "never = [{ protocol = \"arp\" }]",
    ];
    insta::assert_snapshot!(table(&expectations, "udp", answered, SocketResult::Answered));
}

#[test]
fn conntrack_entries() {
    let expectations = [
        "conntrack = [{ at = \"gate\" }]",
        "conntrack = [{ at = \"gate\", count = 2 }]",
        "conntrack = [{ at = \"gate\", protocol = \"tcp\", count = 0 }]",
        "conntrack = [{ at = \"gate\", protocol = \"udp\", source = \"10.0.0.2:4000\", destination = \"192.0.2.80\" }]",
        "conntrack = [{ at = \"gate\", reply-source = \"192.0.2.80:7\", reply-destination = \"192.0.2.1\" }]",
        "conntrack = [{ at = \"gate\", reply-destination = \"10.0.0.2\" }]",
        "conntrack = [{ at = \"gate\", mark = \"0x100/0xff00\" }]",
        "conntrack = [{ at = \"gate\", mark = \"0x100\" }]",
        "conntrack = [{ at = \"server\" }]",
        "conntrack = [{ at = \"gate\", at-least = 2 }]",
        "conntrack = [{ at = \"gate\", at-most = 1 }]",
        "conntrack = [{ at = \"gate\", at-least = 1, at-most = 2 }]",
        "destroyed = [{ at = \"gate\", mark = \"0x100/0xff00\" }]",
        "destroyed = [{ at = \"gate\", mark = \"0x200/0xff00\" }]",
        "destroyed = [{ at = \"gate\", count = 0 }]",
        "destroyed = [{ at = \"server\", count = 0 }]",
        "created = [{ at = \"gate\" }]",
        "created = [{ at = \"gate\", count = 0 }]",
    ];
    insta::assert_snapshot!(table(&expectations, "udp", answered, SocketResult::Answered));
}

#[test]
fn commands() {
    let mut text = String::new();
    for (expectation, status, output) in [
        ("exit = 0", 0, ""),
        ("exit = 2", 0, ""),
        ("exit = 1, output = \"no route\"", 1, "there is no route\n"),
        ("output = \"default\"", 0, "unreachable\n  198.51.100.0/24"),
    ] {
        let scenario =
            read(&format!("run = {{ on = \"gate\", command = \"true\" }}\nexpect = {{ {expectation} }}"));
        let plan = plan::build(&scenario.topology, false);
        let command = CommandSeen { status, output: output.to_owned() };
        let evidence = Evidence { command: Some(&command), ..Evidence::default() };
        let judged =
            judge(Ground { topology: &scenario.topology, plan: &plan }, &scenario.steps[0].expect, &evidence);
        let _ = writeln!(text, "{expectation}");
        judged.checks.iter().for_each(|check| line(&mut text, check));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn invariants_over_all_packets() {
    let mut text = String::new();
    let scenario = read(
        r#"run = { on = "gate", command = "true" }
[[always]]
name = "no private source outside"
never = { on = "access", source = "10.0.0.0/8" }
[[always]]
name = "nobody speaks for the server"
never = { on = "home", source-not = "10.0.0.2" }
[[always]]
name = "nothing by the spare link"
never = { on = "spare" }
[[always]]
name = "no ARP for others"
never = { protocol = "arp", source-not = "10.0.0.2" }
"#,
    );
    let plan = plan::build(&scenario.topology, false);
    let mut records = answered(&plan);
    let arp = |sender: &str| Packet::Arp {
        operation: 1,
        sender: sender.parse().unwrap(),
        target: "10.0.0.1".parse().unwrap(),
    };
    records.push(record(&plan, (CLIENT, "eth0", true), arp("10.0.0.2")));
    records.push(record(&plan, (CLIENT, "eth0", true), arp("10.0.0.9")));
    for always in &scenario.always {
        let check = judge_always(Ground { topology: &scenario.topology, plan: &plan }, always, &records);
        line(&mut text, &check);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_report_tells_the_way_of_every_packet() {
    let scenario = read("request = { from = \"client\", to = \"server:7\" }");
    let plan = plan::build(&scenario.topology, false);
    let mut records = answered(&plan);
    records.extend(dropped(&plan));
    let evidence = Evidence {
        records: &records,
        exchange: Some(exchange(Protocol::Udp, SocketResult::Answered)),
        ..Evidence::default()
    };
    let judged =
        judge(Ground { topology: &scenario.topology, plan: &plan }, &scenario.steps[0].expect, &evidence);
    let mut text = String::new();
    for journey in &judged.journeys {
        let _ = writeln!(text, "{}: {}", journey.packet, journey.end);
        for hop in &journey.hops {
            let device = |device: &Option<String>| device.clone().unwrap_or("-".to_owned());
            let after = hop.after.as_ref().map_or(String::new(), |after| format!(" => {after}"));
            let (came, went) = (device(&hop.came_in), device(&hop.went_out));
            let _ = writeln!(text, "  {came} {} {went}: {}{after}", hop.node, hop.before);
        }
    }
    insta::assert_snapshot!(text);
}
