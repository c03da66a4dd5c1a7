use super::*;

fn example() -> Ruleset {
    Ruleset {
        sets: vec![Set { name: "on".into(), key: "ifname", elements: vec!["\"eth0\"".into()] }],
        maps: vec![Map {
            name: "by".into(),
            key: "ifname",
            value: "verdict",
            elements: vec![("\"eth0\"".into(), "goto other".into())],
        }],
        chains: vec![
            Chain { name: "other".into(), hook: None, rules: vec![] },
            Chain {
                name: "output".into(),
                hook: Some(Hook { kind: "filter", hook: "output", priority: 0 }),
                rules: vec![Rule { text: "oifname vmap @by".into(), comment: "a: role".into() }],
            },
        ],
    }
}

#[test]
fn what_is_written_is_found_again() {
    let ruleset = example();
    assert_eq!(inventory(&ruleset.text()), ruleset.inventory());
}

#[test]
fn the_first_load_deletes_nothing() {
    assert_eq!(example().replacement(None), example().text());
}

#[test]
fn a_replacement_keeps_shared_base_chains_and_removes_the_rest() {
    let mut old = example().inventory();
    old.base_chains.insert("input".into());
    let text = example().replacement(Some(&old));
    let commands: Vec<&str> = text.lines().take_while(|line| !line.starts_with("table")).collect();
    assert_eq!(
        commands,
        [
            "flush table inet mhnat",
            "flush map inet mhnat by",
            "delete map inet mhnat by",
            "delete set inet mhnat on",
            "delete chain inet mhnat other",
            "delete chain inet mhnat input",
        ]
    );
}

#[rstest::rstest]
#[case::plain("ipv4_addr", "192.0.2.1", false)]
#[case::port("ipv4_addr . inet_proto . inet_service", "192.0.2.1 . tcp . 22", false)]
#[case::range("ipv4_addr . inet_proto . inet_service", "192.0.2.1 . tcp . 22-23", true)]
#[case::prefix("ipv6_addr", "2001:db8::/32", true)]
#[case::name("ifname", "\"eth0-1\"", false)]
fn ranges_and_prefixes_need_a_flag(#[case] key: &'static str, #[case] element: &str, #[case] interval: bool) {
    let set = Set { name: "s".into(), key, elements: vec![element.into()] };
    let elements = vec![(element.into(), "accept".into())];
    let map = Map { name: "m".into(), key, value: "verdict", elements };
    for text in [set_text(&set), map_text(&map)] {
        assert_eq!(text.contains("\t\tflags interval\n"), interval, "{text}");
    }
}
