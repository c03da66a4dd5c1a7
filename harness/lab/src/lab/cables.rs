//! Bridges, cables, and their way up.

use std::{fs::File, os::fd::AsFd};

use harness_model::plan::{Cable, CableEnd, Place, Switch, Wire};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::{
    Lab, LabError, Node,
    message::{self, LOOPBACK, Placed},
};
use crate::netlink::Batch;

/// What a request for a new object carries: an existing one is an error.
pub(super) const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

impl Lab {
    /// Makes the bridges and the cables between them and the nodes. Everything is still down, but for the bridges.
    pub(super) fn lay_cables(&mut self) -> Result<(), LabError> {
        let mut batch = Batch::default();
        for switch in &self.plan.switches {
            batch.push(message::bridge(switch), NEW, format!("add bridge {}", switch.name));
        }
        let (kernel, relayed): (Vec<_>, Vec<_>) =
            self.plan.cables.clone().into_iter().partition(|cable| cable.wire == Wire::Veth);
        for cable in &kernel {
            self.lay(cable, &mut batch)?;
        }
        self.root.send(batch)?;
        relayed.iter().try_for_each(|cable| self.string(cable, cable.near.index))
    }

    /// Adds a cable of the kernel's to a batch for the namespace that holds the lab together.
    pub(super) fn lay(&self, cable: &Cable, batch: &mut Batch) -> Result<(), LabError> {
        let Cable { near, far, mtu, wire: _ } = cable;
        let near = placed(near, &self.nodes, &self.root.namespace, &self.plan.switches)?;
        let far = placed(far, &self.nodes, &self.root.namespace, &self.plan.switches)?;
        let (main, peer) = if near.bridge.is_none() { (far, near) } else { (near, far) };
        let what = format!("add cable {} - {}", cable.near.name, cable.far.name);
        batch.push(message::veth(&main, &peer, *mtu), NEW, what);
        if let Some(bridge) = peer.bridge {
            let what = format!("make {} a port of its bridge", peer.end.name);
            batch.push(message::enslave(peer.end.index, bridge), 0, what);
        }
        Ok(())
    }

    /// Brings all near ends up, then all far ends, and waits until every end passes packets.
    ///
    /// A pair's carrier comes with its second end. Each end is brought up from its own namespace: the request that
    /// makes a pair cannot bring its peer up, which has no other side yet (veth_open in drivers/net/veth.c).
    pub(super) fn bring_up(&mut self) -> Result<(), LabError> {
        let mut batches: Vec<(Batch, Batch)> = Vec::new();
        batches.resize_with(self.nodes.len() + 1, Default::default);
        let root = self.nodes.len();
        let at = |place| match place {
            Place::Node(node) => node,
            Place::Switch(_) => root,
        };
        for (near, _) in &mut batches[..root] {
            near.push(message::link_up(LOOPBACK, true), 0, "set lo up");
        }
        for Cable { near, far, mtu: _, wire: _ } in &self.plan.cables {
            let request =
                |end: &CableEnd| (message::link_up(end.index, true), format!("set {} up", end.name));
            let (message, what) = request(near);
            batches[at(near.place)].0.push(message, 0, what);
            let (message, what) = request(far);
            batches[at(far.place)].1.push(message, 0, what);
        }
        let mut later = Vec::with_capacity(batches.len());
        for (at, (near, far)) in batches.into_iter().enumerate() {
            later.push(far);
            self.namespace(at).send(near)?;
        }
        for (at, far) in later.into_iter().enumerate() {
            self.namespace(at).send(far)?;
        }
        self.connect_relayed()?;
        let ends = self.plan.cables.iter().flat_map(|cable| [cable.near.clone(), cable.far.clone()]);
        self.settle(&ends.collect::<Vec<_>>())
    }

    /// A node, or behind the last one the namespace that holds the bridges.
    pub(super) fn namespace(&mut self, at: usize) -> &mut Node {
        self.nodes.get_mut(at).unwrap_or(&mut self.root)
    }

    /// The namespace of an end of a cable.
    pub(super) fn namespace_of(&mut self, place: Place) -> &mut Node {
        self.namespace(match place {
            Place::Node(node) => node,
            Place::Switch(_) => usize::MAX,
        })
    }
}

impl Node {
    /// Sends a batch to this namespace.
    pub(super) fn send(&mut self, batch: Batch) -> Result<(), LabError> {
        self.netlink.send(batch).map_err(|refusal| LabError::refused(&self.name, refusal))
    }
}

fn placed<'a>(
    end: &'a CableEnd,
    nodes: &'a [Node],
    root: &'a File,
    switches: &[Switch],
) -> Result<Placed<'a>, LabError> {
    match end.place {
        Place::Node(index) => {
            let node = nodes.get(index).ok_or(LabError::NoSuchNode { index, nodes: nodes.len() })?;
            Ok(Placed { end, namespace: node.namespace.as_fd(), bridge: None })
        }
        Place::Switch(index) => {
            let switch = switches
                .get(index)
                .ok_or_else(|| LabError::NoSuchSwitch { cable: end.name.clone(), index })?;
            Ok(Placed { end, namespace: root.as_fd(), bridge: Some(switch.index) })
        }
    }
}
