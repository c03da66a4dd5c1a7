//! Addresses, routes, rules and neighbours of the nodes.

use harness_model::plan::NodePlan;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE};

use super::{
    Lab, LabError,
    cables::NEW,
    message::{self, LOOPBACK},
};
use crate::netlink::Batch;

/// Two routes to one IPv6 prefix with one metric are not an error to the kernel but a multipath route.
const ADD: u16 = NLM_F_CREATE | NLM_F_APPEND;

impl Lab {
    /// Everything that a node has besides devices, in one batch a node.
    ///
    /// Addresses precede routes, since a next hop must be on a known link. All this comes after the carriers: IPv6
    /// takes no address into use before, and a loss of carrier would flush the neighbours.
    pub(super) fn assign(&mut self) -> Result<(), LabError> {
        for (node, plan) in self.nodes.iter_mut().zip(&self.plan.nodes) {
            node.send(batch(plan, NEW))?;
        }
        Ok(())
    }
}

/// `new` are the flags of what must not be there before.
pub(super) fn batch(plan: &NodePlan, new: u16) -> Batch {
    let NodePlan { name: _, sysctls: _, devices, loopback, routes, rules, neighbours, services: _ } = plan;
    let name = |index: u32| {
        devices.iter().find(|device| device.index == index).map_or("?", |device| device.name.as_str())
    };
    let mut batch = Batch::default();
    for device in devices {
        for own in &device.addresses {
            let peer = device.peer_of(own.addr());
            let what = format!("add address {own} to {}", device.name);
            batch.push(message::address(device.index, *own, peer), new, what);
        }
    }
    for address in loopback {
        let what = format!("add address {address} to lo");
        batch.push(message::address(LOOPBACK, IpNet::from(*address), None), NEW, what);
    }
    for route in routes {
        let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
        let what = format!("add route to {}{via} dev {}", route.to, name(route.device));
        batch.push(
            message::route(route),
            if route.to.addr().is_ipv6() && new == NEW { ADD } else { new },
            what,
        );
    }
    for rule in rules {
        let from = rule.from.map(|from| format!(" from {from}")).unwrap_or_default();
        let what = format!("add rule {} iif {}{from}", rule.priority, rule.iif);
        batch.push(message::rule(rule), NEW, what);
    }
    for neighbour in neighbours {
        let what = format!("add neighbour {} on {}", neighbour.address, name(neighbour.device));
        batch.push(message::neighbour(neighbour), NLM_F_CREATE | NLM_F_REPLACE, what);
    }
    batch
}
