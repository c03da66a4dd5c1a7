//! Plans by hand.

use std::net::IpAddr;

use harness_model::plan::{
    Cable, CableEnd, Device, LabPlan, Neighbour, NodePlan, Place, Route, Switch, Wire,
};

/// Nodes of [`small`].
pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
pub(crate) const ROUTER: usize = 2;
pub(crate) const SERVER: usize = 3;

/// Devices of [`small`], by interface index.
pub(crate) const ALICE_ETH0: u32 = 101;
pub(crate) const BOB_ETH0: u32 = 103;
pub(crate) const ROUTER_LAN: u32 = 105;
pub(crate) const ROUTER_WAN: u32 = 106;
pub(crate) const SERVER_ETH0: u32 = 107;

/// Alice and Bob on a switch with a router, behind which is a server.
pub(crate) fn small() -> LabPlan {
    let mut router = node("router");
    router.sysctls.push(("ipv4/ip_forward".to_owned(), "1".to_owned()));
    router.sysctls.push(("ipv6/conf/all/forwarding".to_owned(), "1".to_owned()));
    router.devices = vec![
        device("lan", ROUTER_LAN, &["10.0.0.1/24", "fd00::1/64"]),
        device("wan", ROUTER_WAN, &["192.0.2.1/24", "2001:db8::1/64"]),
    ];
    let mut server = node("server");
    server.devices = vec![device("eth0", SERVER_ETH0, &["192.0.2.80/24", "2001:db8::80/64"])];
    server.loopback = vec![address("198.51.100.1"), address("2001:db8:1::1")];
    server.routes = vec![
        route("10.0.0.0/24", Some("192.0.2.1"), SERVER_ETH0),
        route("fd00::/64", Some("2001:db8::1"), SERVER_ETH0),
    ];
    router.routes = vec![
        route("198.51.100.1/32", Some("192.0.2.80"), ROUTER_WAN),
        route("2001:db8:1::1/128", Some("2001:db8::80"), ROUTER_WAN),
    ];
    let mut plan = LabPlan {
        ipv6: true,
        nodes: vec![host("alice", ALICE_ETH0, 2), host("bob", BOB_ETH0, 3), router, server],
        switches: vec![Switch { name: "home".to_owned(), index: 10, mtu: 1500 }],
        cables: vec![
            cable(Place::Switch(0), "p0", 100, Place::Node(ALICE), "eth0", ALICE_ETH0),
            cable(Place::Switch(0), "p1", 102, Place::Node(BOB), "eth0", BOB_ETH0),
            cable(Place::Node(ROUTER), "lan", ROUTER_LAN, Place::Switch(0), "p2", 104),
            cable(Place::Node(ROUTER), "wan", ROUTER_WAN, Place::Node(SERVER), "eth0", SERVER_ETH0),
        ],
    };
    let known = [
        (ALICE, ALICE_ETH0, "10.0.0.1", ROUTER_LAN),
        (ALICE, ALICE_ETH0, "fd00::1", ROUTER_LAN),
        (ROUTER, ROUTER_LAN, "10.0.0.2", ALICE_ETH0),
        (ROUTER, ROUTER_LAN, "fd00::2", ALICE_ETH0),
        (ROUTER, ROUTER_WAN, "192.0.2.80", SERVER_ETH0),
        (ROUTER, ROUTER_WAN, "2001:db8::80", SERVER_ETH0),
        (SERVER, SERVER_ETH0, "192.0.2.1", ROUTER_WAN),
        (SERVER, SERVER_ETH0, "2001:db8::1", ROUTER_WAN),
    ];
    for (at, device, neighbour, owner) in known {
        plan.nodes[at].neighbours.push(Neighbour { device, address: address(neighbour), mac: mac(owner) });
    }
    plan
}

/// Hosts on one switch.
pub(crate) fn star(hosts: u32) -> LabPlan {
    let mut plan = LabPlan {
        ipv6: false,
        nodes: Vec::new(),
        switches: vec![Switch { name: "star".to_owned(), index: 10, mtu: 1500 }],
        cables: Vec::new(),
    };
    for at in 0..hosts {
        let index = 1001 + 2 * at;
        let mut node = node(&format!("h{at}"));
        node.devices = vec![device("eth0", index, &[&format!("10.0.{}.{}/16", at / 250, at % 250 + 1)])];
        plan.nodes.push(node);
        let place = Place::Node(at as usize);
        plan.cables.push(cable(Place::Switch(0), &format!("p{at}"), index - 1, place, "eth0", index));
    }
    plan
}

pub(crate) fn node(name: &str) -> NodePlan {
    let quiet = [
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        ("ipv6/conf/default/addr_gen_mode", "1"),
    ];
    let sysctls = quiet.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    NodePlan { sysctls, ..NodePlan::named(name) }
}

fn host(name: &str, index: u32, number: u32) -> NodePlan {
    let mut node = node(name);
    node.devices =
        vec![device("eth0", index, &[&format!("10.0.0.{number}/24"), &format!("fd00::{number}/64")])];
    node.routes = vec![route("0.0.0.0/0", Some("10.0.0.1"), index), route("::/0", Some("fd00::1"), index)];
    node
}

pub(crate) fn device(name: &str, index: u32, addresses: &[&str]) -> Device {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Device { name: name.to_owned(), index, link: 0, addresses, peers: Vec::new() }
}

pub(crate) fn route(to: &str, via: Option<&str>, device: u32) -> Route {
    Route { to: to.parse().unwrap(), via: via.map(address), source: None, device, onlink: false, metric: 0 }
}

pub(crate) fn cable(
    near: Place,
    near_name: &str,
    near_index: u32,
    far: Place,
    far_name: &str,
    far_index: u32,
) -> Cable {
    let end = |place, name: &str, index| CableEnd { place, name: name.to_owned(), index, mac: mac(index) };
    Cable {
        near: end(near, near_name, near_index),
        far: end(far, far_name, far_index),
        mtu: 1500,
        wire: Wire::Veth,
    }
}

pub(crate) fn mac(index: u32) -> [u8; 6] {
    let [a, b, c, d] = index.to_be_bytes();
    [2, 0, a, b, c, d]
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
