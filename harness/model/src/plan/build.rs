//! From a topology to the lab that it needs.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Cable, CableEnd, Device, LabPlan, Layer, Neighbour, NodePlan, Over, Place, Rule, RuleAction, Switch,
    TUNNEL_PORTS, Wire, routes,
};
use crate::topology::{Link, Node, NodeId, Topology};

/// Interface indexes below this one are the kernel's: 1 is the loopback device, others appear with its modules.
const FIRST_INDEX: u32 = 100;
/// On segments up to this size everybody knows everybody from the start; on larger ones only routers do.
const SMALL_SEGMENT: usize = 4;

/// The lab of a topology.
pub fn build(topology: &Topology, ipv6: bool) -> LabPlan {
    let devices = devices(topology);
    let (cables, switches) = wire(topology, &devices);
    let nodes = topology
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let id = NodeId(at);
            NodePlan {
                name: node.name.clone(),
                sysctls: sysctls(node, ipv6),
                devices: devices[at].clone(),
                loopback: node.loopback.clone(),
                routes: routes::routes(topology, &devices, id),
                rules: ingress_rules(node),
                neighbours: neighbours(topology, &devices, id),
                services: node.services.clone(),
            }
        })
        .collect();
    LabPlan { ipv6, nodes, switches, cables }
}

/// Every interface with its index, by node.
fn devices(topology: &Topology) -> Vec<Vec<Device>> {
    let mut index = FIRST_INDEX;
    topology
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            node.interfaces
                .iter()
                .map(|interface| {
                    index += 1;
                    let link = topology.link(interface.link);
                    let point_to_point = link.is_point_to_point();
                    let own = interface.addresses.iter();
                    // Nobody else is on the link: the address at the other end stands where a prefix would.
                    let alone = |net: &IpNet| if point_to_point { IpNet::from(net.addr()) } else { *net };
                    Device {
                        name: interface.name.clone(),
                        index,
                        link: interface.link.0,
                        addresses: own.map(alone).collect(),
                        peers: if point_to_point { peers(topology, link, NodeId(at)) } else { Vec::new() },
                    }
                })
                .collect()
        })
        .collect()
}

/// The addresses of a point-to-point link's other end, the first one of each family.
fn peers(topology: &Topology, link: &Link, own: NodeId) -> Vec<IpAddr> {
    let others = link.ends.iter().filter(|(node, _)| *node != own);
    let addresses = others.flat_map(|(node, at)| &topology.node(*node).interfaces[*at].addresses);
    let mut peers: Vec<IpAddr> = Vec::new();
    for address in addresses.map(IpNet::addr) {
        if !peers.iter().any(|peer| peer.is_ipv4() == address.is_ipv4()) {
            peers.push(address);
        }
    }
    peers
}

/// A locally administered hardware address that tells the interface index (IEEE 802, section 8.4).
pub fn mac(index: u32) -> [u8; 6] {
    let [_, a, b, c] = index.to_be_bytes();
    [0x02, 0x6c, 0x61, a, b, c]
}

fn wire(topology: &Topology, devices: &[Vec<Device>]) -> (Vec<Cable>, Vec<Switch>) {
    let mut next = devices.iter().flatten().map(|device| device.index).max().unwrap_or(FIRST_INDEX);
    let mut cables = Vec::new();
    let mut switches = Vec::new();
    let mut tunnels = 0;
    let end = |(node, interface): (NodeId, usize)| {
        let device = &devices[node.0][interface];
        CableEnd {
            place: Place::Node(node.0),
            name: device.name.clone(),
            index: device.index,
            mac: mac(device.index),
        }
    };
    for link in &topology.links {
        if let [a, b] = link.ends.as_slice()
            && link.is_cable()
        {
            // The end of the one who forwards comes up first: its carrier is what the other's routes wait for.
            let (near, far) = if topology.node(b.0).forward { (*b, *a) } else { (*a, *b) };
            let wire = wire_of(link, near.0, tunnels);
            tunnels += u16::from(matches!(&wire, Wire::Relayed { over: Some(_), .. }));
            cables.push(Cable { near: end(near), far: end(far), mtu: link.mtu, wire });
            continue;
        }
        if link.ends.is_empty() {
            continue;
        }
        next += 1;
        let switch = switches.len();
        switches.push(Switch { name: format!("sw{switch}"), index: next, mtu: link.mtu });
        for member in &link.ends {
            next += 1;
            let port = CableEnd {
                place: Place::Switch(switch),
                name: format!("port{next}"),
                index: next,
                mac: mac(next),
            };
            cables.push(Cable { near: port, far: end(*member), mtu: link.mtu, wire: Wire::Veth });
        }
    }
    (cables, switches)
}

/// What a link between two ends is made of; `tunnel` is the number of tunnels before it. Its faults are told by the node that they lead to.
fn wire_of(link: &Link, near: NodeId, tunnel: u16) -> Wire {
    let Some(relayed) = &link.relayed else { return Wire::Veth };
    let towards = |far: bool| {
        let found = link.ends.iter().zip(&relayed.faults).find(|((node, _), _)| (*node != near) == far);
        found.map(|(_, faults)| faults.clone()).unwrap_or_default()
    };
    let layer = if relayed.point_to_point { Layer::Ip } else { Layer::Ethernet };
    let over = relayed.over.map(|mut addresses| {
        if link.ends.first().is_some_and(|(first, _)| *first != near) {
            addresses.reverse();
        }
        Over { addresses, port: TUNNEL_PORTS.start + tunnel % TUNNEL_PORTS.len() as u16 }
    });
    let faults = Box::new([towards(true), towards(false)]);
    Wire::Relayed { link: link.name.clone(), layer, faults, over }
}

fn sysctls(node: &Node, ipv6: bool) -> Vec<(String, String)> {
    let mut sysctls: Vec<(&str, &str)> = Vec::new();
    if ipv6 {
        // No waiting for duplicate address detection, no router solicitations of which nobody knows the end.
        sysctls.extend([
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/dad_transmits", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
        ]);
    } else {
        // Not `all`, which would say it of the loopback device as well: its write asks for the RTNL lock by turns that
        // burn the processor (restart_syscall in addrconf_disable_ipv6, net/ipv6/addrconf.c), and one write a node was
        // a tenth of all time when labs were built at the same time.
        sysctls.push(("ipv6/conf/default/disable_ipv6", "1"));
    }
    if node.forward {
        sysctls.push(("ipv4/ip_forward", "1"));
        if ipv6 {
            sysctls.push(("ipv6/conf/all/forwarding", "1"));
        }
    }
    // What the host has may differ from machine to machine; a new namespace may inherit it (devconf_inherit_init_net
    // in Documentation/admin-guide/sysctl/net.rst).
    sysctls.extend([("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")]);
    sysctls.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Source address validation: from this interface, only these sources are routed; local delivery is not affected,
/// since the local table is looked at first.
fn ingress_rules(node: &Node) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut priority = 100;
    for ingress in &node.ingress {
        let iif = &node.interfaces[ingress.interface].name;
        for prefix in &ingress.admits {
            priority += 1;
            let ipv6 = prefix.addr().is_ipv6();
            let action = RuleAction::Main;
            rules.push(Rule { priority, iif: iif.clone(), from: Some(*prefix), ipv6, action });
        }
        priority += 1;
        for ipv6 in [false, true] {
            rules.push(Rule { priority, iif: iif.clone(), from: None, ipv6, action: RuleAction::Blackhole });
        }
    }
    rules
}

/// Who knows whom from the start, so that no first packet waits for ARP or neighbour discovery.
fn neighbours(topology: &Topology, devices: &[Vec<Device>], id: NodeId) -> Vec<Neighbour> {
    let node = topology.node(id);
    let mut neighbours = Vec::new();
    for (at, interface) in node.interfaces.iter().enumerate() {
        let link: &Link = topology.link(interface.link);
        if link.is_point_to_point() {
            continue;
        }
        for (other, other_at) in &link.ends {
            let near = (*other, *other_at) == (id, at);
            let known = link.ends.len() <= SMALL_SEGMENT || node.forward || topology.node(*other).forward;
            if near || !known {
                continue;
            }
            let device = &devices[other.0][*other_at];
            for address in &topology.node(*other).interfaces[*other_at].addresses {
                let address = address.addr();
                neighbours.push(Neighbour {
                    device: devices[id.0][at].index,
                    address,
                    mac: mac(device.index),
                });
            }
        }
    }
    neighbours
}
