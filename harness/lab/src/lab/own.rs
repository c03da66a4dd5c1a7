//! The wait until nodes know their IPv6 addresses as their own.
//!
//! Even without duplicate address detection the kernel puts an IPv6 address's entry into the local table from a
//! worker (addrconf_dad_work, net/ipv6/addrconf.c). A packet that comes earlier is not for this node: a host drops
//! it, a router sends it back. IPv4 has no such gap.

use std::{io, net::IpAddr, thread, time::Instant};

use netlink_packet_core::Parseable;
use netlink_packet_route::route::{RouteMessage, RouteType};

use super::{
    Lab, LabError, message,
    settle::{DEADLINE, ROUND},
};

impl Lab {
    /// Waits until every IPv6 address of the plan is its node's own.
    pub(super) fn own_addresses(&mut self) -> Result<(), LabError> {
        for at in 0..self.nodes.len() {
            let plan = &self.plan.nodes[at];
            let on_devices = plan.devices.iter().flat_map(|device| &device.addresses).map(|net| net.addr());
            let all = on_devices.chain(plan.loopback.iter().copied()).collect();
            self.own(at, all)?;
        }
        Ok(())
    }

    /// Waits until these addresses of a node are its own, as far as they are IPv6.
    pub(super) fn own(&mut self, at: usize, mut waiting: Vec<IpAddr>) -> Result<(), LabError> {
        let start = Instant::now();
        waiting.retain(IpAddr::is_ipv6);
        while let Some(address) = waiting.last().copied() {
            if self.is_own(at, address)? {
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

    fn is_own(&mut self, at: usize, address: IpAddr) -> Result<bool, LabError> {
        let node = &mut self.nodes[at];
        let mut own = false;
        let asked = node.netlink.get([message::route_get(address)], |payload| {
            own |= RouteMessage::parse(payload).is_ok_and(|route| route.header.kind == RouteType::Local);
        });
        match asked {
            Ok(()) => Ok(own),
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
