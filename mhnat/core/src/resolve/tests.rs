use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::config;
use crate::desired::desired;
use crate::link::{Availability, NextHop, Origin, Unusable, lacking_gateway};
use crate::routing::{Action, Selector};
use crate::slot::Slots;

const DYNAMIC: &str = r#"
[[uplink]]
name = "cable"
interface = "eth0"
address = "dynamic"
gateway = "dynamic"
source = "masquerade"
metric = 10

[replies]
udp = "mark"
"#;

fn model(text: &str) -> Model {
    config::read(text.as_bytes()).unwrap()
}

fn both() -> BTreeSet<Family> {
    Family::ALL.into_iter().collect()
}

fn link(preferred: &[&str], learned: &[NextHop]) -> Link {
    let preferred: Vec<IpAddr> = preferred.iter().map(|it| it.parse().unwrap()).collect();
    Link {
        up: true,
        carrier: true,
        addresses: preferred.iter().copied().collect(),
        preferred,
        learned: learned.iter().copied().collect(),
        ..Link::default()
    }
}

fn links(link: Link) -> Links {
    Links::from([("eth0".parse().unwrap(), link)])
}

fn hop(gateway: &str, origin: Origin) -> NextHop {
    NextHop { aside: false, origin, metric: 100, gateway: gateway.parse().unwrap() }
}

fn slots() -> Slots {
    Slots::allocate(model(DYNAMIC).uplinks.iter().map(|uplink| &uplink.name), &Slots::default(), 250)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_lease_and_an_advertisement_make_a_static_uplink() {
    let static_file = DYNAMIC
        .replace("address = \"dynamic\"", "address = [\"203.0.113.7\", \"2001:db8:1::7\", \"203.0.113.8\"]")
        .replace("gateway = \"dynamic\"", "gateway = [\"203.0.113.1\", \"fe80::1\"]");
    let links = links(link(
        &["203.0.113.7", "2001:db8:1::7", "203.0.113.8"],
        &[hop("203.0.113.1", Origin::Dhcp), hop("fe80::1", Origin::Advertisement)],
    ));
    let resolved = resolve(&model(DYNAMIC), &links, &both());
    let fixed = model(&static_file);
    assert_eq!(resolved.uplinks[0].legs, fixed.uplinks[0].legs);
    assert_eq!(resolved.forwarding, fixed.forwarding);
    let availability = Availability::observe(&resolved, &links);
    assert_eq!(availability, Availability::full());
    let slots = slots();
    assert_eq!(desired(&resolved, &slots, &availability), desired(&fixed, &slots, &Availability::full()));
}

#[test]
fn a_static_model_stays_as_it_is() {
    let model = model(include_str!("../../../examples/replies-mark.toml"));
    assert_eq!(resolve(&model, &Links::new(), &both()), model);
}

#[test]
fn main_is_preferred_then_the_better_origin_then_the_metric() {
    let best = hop("10.0.0.1", Origin::Dhcp);
    let others = [
        NextHop { aside: true, metric: 1, ..hop("10.0.0.2", Origin::Dhcp) },
        NextHop { metric: 1, ..hop("10.0.0.3", Origin::Static) },
        NextHop { metric: 101, ..hop("10.0.0.4", Origin::Dhcp) },
        NextHop { metric: 1, ..hop("10.0.0.5", Origin::Other) },
    ];
    for other in others {
        let links = links(link(&["10.0.0.9"], &[other, best]));
        let resolved = resolve(&model(DYNAMIC), &links, &both());
        assert_eq!(resolved.uplinks[0].legs[&Family::V4].gateway, Some(best.gateway));
        let links = Links::from([("eth0".parse().unwrap(), link(&["10.0.0.9"], &[other]))]);
        let resolved = resolve(&model(DYNAMIC), &links, &both());
        assert_eq!(resolved.uplinks[0].legs[&Family::V4].gateway, Some(other.gateway), "better than none");
    }
}

#[rstest]
#[case::nothing(link(&[], &[]), &[(Family::V4, Unusable::Nothing), (Family::V6, Unusable::Nothing)])]
#[case::no_route(link(&["10.0.0.9"], &[]), &[(Family::V4, Unusable::NoGateway), (Family::V6, Unusable::Nothing)])]
#[case::only_ipv4(link(&["10.0.0.9"], &[hop("10.0.0.1", Origin::Dhcp)]), &[])]
#[case::only_ipv6(link(&["2001:db8::9"], &[hop("fe80::1", Origin::Advertisement)]), &[])]
#[case::route_of_the_other_family(
    link(&["2001:db8::9"], &[hop("10.0.0.1", Origin::Dhcp)]),
    &[(Family::V4, Unusable::Nothing), (Family::V6, Unusable::NoGateway)]
)]
#[case::down(Link { up: false, ..link(&["10.0.0.9"], &[]) }, &[(Family::V4, Unusable::Down), (Family::V6, Unusable::Down)])]
#[case::point_to_point(Link { point_to_point: true, ..link(&["10.0.0.9"], &[]) }, &[])]
#[case::detection(
    Link { tentative: [ip("2001:db8::9"), ip("fe80::9")].into(), ..link(&[], &[]) },
    &[(Family::V4, Unusable::Nothing), (Family::V6, Unusable::Tentative(ip("2001:db8::9")))]
)]
#[case::only_link_local_detection(
    Link { tentative: [ip("fe80::9")].into(), ..link(&["10.0.0.9"], &[hop("10.0.0.1", Origin::Boot)]) },
    &[]
)]
fn what_is_not_there_yet_is_said_and_carries_nothing(
    #[case] link: Link,
    #[case] said: &[(Family, Unusable)],
) {
    let links = links(link);
    let resolved = resolve(&model(DYNAMIC), &links, &both());
    let availability = Availability::observe(&resolved, &links);
    let complaints: Vec<_> =
        availability.complaints(&resolved).into_iter().map(|(_, family, why)| (family, why)).collect();
    assert_eq!(complaints, said);
    assert_eq!(lacking_gateway(&resolved, &links), []);
    let slots = slots();
    let plan = desired(&resolved, &slots, &availability);
    for family in Family::ALL {
        assert_eq!(
            plan.routes.iter().any(|route| route.family == family),
            availability.usable(&resolved.uplinks[0], family)
        );
        let guard = plan.rules.iter().any(|rule| {
            rule.family == family
                && rule.action == Action::Unreachable
                && matches!(rule.selector, Selector::Mark { .. })
        });
        assert!(guard, "the guard by mark holds for {family}");
    }
}

#[test]
fn without_a_kernel_no_route_is_made_up() {
    let model = model(DYNAMIC);
    let slots = slots();
    assert!(desired(&model, &slots, &Availability::full()).routes.is_empty());
}

#[test]
fn only_a_family_with_an_address_is_forwarded() {
    let links = links(link(&["10.0.0.9"], &[]));
    let implied = resolve(&model(DYNAMIC), &links, &both());
    assert_eq!(implied.forwarding, [Family::V4].into());
    let asked = resolve(&model(&format!("forwarding = true\n{DYNAMIC}")), &links, &both());
    assert_eq!(asked.forwarding, both());
}

#[test]
fn a_family_that_the_kernel_lacks_has_no_leg() {
    let resolved = resolve(&model(DYNAMIC), &links(link(&["10.0.0.9"], &[])), &[Family::V4].into());
    assert_eq!(resolved.uplinks[0].legs.keys().collect::<Vec<_>>(), [&Family::V4]);
}

#[test]
fn a_gateway_of_one_family_excludes_the_other() {
    let text = DYNAMIC.replace("gateway = \"dynamic\"", "gateway = \"10.0.0.1\"");
    let legs: BTreeMap<_, _> = model(&text).uplinks[0].legs.clone();
    assert_eq!(legs.keys().collect::<Vec<_>>(), [&Family::V4]);
}

#[test]
fn no_more_addresses_than_there_are_numbers_for() {
    let many: Vec<String> = (1..20).map(|n| format!("10.0.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let resolved = resolve(&model(DYNAMIC), &links(link(&many, &[])), &both());
    assert_eq!(resolved.uplinks[0].legs[&Family::V4].addresses.len(), MAX_ADDRESSES);
}
