//! Hand-made frames: to whom they go.

use harness_model::{
    packet::{
        Token, TokenKind,
        build::{Frame, build},
    },
    plan::{self, LabPlan},
    relay::ETHERNET,
    scenario::Injection,
    topology::NodeId,
};

use super::Drive;
use crate::worker::failure::{self, Failure};

impl Drive<'_> {
    pub(super) fn inject(&mut self, injection: &Injection) -> Result<u32, Failure> {
        self.probe += 1;
        let sender = &self.plan.nodes[injection.node.0].devices[injection.interface];
        let frame = Frame {
            from: plan::mac(sender.index),
            to: self.next_hop(injection)?,
            source: injection.source,
            destination: injection.destination,
            ttl: injection.ttl,
            protocol: injection.protocol,
            source_port: injection.source_port,
            destination_port: injection.destination_port,
            flags: injection.flags,
            sequence: injection.sequence,
            token: Token { kind: TokenKind::Question, id: self.probe },
            payload: injection.payload.as_bytes(),
        };
        let link = &self.scenario.topology.links[sender.link];
        let header = if link.is_point_to_point() { ETHERNET } else { 0 };
        let bytes = build(&frame).map_err(|error| Failure::Inject(error.to_string()))?;
        self.injector
            .send(&self.reactor.lab, injection.node.0, sender.index, &bytes[header..])
            .map_err(|error| Failure::Inject(failure::in_full(&error)))?;
        Ok(self.probe)
    }

    /// The hardware address that a frame goes to: the named neighbour's, the destination's if it is on the link,
    /// else the next hop's.
    fn next_hop(&self, injection: &Injection) -> Result<[u8; 6], Failure> {
        let node = &self.plan.nodes[injection.node.0];
        let device = &node.devices[injection.interface];
        let link = &self.scenario.topology.links[device.link];
        let mac_of = |wanted: &dyn Fn(NodeId, usize) -> bool| {
            let end = link.ends.iter().find(|(other, at)| *other != injection.node && wanted(*other, *at));
            end.map(|(other, at)| plan::mac(self.plan.nodes[other.0].devices[*at].index))
        };
        let has = |address: std::net::IpAddr| {
            move |plan: &LabPlan, other: NodeId, at: usize| {
                plan.nodes[other.0].devices[at].addresses.iter().any(|own| own.addr() == address)
            }
        };
        if let Some(via) = injection.via {
            return mac_of(&|other, _| other == via).ok_or_else(|| {
                let name = &self.scenario.topology.node(via).name;
                Failure::Inject(format!("`{name}` is no neighbour on link `{}`", link.name))
            });
        }
        let on_link = has(injection.destination);
        if let Some(mac) = mac_of(&|other, at| on_link(self.plan, other, at)) {
            return Ok(mac);
        }
        let route = node
            .routes
            .iter()
            .filter(|route| route.device == device.index && route.to.contains(&injection.destination))
            .max_by_key(|route| route.to.prefix_len());
        if let Some(via) = route.and_then(|route| route.via) {
            let next = has(via);
            if let Some(mac) = mac_of(&|other, at| next(self.plan, other, at)) {
                return Ok(mac);
            }
        }
        // No route: on a cable there is only one who could take it.
        mac_of(&|_, _| link.ends.len() == 2).ok_or_else(|| {
            Failure::Inject(format!(
                "nobody on link `{}` is the next hop to {} (hint: name a neighbour with `via`)",
                link.name, injection.destination
            ))
        })
    }
}
