//! What comes back: a removed device, and what a node lost with one of its devices.

use harness_model::plan::{Cable, CableEnd, Device, NodePlan, Place, Wire};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};

use super::{Lab, LabError, addresses::batch, cables::NEW, own::near};
use crate::netlink::Batch;

/// What may be there already.
pub(super) const ANYHOW: u16 = NLM_F_CREATE | NLM_F_REPLACE;

impl Lab {
    /// Lays a removed cable anew, each end under its next index, by its old name and with its hardware address, and gives
    /// both nodes what they lost with it.
    pub(super) fn restore(&mut self, planned: &Cable) -> Result<(), LabError> {
        let lives = self.lives.clone();
        for end in [&planned.near, &planned.far] {
            *self.lives.entry(end.index).or_default() += 1;
        }
        let cable = self.now(planned);
        if let Err(error) = self.lay_one(&cable, planned.near.index) {
            // It is still what it was.
            self.lives = lives;
            return Err(error);
        }
        self.removed.remove(&planned.near.index);
        // As when the lab was built: a pair's carrier comes with its second end.
        self.set(&cable.near, true)?;
        self.set(&cable.far, true)?;
        self.carry(&cable, planned.near.index)?;
        self.settle(&[cable.near, cable.far])?;
        for CableEnd { place, index, .. } in [&planned.near, &planned.far] {
            if let Place::Node(node) = *place {
                self.come_back(node, *index)?;
            }
        }
        Ok(())
    }

    fn lay_one(&mut self, cable: &Cable, planned: u32) -> Result<(), LabError> {
        if cable.wire != Wire::Veth {
            return self.string(cable, planned);
        }
        let mut batch = Batch::default();
        self.lay(cable, &mut batch)?;
        self.root.send(batch)
    }

    /// Gives a node back what the kernel took when one of its devices was set down: the only way to take the carrier
    /// from the device at the other end of a veth pair. A cut cable costs its far end nothing.
    pub(super) fn recover(&mut self, node: usize, device: u32) -> Result<(), LabError> {
        let lost = self.of_device(node, device);
        self.nodes[node].send(batch(&lost, ANYHOW))?;
        self.own_again(node, &lost)
    }

    /// Gives a node what it had on a device that is there again.
    ///
    /// Whoever watches the device, as a subject may, can have been faster with its addresses. Routes are added as when
    /// the lab was built: one to the same prefix by another device is another route.
    fn come_back(&mut self, node: usize, device: u32) -> Result<(), LabError> {
        let mut lost = self.of_device(node, device);
        let named = |own: &Device| Device { addresses: Vec::new(), ..own.clone() };
        let devices = lost.devices.iter().map(named).collect();
        let routes =
            NodePlan { devices, routes: std::mem::take(&mut lost.routes), ..NodePlan::named(&lost.name) };
        self.nodes[node].send(batch(&lost, ANYHOW))?;
        if self.own_routes != Some(node) {
            self.nodes[node].send(batch(&routes, NEW))?;
        }
        self.own_again(node, &lost)
    }

    /// Tells a node again whom it had known by a device that lost its carrier.
    pub(super) fn acquaint(&mut self, node: usize, device: u32) -> Result<(), LabError> {
        let lost = self.of_device(node, device);
        let known = NodePlan { neighbours: lost.neighbours.clone(), ..NodePlan::named(&lost.name) };
        self.nodes[node].send(batch(&known, ANYHOW))
    }

    pub(super) fn own_again(&mut self, node: usize, lost: &NodePlan) -> Result<(), LabError> {
        self.own(node, lost.devices.iter().flat_map(near).collect())
    }

    /// All that a node has by one of its devices, under the index that the device has now.
    pub(super) fn of_device(&self, node: usize, device: u32) -> NodePlan {
        let plan = &self.plan.nodes[node];
        let now = self.index_now(device);
        let mut part = NodePlan::named(&plan.name);
        part.devices = plan.devices.iter().filter(|own| own.index == device).cloned().collect();
        part.routes = plan.routes.iter().filter(|route| route.device == device).cloned().collect();
        part.neighbours = plan.neighbours.iter().filter(|known| known.device == device).cloned().collect();
        part.devices.iter_mut().for_each(|own| own.index = now);
        part.routes.iter_mut().for_each(|route| route.device = now);
        part.neighbours.iter_mut().for_each(|known| known.device = now);
        part
    }
}
