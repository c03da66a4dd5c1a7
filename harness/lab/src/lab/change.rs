//! What a scenario does to a link.

use harness_model::{
    plan::{CableEnd, Place},
    scenario::LinkAction,
};

use super::{Lab, LabError, message};
use crate::netlink::Batch;

impl Lab {
    /// Changes the state of a node's device, or of the far end of its cable. Returns when the kernel has drawn its
    /// conclusions: carrier is lost or there, and packets pass or do not.
    pub fn change(&mut self, node: usize, device: u32, action: LinkAction) -> Result<(), LabError> {
        let name = self.node(node)?.name.clone();
        let cable = self.plan.cable_of(device).filter(|cable| {
            [&cable.near, &cable.far].iter().any(|end| end.index == device && end.place == Place::Node(node))
        });
        let Some(cable) = cable else {
            return Err(LabError::NoSuchDevice { node: name, index: device });
        };
        let (own, other) = match cable.near.index == device {
            true => (cable.near.clone(), cable.far.clone()),
            false => (cable.far.clone(), cable.near.clone()),
        };
        match action {
            LinkAction::Cut => self.set(&other, false)?,
            LinkAction::Mend => self.set(&other, true)?,
            LinkAction::Down => self.set(&own, false)?,
            LinkAction::Up => self.set(&own, true)?,
            LinkAction::Remove => return self.remove(&own),
        }
        self.conclude([&own, &other])?;
        match (action, other.place) {
            (LinkAction::Mend, Place::Node(far)) => self.restore(far, other.index),
            _ => Ok(()),
        }
    }

    fn set(&mut self, end: &CableEnd, up: bool) -> Result<(), LabError> {
        let mut batch = Batch::default();
        let what = format!("set {} {}", end.name, if up { "up" } else { "down" });
        batch.push(message::link_up(end.index, up), 0, what);
        self.namespace_of(end.place).send(batch)
    }

    /// Deletes a device, and with it the other end of its cable.
    fn remove(&mut self, end: &CableEnd) -> Result<(), LabError> {
        let mut batch = Batch::default();
        batch.push(message::link_delete(end.index), 0, format!("delete {}", end.name));
        self.namespace_of(end.place).send(batch)
    }
}
