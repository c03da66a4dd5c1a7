use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::{LabPlan, Place, Route, build};
use crate::{
    scenario,
    topology::{Interface, Link, LinkId, Node, NodeId, Role, Routing, Topology},
};

/// What a plan says, one thing a line.
fn text(plan: &LabPlan) -> String {
    let mut text = String::new();
    let place = |place: Place| match place {
        Place::Node(node) => plan.nodes[node].name.clone(),
        Place::Switch(switch) => plan.switches[switch].name.clone(),
    };
    for switch in &plan.switches {
        let _ = writeln!(text, "switch {} index {} mtu {}", switch.name, switch.index, switch.mtu);
    }
    for cable in &plan.cables {
        let end = |end: &super::CableEnd| {
            let mac: Vec<String> = end.mac.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}:{} index {} mac {}", place(end.place), end.name, end.index, mac.join(":"))
        };
        let _ = writeln!(text, "cable {} - {} mtu {}", end(&cable.near), end(&cable.far), cable.mtu);
    }
    for node in &plan.nodes {
        let _ = writeln!(text, "node {}", node.name);
        for (key, value) in &node.sysctls {
            let _ = writeln!(text, "  {key} = {value}");
        }
        for device in &node.devices {
            let _ = writeln!(text, "  {} ({}) {:?}", device.name, device.index, device.addresses);
        }
        for route in &node.routes {
            let _ = writeln!(text, "  {}", route_text(route));
        }
        for rule in &node.rules {
            let family = if rule.ipv6 { "IPv6" } else { "IPv4" };
            let from = rule.from.map_or("all".to_owned(), |from| from.to_string());
            let _ = writeln!(
                text,
                "  rule {} {family} from {from} iif {} {:?}",
                rule.priority, rule.iif, rule.action
            );
        }
        for neighbour in &node.neighbours {
            let _ = writeln!(
                text,
                "  knows {} on {} as {:02x?}",
                neighbour.address, neighbour.device, neighbour.mac
            );
        }
        for service in &node.services {
            let _ = writeln!(text, "  serves {service}");
        }
    }
    text
}

fn route_text(route: &Route) -> String {
    let mut text = format!("route {}", route.to);
    if let Some(via) = route.via {
        let _ = write!(text, " via {via}");
    }
    let _ = write!(text, " dev {}", route.device);
    if route.onlink {
        text.push_str(" onlink");
    }
    if let Some(source) = route.source {
        let _ = write!(text, " src {source}");
    }
    if route.metric > 0 {
        let _ = write!(text, " metric {}", route.metric);
    }
    text
}

#[test]
fn a_dual_stack_home_with_a_provider_and_a_far_host() {
    let scenario = scenario::parse(
        r#"
title = "dual stack"
lan.home = { prefix = ["192.168.1.0/24", "2001:db8:1::/64"] }
isp.p = { prefix = ["198.51.100.0/24", "2001:db8:2::/64"], filter = "source", routes = "2001:db8:1::/64" }
gateway.g = { lan.lan = "home", uplink.wan = "p", default = "p" }
host.a = { on = "home" }
host.b = { on = "home" }
host.far = { on = "internet", address = ["203.0.113.80", "2001:db8:ffff::80"], serve = ["udp/53 echo", "tcp/53 echo"] }
subject = { on = "g", variant.none = { breaks = ["ask"] } }
step = [{ name = "ask", request = { from = "a", to = "far:53" } }]
"#,
    )
    .unwrap();
    insta::assert_snapshot!(text(&build(&scenario.topology, scenario.ipv6)));
}

#[test]
fn a_cable_that_is_muted_has_a_switch_in_it() {
    let plan_of = |action: &str| {
        let scenario = scenario::parse(&format!(
            r#"
title = "a cable"
node.a.interface.eth0 = "10.0.0.1/24"
node.b.interface.eth0 = "10.0.0.2/24"
link = [{{ ends = ["a:eth0", "b:eth0"] }}]
subject = {{ on = "a", variant.none = {{ breaks = ["ask"] }} }}
step = [
  {{ name = "break", link = {{ at = "b:eth0", do = "{action}" }} }},
  {{ name = "ask", request = {{ from = "a", to = "b:53" }} }},
]
"#
        ))
        .unwrap();
        build(&scenario.topology, scenario.ipv6)
    };
    let (cut, muted) = (plan_of("cut"), plan_of("mute"));
    assert_eq!((cut.cables.len(), cut.switches.len()), (1, 0));
    assert_eq!((muted.cables.len(), muted.switches.len()), (2, 1));
    assert_eq!(cut.nodes, muted.nodes);
}

/// What a random topology is made from: each router hangs on a former one, each leaf on a segment of a router.
#[derive(Debug, Clone)]
struct Seed {
    /// For each router but the first: the former one that it is linked to, and whether the link is a bare cable.
    routers: Vec<(usize, bool)>,
    /// More links between routers.
    chords: Vec<(usize, usize)>,
    /// Segments: the router and a second one that may be on it.
    segments: Vec<(usize, Option<usize>)>,
    /// Leaves: the segment, and what it is.
    leaves: Vec<(usize, Role, bool)>,
    ipv6: bool,
}

fn seed() -> impl Strategy<Value = Seed> {
    let role = prop_oneof![3 => Just(Role::Host), 1 => Just(Role::Gateway)];
    (
        prop::collection::vec((any::<usize>(), any::<bool>()), 0..5),
        prop::collection::vec((any::<usize>(), any::<usize>()), 0..3),
        prop::collection::vec((any::<usize>(), prop::option::of(any::<usize>())), 1..4),
        prop::collection::vec((any::<usize>(), role, any::<bool>()), 0..6),
        any::<bool>(),
    )
        .prop_map(|(routers, chords, segments, leaves, ipv6)| Seed {
            routers,
            chords,
            segments,
            leaves,
            ipv6,
        })
}

fn node(topology: &mut Topology, name: String, role: Role, loopback: Vec<IpAddr>) -> NodeId {
    topology.nodes.push(Node {
        name,
        role,
        interfaces: Vec::new(),
        loopback,
        forward: role != Role::Host,
        routing: if role == Role::Gateway { Routing::Static(Vec::new()) } else { Routing::Computed },
        services: Vec::new(),
        ingress: Vec::new(),
        delegations: Vec::new(),
    });
    NodeId(topology.nodes.len() - 1)
}

fn link(topology: &mut Topology, members: &[NodeId], bare: bool, ipv6: bool) {
    let link = topology.links.len();
    let mut prefixes: Vec<IpNet> = vec![format!("10.{link}.0.0/24").parse().unwrap()];
    if ipv6 {
        prefixes.push(format!("fd00:{link}::/64").parse().unwrap());
    }
    let name = format!("l{link}");
    let kept = if bare { Vec::new() } else { prefixes.clone() };
    topology.links.push(Link {
        name,
        mtu: 1500,
        prefixes: kept,
        ends: Vec::new(),
        gateway: None,
        switched: false,
        relayed: None,
        provided: None,
    });
    for member in members {
        join(topology, *member, link, &prefixes, bare);
    }
}

fn join(topology: &mut Topology, member: NodeId, link: usize, prefixes: &[IpNet], bare: bool) {
    let number = topology.links[link].ends.len() as u128 + 1;
    let addresses = prefixes.iter().map(|prefix| {
        let address = match prefix.network() {
            IpAddr::V4(v4) => IpAddr::from((u32::from(v4) + number as u32).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) + number).to_be_bytes()),
        };
        let length = if bare { prefix.max_prefix_len() } else { prefix.prefix_len() };
        IpNet::new(address, length).unwrap()
    });
    let addresses = addresses.collect();
    let interfaces = &mut topology.nodes[member.0].interfaces;
    interfaces.push(Interface { name: format!("eth{}", interfaces.len()), link: LinkId(link), addresses });
    let index = interfaces.len() - 1;
    topology.links[link].ends.push((member, index));
}

fn grow(seed: &Seed) -> Topology {
    let mut topology = Topology::default();
    let routers = seed.routers.len() + 1;
    for router in 0..routers {
        let own = format!("172.16.0.{}", router + 1).parse().unwrap();
        node(&mut topology, format!("r{router}"), Role::Router, vec![own]);
    }
    for (router, (former, bare)) in seed.routers.iter().enumerate() {
        link(&mut topology, &[NodeId(router + 1), NodeId(former % (router + 1))], *bare, seed.ipv6);
    }
    for (one, other) in &seed.chords {
        if one % routers != other % routers {
            link(&mut topology, &[NodeId(one % routers), NodeId(other % routers)], false, seed.ipv6);
        }
    }
    let first = topology.links.len();
    for (one, other) in &seed.segments {
        let members: BTreeSet<NodeId> =
            other.iter().chain([one]).map(|router| NodeId(router % routers)).collect();
        link(&mut topology, &members.into_iter().collect::<Vec<_>>(), false, seed.ipv6);
    }
    for (leaf, (segment, role, loopback)) in seed.leaves.iter().enumerate() {
        let own = format!("172.17.0.{}", leaf + 1).parse().unwrap();
        let id =
            node(&mut topology, format!("n{leaf}"), *role, loopback.then_some(own).into_iter().collect());
        let at = first + segment % seed.segments.len();
        let prefixes = topology.links[at].prefixes.clone();
        join(&mut topology, id, at, &prefixes, false);
    }
    topology
}

/// Where a node sends a packet: to the owner of the address, if it is a neighbour, or to the next hop.
fn next(topology: &Topology, plan: &LabPlan, node: NodeId, to: IpAddr) -> Option<NodeId> {
    let devices = &plan.nodes[node.0].devices;
    let on_link = devices.iter().flat_map(|device| {
        let prefixes =
            device.addresses.iter().map(IpNet::trunc).filter(|net| net.prefix_len() < net.max_prefix_len());
        prefixes.map(move |net| (net, None, device.index))
    });
    let routes = plan.nodes[node.0].routes.iter().map(|route| (route.to, route.via, route.device));
    let fitting = on_link.chain(routes).filter(|(net, _, _)| net.contains(&to));
    let (_, via, device) = fitting.max_by_key(|(net, _, _)| net.prefix_len())?;
    let link = devices.iter().find(|own| own.index == device)?.link;
    let hop = via.unwrap_or(to);
    let ends = &topology.links[link].ends;
    let found = ends
        .iter()
        .find(|(end, at)| topology.node(*end).interfaces[*at].addresses.iter().any(|net| net.addr() == hop));
    found.map(|(end, _)| *end)
}

/// The nodes between two others.
fn between(topology: &Topology, plan: &LabPlan, from: NodeId, to: IpAddr) -> Option<Vec<NodeId>> {
    let mut here = from;
    let mut passed = Vec::new();
    for _ in 0..topology.nodes.len() {
        here = next(topology, plan, here, to)?;
        if topology.node(here).addresses().any(|own| own == to) {
            return Some(passed);
        }
        passed.push(here);
    }
    None
}

proptest! {
    #[test]
    fn numbers_are_unique_and_next_hops_are_neighbours(seed in seed()) {
        let topology = grow(&seed);
        let plan = build(&topology, seed.ipv6);
        let ends = || plan.cables.iter().flat_map(|cable| [&cable.near, &cable.far]);
        let indexes: BTreeSet<u32> = ends().map(|end| end.index).chain(plan.switches.iter().map(|s| s.index)).collect();
        prop_assert_eq!(indexes.len(), ends().count() + plan.switches.len());
        prop_assert_eq!(ends().map(|end| end.mac).collect::<BTreeSet<_>>().len(), ends().count());
        for node in &plan.nodes {
            for device in &node.devices {
                prop_assert!(ends().any(|end| end.index == device.index && end.name == device.name));
                prop_assert!(plan.cable_of(device.index).is_some());
            }
            let to: BTreeSet<IpNet> = node.routes.iter().map(|route| route.to).collect();
            prop_assert_eq!(to.len(), node.routes.len(), "{:?}", node.routes);
            for route in &node.routes {
                let device = node.devices.iter().find(|device| device.index == route.device).unwrap();
                let hop = route.via.unwrap_or(route.to.addr());
                let mut ends = topology.links[device.link].ends.iter();
                let known = ends.any(|(end, at)| {
                    topology.node(*end).name != node.name
                        && topology.node(*end).interfaces[*at].addresses.iter().any(|net| net.addr() == hop)
                });
                prop_assert!(known, "{} of {}", route_text(route), node.name);
                prop_assert_eq!(route.onlink, route.via.is_some() && topology.links[device.link].prefixes.is_empty());
            }
        }
    }

    #[test]
    fn everybody_reaches_everybody_through_routers_alone(seed in seed()) {
        let topology = grow(&seed);
        let plan = build(&topology, seed.ipv6);
        for from in (0..topology.nodes.len()).map(NodeId) {
            let node = topology.node(from);
            // A gateway has no computed routes, and hosts beside one use it.
            let link = |at: &Interface| topology.link(at.link).ends.clone();
            let mut others = node.interfaces.iter().flat_map(link);
            if node.role == Role::Gateway || (node.role == Role::Host && others.any(|(end, _)| topology.node(end).role == Role::Gateway)) {
                continue;
            }
            for to in topology.nodes.iter().filter(|other| other.name != node.name).flat_map(Node::addresses) {
                // A router's loopback address is IPv4, and so is every link at least.
                let Some(passed) = between(&topology, &plan, from, to) else {
                    return Err(TestCaseError::fail(format!("{} does not reach {to}:\n{}", node.name, text(&plan))));
                };
                prop_assert!(passed.iter().all(|hop| topology.node(*hop).role == Role::Router));
            }
        }
    }
}
