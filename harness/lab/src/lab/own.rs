//! The wait until nodes know their IPv6 addresses as their own.
//!
//! Even without duplicate address detection the kernel puts an IPv6 address's entry into the local table from a
//! worker (addrconf_dad_work, net/ipv6/addrconf.c). A packet that comes earlier is not for this node: a host drops
//! it, a router sends it back. IPv4 has no such gap.

use std::{io, net::IpAddr, thread, time::Instant};

use harness_model::plan::Device;
use netlink_packet_core::Parseable;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};

use super::{
    Lab, LabError, message,
    settle::{DEADLINE, ROUND},
};

/// What an address is to a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Near {
    /// Its own.
    Own,
    /// That of the other end of this point-to-point device, the route to which comes from the same worker.
    Peer(u32),
}

/// The addresses that a device brings.
pub(super) fn near(device: &Device) -> impl Iterator<Item = (IpAddr, Near)> + '_ {
    let own = device.addresses.iter().map(|net| (net.addr(), Near::Own));
    own.chain(device.peers.iter().map(|peer| (*peer, Near::Peer(device.index))))
}

impl Lab {
    /// Waits until every IPv6 address of the plan is its node's own.
    pub(super) fn own_addresses(&mut self) -> Result<(), LabError> {
        for at in 0..self.nodes.len() {
            let plan = &self.plan.nodes[at];
            let loopback = plan.loopback.iter().copied().map(|address| (address, Near::Own));
            let all = plan.devices.iter().flat_map(near).chain(loopback).collect();
            self.own(at, all)?;
        }
        Ok(())
    }

    /// Waits until these addresses are what they should be to a node, as far as they are IPv6.
    pub(super) fn own(&mut self, at: usize, mut waiting: Vec<(IpAddr, Near)>) -> Result<(), LabError> {
        let start = Instant::now();
        waiting.retain(|(address, _)| address.is_ipv6());
        while let Some((address, near)) = waiting.last().copied() {
            if self.is_near(at, address, near)? {
                waiting.pop();
            } else if start.elapsed() < DEADLINE {
                thread::sleep(ROUND);
            } else {
                let node = self.plan.nodes[at].name.clone();
                return Err(LabError::NotOwn { node, address, waited_ms: start.elapsed().as_millis() });
            }
        }
        Ok(())
    }

    fn is_near(&mut self, at: usize, address: IpAddr, near: Near) -> Result<bool, LabError> {
        let node = &mut self.nodes[at];
        let mut is = false;
        let asked = node.netlink.get([message::route_get(address)], |payload| {
            is |= RouteMessage::parse(payload).is_ok_and(|route| match near {
                Near::Own => route.header.kind == RouteType::Local,
                Near::Peer(device) => route.attributes.contains(&RouteAttribute::Oif(device)),
            });
        });
        match asked {
            Ok(()) => Ok(is),
            // No route at all: the address is alone on its device, and not there yet.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable
                ) =>
            {
                Ok(false)
            }
            Err(source) => Err(LabError::Read { node: node.name.clone(), what: "routes", source }),
        }
    }
}
