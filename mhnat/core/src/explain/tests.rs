use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::config;
use crate::desired::desired;
use crate::family::Family;
use crate::host::{Hop, HostRoute};
use crate::link::Availability;
use crate::routing::TableId;
use crate::slot::Slots;

const BOTH: &str = r#"
[[uplink]]
name = "first"
interface = "eth0"
address = ["10.1.0.2", "2001:db8:1::2"]
gateway = ["10.1.0.1", "2001:db8:1::1"]
source = "masquerade"
metric = 10

[[uplink]]
name = "second"
interface = "eth1"
address = ["10.2.0.2", "2001:db8:2::2"]
gateway = ["10.2.0.1", "2001:db8:2::1"]
source = ["203.0.113.9", "2001:db8:113::9"]
metric = 20

[[fan-out]]
dummy = "192.0.2.1"
to = "198.51.100.10"
source = "203.0.113.1"
uplink = "second"

[[fan-out]]
dummy = "2001:db8:ff::1"
to = "2001:db8:99::10"
uplink = "second"

[replies]
udp = "mark"
tcp = "mark"
"#;

fn question(entry: Option<&str>, from: Option<&str>, to: &str, connection: Connection) -> Question {
    let (to, protocol) = to.split_once('/').unwrap();
    Question {
        entry: entry.map(str::to_owned),
        source: from.map(|it| it.parse().unwrap()),
        destination: to.parse().unwrap(),
        protocol: match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => Protocol::Icmp,
        },
        connection,
    }
}

fn tuple(source: &str, destination: &str) -> Tuple {
    Tuple { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn lan() -> Host {
    let route = |to: &str| HostRoute {
        table: TableId::MAIN,
        to: to.parse().unwrap(),
        metric: 0,
        kind: "unicast".to_owned(),
        hops: vec![Hop { device: "lan0".to_owned(), gateway: None }],
        source: None,
        protocol: 2,
    };
    Host { routes: vec![route("10.0.0.0/24"), route("2001:db8::/64")], ..Host::default() }
}

fn ask(config: &str, question: &Question) -> Explanation {
    let model = config::read(config.as_bytes()).unwrap();
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    let slots = Slots::allocate(names, &Slots::default(), model.mask.capacity());
    let desired = desired(&model, &slots, &Availability::full());
    assert_eq!(not_understood(&desired.ruleset), []);
    explain(&model, &desired, &lan(), question)
}

/// An outcome in a line.
fn line(outcome: &Outcome) -> String {
    assert_eq!(outcome.not_understood, Vec::<String>::new());
    let fate = match &outcome.fate {
        Fate::Leaves { uplink, device, table, .. } => {
            format!("{} {device} {table}", uplink.as_deref().unwrap_or("-"))
        }
        Fate::Delivered => "here".to_owned(),
        Fate::Refused { by } => format!("refused: {by}"),
        Fate::Dropped { by } => format!("dropped: {by}"),
        Fate::Forgotten { masqueraded_on } => format!("forgotten by {masqueraded_on}"),
        Fate::LeftToMain => "main".to_owned(),
    };
    format!(
        "{fate}, {} -> {}, {:#x} {:#x}",
        outcome.source, outcome.destination, outcome.mark, outcome.connection_mark
    )
}

const SECOND: Connection = Connection::Established { mark: 0x200, answer: false, entry: None };
const ANSWER: Connection = Connection::Established { mark: 0x200, answer: true, entry: None };

#[rstest]
#[case::forwarded(
    Some("lan0"),
    Some("10.0.0.2:5000"),
    "192.0.2.80:443/tcp",
    Connection::New,
    "first eth0 10900, 10.1.0.2:5000 -> 192.0.2.80:443, 0x0 0x0"
)]
#[case::forwarded_6(
    Some("lan0"),
    Some("[2001:db8::2]:5000"),
    "[2001:db8:99::80]:443/tcp",
    Connection::New,
    "first eth0 10900, [2001:db8:1::2]:5000 -> [2001:db8:99::80]:443, 0x0 0x0"
)]
#[case::fan_out(
    Some("lan0"),
    Some("10.0.0.2:5000"),
    "192.0.2.1:443/tcp",
    Connection::New,
    "second eth1 10902, 203.0.113.1:5000 -> 198.51.100.10:443, 0x200 0x0"
)]
#[case::fan_out_6(
    Some("lan0"),
    Some("[2001:db8::2]:5000"),
    "[2001:db8:ff::1]:443/udp",
    Connection::New,
    "second eth1 10902, [2001:db8:113::9]:5000 -> [2001:db8:99::10]:443, 0x200 0x0"
)]
#[case::own_fan_out(
    None,
    None,
    "192.0.2.1:443/tcp",
    Connection::New,
    "second eth1 10902, 203.0.113.1 -> 198.51.100.10:443, 0x200 0x0"
)]
#[case::own(
    None,
    None,
    "192.0.2.80:443/tcp",
    Connection::New,
    "first eth0 10901, 10.1.0.2 -> 192.0.2.80:443, 0x0 0x0"
)]
#[case::own_bound(
    None,
    Some("10.2.0.2:5000"),
    "192.0.2.80:443/tcp",
    Connection::New,
    "second eth1 10902, 203.0.113.9:5000 -> 192.0.2.80:443, 0x0 0x0"
)]
#[case::to_us(
    Some("eth1"),
    Some("192.0.2.80:5000"),
    "10.2.0.2:443/tcp",
    Connection::New,
    "here, 192.0.2.80:5000 -> 10.2.0.2:443, 0x0 0x200"
)]
#[case::our_answer(
    None,
    Some("10.2.0.2:443"),
    "192.0.2.80:5000/tcp",
    ANSWER,
    "second eth1 10902, 10.2.0.2:443 -> 192.0.2.80:5000, 0x200 0x200"
)]
#[case::marked(
    None,
    Some("10.1.0.2:7"),
    "192.0.2.80:443/udp",
    SECOND,
    "second eth1 10902, 203.0.113.9:7 -> 192.0.2.80:443, 0x200 0x200"
)]
#[case::to_the_lan(
    Some("eth0"),
    Some("192.0.2.80:5000"),
    "10.0.0.7:443/tcp",
    Connection::New,
    "- lan0 254, 192.0.2.80:5000 -> 10.0.0.7:443, 0x0 0x100"
)]
#[case::ping(
    Some("lan0"),
    Some("10.0.0.2"),
    "192.0.2.80/icmp",
    Connection::New,
    "first eth0 10900, 10.1.0.2 -> 192.0.2.80, 0x0 0x0"
)]
fn outcomes(
    #[case] entry: Option<&str>,
    #[case] from: Option<&str>,
    #[case] to: &str,
    #[case] connection: Connection,
    #[case] expected: &str,
) {
    let found = ask(BOTH, &question(entry, from, to, connection));
    assert_eq!(found.outcomes.iter().map(line).collect::<Vec<_>>(), [expected], "{}", found.text(true));
}

#[test]
fn what_depends_on_a_socket_has_two_outcomes() {
    let found = ask(BOTH, &question(Some("eth1"), Some("192.0.2.80:9"), "10.2.0.2:53/udp", Connection::New));
    let lines: Vec<_> = found.outcomes.iter().map(|it| (it.when.join(", "), line(it))).collect();
    assert_eq!(
        lines,
        [
            (
                "no server's socket is bound to 10.2.0.2 alone".to_owned(),
                "here, 192.0.2.80:9 -> 10.1.0.2:53, 0x0 0x200".to_owned()
            ),
            (
                "a server's socket is bound to 10.2.0.2 alone".to_owned(),
                "here, 192.0.2.80:9 -> 10.2.0.2:53, 0x0 0x200".to_owned()
            ),
        ]
    );
}

#[test]
fn an_entry_of_the_kernel_translates_as_it_says() {
    let entry = Entry {
        original: tuple("10.0.0.2:5000", "192.0.2.1:443"),
        reply: tuple("198.51.100.10:443", "203.0.113.1:6000"),
        mark: 0x200,
        tcp: true,
        answered: true,
    };
    let there = Connection::Established { mark: 0x200, answer: false, entry: Some(entry) };
    let found = ask(BOTH, &question(Some("lan0"), Some("10.0.0.2:5000"), "192.0.2.1:443/tcp", there));
    assert_eq!(
        line(&found.outcomes[0]),
        "second eth1 10902, 203.0.113.1:6000 -> 198.51.100.10:443, 0x200 0x200"
    );
    let back = Connection::Established { mark: 0x200, answer: true, entry: Some(entry) };
    let found = ask(BOTH, &question(Some("eth1"), Some("198.51.100.10:443"), "203.0.113.1:6000/tcp", back));
    assert_eq!(line(&found.outcomes[0]), "- lan0 254, 192.0.2.1:443 -> 10.0.0.2:5000, 0x0 0x200");
}

#[rstest]
#[case::elsewhere(0x200, "forgotten by eth0, 10.0.0.2:5000 -> 192.0.2.80:443, 0x200 0x200")]
#[case::there(0x100, "first eth0 10901, 10.1.0.2:5000 -> 192.0.2.80:443, 0x100 0x100")]
fn what_was_masqueraded_on_one_device_does_not_leave_by_another(#[case] mark: u32, #[case] expected: &str) {
    let entry = Entry {
        original: tuple("10.0.0.2:5000", "192.0.2.80:443"),
        reply: tuple("192.0.2.80:443", "10.1.0.2:5000"),
        mark,
        tcp: true,
        answered: true,
    };
    let there = Connection::Established { mark, answer: false, entry: Some(entry) };
    let asked = question(Some("lan0"), Some("10.0.0.2:5000"), "192.0.2.80:443/tcp", there);
    let found = ask(&format!("pinning = true\n{BOTH}"), &asked);
    assert_eq!(line(&found.outcomes[0]), expected, "{}", found.text(true));
}

#[test]
fn an_answer_for_the_other_node_has_its_address_and_no_mark() {
    let entry = Entry {
        original: tuple("198.51.100.80:5000", "10.1.0.3:2201"),
        reply: tuple("10.0.0.2:22", "198.51.100.80:5000"),
        mark: 0x200,
        tcp: true,
        answered: true,
    };
    let sync = |peers: &str| {
        format!(
            "pinning = true\n{BOTH}[sync]\npeer = \"10.5.6.2\"\naddress = \"10.5.6.1\"\ninterface = \"eth9\"\n\
             peer-addresses = \"{peers}\"\n"
        )
    };
    let answer = Connection::Established { mark: 0x200, answer: true, entry: Some(entry) };
    let asked = question(Some("lan0"), Some("10.0.0.2:22"), "198.51.100.80:5000/tcp", answer);
    let found = ask(&sync("10.1.0.3"), &asked);
    let expected = "first eth0 10900, 10.1.0.3:2201 -> 198.51.100.80:5000, 0x0 0x200";
    assert_eq!(found.outcomes.iter().map(line).collect::<Vec<_>>(), [expected]);
    // Without a word about that address, the mark leads it.
    let found = ask(&sync("10.1.0.4"), &asked);
    let expected = "second eth1 10902, 10.1.0.3:2201 -> 198.51.100.80:5000, 0x200 0x200";
    assert_eq!(found.outcomes.iter().map(line).collect::<Vec<_>>(), [expected]);
}

#[test]
fn without_uplinks_main_decides() {
    let config = "[replies]\nudp = \"redirect\"\ninterfaces = [\"eth0\"]\n";
    let found = ask(config, &question(None, None, "192.0.2.80:443/tcp", Connection::New));
    assert_eq!(found.outcomes[0].fate, Fate::LeftToMain);
    assert!(!found.outcomes[0].assumptions.is_empty());
}

#[test]
fn the_explanation_of_a_fan_out() {
    let found =
        ask(BOTH, &question(Some("lan0"), Some("10.0.0.2:5000"), "192.0.2.1:443/tcp", Connection::New));
    insta::assert_snapshot!(found.text(false));
}

#[rstest]
#[case(
    "meta l4proto udp dnat ip to ip daddr . meta l4proto . th dport map @a : ip daddr . meta l4proto . th dport map @b"
)]
#[case(
    "fib daddr type local meta l4proto { tcp, udp } dnat ip addr . port to iifname . meta l4proto . th dport map @f"
)]
#[case(
    "ct status dnat iifname != @uplinks meta l4proto { tcp, udp } ip daddr . meta l4proto . th dport @h masquerade"
)]
#[case("snat ip to ct original ip daddr . meta l4proto . ct original proto-dst map @s")]
#[case("ct state new meta l4proto tcp ip daddr @lost reject with tcp reset")]
#[case("oifname \"eth0\" snat ip to 192.0.2.1-192.0.2.9 persistent")]
#[case("meta nfproto ipv6 tcp flags syn oifname vmap @segments_6")]
#[case("tcp option maxseg size set 1360")]
#[case("jhash ip saddr . ip daddr mod 4 seed 0x5 vmap { 0-2 : goto a, 3 : goto b }")]
#[case("oifname @uplinks ip saddr @any oifname . ip saddr != @own drop")]
#[case("redirect to :53")]
#[case("iifname \"mhnat-loop-in\" notrack")]
fn what_modes_write_is_read(#[case] text: &str) {
    assert!(statement::read(text).is_ok(), "{text}: {:?}", statement::read(text));
}

#[rstest]
#[case("ip daddr 10.0.0.1 queue num 1")]
#[case("meta skuid 0 drop")]
#[case("ip daddr")]
#[case("tcp dport { 1, 2")]
#[case("snat ip prefix to ip saddr map @x")]
#[case("vmap @x")]
#[case("fib daddr oifname eth0")]
fn what_is_not_of_the_grammar_is_refused(#[case] text: &str) {
    assert!(statement::read(text).is_err(), "{text}");
}

/// A ruleset with these rules in `mark_prerouting`, and what becomes of a packet through it.
/// A question by the second uplink, and the answer to it.
fn looped() -> (Question, Question) {
    let (client, asked, server) = ("192.0.2.80:4000", "198.51.100.2:53", "10.255.0.1:53");
    let end = |text: &str| text.parse().unwrap();
    let entry = Entry {
        original: Tuple { source: end(client), destination: end(asked) },
        reply: Tuple { source: end(server), destination: end(client) },
        mark: 0,
        tcp: false,
        answered: true,
    };
    let asks = question(Some("eth1"), Some(client), &format!("{asked}/udp"), Connection::New);
    let answer = Connection::Established { mark: 0, answer: true, entry: Some(entry) };
    (asks, question(None, Some(server), &format!("{client}/udp"), answer))
}

#[test]
fn an_answer_goes_round_the_loop() {
    let config = include_str!("../../../examples/replies-loop.toml").replace("192.0.2.", "203.0.113.");
    let (asks, answers) = looped();
    let found = ask(&config, &asks);
    assert_eq!(
        found.outcomes.iter().map(line).collect::<Vec<_>>(),
        ["here, 192.0.2.80:4000 -> 10.255.0.1:53, 0x0 0x0"]
    );
    let found = ask(&config, &answers);
    let expected = "second eth1 10902, 198.51.100.2:53 -> 192.0.2.80:4000, 0x0 0x0";
    assert_eq!(found.outcomes.iter().map(line).collect::<Vec<_>>(), [expected]);
    let begun = Question { connection: Connection::New, ..answers.clone() };
    let expected = "first eth0 10901, 203.0.113.2:53 -> 192.0.2.80:4000, 0x0 0x0";
    assert_eq!(ask(&config, &begun).outcomes.iter().map(line).collect::<Vec<_>>(), [expected]);
    // The kernel alone knows what was asked.
    let connection = Connection::Established { mark: 0, answer: true, entry: None };
    let found = ask(&config, &Question { connection, ..answers });
    assert_eq!(
        found.outcomes.iter().map(line).collect::<Vec<_>>(),
        ["- mhnat-loop-out 10700, 10.255.0.1:53 -> 192.0.2.80:4000, 0x0 0x0"]
    );
    assert!(
        found.outcomes[0].assumptions.iter().any(|it| it.contains("which address was asked")),
        "{found:?}"
    );
}

#[test]
fn other_ports_and_other_addresses_are_left_alone() {
    let config = include_str!("../../../examples/replies-loop.toml");
    let asks = question(Some("eth1"), Some("203.0.113.80:4000"), "198.51.100.2:54/udp", Connection::New);
    let found = ask(config, &asks);
    assert_eq!(
        found.outcomes.iter().map(line).collect::<Vec<_>>(),
        ["here, 203.0.113.80:4000 -> 198.51.100.2:54, 0x0 0x0"]
    );
}

fn through(rules: &[&str], maps: &[(&str, &[(&str, &str)])]) -> Explanation {
    use crate::nft::{Chain, Hook, Map, Rule, Ruleset};
    let chain = |name: &str, hook, rules: &[&str]| Chain {
        name: name.to_owned(),
        hook,
        rules: rules
            .iter()
            .map(|it| Rule { text: (*it).to_owned(), comment: format!("{name}: {it}") })
            .collect(),
    };
    let hook = Hook { kind: "filter", hook: "prerouting", priority: -150 };
    let chains = vec![
        chain("mark_prerouting", Some(hook), rules),
        chain("one", None, &["meta mark set meta mark & 0xffff00ff | 0x00000100"]),
        chain("two", None, &["meta mark set meta mark & 0xffff00ff | 0x00000200"]),
    ];
    let maps = maps.iter().map(|(name, elements)| Map {
        name: (*name).to_owned(),
        key: "",
        value: "verdict",
        elements: elements.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    });
    let ruleset = Ruleset { maps: maps.collect(), chains, ..Ruleset::default() };
    let model =
        config::read(b"[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\naddress = \"10.1.0.2\"\nmetric = 1\n");
    let desired = Desired { ruleset, ..Desired::default() };
    let question = question(Some("lan0"), Some("10.0.0.2:5000"), "192.0.2.80:443/tcp", Connection::New);
    explain(&model.unwrap(), &desired, &lan(), &question)
}

#[rstest]
#[case::unknown("meta skuid 0 drop", 0, true)]
#[case::prefix("ip daddr 192.0.2.0/24 goto one", 0x100, false)]
#[case::other_prefix("ip daddr 198.51.100.0/24 goto one", 0, false)]
#[case::negated("iifname != \"lan0\" goto one", 0, false)]
#[case::other_family("ip6 daddr != ::1 goto one", 0, false)]
#[case::several("ct state established,related goto one", 0, false)]
#[case::range("tcp dport 400-500 goto one", 0x100, false)]
#[case::concatenated("ip daddr . tcp dport { 192.0.2.0/24 . 443 } goto one", 0x100, false)]
#[case::other_protocol("udp dport 443 goto one", 0, false)]
#[case::hash_of_one("jhash ip saddr . ip daddr mod 1 seed 0x1 vmap { 0 : goto two }", 0x200, false)]
#[case::one_more_prefix(
    "ct state new ct mark & 0x0000ff00 == 0 meta nfproto ipv4 iifname != @x goto one",
    0,
    true
)]
#[case::remembers("update @sticky { ip saddr timeout 10m } goto two", 0x200, false)]
#[case::no_device("oifname != \"eth0\" goto one", 0x100, false)]
#[case::jump("jump one meta mark set 0x1", 0x100, false)]
#[case::no_chain("goto nowhere", 0, true)]
fn rules_of_other_shapes(#[case] rule: &str, #[case] mark: u32, #[case] unknown: bool) {
    let found = through(&[rule], &[]);
    assert_eq!(found.outcomes.len(), 1, "{}", found.text(true));
    assert_eq!(found.outcomes[0].mark, mark, "{}", found.text(true));
    assert_eq!(!found.outcomes[0].not_understood.is_empty(), unknown, "{}", found.text(true));
}

#[test]
fn chance_gives_every_outcome_that_a_map_has() {
    let found = through(
        &["numgen random mod 4 vmap @balance"],
        &[("balance", &[("0-2", "goto one"), ("3", "goto two")])],
    );
    let marks: Vec<_> = found.outcomes.iter().map(|it| (it.mark, it.when.clone())).collect();
    assert_eq!(
        marks,
        [
            (0x100, vec!["numgen random mod 4 falls on 0-2".to_owned()]),
            (0x200, vec!["numgen random mod 4 falls on 3".to_owned()])
        ]
    );
}

#[test]
fn outcomes_without_end_are_said_to_be_more() {
    let many: Vec<String> = (0..100).map(|it| it.to_string()).collect();
    let elements: Vec<(&str, &str)> = many.iter().map(|it| (it.as_str(), "goto one")).collect();
    let found = through(&["numgen inc mod 100 vmap @many"], &[("many", &elements)]);
    assert!(found.more && found.outcomes.len() == MAX_OUTCOMES);
}

#[rstest]
#[case("192.0.2.1", "192.0.2.1", None)]
#[case("192.0.2.1:53", "192.0.2.1", Some(53))]
#[case("2001:db8::1", "2001:db8::1", None)]
#[case("[2001:db8::1]:53", "2001:db8::1", Some(53))]
#[case("[2001:db8::1]", "2001:db8::1", None)]
fn endpoints(#[case] text: &str, #[case] address: &str, #[case] port: Option<u16>) {
    let found: Endpoint = text.parse().unwrap();
    assert_eq!(found, Endpoint { address: address.parse().unwrap(), port });
}

proptest! {
    /// No rule text makes the reader panic, and what it reads it reads the same again.
    #[test]
    fn any_text_is_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "ip", "daddr", "ct", "mark", "&", "|", ".", "{", "}", ",", ":", "vmap", "map", "@x", "0x1", "goto",
                "to", "dnat", "numgen", "mod", "fib", "type", "!=", "meta", "set", "(", ")", "jhash", "update",
            ]),
            0..12,
        )
    ) {
        let text = words.join(" ");
        prop_assert_eq!(statement::read(&text), statement::read(&text));
    }
}

#[test]
fn families_have_their_own_words() {
    assert_eq!(Protocol::Icmp.word(Family::V6), "ipv6-icmp");
    assert_eq!((Protocol::Icmp.number(Family::V4), Protocol::Icmp.number(Family::V6)), (1, 58));
}
