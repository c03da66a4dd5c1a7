use std::fmt::Write as _;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::link::{Link, Links, lacking_gateway};
use crate::routing::{Action, Selector, TableId};
use crate::{config, render};

fn model(text: &str) -> Model {
    config::read(text.as_bytes()).unwrap()
}

fn slots(model: &Model) -> Slots {
    let names = model.uplinks.iter().map(|uplink| &uplink.name);
    Slots::allocate(names, &Slots::default(), model.mask.capacity())
}

fn plan(text: &str, availability: &Availability) -> Desired {
    let model = model(text);
    desired(&model, &slots(&model), availability)
}

#[rstest]
#[case::balance("balance", include_str!("../../../examples/balance.toml"))]
#[case::fan_out("fan-out", include_str!("../../../examples/fan-out.toml"))]
#[case::pinning("pinning", include_str!("../../../examples/pinning.toml"))]
#[case::fan_out_ports("fan-out-ports", include_str!("../../../examples/fan-out-ports.toml"))]
#[case::forward("forward", include_str!("../../../examples/forward.toml"))]
#[case::replies_mark("replies-mark", include_str!("../../../examples/replies-mark.toml"))]
#[case::replies_loop("replies-loop", include_str!("../../../examples/replies-loop.toml"))]
#[case::replies_redirect("replies-redirect", include_str!("../../../examples/replies-redirect.toml"))]
#[case::pool("pool", include_str!("../../../examples/pool.toml"))]
#[case::health("health", include_str!("../../../examples/health.toml"))]
#[case::prefixes("prefixes", include_str!("../../../examples/prefixes.toml"))]
#[case::sync("sync", include_str!("../../../examples/sync.toml"))]
#[case::uplink("uplink", include_str!("../../../examples/uplink.toml"))]
fn plans_of_the_examples(#[case] name: &str, #[case] text: &str) {
    insta::assert_snapshot!(
        name,
        render::notes(&model(text)) + &render::plan(&plan(text, &Availability::full()))
    );
}

const MARK: &str = include_str!("../../../examples/replies-mark.toml");

/// Both links of the example, as they are when all is well.
fn links() -> Links {
    let link = |addresses: [&str; 2]| Link {
        up: true,
        carrier: true,
        addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        ..Link::default()
    };
    Links::from([
        ("eth0".parse().unwrap(), link(["192.0.2.2", "2001:db8:1::2"])),
        ("eth1".parse().unwrap(), link(["198.51.100.2", "2001:db8:2::2"])),
    ])
}

fn devices(plan: &Desired, family: Family) -> BTreeSet<&str> {
    plan.routes.iter().filter(|it| it.family == family).map(|it| it.device.as_str()).collect()
}

#[rstest]
#[case::all_well(|_: &mut Link| {}, &["eth0", "eth1"], &["eth0", "eth1"])]
#[case::down(|it: &mut Link| it.up = false, &["eth1"], &["eth1"])]
#[case::no_carrier(|it: &mut Link| it.carrier = false, &["eth1"], &["eth1"])]
#[case::address_gone(|it: &mut Link| { it.addresses.remove(&"192.0.2.2".parse().unwrap()); }, &["eth1"], &["eth0", "eth1"])]
#[case::detection(|it: &mut Link| {
    let address = "2001:db8:1::2".parse().unwrap();
    it.addresses.remove(&address);
    it.tentative.insert(address);
}, &["eth0", "eth1"], &["eth1"])]
fn a_leg_that_cannot_carry_packets_has_no_routes(
    #[case] change: fn(&mut Link),
    #[case] v4: &[&str],
    #[case] v6: &[&str],
) {
    let model = model(MARK);
    let mut links = links();
    links.get_mut(&"eth0".parse().unwrap()).map(change).unwrap();
    let plan = desired(&model, &slots(&model), &Availability::observe(&model, &links));
    assert_eq!(devices(&plan, Family::V4), v4.iter().copied().collect());
    assert_eq!(devices(&plan, Family::V6), v6.iter().copied().collect());
    assert_eq!(plan.rules, desired(&model, &slots(&model), &Availability::full()).rules, "guards stay");
}

#[rstest]
#[case::nothing_is_probed("", false)]
#[case::probes_have_their_mark("probe = { icmp = \"192.0.2.80\" }", true)]
fn no_lots_are_drawn_for_probes(#[case] probe: &str, #[case] spared: bool) {
    let text = include_str!("../../../examples/balance.toml");
    let text = text.replacen("metric = 10", &format!("metric = 10\n{probe}"), 1);
    let plan = plan(&text, &Availability::full());
    let chain = plan.ruleset.chains.iter().find(|it| it.name == "mark_output").unwrap();
    let shares: Vec<_> = chain.rules.iter().filter(|it| it.text.contains("goto share_")).collect();
    assert!(!shares.is_empty());
    assert!(shares.iter().all(|it| it.text.contains(" meta mark & ") == spared), "{shares:?}");
}

#[rstest]
#[case::nothing_is_probed("", 0)]
#[case::another_address("probe = { icmp = \"192.0.2.80\" }", 0)]
#[case::through_the_fan_out("probe = { icmp = \"192.0.2.1\" }", 1)]
fn a_lost_uplink_refuses_no_probe(#[case] probe: &str, #[case] spared: usize) {
    let text = format!(
        "{UPLINK}{probe}\n[[fan-out]]\ndummy = \"192.0.2.1\"\nto = \"198.51.100.10\"\nuplink = \"vpn\"\n"
    );
    let plan = plan(&text, &Availability::full());
    let rules = plan.ruleset.chains.iter().flat_map(|it| &it.rules);
    let refusing: Vec<_> = rules.filter(|it| it.text.contains("reject with tcp reset")).collect();
    assert_eq!(refusing.len(), 2);
    assert_eq!(refusing.iter().filter(|it| it.text.starts_with("meta mark & ")).count(), spared);
}

const UPLINK: &str = "[[uplink]]\nname = \"vpn\"\ninterface = \"tun0\"\naddress = \"10.1.0.2\"\n";

#[test]
fn a_leg_that_ails_is_left_to_what_can_go_nowhere_else() {
    let text = include_str!("../../../examples/pinning.toml");
    let model = model(text);
    let first = &model.uplinks[0];
    let why = crate::link::Unusable::Dampened;
    let ailment = crate::health::Ailment { why, well: crate::health::Moment(0) };
    let ailments = [(first.name.clone(), Family::V4, ailment)].into_iter().collect();
    let slots = slots(&model);
    let well = desired(&model, &slots, &Availability::full());
    let ailing = desired(&model, &slots, &Availability::full().heed(&model, &ailments));
    assert_eq!(well.rules, ailing.rules);
    let gone: Vec<_> = well.routes.difference(&ailing.routes).collect();
    assert!(!gone.is_empty());
    assert!(gone.iter().all(|it| it.device == first.interface && it.table.is_for_anybody()), "{gone:?}");
    assert!(ailing.routes.is_subset(&well.routes));
}

#[test]
fn answers_follow_the_preferred_uplink_that_is_usable() {
    let model = model(MARK);
    let mut links = links();
    links.remove(&"eth0".parse().unwrap());
    let text = desired(&model, &slots(&model), &Availability::observe(&model, &links)).ruleset.text();
    assert!(
        text.contains("dnat ip to 198.51.100.2 ") && text.contains("dnat ip6 to 2001:db8:2::2 "),
        "{text}"
    );
    links.clear();
    let text = desired(&model, &slots(&model), &Availability::observe(&model, &links)).ruleset.text();
    assert!(!text.contains("dnat"), "nothing to answer from: {text}");
}

#[test]
fn what_a_server_begins_has_the_address_of_the_preferred_uplink_or_stays_here() {
    let model = model(include_str!("../../../examples/replies-loop.toml"));
    let mut links = links();
    let text =
        |links: &Links| desired(&model, &slots(&model), &Availability::observe(&model, links)).ruleset.text();
    assert!(text(&links).contains("ip saddr 10.255.0.1 snat ip to 192.0.2.2 "), "{}", text(&links));
    links.remove(&"eth0".parse().unwrap());
    assert!(text(&links).contains("ip saddr 10.255.0.1 snat ip to 198.51.100.2 "), "{}", text(&links));
    links.clear();
    let text = text(&links);
    assert!(!text.contains("snat"), "no source to leave with: {text}");
    assert!(text.contains("oifname \"mhnat-loop-out\" ip saddr 10.255.0.1 drop "), "{text}");
    assert!(
        text.contains("dnat ip to 10.255.0.1 "),
        "questions find the server whatever the links are: {text}"
    );
}

#[test]
fn the_loop_carries_no_more_than_the_uplinks_do() {
    let text = include_str!("../../../examples/replies-loop.toml").replacen(
        "metric = 10",
        "metric = 10\nmtu = 1400",
        1,
    );
    let plan = plan(&text, &Availability::full());
    let mtus: Vec<_> = plan.routes.iter().filter(|it| it.table == TableId::LOOP).map(|it| it.mtu).collect();
    assert_eq!(mtus, [crate::mtu::Mtu::new(1400), crate::mtu::Mtu::new(1400)]);
}

#[test]
fn only_ipv6_makes_the_host_a_router() {
    let text = include_str!("../../../examples/replies-loop.toml");
    let forwarding = |text: &str| {
        let demands = plan(text, &Availability::full()).sysctls;
        Family::ALL.into_iter().filter(|it| demands.contains(&Demand::Forwarding(*it))).collect::<Vec<_>>()
    };
    assert_eq!(forwarding(text), [Family::V6]);
    assert_eq!(forwarding(&text.replace(", \"fd00:255::1\"", "")), []);
}

#[rstest]
#[case::ethernet(false, &[("u", Family::V4)])]
#[case::point_to_point(true, &[])]
fn a_leg_without_gateway_is_for_point_to_point(
    #[case] point_to_point: bool,
    #[case] lacking: &[(&str, Family)],
) {
    let model = model("[[uplink]]\nname = \"u\"\ninterface = \"eth0\"\naddress = \"192.0.2.2\"\n");
    let mut links = links();
    links.values_mut().for_each(|link| link.point_to_point = point_to_point);
    let found = lacking_gateway(&model, &links);
    assert_eq!(found.iter().map(|(name, family)| (name.as_str(), *family)).collect::<Vec<_>>(), lacking);
}

#[test]
fn marks_stay_inside_a_mask_of_the_users() {
    let text = format!("{MARK}\n[marks]\nmask = \"0x0f000000\"\n");
    let plan = plan(&text, &Availability::full());
    let ruleset = plan.ruleset.text();
    assert!(ruleset.contains("meta mark set meta mark & 0xf0ffffff | 0x01000000"), "{ruleset}");
    assert!(ruleset.contains("ct mark & 0x0f000000 vmap @leave_by"), "{ruleset}");
    assert!(plan.rules.iter().all(|rule| match rule.selector {
        Selector::Mark { mark, mask } => mask == 0x0f00_0000 && mark & !mask == 0 && mark != 0,
        Selector::All | Selector::From(_) | Selector::SentFrom(_) => true,
    }));
}

#[rstest]
#[case::unchanged("", "", Some("10.0.0.2"))]
#[case::translating("source = \"masquerade\"", "", None)]
#[case::fixed("source = \"203.0.113.9\"", "", None)]
#[case::own("", "source = \"203.0.113.1\"", Some("203.0.113.1"))]
fn a_fan_out_without_source_takes_the_uplinks_own(
    #[case] uplink: &str,
    #[case] fan_out: &str,
    #[case] element: Option<&str>,
) {
    let text = format!(
        "[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\n\
         address = [\"10.0.0.2\", \"10.0.0.3\"]\n{uplink}\n\
         [[fan-out]]\ndummy = \"192.0.2.1\"\nto = \"10.9.0.1\"\nuplink = \"a\"\n{fan_out}\n"
    );
    let plan = plan(&text, &Availability::full());
    let map = plan.ruleset.maps.iter().find(|map| map.name == "fan_out_source_4");
    let expected = element.map(|source| vec![("192.0.2.1".to_owned(), source.to_owned())]);
    assert_eq!(map.map(|map| map.elements.clone()), expected);
}

#[rstest]
#[case("prerouting")]
#[case("output")]
#[case("postrouting")]
#[case("udp")]
fn no_name_of_an_uplink_is_that_of_another_chain(#[case] name: &str) {
    let plan = plan(&MARK.replace("\"first\"", &format!("\"{name}\"")), &Availability::full());
    let chains: BTreeSet<_> = plan.ruleset.chains.iter().map(|chain| &chain.name).collect();
    assert_eq!(chains.len(), plan.ruleset.chains.len(), "{}", plan.ruleset.text());
}

const SHARED: &str = r#"
[[uplink]]
name = "first"
interface = "eth0"
address = ["192.0.2.2", "2001:db8:1::2"]
gateway = ["192.0.2.1", "2001:db8:1::1"]
metric = 10
prefixes = ["196.40.96.0/20"]

[[uplink]]
name = "second"
interface = "eth1"
address = ["198.51.100.2", "2001:db8:2::2"]
gateway = ["198.51.100.1", "2001:db8:2::1"]
metric = 20
prefixes = ["196.40.96.0/20", "196.40.97.0/24", "2001:db8:2a::/48"]
"#;

#[test]
fn prefixes_are_routes_while_their_uplink_is_usable() {
    let model = model(SHARED);
    let prefixes = |links: &Links| -> Vec<String> {
        let plan = desired(&model, &slots(&model), &Availability::observe(&model, links));
        assert_eq!(plan.rules.iter().filter(|rule| rule.priority == 15_800).count(), 2, "one a family");
        let routes = plan.routes.iter().filter(|route| route.table == TableId::PREFIXES);
        routes.map(|it| format!("{} {} {}", it.destination, it.device, it.metric)).collect()
    };
    let mut links = links();
    let second = ["196.40.96.0/20 eth1 20", "196.40.97.0/24 eth1 20", "2001:db8:2a::/48 eth1 20"];
    assert_eq!(prefixes(&links), ["196.40.96.0/20 eth0 10", second[0], second[1], second[2]]);
    links.remove(&"eth0".parse().unwrap());
    assert_eq!(prefixes(&links), second);
    links.clear();
    assert_eq!(prefixes(&links), [] as [&str; 0]);
}

#[test]
fn without_prefixes_nothing_asks_their_table() {
    let text: String =
        SHARED.lines().filter(|it| !it.starts_with("prefixes")).map(|it| format!("{it}\n")).collect();
    assert!(plan(&text, &Availability::full()).rules.iter().all(|rule| rule.priority != 15_800));
}

#[rstest]
#[case::range("203.0.113.8-203.0.113.9", "snat ip to 203.0.113.8-203.0.113.9 persistent")]
#[case::spaces("203.0.113.8 - 203.0.113.9", "snat ip to 203.0.113.8-203.0.113.9 persistent")]
#[case::prefix("203.0.113.8/29", "snat ip to 203.0.113.8-203.0.113.15 persistent")]
#[case::one_of_a_range("203.0.113.8-203.0.113.8", "\"eth0\" : 203.0.113.8\n")]
#[case::one_of_a_prefix("203.0.113.8/32", "\"eth0\" : 203.0.113.8\n")]
fn a_pool_is_a_range_unless_it_is_one_address(#[case] source: &str, #[case] expected: &str) {
    let text = format!(
        "[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\naddress = \"10.0.0.2\"\nsource = \"{source}\"\n"
    );
    let ruleset = plan(&text, &Availability::full()).ruleset_text();
    assert!(ruleset.contains(expected), "{ruleset}");
}

#[rstest]
#[case::whole("", "")]
#[case::one_port("port = \"tcp/5001\"", ":9001")]
#[case::many_ports("port = [\"tcp/5001\", \"udp/5000-5010\"]", "")]
fn a_thousand_fan_outs_need_the_rules_of_one(#[case] port: &str, #[case] to_port: &str) {
    let uplink = "[[uplink]]\nname = \"a\"\ninterface = \"eth0\"\naddress = \"10.0.0.2\"\nmetric = 1\n";
    let fan_outs = |count: u16| {
        let mut text = uplink.to_owned();
        for n in 0..count {
            let [high, low] = n.to_be_bytes();
            let _ = writeln!(
                text,
                "[[fan-out]]\ndummy = \"198.18.{high}.{low}\"\nto = \"10.9.{high}.{low}{to_port}\"\n\
                 source = \"10.8.{high}.{low}\"\nuplink = \"a\"\n{port}"
            );
        }
        plan(&text, &Availability::full())
    };
    let (one, thousand) = (fan_outs(1), fan_outs(1000));
    assert_eq!(one.ruleset.chains, thousand.ruleset.chains);
    assert_eq!((one.rules, one.routes), (thousand.rules, thousand.routes));
}

#[test]
fn many_uplinks_need_the_base_chains_of_two() {
    let uplinks = |count: u8| {
        let mut text = "pinning = true\n".to_owned();
        for n in 1..=count {
            let _ = writeln!(
                text,
                "[[uplink]]\nname = \"u{n}\"\ninterface = \"eth{n}\"\naddress = \"10.{n}.0.2\"\n\
                 source = \"10.{n}.0.2\"\nmtu = 1400\nmetric = {n}"
            );
        }
        let chains = plan(&text, &Availability::full()).ruleset.chains;
        chains.into_iter().filter(|chain| chain.hook.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(uplinks(2), uplinks(200));
}

#[rstest]
#[case::an_address("\"a\" . 10.0.0.2", true)]
#[case::the_other_address("\"a\" . 10.0.0.3", true)]
#[case::the_fixed_source("\"a\" . 203.0.113.9", true)]
#[case::the_source_of_a_fan_out("\"a\" . 203.0.113.1", true)]
#[case::the_source_of_a_fan_out_anywhere("\"a\" . 203.0.113.5", true)]
#[case::the_same_by_the_other("\"b\" . 203.0.113.5", true)]
#[case::the_first_uplinks_address_by_the_other("\"b\" . 10.0.0.2", false)]
#[case::the_fan_outs_source_by_the_other("\"b\" . 203.0.113.1", false)]
fn an_uplinks_own_sources(#[case] pair: &str, #[case] own: bool) {
    let text = "[[uplink]]\nname = \"u\"\ninterface = \"a\"\naddress = [\"10.0.0.2\", \"10.0.0.3\"]\n\
        source = \"203.0.113.9\"\n\
        [[uplink]]\nname = \"v\"\ninterface = \"b\"\naddress = \"10.1.0.2\"\n\
        [[fan-out]]\ndummy = \"192.0.2.1\"\nto = \"10.9.0.1\"\nsource = \"203.0.113.1\"\nuplink = \"u\"\n\
        [[fan-out]]\ndummy = \"192.0.2.5\"\nto = \"10.9.0.5\"\nsource = \"203.0.113.5\"\n";
    let plan = plan(text, &Availability::full());
    let set = plan.ruleset.sets.iter().find(|set| set.name == "uplink_own_4").unwrap();
    assert_eq!(set.elements.iter().any(|it| it == pair), own, "{:?}", set.elements);
}

#[rstest]
#[case::nothing("", &[])]
#[case::replies("[replies]\nudp = \"mark\"\n", &["mark_prerouting: ct state new meta l4proto { udp } iifname vmap @came_by", "mark_output: ct mark & 0x0000ff00 vmap @leave_by"])]
#[case::pinning("pinning = true\n", PINNED)]
#[case::both("pinning = true\n[replies]\nudp = \"mark\"\ntcp = \"mark\"\n", PINNED)]
fn connections_remember_what_some_mode_wants(#[case] words: &str, #[case] expected: &[&str]) {
    let uplink = "[[uplink]]\nname = \"u\"\ninterface = \"a\"\naddress = \"10.0.0.2\"\nmetric = 1\n";
    let text = match words.split_once("[replies]") {
        Some((top, replies)) => format!("{top}{uplink}[replies]{replies}"),
        None => format!("{words}{uplink}"),
    };
    let plan = plan(&text, &Availability::full());
    let rules: Vec<String> = plan
        .ruleset
        .chains
        .iter()
        .filter(|chain| chain.name.starts_with("mark_"))
        .flat_map(|chain| chain.rules.iter().map(move |rule| format!("{}: {}", chain.name, rule.text)))
        .collect();
    assert_eq!(rules, expected);
}

const PINNED: &[&str] = &[
    "mark_prerouting: iifname != @uplinks ct mark & 0x0000ff00 vmap @leave_by",
    "mark_prerouting: ct state new iifname vmap @came_by",
    "mark_output: ct mark & 0x0000ff00 vmap @leave_by",
    "mark_postrouting: ct state new ct mark & 0x0000ff00 == 0 oifname vmap @went_by",
];

#[rstest]
#[case::all_well(&[], &[])]
#[case::first(&["eth1"], &["192.0.2.1 . tcp . 5001"])]
#[case::both(&["eth1", "eth2"], &["192.0.2.1 . tcp . 5001", "192.0.2.1 . udp . 6000-6015", "192.0.2.1 . tcp . 6100"])]
#[case::another(&["eth0"], &[])]
fn ways_by_a_lost_uplink_are_refused(#[case] gone: &[&str], #[case] refused: &[&str]) {
    let model = model(include_str!("../../../examples/fan-out-ports.toml"));
    let mut links = Links::new();
    for uplink in model.uplinks.iter().filter(|it| !gone.contains(&it.interface.as_str())) {
        let addresses = uplink.legs.values().flat_map(|leg| leg.addresses.clone()).collect();
        let link = Link { up: true, carrier: true, addresses, ..Link::default() };
        links.insert(uplink.interface.clone(), link);
    }
    let plan = desired(&model, &slots(&model), &Availability::observe(&model, &links));
    let set = plan.ruleset.sets.iter().find(|set| set.name == "fan_out_port_lost_4");
    assert_eq!(set.map_or(&[][..], |set| &set.elements), refused);
    let rules = plan.ruleset.chains.iter().flat_map(|chain| &chain.rules);
    let rejecting = rules.filter(|rule| rule.text.contains("@fan_out_port_lost_4 reject")).count();
    assert_eq!(rejecting, 2, "forwarded and this host's own");
    // A way that is lost or comes back is a change of elements.
    let before = desired(&model, &slots(&model), &Availability::full()).ruleset;
    assert!(plan.ruleset.update(&before).is_some());
    assert!(before.update(&plan.ruleset).is_some());
}

/// A configuration of any shape that validation accepts.
/// Two uplinks of both families, the first of which resets.
fn resetting(pinning: bool, source: &str) -> String {
    format!(
        "pinning = {pinning}\n\
         [[uplink]]\nname = \"line\"\ninterface = \"eth0\"\naddress = [\"10.1.0.2\", \"2001:db8:1::2\"]\n\
         source = {source}\nmetric = 10\non-loss = \"reset\"\n\
         [[uplink]]\nname = \"radio\"\ninterface = \"eth1\"\naddress = [\"10.2.0.2\", \"2001:db8:2::2\"]\n\
         source = \"masquerade\"\nmetric = 20\n"
    )
}

#[rstest]
#[case::all_is_well(false, "\"masquerade\"", &[], &[])]
#[case::no_carrier(false, "\"masquerade\"", &[("eth0", false)], &["sources_4 10.1.0.2", "sources_6 2001:db8:1::2"])]
#[case::no_device(
    false, "\"masquerade\"", &[("eth0", true)],
    &["sources_4 10.1.0.2", "unknown_4 \"eth1\"", "sources_6 2001:db8:1::2", "unknown_6 \"eth1\""]
)]
#[case::by_their_mark(true, "\"masquerade\"", &[("eth0", false)], &["marks_4 0x00000100", "marks_6 0x00000100"])]
// What has a source for good is not forgotten by the kernel.
#[case::a_pool(false, "[\"203.0.113.8/29\"]", &[("eth0", true)], &["sources_4 203.0.113.8-203.0.113.15"])]
#[case::routed(true, "\"none\"", &[("eth0", true)], &["marks_4 0x00000100", "marks_6 0x00000100"])]
#[case::the_other_is_lost(false, "\"masquerade\"", &[("eth1", true)], &[])]
#[case::nothing_else_is_left(false, "\"masquerade\"", &[("eth0", true), ("eth1", false)], &[])]
fn tcp_of_a_lost_uplink_is_reset_where_another_is_left(
    #[case] pinning: bool,
    #[case] source: &str,
    #[case] lost: &[(&str, bool)],
    #[case] expected: &[&str],
) {
    assert_eq!(lost_elements("reset_", &resetting(pinning, source), lost), expected);
}

#[rstest]
#[case::for_both_families(&resetting(true, "\"masquerade\""), &[("eth0", false)], &["4 0x00000100", "6 0x00000100"])]
#[case::those_that_begin_anew(
    &resetting(true, "\"masquerade\"").replace("\"reset\"", "\"rehome\""), &[("eth0", false)],
    &["4 0x00000100", "6 0x00000100"]
)]
#[case::those_that_stay(
    &resetting(true, "\"masquerade\"").replace("\"reset\"", "\"stay\""), &[("eth0", false)], &[]
)]
#[case::the_kernel_forgets_no_others(&resetting(true, "[\"203.0.113.8/29\"]"), &[("eth0", false)], &[])]
#[case::nobody_remembers(&resetting(false, "\"masquerade\""), &[("eth0", false)], &[])]
#[case::nothing_else_is_left(&resetting(true, "\"masquerade\""), &[("eth0", false), ("eth1", false)], &[])]
fn packets_are_not_led_to_a_lost_uplink_where_another_is_left(
    #[case] text: &str,
    #[case] lost: &[(&str, bool)],
    #[case] expected: &[&str],
) {
    assert_eq!(lost_elements("released_", text, lost), expected);
}

/// What sets with this prefix have when interfaces are lost, and are gone where that is said.
fn lost_elements(prefix: &str, text: &str, lost: &[(&str, bool)]) -> Vec<String> {
    let model = model(text);
    let mut links = Links::new();
    for uplink in &model.uplinks {
        let how = lost.iter().find(|(name, _)| *name == uplink.interface.as_str());
        let addresses = uplink.legs.values().flat_map(|leg| leg.addresses.iter().copied()).collect();
        let link =
            Link { up: true, carrier: how.is_none(), point_to_point: true, addresses, ..Link::default() };
        if how.is_none_or(|(_, gone)| !gone) {
            links.insert(uplink.interface.clone(), link);
        }
    }
    let (well, now) = (plan(text, &Availability::full()), plan(text, &Availability::observe(&model, &links)));
    let sets =
        now.ruleset.sets.iter().filter_map(|set| Some((set.name.strip_prefix(prefix)?, &set.elements)));
    let found =
        sets.flat_map(|(name, elements)| elements.iter().map(move |it| format!("{name} {it}"))).collect();
    // Elements of sets, and nothing else.
    assert!(now.ruleset.update(&well.ruleset).is_some());
    found
}

fn any_config() -> impl Strategy<Value = String> {
    let uplink = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..5u8);
    let replies = (0..4u8, any::<bool>(), any::<bool>());
    let fan_out = (any::<bool>(), any::<bool>(), any::<prop::sample::Index>(), 0..4u8);
    (prop::collection::vec(uplink, 1..6), prop::collection::vec(fan_out, 0..6), replies).prop_map(
        |(uplinks, fan_outs, (udp, tcp, pinning))| {
            let mut text = String::new();
            for (n, (v4, v6, metric, gateway, source)) in uplinks.iter().enumerate() {
                let both = |four: String, six: String| {
                    let four = (*v4 || !*v6).then_some(four);
                    let six = v6.then_some(six);
                    let list: Vec<String> =
                        [four, six].into_iter().flatten().map(|it| format!("\"{it}\"")).collect();
                    format!("[{}]", list.join(", "))
                };
                let _ = writeln!(text, "[[uplink]]\nname = \"u{n}\"\ninterface = \"eth{n}\"");
                let _ =
                    writeln!(text, "address = {}", both(format!("10.{n}.0.2"), format!("2001:db8:{n}::2")));
                if *gateway {
                    let next = both(format!("10.{n}.0.1"), "fe80::1".to_owned());
                    let _ = writeln!(text, "gateway = {next}");
                }
                if *metric {
                    let _ = writeln!(text, "metric = {}", 100 - n);
                    // The same for all: their metrics tell them apart.
                    let shared = both("100.64.0.0/10".to_owned(), "2001:db9::/32".to_owned());
                    let _ = writeln!(text, "prefixes = {shared}");
                }
                if *gateway && *metric {
                    let _ = writeln!(text, "mtu = {}", 1400 + n);
                }
                if gateway == metric {
                    text.push_str("on-loss = \"reset\"\n");
                }
                match source {
                    0 => {}
                    1 => text.push_str("source = \"none\"\n"),
                    2 => text.push_str("source = \"masquerade\"\n"),
                    3 => {
                        let pool =
                            both(format!("203.0.113.{n}-203.0.113.99"), format!("2001:db8:11{n}::/64"));
                        let _ = writeln!(text, "source = {pool}");
                    }
                    _ => {
                        let own = both(format!("203.0.113.{n}"), format!("2001:db8:113::{n}"));
                        let _ = writeln!(text, "source = {own}");
                    }
                }
            }
            for (n, (source, named, index, port)) in fan_outs.iter().enumerate() {
                let (name, (v4, v6, ..)) = {
                    let at = index.index(uplinks.len());
                    (at, uplinks[at])
                };
                let (dummy, to, from) = if v4 || !v6 {
                    ("192.0.2", "198.51.100", "203.0.113")
                } else {
                    ("2001:db8:ff:", "2001:db8:99:", "2001:db8:98:")
                };
                let dot = if v4 || !v6 { "." } else { ":" };
                let n = n + 1;
                let _ = writeln!(text, "[[fan-out]]\ndummy = \"{dummy}{dot}{n}\"\nto = \"{to}{dot}{n}\"");
                match port {
                    0 | 1 => {}
                    2 => text.push_str("port = \"tcp/5001\"\n"),
                    _ => text.push_str("port = [\"tcp/5001-5009\", \"udp/53\"]\n"),
                }
                if *source {
                    let _ = writeln!(text, "source = \"{from}{dot}{n}\"");
                }
                if *named {
                    let _ = writeln!(text, "uplink = \"u{name}\"");
                }
            }
            match udp {
                0 => {}
                1 => text.push_str("[replies]\nudp = \"mark\"\n"),
                2 => text.push_str("[replies]\nudp = \"redirect\"\ninterfaces = [\"eth0\"]\n"),
                _ => {
                    let four = uplinks.iter().any(|it| it.0 || !it.1).then_some("\"10.255.0.1\", ");
                    let six = uplinks.iter().any(|it| it.1).then_some("\"fd00:255::1\"");
                    let server = format!("{}{}", four.unwrap_or_default(), six.unwrap_or_default());
                    let port = "[\"udp/53\", \"udp/5060-5061\"]";
                    let _ = writeln!(text, "[replies]\nudp = \"loop\"\nserver = [{server}]\nport = {port}");
                }
            }
            if pinning {
                text.insert_str(0, "pinning = true\n");
            }
            if tcp && udp == 1 {
                text.push_str("tcp = \"mark\"\n");
            }
            text
        },
    )
}

proptest! {
    #[test]
    fn planning_is_deterministic_and_keeps_its_promises(text in any_config()) {
        let Ok(model) = config::read(text.as_bytes()) else {
            // `mark` wants a metric in each family, which chance may not give.
            prop_assume!(text.contains("\"mark\""));
            return Ok(());
        };
        let slots = slots(&model);
        let plan = desired(&model, &slots, &Availability::full());
        prop_assert_eq!(&plan, &desired(&model, &slots, &Availability::full()));
        prop_assert_eq!(render::plan(&plan), render::plan(&plan.clone()));

        // Rules are told apart by priority, routes by their key, nft rules by comment.
        let places: BTreeSet<_> = plan.rules.iter().map(|rule| (rule.family, rule.priority)).collect();
        prop_assert_eq!(places.len(), plan.rules.len());
        let keys: BTreeSet<_> = plan.routes.iter().map(|route| route.key()).collect();
        prop_assert_eq!(keys.len(), plan.routes.len());
        let rules: Vec<_> = plan.ruleset.chains.iter().flat_map(|chain| &chain.rules).collect();
        let comments: BTreeSet<_> = rules.iter().map(|rule| &rule.comment).collect();
        prop_assert_eq!(comments.len(), rules.len());
        prop_assert!(comments.iter().all(|comment| comment.len() <= 128));

        // Behind each lookup by mark or address stands its guard.
        for rule in plan.rules.iter().filter(|rule| rule.selector != Selector::All) {
            let other = match rule.action {
                Action::Lookup(_) => rule.priority + 1,
                _ => rule.priority - 1,
            };
            let behind = plan.rules.iter().any(|it| {
                it.priority == other && it.family == rule.family && it.selector == rule.selector
            });
            prop_assert!(behind, "{} stands alone", rule);
        }

        // What `explain` cannot read it could only pass over.
        prop_assert_eq!(crate::explain::not_understood(&plan.ruleset), []);

        // Every chain that a verdict names exists, every map and set that a rule names exists.
        let text = plan.ruleset.text();
        for word in text.split_whitespace().filter_map(|word| word.strip_prefix('@')) {
            let declared = plan.ruleset.sets.iter().any(|set| set.name == word)
                || plan.ruleset.sticky.iter().any(|set| set.name == word)
                || plan.ruleset.maps.iter().any(|map| map.name == word);
            prop_assert!(declared, "{} in {}", word, text);
        }
        for map in plan.ruleset.maps.iter().filter(|map| map.value == "verdict") {
            for (_, verdict) in &map.elements {
                let chain = verdict.trim_start_matches("goto ").trim_start_matches("jump ");
                prop_assert!(plan.ruleset.chains.iter().any(|it| it.name == chain), "{} in {}", chain, text);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z\"=.:0-9 \n,#{}-]{0,200}") {
        let _ = config::read(text.as_bytes());
    }

    #[test]
    fn no_change_of_a_good_file_makes_the_reader_panic(
        at in any::<prop::sample::Index>(),
        len in 0..12usize,
        put in "[\\[\\]a-z\"=.:0-9 \n]{0,6}",
    ) {
        let mut text = MARK.to_owned();
        let start = at.index(text.len());
        let end = (start + len).min(text.len());
        text.replace_range(start..end, &put);
        if let Err(config::Rejected::Wrong { source, diagnostics }) = config::read(text.as_bytes()) {
            prop_assert!(!diagnostics.is_empty());
            let _ = crate::diagnostic::render("x.toml", &source, &diagnostics, crate::diagnostic::Colour::Never);
        }
    }
}
