//! What a scenario does to a link.

use harness_model::{
    plan::{Cable, CableEnd, Place, Wire},
    scenario::LinkAction,
};

use super::{
    Lab, LabError,
    message::{self, NO_BRIDGE},
};
use crate::netlink::Batch;

impl Lab {
    /// Changes the state of a node's device, which is named by its planned index, or of the far end of its cable.
    /// Returns when the kernel has drawn its conclusions: carrier is lost or there, and packets pass or do not.
    pub fn change(&mut self, node: usize, device: u32, action: LinkAction) -> Result<(), LabError> {
        let planned = self.cable_at(node, device)?;
        if planned.wire != Wire::Veth {
            return self.change_relayed(&planned, device, action);
        }
        let Cable { near, far, mtu: _, wire: _ } = self.now(&planned);
        let (own, other) = if planned.near.index == device { (near, far) } else { (far, near) };
        match action {
            LinkAction::Cut => self.set(&other, false)?,
            LinkAction::Mend => self.set(&other, true)?,
            LinkAction::Down => self.set(&own, false)?,
            LinkAction::Up => self.set(&own, true)?,
            LinkAction::Remove => {
                self.removed.insert(planned.near.index);
                return self.remove(&own);
            }
            LinkAction::Restore => return self.restore(&planned),
            LinkAction::Mute => return self.connect(&own, &other, false),
            LinkAction::Unmute => return self.connect(&own, &other, true),
            LinkAction::Silence | LinkAction::Speak => {
                return Err(LabError::NotRelayed { device: own.name.clone() });
            }
        }
        self.conclude([&own, &other], false)?;
        match (action, other.place) {
            (LinkAction::Mend, Place::Node(far)) => self.recover(far, planned.other(device).index),
            (LinkAction::Up, _) => self.up_again(node, device, &other),
            _ => Ok(()),
        }
    }

    /// Gives a node back what the kernel took when one of its devices was set down, unless that is its own affair.
    pub(super) fn up_again(&mut self, node: usize, device: u32, other: &CableEnd) -> Result<(), LabError> {
        // Without carrier no IPv6 address comes into use.
        let is_own_affair = self.own_routes == Some(node);
        if is_own_affair || !self.is_enabled(other)? { Ok(()) } else { self.recover(node, device) }
    }

    /// The cable of a node's device, which is named by its planned index.
    pub(super) fn cable_at(&self, node: usize, device: u32) -> Result<Cable, LabError> {
        let name = &self.node(node)?.name;
        let cable = self.plan.cable_of(device).filter(|cable| {
            [&cable.near, &cable.far].iter().any(|end| end.index == device && end.place == Place::Node(node))
        });
        cable.cloned().ok_or_else(|| LabError::NoSuchDevice { node: name.clone(), index: device })
    }

    /// A cable with the indexes that its ends have now.
    pub(super) fn now(&self, planned: &Cable) -> Cable {
        let now = |end: &CableEnd| CableEnd { index: self.index_now(end.index), ..end.clone() };
        Cable { near: now(&planned.near), far: now(&planned.far), ..planned.clone() }
    }

    pub(super) fn set(&mut self, end: &CableEnd, up: bool) -> Result<(), LabError> {
        let mut batch = Batch::default();
        let what = format!("set {} {}", end.name, if up { "up" } else { "down" });
        batch.push(message::link_up(end.index, up), 0, what);
        self.namespace_of(end.place).send(batch)
    }

    /// Deletes a device, and with it the other end of its cable.
    pub(super) fn remove(&mut self, end: &CableEnd) -> Result<(), LabError> {
        let mut batch = Batch::default();
        batch.push(message::link_delete(end.index), 0, format!("delete {}", end.name));
        self.namespace_of(end.place).send(batch)
    }

    /// Connects a device's port with its switch, or takes it out, by which no end sees a change of carrier. A port of no
    /// switch has no address, so that whatever comes in by it ends there.
    fn connect(&mut self, own: &CableEnd, port: &CableEnd, connected: bool) -> Result<(), LabError> {
        let Place::Switch(switch) = port.place else {
            return Err(LabError::NoSwitch { device: own.name.clone(), other: port.name.clone() });
        };
        let found = self.plan.switches.get(switch).map(|switch| switch.index);
        let bridge =
            found.ok_or_else(|| LabError::NoSuchSwitch { cable: port.name.clone(), index: switch })?;
        let (bridge, verb) = if connected { (bridge, "plug") } else { (NO_BRIDGE, "unplug") };
        let mut batch = Batch::default();
        batch.push(message::enslave(port.index, bridge), 0, format!("{verb} {}", port.name));
        self.namespace_of(port.place).send(batch)
    }
}
