//! A device gets other addresses, while it is up or before it comes back.

use std::net::IpAddr;

use harness_model::plan::{Device, LabPlan, NodePlan};
use ipnet::IpNet;

use super::{Lab, LabError, addresses::batch, message, restore::ANYHOW};
use crate::netlink::Batch;

/// An address and what takes its place.
type Replaced = (IpNet, IpNet);

impl Lab {
    /// Gives a node's device, which is named by its planned index, other addresses: one for each that is of the same family as
    /// one of these. Whoever is on the link knows it by them from now on, and routes by them; the node whose routes are its own
    /// affair has to see to those.
    ///
    /// The device has no address of that family for a moment, as with a lease that was not renewed.
    pub fn readdress(&mut self, node: usize, device: u32, addresses: &[IpAddr]) -> Result<(), LabError> {
        let cable = self.cable_at(node, device)?;
        let Some((_, own)) = self.plan.device(device) else { return Ok(()) };
        let own = own.clone();
        let replaced: Vec<Replaced> =
            own.addresses.iter().filter_map(|old| replace(old, addresses)).collect();
        let on_link = others(&self.plan, &own);
        note(&mut self.plan, &own, &on_link, &replaced);
        if self.removed.contains(&cable.near.index) {
            return Ok(());
        }
        self.replace_own(node, &own, &replaced)?;
        for (other, theirs) in on_link {
            self.learn(other, &theirs, &replaced)?;
        }
        let part = self.of_device(node, device);
        self.own_again(node, &part)
    }

    /// The kernel takes the routes of an address with it; those that are planned come back.
    fn replace_own(&mut self, node: usize, own: &Device, replaced: &[Replaced]) -> Result<(), LabError> {
        let index = self.index_now(own.index);
        let mut changes = Batch::default();
        for (old, new) in replaced {
            let (old_peer, new_peer) = (own.peer_of(old.addr()), own.peer_of(new.addr()));
            let name = &own.name;
            changes.push(
                message::address_delete(index, *old, old_peer),
                0,
                format!("take {old} from {name}"),
            );
            changes.push(message::address(index, *new, new_peer), ANYHOW, format!("give {new} to {name}"));
        }
        self.nodes[node].send(changes)?;
        if self.own_routes == Some(node) {
            return Ok(());
        }
        let part = self.of_device(node, own.index);
        let routes =
            NodePlan { routes: part.routes.clone(), devices: named(&part), ..NodePlan::named(&part.name) };
        self.nodes[node].send(batch(&routes, ANYHOW))
    }

    /// What another node on the link makes of it.
    fn learn(&mut self, node: usize, theirs: &Device, replaced: &[Replaced]) -> Result<(), LabError> {
        let index = self.index_now(theirs.index);
        let is_new = |address: &IpAddr| replaced.iter().any(|(_, new)| new.addr() == *address);
        let part = self.of_device(node, theirs.index);
        let mut news = NodePlan::named(&part.name);
        news.neighbours = part.neighbours.iter().filter(|known| is_new(&known.address)).cloned().collect();
        // Addresses are told again with the new peer; those of IPv4 are then there with the old one as well.
        news.devices = if theirs.peers.is_empty() { named(&part) } else { part.devices.clone() };
        if self.own_routes != Some(node) {
            let by_new = |via: Option<IpAddr>| via.as_ref().is_some_and(is_new);
            news.routes = part.routes.iter().filter(|route| by_new(route.via)).cloned().collect();
        }
        self.nodes[node].send(batch(&news, ANYHOW))?;
        for (old, _) in replaced {
            let known = theirs.addresses.iter().find(|own| own.addr().is_ipv4() == old.addr().is_ipv4());
            match theirs.peer_of(old.addr()).zip(known) {
                Some((peer, own)) if peer == old.addr() && old.addr().is_ipv4() => {
                    let mut gone = Batch::default();
                    let what = format!("take {own} with the former peer {peer} from {}", theirs.name);
                    gone.push(message::address_delete(index, *own, Some(peer)), 0, what);
                    self.nodes[node].send(gone)?;
                }
                Some(_) => {}
                None => self.forget_neighbour(node, index, old.addr())?,
            }
        }
        Ok(())
    }
}

/// Devices by their names alone.
fn named(plan: &NodePlan) -> Vec<Device> {
    plan.devices.iter().map(|own| Device { addresses: Vec::new(), ..own.clone() }).collect()
}

fn replace(old: &IpNet, addresses: &[IpAddr]) -> Option<Replaced> {
    let new = addresses.iter().find(|new| new.is_ipv4() == old.addr().is_ipv4())?;
    let new = IpNet::new(*new, old.prefix_len()).ok()?;
    (new != *old).then_some((*old, new))
}

/// The other devices on a device's link, as they were before.
fn others(plan: &LabPlan, own: &Device) -> Vec<(usize, Device)> {
    let devices =
        plan.nodes.iter().enumerate().flat_map(|(node, plan)| plan.devices.iter().map(move |at| (node, at)));
    let others = devices.filter(|(_, device)| device.link == own.link && device.index != own.index);
    others.map(|(node, device)| (node, device.clone())).collect()
}

/// Changes the plan, so that whatever comes back comes back so.
fn note(plan: &mut LabPlan, own: &Device, on_link: &[(usize, Device)], replaced: &[Replaced]) {
    let new_of = |address: IpAddr| {
        let found = replaced.iter().find(|(old, _)| old.addr() == address);
        found.map_or(address, |(_, new)| new.addr())
    };
    for node in &mut plan.nodes {
        for device in node.devices.iter_mut().filter(|device| device.link == own.link) {
            if device.index == own.index {
                for net in &mut device.addresses {
                    if let Some((_, new)) = replaced.iter().find(|(old, _)| old == net) {
                        *net = *new;
                    }
                }
            } else {
                device.peers.iter_mut().for_each(|peer| *peer = new_of(*peer));
            }
        }
        let on_link = |index: u32| on_link.iter().any(|(_, device)| device.index == index);
        for known in node.neighbours.iter_mut().filter(|known| on_link(known.device)) {
            known.address = new_of(known.address);
        }
        for route in node.routes.iter_mut().filter(|route| on_link(route.device)) {
            route.via = route.via.map(new_of);
        }
    }
}
