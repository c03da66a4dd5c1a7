use super::*;

fn example() -> Ruleset {
    Ruleset {
        table: Table::Inet,
        sets: vec![Set::new("on", "ifname", vec!["\"eth0\"".into()])],
        sticky: Vec::new(),
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

fn bridge() -> Ruleset {
    Ruleset {
        table: Table::Bridge,
        sticky: Vec::new(),
        chains: vec![Chain {
            name: "leaving".into(),
            hook: Some(Hook { kind: "filter", hook: "postrouting", priority: 0 }),
            rules: vec![],
        }],
        ..Ruleset::default()
    }
}

fn present(rulesets: &[Ruleset]) -> Inventories {
    rulesets.iter().map(|it| (it.table, it.inventory())).collect()
}

#[test]
fn what_is_written_is_found_again() {
    let both = [example(), bridge()];
    let text: String = both.iter().map(Ruleset::text).collect();
    assert_eq!(inventories(&text), present(&both));
}

#[test]
fn tables_of_others_are_passed_over() {
    let text = example().text().replace("inet mhnat", "inet mhnat2") + &bridge().text();
    assert_eq!(inventories(&text), present(&[bridge()]));
}

#[test]
fn the_first_load_deletes_nothing() {
    let text = example().text();
    assert_eq!(replacement(&Inventories::new(), &text), text);
}

#[test]
fn a_table_that_is_not_wanted_any_more_goes_in_the_same_transaction() {
    let text = replacement(&present(&[example(), bridge()]), &example().text());
    assert!(text.contains("\ndelete table bridge mhnat\ntable inet mhnat {\n"), "{text}");
    assert_eq!(replacement(&present(&[example()]), ""), "delete table inet mhnat\n");
}

#[test]
fn ranges_make_intervals_and_hyphens_in_names_do_not() {
    let with = |key: &str| {
        let map = Map {
            name: "to".into(),
            key: "ifname . inet_service",
            value: "ipv4_addr",
            elements: vec![(key.to_owned(), "10.0.0.1".into())],
        };
        map_text(&map).contains("flags interval")
    };
    assert!(with("\"eth0\" . 80-90"));
    assert!(!with("\"br-lan\" . 80"));
}

#[test]
fn sets_are_declared_before_the_table_is_written() {
    let text = replacement(&present(&[example()]), &example().text());
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("add ")).collect();
    assert_eq!(
        commands,
        ["add set inet mhnat on { type ifname; }", "add map inet mhnat by { type ifname : verdict; }",]
    );
}

#[test]
fn a_replacement_keeps_shared_base_chains_and_removes_the_rest() {
    let mut old = present(&[example()]);
    old.get_mut(&Table::Inet).unwrap().base_chains.insert("input".into());
    let text = replacement(&old, &example().text());
    let commands: Vec<&str> = text.lines().take_while(|line| !line.starts_with("add")).collect();
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
    let set = Set::new("s", key, vec![element.into()]);
    let elements = vec![(element.into(), "accept".into())];
    let map = Map { name: "m".into(), key, value: "verdict", elements };
    for text in [set_text(&set), map_text(&map)] {
        assert_eq!(text.contains("\t\tflags interval\n"), interval, "{text}");
    }
}
