//! Made-up runs.

use std::collections::BTreeMap;

use harness_model::event::{
    Check, CommandRun, Event, HopReport, JourneyReport, Machine, Outcome, StepReport, TestId, Totals,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Story {
    Passed,
    Failed,
    ControlBroke,
    ControlHeld,
    Skipped,
    Error,
}

impl Story {
    pub(super) const ALL: [Story; 6] =
        [Story::Passed, Story::Failed, Story::ControlBroke, Story::ControlHeld, Story::Skipped, Story::Error];
}

pub(super) fn id(scenario: &str, variant: &str) -> TestId {
    TestId { scenario: scenario.to_owned(), variant: variant.to_owned() }
}

pub(super) fn machine() -> Machine {
    Machine {
        mhlab: "0.1.0".to_owned(),
        kernel: "6.12.9 x86_64".to_owned(),
        privilege: "user namespace".to_owned(),
        processors: 2,
        tools: BTreeMap::from([("nft".to_owned(), "1.1.3".to_owned())]),
    }
}

/// A whole run.
pub(super) fn run(stories: &[Story]) -> Vec<Event> {
    let mut events = vec![Event::RunStarted { tests: stories.len(), machine: machine() }];
    let mut totals = Totals::default();
    for which in stories {
        for event in story(*which) {
            if let Event::TestFinished { outcome, .. } = &event {
                totals.count(outcome);
            }
            events.push(event);
        }
    }
    events.push(Event::RunFinished { totals, micros: 81_234 });
    events
}

/// The events of one test.
pub(super) fn story(which: Story) -> Vec<Event> {
    let fan_out = "Each FIX session leaves by the VPN of its dummy address";
    let reply = "A UDP answer comes from the address that was asked";
    match which {
        Story::Passed => {
            let test = id("seeds/fix-fan-out", "mhnat");
            vec![
                started(&test, fan_out, &[], 2),
                built(&test),
                applied(&test, "mhnat apply fan-out.mhnat.toml", 0, ""),
                step(&test, first(true)),
                step(&test, second(true)),
                finished(&test, Outcome::Passed),
            ]
        }
        Story::Failed => {
            let test = id("seeds/udp-reply-a", "nft");
            vec![
                started(&test, reply, &[], 3),
                built(&test),
                applied(&test, "nft -f reply.nft", 0, ""),
                step(&test, first(true)),
                step(&test, second(false)),
                step(&test, listing()),
                finished(&test, failed(&["second session", "entries"], &[])),
            ]
        }
        Story::ControlBroke => {
            let test = id("seeds/fix-fan-out", "bare-snat");
            vec![
                started(&test, fan_out, &["second session"], 2),
                built(&test),
                step(&test, first(true)),
                step(&test, second(false)),
                finished(&test, Outcome::Passed),
            ]
        }
        Story::ControlHeld => {
            let test = id("seeds/udp-reply-a", "nothing");
            vec![
                started(&test, reply, &["second session"], 2),
                built(&test),
                step(&test, first(false)),
                step(&test, second(true)),
                finished(&test, failed(&["first session"], &["second session"])),
            ]
        }
        Story::Skipped => {
            let test = id("seeds/udp-reply-b", "iptables");
            let reason = "iptables-restore was not found (hint: apt install iptables)".to_owned();
            vec![started(&test, reply, &[], 2), finished(&test, Outcome::Skipped { reason })]
        }
        Story::Error => {
            let test = id("seeds/udp-reply-b", "nft");
            let reason = "the subject could not be applied: `nft -f reply.nft` ended with exit status 1";
            let said =
                "reply.nft:3:9-14: Error: syntax error, unexpected string\n        mrak set 1\n        ^^^^";
            vec![
                started(&test, reply, &[], 2),
                built(&test),
                applied(&test, "nft -f reply.nft", 1, said),
                finished(&test, Outcome::Error { reason: reason.to_owned() }),
            ]
        }
    }
}

fn started(test: &TestId, title: &str, breaks: &[&str], steps: usize) -> Event {
    Event::TestStarted {
        test: test.clone(),
        title: title.to_owned(),
        breaks: owned(breaks),
        steps,
        seed: None,
    }
}

fn built(test: &TestId) -> Event {
    Event::LabBuilt { test: test.clone(), namespaces: 6, links: 5, micros: 7_310 }
}

fn applied(test: &TestId, command: &str, status: i32, output: &str) -> Event {
    let commands = vec![CommandRun { command: command.to_owned(), status, output: output.to_owned() }];
    Event::SubjectDriven { test: test.clone(), action: "apply".to_owned(), commands, micros: 3_100 }
}

fn step(test: &TestId, step: StepReport) -> Event {
    Event::StepFinished { test: test.clone(), step }
}

fn finished(test: &TestId, outcome: Outcome) -> Event {
    let (micros, peak_kib, frames) =
        if matches!(outcome, Outcome::Skipped { .. }) { (0, 0, 0) } else { (21_300, 9_216, 42) };
    Event::TestFinished { test: test.clone(), outcome, micros, peak_kib, frames }
}

fn failed(failed: &[&str], unbroken: &[&str]) -> Outcome {
    Outcome::Failed { failed: owned(failed), unbroken: owned(unbroken) }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn check(expected: &str, seen: &str, holds: bool) -> Check {
    Check { expected: expected.to_owned(), seen: seen.to_owned(), holds }
}

fn hop(node: &str, came_in: &str, went_out: &str, flow: (&str, Option<&str>), micros: u64) -> HopReport {
    let device = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    HopReport {
        node: node.to_owned(),
        came_in: device(came_in),
        went_out: device(went_out),
        before: flow.0.to_owned(),
        after: flow.1.map(str::to_owned),
        micros,
    }
}

fn first(answered: bool) -> StepReport {
    let seen = if answered { "answered after 0.41 ms" } else { "no answer: the network is quiet" };
    StepReport {
        name: "first session".to_owned(),
        action: "udp request from app:4000 to 192.0.2.1:7000".to_owned(),
        checks: vec![check("answered", seen, answered)],
        journeys: Vec::new(),
        command: None,
        timeline: Vec::new(),
        micros: 410,
    }
}

fn second(holds: bool) -> StepReport {
    let inside = "10.0.0.2:4000 > 192.0.2.2:7000";
    let outside =
        if holds { "203.0.113.2:4000 > 198.51.100.10:7000" } else { "203.0.113.1:4000 > 198.51.100.10:7000" };
    let (uplink, link) = if holds { ("wan1", "vpn-b") } else { ("wan0", "vpn-a") };
    let mut hops = vec![
        hop("app", "", "eth0", (inside, None), 0),
        hop("router", "eth0", uplink, (inside, Some(outside)), 21),
    ];
    if holds {
        hops.push(hop("vpn-b", "eth0", "eth1", (outside, None), 38));
        hops.push(hop("exchange", "eth0", "", (outside, None), 1_052));
    }
    let end =
        if holds { "delivered to exchange" } else { "lost between router and vpn-a: vpn-a never saw it" };
    StepReport {
        name: "second session".to_owned(),
        action: "udp request from app:4000 to 192.0.2.2:7000".to_owned(),
        checks: vec![
            check(
                "answered",
                if holds { "answered after 0.39 ms" } else { "no answer: the network is quiet" },
                holds,
            ),
            check("leaves by vpn-b", link, holds),
            check("never from 10.0.0.0/24 on vpn-a", "none of 12 packets", true),
        ],
        journeys: vec![JourneyReport { packet: "question".to_owned(), hops, end: end.to_owned() }],
        command: None,
        timeline: Vec::new(),
        micros: 390,
    }
}

fn listing() -> StepReport {
    StepReport {
        name: "entries".to_owned(),
        action: "run in router".to_owned(),
        checks: vec![check("exit status 0", "1", false), check("output has \"dport=7000\"", "", false)],
        journeys: Vec::new(),
        command: Some(CommandRun {
            command: "conntrack -L -p udp".to_owned(),
            status: 1,
            output: "\x1b[31mconntrack v1.4.8 (conntrack-tools): 0 flow entries have been shown.\x1b[0m\n"
                .to_owned(),
        }),
        timeline: vec!["+0.1 ms  router:wan0 loses its carrier".to_owned()],
        micros: 2_000,
    }
}
