use rstest::rstest;

use super::*;

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (Key((*key).to_owned()), (*value).to_owned())).collect()
}

fn around(interfaces: &[&str], advertised: &[&str]) -> Surroundings {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Surroundings { interfaces: set(interfaces), advertised: set(advertised) }
}

fn written(writes: &[(Key, String)]) -> Vec<(&str, &str)> {
    writes.iter().map(|(key, value)| (key.path(), value.as_str())).collect()
}

#[rstest]
#[case::off("0", "0", false)]
#[case::strict("0", "1", true)]
#[case::strict_by_all("1", "0", true)]
#[case::loose("0", "2", false)]
#[case::loose_beats_strict_all("1", "2", false)]
#[case::loose_by_all("2", "1", false)]
fn reverse_path_is_loosened_only_where_strict(#[case] all: &str, #[case] own: &str, #[case] write: bool) {
    let demands = BTreeSet::from([Demand::LooseReversePath("eth0".parse().unwrap())]);
    let current = values(&[("net/ipv4/conf/all/rp_filter", all), ("net/ipv4/conf/eth0/rp_filter", own)]);
    let plan = plan(&demands, &Surroundings::default(), &current, &Values::new());
    let expected: Vec<(&str, &str)> =
        if write { vec![("net/ipv4/conf/eth0/rp_filter", "2")] } else { vec![] };
    assert_eq!(written(&plan.open), expected);
    assert_eq!(plan.keep.values().collect::<Vec<_>>(), if write { vec![own] } else { vec![] });
}

#[test]
fn what_the_forwarding_switch_changes_is_kept() {
    let demands = BTreeSet::from([Demand::Forwarding(Family::V4)]);
    let around = around(&["lo", "eth0"], &[]);
    let current = values(&[
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv4/conf/all/accept_redirects", "0"),
        ("net/ipv4/conf/default/forwarding", "0"),
        ("net/ipv4/conf/eth0/forwarding", "1"),
        ("net/ipv4/conf/lo/forwarding", "0"),
    ]);
    assert_eq!(relevant(&demands, &around), current.keys().cloned().collect());
    let plan = plan(&demands, &around, &current, &Values::new());
    assert_eq!(plan.keep, current);
    assert_eq!(written(&plan.forward), [("net/ipv4/ip_forward", "1")]);
}

#[test]
fn forwarding_that_is_on_is_left_alone() {
    let demands = BTreeSet::from([Demand::Forwarding(Family::V6)]);
    let current = values(&[("net/ipv6/conf/all/forwarding", "1")]);
    let plan = plan(&demands, &around(&["eth0"], &["eth0"]), &current, &Values::new());
    assert_eq!(plan, SysctlPlan::default());
}

#[test]
fn advertised_default_routes_outlive_forwarding() {
    let demands = BTreeSet::from([Demand::Forwarding(Family::V6)]);
    let current = values(&[("net/ipv6/conf/all/forwarding", "0"), ("net/ipv6/conf/eth1/accept_ra", "1")]);
    let plan = plan(&demands, &around(&["eth0", "eth1"], &["eth1"]), &current, &Values::new());
    assert_eq!(
        written(&plan.forward),
        [("net/ipv6/conf/eth1/accept_ra", "2"), ("net/ipv6/conf/all/forwarding", "1")]
    );
}

#[test]
fn the_first_value_kept_is_the_one_restored() {
    let demands = BTreeSet::from([Demand::Forwarding(Family::V4)]);
    let kept = values(&[("net/ipv4/ip_forward", "0"), ("net/ipv4/conf/eth0/rp_filter", "1")]);
    let current = values(&[("net/ipv4/ip_forward", "0")]);
    let plan = plan(&demands, &around(&[], &[]), &current, &kept);
    assert_eq!(plan.keep, Values::new());
    assert_eq!(plan.obsolete.iter().map(Key::path).collect::<Vec<_>>(), ["net/ipv4/conf/eth0/rp_filter"]);
}

#[test]
fn switches_are_restored_before_what_they_change() {
    let kept = values(&[
        ("net/ipv4/conf/all/accept_redirects", "1"),
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv6/conf/all/forwarding", "0"),
        ("net/ipv6/conf/eth0/accept_ra", "1"),
        ("net/ipv6/conf/eth0/forwarding", "0"),
    ]);
    let order: Vec<&str> = restore_order(&kept).into_iter().map(|(key, _)| key.path()).collect();
    assert_eq!(
        order,
        [
            "net/ipv4/ip_forward",
            "net/ipv6/conf/all/forwarding",
            "net/ipv4/conf/all/accept_redirects",
            "net/ipv6/conf/eth0/forwarding",
            "net/ipv6/conf/eth0/accept_ra",
        ]
    );
}

#[rstest]
#[case::other("2", "0", &[("net/netfilter/nf_conntrack_events", "1"), ("net/netfilter/nf_conntrack_tcp_be_liberal", "1")])]
#[case::one("1", "0", &[("net/netfilter/nf_conntrack_tcp_be_liberal", "1")])]
#[case::right("1", "1", &[])]
fn connection_tracking_tells_and_is_liberal(
    #[case] events: &str,
    #[case] liberal: &str,
    #[case] expected: &[(&str, &str)],
) {
    let demands = BTreeSet::from([Demand::ConntrackEvents, Demand::LiberalWindows]);
    let around = Surroundings::default();
    let current = values(&[
        ("net/netfilter/nf_conntrack_events", events),
        ("net/netfilter/nf_conntrack_tcp_be_liberal", liberal),
    ]);
    assert_eq!(relevant(&demands, &around), current.keys().cloned().collect());
    let plan = plan(&demands, &around, &current, &Values::new());
    assert_eq!(written(&plan.open), expected);
    assert_eq!(plan.keep.len(), expected.len());
    // Without connection tracking there is nothing to set yet.
    let absent = super::plan(&demands, &around, &Values::new(), &Values::new());
    assert_eq!(absent, SysctlPlan::default());
    // And when nobody demands them any more, they go back.
    let after = super::plan(&BTreeSet::new(), &around, &current, &plan.keep);
    assert_eq!(after.obsolete, plan.keep.keys().cloned().collect());
}
