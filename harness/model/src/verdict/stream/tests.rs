use std::time::Duration;

use rstest::rstest;

use crate::{
    diagnostic::render,
    event::Check,
    observation::{Record, StreamSeen},
    packet::{Ip, Packet, Token, TokenKind, Transport},
    plan,
    scenario::{Scenario, parse},
    stream::{Customers, Measures, Recovery, token_id},
    verdict::{Evidence, Ground, judge},
};

const LAB: &str = r#"
title = "A stream by two providers"
lan.home.prefix = "10.0.0.0/24"
isp.one.prefix = "198.51.100.0/24"
isp.two = { prefix = "203.0.113.0/24", routes = "192.0.2.128/25" }
gateway.gw = { lan = { eth0 = "home" }, uplink = { w1 = "one", w2 = "two" } }
host.client.on = "home"
host.server = { on = "internet", address = "192.0.2.80" }
subject = { on = "gw", variant.nothing = { breaks = ["end"] } }
step = [
  { name = "start", stream = { name = "s", from = "client", to = "server:7", rate = 100 } },
  { name = "cut", link = { at = "gw:w1", do = "cut" } },
  { name = "end", end = { stream = "s" }, expect = { EXPECT } },
]
"#;

fn read(expect: &str) -> Scenario {
    let text = LAB.replace("EXPECT", expect);
    parse(&text).unwrap_or_else(|findings| panic!("{}", render("stream", &text, &findings, false)))
}

fn record(scenario: &Scenario, (node, device, sent): (&str, &str, bool), source: &str) -> Record {
    let plan = plan::build(&scenario.topology, scenario.ipv6);
    let node = plan.nodes.iter().position(|known| known.name == node).unwrap();
    let device = plan.nodes[node].devices.iter().find(|known| known.name == device).unwrap().index;
    let packet = Packet::Ip(Ip {
        source: source.parse().unwrap(),
        destination: "192.0.2.80".parse().unwrap(),
        ttl: 63,
        length: 60,
        transport: Transport::Udp { source: 4000, destination: 7 },
        token: Some(Token { kind: TokenKind::Question, id: token_id(1, 41) }),
        payload: Vec::new(),
    });
    Record { at: 0, node, device, sent, overheard: false, packet, times: 1 }
}

fn judged(expect: &str, recovery: Recovery) -> Vec<Check> {
    let scenario = read(expect);
    let plan = plan::build(&scenario.topology, scenario.ipv6);
    let leak = record(&scenario, ("gw", "w2", true), "198.51.100.2");
    let seen = StreamSeen {
        measures: Measures {
            sent: 100,
            left_out: 4,
            answered: 90,
            lost: 7,
            reply_lost: 3,
            duplicated: 1,
            reordered: 2,
            outage: Duration::from_micros(60_250),
            recovery: Some(recovery),
        },
        leaked: 1,
        leak: Some(leak.clone()),
        telling: Some(token_id(1, 41)),
        trail: vec![leak, record(&scenario, ("two", "access", false), "198.51.100.2")],
    };
    let ground = Ground { topology: &scenario.topology, plan: &plan };
    let evidence = Evidence { stream: Some(&seen), ..Evidence::default() };
    judge(ground, &scenario.steps[2].expect, &evidence).checks
}

#[rstest]
#[case("lost = 7", true)]
#[case("lost = \"<= 6\"", false)]
#[case("lost = \">= 7\"", true)]
#[case("reply-lost = \"3\"", true)]
#[case("reply-lost = 0", false)]
#[case("duplicated = \"<=1\"", true)]
#[case("reordered = \"<= 1\"", false)]
#[case("leaked = 0", false)]
#[case("outage = \"<= 61ms\"", true)]
#[case("outage = \"<= 60ms\"", false)]
#[case("outage = \">= 1s\"", false)]
#[case("by = \"two\"", true)]
#[case("by = \"one\"", false)]
fn a_stream_is_judged(#[case] expect: &str, #[case] holds: bool) {
    let checks = judged(expect, Recovery::Unharmed);
    assert_eq!(checks.len(), 2);
    assert!(checks[0].holds, "what was measured holds");
    assert_eq!(checks[1].holds, holds, "{:?}", checks[1]);
}

#[rstest]
#[case(Recovery::Unharmed, true, false)]
#[case(Recovery::After(Duration::from_millis(12)), true, true)]
#[case(Recovery::After(Duration::from_millis(50)), false, true)]
#[case(Recovery::NotWithin(Duration::from_millis(1)), false, true)]
fn recovery_is_judged(#[case] found: Recovery, #[case] soon: bool, #[case] late: bool) {
    assert_eq!(judged("recovery = \"<= 40ms\"", found)[1].holds, soon);
    assert_eq!(judged("recovery = \">= 10ms\"", found)[1].holds, late);
}

#[test]
fn the_verdict_on_a_stream_in_words() {
    let all = "lost = 0, reply-lost = \"<= 2\", duplicated = 0, reordered = \">= 3\", leaked = 0, outage = \"<= 50ms\", \
               recovery = \"<= 40ms\"";
    let told = |recovery| {
        let checks = judged(all, recovery);
        checks.iter().map(|check| format!("{}: {}\n", check.expected, check.seen)).collect::<String>()
    };
    insta::assert_snapshot!(
        told(Recovery::After(Duration::from_micros(43_210)))
            + &told(Recovery::NotWithin(Duration::from_secs(1)))
    );
}

#[test]
fn a_source_leaks_where_a_customer_sends_to_another_provider() {
    let scenario = read("");
    let plan = plan::build(&scenario.topology, scenario.ipv6);
    let customers = Customers::of(&scenario.topology, &plan);
    let leaks = |place, source| customers.leaks(&record(&scenario, place, source));
    assert!(!leaks(("gw", "w1", true), "198.51.100.2"));
    assert!(leaks(("gw", "w1", true), "203.0.113.2"));
    assert!(leaks(("gw", "w1", true), "10.0.0.10"));
    assert!(leaks(("gw", "w1", true), "2001:db8::1"));
    assert!(!leaks(("gw", "w2", true), "192.0.2.200"), "a prefix that the provider routes to its customer");
    assert!(!leaks(("gw", "w1", false), "192.0.2.80"), "what comes from the provider");
    assert!(!leaks(("one", "access", true), "192.0.2.80"), "what the provider sends");
    assert!(!leaks(("gw", "eth0", true), "192.0.2.80"), "a link that is no provider's");
}
