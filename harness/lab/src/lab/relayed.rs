//! Cables whose frames are carried in user space: made, brought up and broken here, carried by [`crate::relay`].
//!
//! The lab tells the relay in orders what it has done, and the relay obeys before it moves the next frame.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
};

use harness_model::{
    plan::{Cable, CableEnd, Layer, Over, Place, Wire},
    relay::Faults,
    scenario::LinkAction,
};

use super::{Lab, LabError, message};
use crate::{netlink::Batch, sys::tun};

/// What the relay is to do about a cable, which is named by its near end's planned index.
#[derive(Debug)]
pub(crate) enum Order {
    /// Carry frames between these two, in a tunnel by these.
    String([Arc<File>; 2], Option<[Tunnel; 2]>),
    /// Both are gone.
    Drop,
    /// Let frames pass, or lose all of them.
    Pass(bool),
    /// Lose what the near end says of itself to its neighbours, or the far end.
    Silence {
        /// Whether it is about the near end.
        near: bool,
        /// Whether it is silent from now on.
        silent: bool,
    },
    /// Do this to frames from near to far, and from far to near.
    Impair([Option<Faults>; 2]),
}

/// One end of a tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// In the end's node; does not block.
    pub(crate) socket: UdpSocket,
    /// Where the other end was heard last.
    pub(crate) peer: SocketAddr,
}

/// The cables of a lab that are carried in user space.
#[derive(Debug)]
pub(super) struct Relayed {
    cables: BTreeMap<u32, State>,
    orders: Sender<(u32, Order)>,
    /// Until the relay has taken it.
    obeyed: Option<Receiver<(u32, Order)>>,
}

/// What a relay is made of: the cables, and the orders about them.
#[derive(Debug)]
pub(crate) struct Strung {
    pub(crate) cables: Vec<Cable>,
    pub(crate) orders: Receiver<(u32, Order)>,
}

/// A cable.
#[derive(Debug)]
struct State {
    /// Near and far.
    ends: [Arc<File>; 2],
    cut: bool,
    mute: bool,
}

impl Default for Relayed {
    fn default() -> Self {
        let (orders, obeyed) = channel();
        Relayed { cables: BTreeMap::new(), orders, obeyed: Some(obeyed) }
    }
}

impl Relayed {
    fn order(&self, cable: u32, order: Order) {
        // Without a relay nothing is carried, and there is nobody to tell.
        let _ = self.orders.send((cable, order));
    }
}

impl Lab {
    /// What the relay needs. None: it has been asked for before.
    pub(crate) fn strung(&mut self) -> Option<Strung> {
        let cables = self.plan.cables.iter().filter(|cable| cable.wire != Wire::Veth);
        let cables = cables.cloned().collect();
        self.relayed.obeyed.take().map(|orders| Strung { cables, orders })
    }

    /// Makes both ends of a cable that is carried in user space, without carrier. `planned` names it: its near end's
    /// planned index.
    pub(super) fn string(&mut self, cable: &Cable, planned: u32) -> Result<(), LabError> {
        let Wire::Relayed { layer, over, .. } = &cable.wire else { return Ok(()) };
        let near = self.make(&cable.near, *layer, cable.mtu)?;
        let far = self.make(&cable.far, *layer, cable.mtu)?;
        let ends = [Arc::new(near), Arc::new(far)];
        let tunnel = over.map(|over| self.tunnel(cable, over)).transpose()?;
        self.relayed.order(planned, Order::String(ends.clone(), tunnel));
        self.relayed.cables.insert(planned, State { ends, cut: false, mute: false });
        Ok(())
    }

    fn make(&mut self, end: &CableEnd, layer: Layer, mtu: u32) -> Result<File, LabError> {
        let mode = match layer {
            Layer::Ethernet => tun::Mode::Tap,
            Layer::Ip => tun::Mode::Tun,
        };
        let Place::Node(node) = end.place else {
            return Err(LabError::NotRelayed { device: end.name.clone() });
        };
        let made = self.in_node(node, || tun::make(&end.name, end.index, mode))?;
        let file = made.map_err(|source| self.no_tun(end, source))?;
        let mut batch = Batch::default();
        batch.push(message::furnish(end, layer, mtu), 0, format!("furnish {}", end.name));
        self.nodes[node].send(batch)?;
        Ok(file)
    }

    /// The sockets by which a tunnel is carried. They are bound to no address: the routes choose, as for any VPN.
    fn tunnel(&self, cable: &Cable, over: Over) -> Result<[Tunnel; 2], LabError> {
        let [near, far] = over.addresses;
        let end = |end: &CableEnd, peer: IpAddr| {
            let Place::Node(node) = end.place else {
                return Err(LabError::NotRelayed { device: end.name.clone() });
            };
            let own = match peer {
                IpAddr::V4(_) => IpAddr::from([0u8; 4]),
                IpAddr::V6(_) => IpAddr::from([0u8; 16]),
            };
            let socket = self.in_node(node, || UdpSocket::bind((own, over.port)))?;
            let socket = socket.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
            let socket = socket.map_err(|source| self.no_tun(end, source))?;
            Ok(Tunnel { socket, peer: SocketAddr::new(peer, over.port) })
        };
        Ok([end(&cable.near, far)?, end(&cable.far, near)?])
    }

    fn no_tun(&self, end: &CableEnd, source: std::io::Error) -> LabError {
        let node = match end.place {
            Place::Node(node) => self.plan.nodes.get(node).map(|node| node.name.clone()).unwrap_or_default(),
            Place::Switch(_) => super::namespaces::LAB.to_owned(),
        };
        LabError::Tun { node, device: end.name.clone(), source }
    }

    /// Gives all of them their carriers, once their ends are up.
    pub(super) fn connect_relayed(&mut self) -> Result<(), LabError> {
        let cables: Vec<Cable> = self.plan.cables.clone();
        cables.iter().try_for_each(|cable| self.carry(cable, cable.near.index))
    }

    /// Gives both ends of a cable the carrier that they should have: an end has none if the cable is cut or the other end
    /// is down.
    pub(super) fn carry(&mut self, cable: &Cable, planned: u32) -> Result<(), LabError> {
        let Some(state) = self.relayed.cables.get(&planned) else { return Ok(()) };
        let (cut, mute, files) = (state.cut, state.mute, state.ends.clone());
        for (file, end, other) in [(&files[0], &cable.near, &cable.far), (&files[1], &cable.far, &cable.near)]
        {
            let carrier = !cut && self.is_enabled(other)?;
            tun::set_carrier(file, carrier).map_err(|source| self.no_tun(end, source))?;
        }
        self.relayed.order(planned, Order::Pass(!cut && !mute));
        Ok(())
    }

    /// Changes the state of such a cable, at the end of a device that is named by its planned index.
    pub(super) fn change_relayed(
        &mut self,
        planned: &Cable,
        device: u32,
        action: LinkAction,
    ) -> Result<(), LabError> {
        let cable = self.now(planned);
        let own_is_near = planned.near.index == device;
        let (own, other) = if own_is_near { (&cable.near, &cable.far) } else { (&cable.far, &cable.near) };
        let name = planned.near.index;
        match action {
            LinkAction::Restore => return self.restore(planned),
            LinkAction::Remove => {
                self.remove(own)?;
                self.remove(other)?;
                self.relayed.cables.remove(&name);
                self.relayed.order(name, Order::Drop);
                self.removed.insert(name);
                return Ok(());
            }
            LinkAction::Silence => {
                self.relayed.order(name, Order::Silence { near: own_is_near, silent: true });
                return self.forget(planned, device);
            }
            LinkAction::Speak => {
                self.relayed.order(name, Order::Silence { near: own_is_near, silent: false });
                return Ok(());
            }
            LinkAction::Down => self.set(own, false)?,
            LinkAction::Up => self.set(own, true)?,
            LinkAction::Cut | LinkAction::Mend | LinkAction::Mute | LinkAction::Unmute => {}
        }
        let Some(state) = self.relayed.cables.get_mut(&name) else {
            return Err(LabError::NoSuchDevice { node: own.name.clone(), index: device });
        };
        match action {
            LinkAction::Cut => state.cut = true,
            LinkAction::Mend => state.cut = false,
            LinkAction::Mute => state.mute = true,
            LinkAction::Unmute => state.mute = false,
            LinkAction::Down
            | LinkAction::Up
            | LinkAction::Remove
            | LinkAction::Restore
            | LinkAction::Silence
            | LinkAction::Speak => {}
        }
        let cut = state.cut;
        self.carry(&cable, name)?;
        self.conclude([own, other], cut)?;
        match (action, own.place, other.place) {
            (LinkAction::Mend, _, Place::Node(far)) => self.acquaint(far, planned.other(device).index),
            (LinkAction::Up, Place::Node(node), _) if !cut => self.up_again(node, device, other),
            _ => Ok(()),
        }
    }

    /// Has the node at the other end of a device's cable forget it: otherwise it would go on for half a minute until it asks.
    fn forget(&mut self, planned: &Cable, device: u32) -> Result<(), LabError> {
        let Place::Node(far) = planned.other(device).place else { return Ok(()) };
        let index = self.index_now(planned.other(device).index);
        let own = self.plan.device(device).map(|(_, own)| own.addresses.clone()).unwrap_or_default();
        own.iter().try_for_each(|net| self.forget_neighbour(far, index, net.addr()))
    }

    /// Has a node forget a neighbour, if it knows it.
    pub(super) fn forget_neighbour(
        &mut self,
        node: usize,
        index: u32,
        address: IpAddr,
    ) -> Result<(), LabError> {
        let mut batch = Batch::default();
        batch.push(message::neighbour_delete(index, address), 0, format!("forget neighbour {address}"));
        match self.nodes[node].send(batch) {
            Err(LabError::Refused { errno: libc::ENOENT, .. }) => Ok(()),
            result => result,
        }
    }

    /// From now on does this to frames that leave by a node's device, which is named by its planned index, and to those that
    /// come in by it. None: as before.
    pub fn impair(
        &mut self,
        node: usize,
        device: u32,
        leaving: Option<Faults>,
        coming: Option<Faults>,
    ) -> Result<(), LabError> {
        let cable = self.cable_at(node, device)?;
        if cable.wire == Wire::Veth {
            return Err(LabError::NotRelayed { device: cable.other(device).name.clone() });
        }
        let faults = if cable.near.index == device { [leaving, coming] } else { [coming, leaving] };
        self.relayed.order(cable.near.index, Order::Impair(faults));
        Ok(())
    }
}
