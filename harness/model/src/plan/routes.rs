//! Routes: as given, or by shortest path over the routers of the topology.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{Device, Route};
use crate::topology::{Interface, NodeId, Role, Routing, Topology, default_route};

/// The routes of a node, beyond those that its addresses bring.
pub(super) fn routes(topology: &Topology, devices: &[Vec<Device>], id: NodeId) -> Vec<Route> {
    let out = Out { topology, devices: &devices[id.0], id };
    let node = topology.node(id);
    let mut routes = out.neighbours();
    routes.extend(out.delegated());
    match &node.routing {
        Routing::Static(given) => routes.extend(given.iter().filter_map(|route| {
            let at = node.interfaces.iter().position(|interface| {
                topology.link(interface.link).prefixes.iter().any(|prefix| prefix.contains(&route.via))
            })?;
            Some(Route { metric: route.metric, ..out.by(at, route.to, Some(route.via)) })
        })),
        Routing::Computed if node.role == Role::Host && out.has_one_way() => {
            routes.extend(out.default_gateway(0))
        }
        Routing::Computed => {
            routes.extend(out.computed(&routes));
            if node.role == Role::Host {
                let defaults = (0..node.interfaces.len()).map(|at| out.default_gateway(at));
                routes.extend(defaults.into_iter().find(|routes| !routes.is_empty()).unwrap_or_default());
            }
        }
    }
    if node.role == Role::Host {
        prefer_loopback(&node.loopback, &mut routes);
    }
    routes
}

/// A host that is reached over several segments by an address of its own speaks from that address, by whichever
/// segment.
fn prefer_loopback(loopback: &[IpAddr], routes: &mut [Route]) {
    for route in routes.iter_mut().filter(|route| route.via.is_some()) {
        route.source = loopback.iter().copied().find(|own| own.is_ipv4() == route.to.addr().is_ipv4());
    }
}

/// The first step towards somewhere: by which own interface, to which address.
#[derive(Clone, Copy)]
struct Hop {
    interface: usize,
    via: IpAddr,
}

/// The address of a family that an interface has.
fn of_family(interface: &Interface, ipv6: bool) -> Option<IpAddr> {
    interface.addresses.iter().map(IpNet::addr).find(|address| address.is_ipv6() == ipv6)
}

/// A node, looking outwards.
struct Out<'a> {
    topology: &'a Topology,
    devices: &'a [Device],
    id: NodeId,
}

impl Out<'_> {
    /// A route by one of its interfaces; a next hop on a link without prefix is taken at its word, and so is the other end of a
    /// point-to-point link: the kernel sees to the IPv6 route to it in a worker.
    fn by(&self, at: usize, to: IpNet, via: Option<IpAddr>) -> Route {
        let interface = &self.topology.node(self.id).interfaces[at];
        let link = self.topology.link(interface.link);
        let onlink = via.is_some() && (link.prefixes.is_empty() || link.is_point_to_point());
        Route { to, via, source: None, device: self.devices[at].index, onlink, metric: 0 }
    }

    /// A host with one interface and one forwarder beyond it needs no more than a default route.
    fn has_one_way(&self) -> bool {
        let [only] = self.topology.node(self.id).interfaces.as_slice() else { return false };
        let others = self.topology.link(only.link).ends.iter().filter(|(end, _)| *end != self.id);
        others.filter(|(end, _)| self.topology.node(*end).role != Role::Host).count() == 1
    }

    /// The other end of a link without prefix is reached by host route.
    fn neighbours(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for (at, interface) in self.topology.node(self.id).interfaces.iter().enumerate() {
            let link = self.topology.link(interface.link);
            if !link.prefixes.is_empty() {
                continue;
            }
            for (other, other_at) in link.ends.iter().filter(|(other, _)| *other != self.id) {
                let addresses = &self.topology.node(*other).interfaces[*other_at].addresses;
                let known =
                    addresses.iter().filter(|net| of_family(interface, net.addr().is_ipv6()).is_some());
                routes.extend(known.map(|net| self.by(at, IpNet::from(net.addr()), None)));
            }
        }
        routes
    }

    /// Prefixes that a provider routes to its customer: the first member of the link that is no router.
    fn delegated(&self) -> Vec<Route> {
        let node = self.topology.node(self.id);
        let mut routes = Vec::new();
        for delegation in &node.delegations {
            let link = self.topology.link(node.interfaces[delegation.interface].link);
            let mut others = link.ends.iter().filter(|(end, _)| *end != self.id);
            let customer = others.find(|(end, _)| !self.topology.node(*end).is_transit());
            let Some((customer, at)) = customer else { continue };
            let interface = &self.topology.node(*customer).interfaces[*at];
            if let Some(via) = of_family(interface, delegation.prefix.addr().is_ipv6()) {
                routes.push(self.by(delegation.interface, delegation.prefix, Some(via)));
            }
        }
        routes
    }

    /// The default routes of a host: to whom its segment names, else to a gateway on it, else to a router.
    fn default_gateway(&self, at: usize) -> Vec<Route> {
        let Some(interface) = self.topology.node(self.id).interfaces.get(at) else { return Vec::new() };
        let link = self.topology.link(interface.link);
        let others = || link.ends.iter().filter(|(end, _)| *end != self.id);
        let named = others().find(|(end, _)| Some(*end) == link.gateway);
        let forwarders = others().filter_map(|end| match self.topology.node(end.0).role {
            Role::Gateway => Some((0, end)),
            Role::Router => Some((1, end)),
            Role::Host => None,
        });
        let Some((gateway, gateway_at)) = named.or_else(|| forwarders.min().map(|(_, end)| end)) else {
            return Vec::new();
        };
        let theirs = &self.topology.node(*gateway).interfaces[*gateway_at];
        let routes = [false, true].into_iter().filter_map(|ipv6| {
            of_family(interface, ipv6)?;
            Some(self.by(at, default_route(ipv6), Some(of_family(theirs, ipv6)?)))
        });
        routes.collect()
    }

    /// Shortest paths to every prefix, through nodes that forward for others; each family has its own.
    fn computed(&self, have: &[Route]) -> Vec<Route> {
        let mut known: BTreeSet<IpNet> = have.iter().map(|route| route.to).collect();
        for interface in &self.topology.node(self.id).interfaces {
            known.extend(self.topology.link(interface.link).prefixes.iter().copied());
            known.extend(interface.addresses.iter().map(|own| IpNet::from(own.addr())));
        }
        let mut routes = self.shortest(false, &mut known);
        routes.extend(self.shortest(true, &mut known));
        routes
    }

    /// Breadth first from the node, over links whose both ends have addresses of the family.
    fn shortest(&self, ipv6: bool, known: &mut BTreeSet<IpNet>) -> Vec<Route> {
        let mut routes = Vec::new();
        let mut first: BTreeMap<NodeId, Option<Hop>> = BTreeMap::from([(self.id, None)]);
        let mut queue = VecDeque::from([self.id]);
        while let Some(here) = queue.pop_front() {
            for (interface, own) in self.topology.node(here).interfaces.iter().enumerate() {
                if of_family(own, ipv6).is_none() {
                    continue;
                }
                for (next, next_at) in &self.topology.link(own.link).ends {
                    let Some(via) = of_family(&self.topology.node(*next).interfaces[*next_at], ipv6) else {
                        continue;
                    };
                    if *next == self.id {
                        continue;
                    }
                    let hop = first[&here].unwrap_or(Hop { interface, via });
                    let nets = reached(self.topology, *next, *next_at).into_iter();
                    for net in nets.filter(|net| net.addr().is_ipv6() == ipv6) {
                        if known.insert(net) {
                            routes.push(self.by(hop.interface, net, Some(hop.via)));
                        }
                    }
                    if !first.contains_key(next) && self.topology.node(*next).is_transit() {
                        first.insert(*next, Some(hop));
                        queue.push_back(*next);
                    }
                }
            }
        }
        routes
    }
}

/// What is reached by a node, entered by one of its interfaces: whatever a router is connected to; of any other
/// node its own addresses, as far as they are not to be found elsewhere.
fn reached(topology: &Topology, id: NodeId, at: usize) -> Vec<IpNet> {
    let node = topology.node(id);
    let mut nets: Vec<IpNet> = node.loopback.iter().copied().map(IpNet::from).collect();
    let transit = node.is_transit();
    for (_, interface) in node.interfaces.iter().enumerate().filter(|(index, _)| transit || *index == at) {
        let link = topology.link(interface.link);
        nets.extend(link.prefixes.iter().copied());
        if link.prefixes.is_empty() {
            nets.extend(interface.addresses.iter().map(|address| IpNet::from(address.addr())));
        }
    }
    if transit {
        nets.extend(node.delegations.iter().map(|delegation| delegation.prefix));
    }
    nets
}
