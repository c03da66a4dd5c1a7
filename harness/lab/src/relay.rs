//! The user-space half of links with faults: it moves frames from one device to the other, as the links' lanes say.
//!
//! What becomes of a frame is decided in [`harness_model::relay`]; here are the devices and the clock. It has no thread of its
//! own: whoever runs the lab calls [`Relay::turn`] when one of [`Relay::fds`] is readable, or when a frame is
//! [due](Relay::due). A frame that is written to a device has been through the receiving node's stack, as far as it goes at
//! once, when the call returns (tun_get_user, drivers/net/tun.c): a fence need not wait for it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use harness_model::{
    plan::{Cable, Wire},
    relay::{Lane, Moment, lane_seed},
};

use crate::lab::{Lab, Order, Strung, Tunnel};

/// Frames of one direction of one link in a turn, so that no other waits for long.
const BURST: usize = 64;
/// The largest frame: an IP packet of 64 KiB, and a header.
const LARGEST: usize = 65_536 + 64;

/// Carries frames.
#[derive(Debug)]
pub struct Relay {
    links: BTreeMap<u32, Link>,
    orders: Option<Receiver<(u32, Order)>>,
    began: Instant,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Link {
    /// Near and far. None: it has been removed.
    ends: Option<[Arc<File>; 2]>,
    /// What carries it, if it is a tunnel.
    tunnel: Option<[Tunnel; 2]>,
    /// From near to far, and from far to near.
    lanes: [Lane; 2],
    passes: bool,
}

impl Relay {
    /// For all links of a lab that want one. A lab has one relay: whoever asks first.
    pub fn new(lab: &mut Lab, seed: u64) -> Self {
        let (cables, orders) = match lab.strung() {
            Some(Strung { cables, orders }) => (cables, Some(orders)),
            None => (Vec::new(), None),
        };
        let links = cables.iter().filter_map(|cable| Some((cable.near.index, Link::new(cable, seed)?)));
        let links = links.collect();
        Relay { links, orders, began: Instant::now(), buffer: vec![0; LARGEST].into() }
    }

    /// Moves what is ready and what is due, without waiting. Returns whether there was anything.
    pub fn turn(&mut self) -> bool {
        self.obey();
        let mut moved = false;
        for link in self.links.values_mut() {
            let now = Moment::try_from(self.began.elapsed().as_nanos()).unwrap_or(Moment::MAX);
            moved |= link.turn(now, &mut self.buffer);
        }
        moved
    }

    /// For poll(2): readable when a frame is to be carried.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let files = self.links.values().filter_map(|link| link.ends.as_ref()).flatten();
        let tunnels = self.links.values().filter_map(|link| link.tunnel.as_ref()).flatten();
        files.map(|file| file.as_fd()).chain(tunnels.map(|end| end.socket.as_fd()))
    }

    /// When a frame is due to leave.
    pub fn due(&self) -> Option<Instant> {
        let due = self.links.values().flat_map(|link| &link.lanes).filter_map(Lane::due).min();
        due.map(|due| self.began + Duration::from_nanos(due))
    }

    /// The frames that are on their way: of each the stream that it belongs to.
    pub fn under_way(&self) -> impl Iterator<Item = Option<u8>> + '_ {
        self.links.values().flat_map(|link| &link.lanes).flat_map(Lane::under_way)
    }

    fn obey(&mut self) {
        let orders = self.orders.iter().flat_map(Receiver::try_iter);
        for (name, order) in orders {
            let Some(link) = self.links.get_mut(&name) else { continue };
            match order {
                Order::String(ends, tunnel) => {
                    link.ends = Some(ends);
                    link.tunnel = tunnel;
                    link.lanes.iter_mut().for_each(|lane| lane.silence(false));
                }
                Order::Silence { near, silent } => link.lanes[usize::from(!near)].silence(silent),
                Order::Drop => link.drop_ends(),
                Order::Pass(passes) => {
                    link.passes = passes;
                    if !passes {
                        link.lanes.iter_mut().for_each(Lane::clear);
                    }
                }
                Order::Impair(faults) => {
                    for (lane, faults) in link.lanes.iter_mut().zip(faults) {
                        if let Some(faults) = faults {
                            lane.set(faults);
                        }
                    }
                }
            }
        }
    }
}

impl Link {
    fn new(cable: &Cable, seed: u64) -> Option<Self> {
        let Wire::Relayed { link, layer, faults, over: _ } = &cable.wire else { return None };
        let mut lanes = [0, 1].map(|direction| Lane::new(lane_seed(seed, link, direction), layer.header()));
        for (lane, faults) in lanes.iter_mut().zip(faults.iter()) {
            lane.set(faults.clone());
        }
        Some(Link { ends: None, tunnel: None, lanes, passes: true })
    }

    fn turn(&mut self, now: Moment, buffer: &mut [u8]) -> bool {
        let Some([near, far]) = self.ends.clone() else { return false };
        let [out, back] = &mut self.lanes;
        // A device that is down takes no frame, and a socket without a route no datagram: both are lost, as on any way.
        let (first, second, arrived) = match &mut self.tunnel {
            None => (
                carry(out, &near, &mut |frame| drop((&*far).write(frame)), self.passes, now, buffer),
                carry(back, &far, &mut |frame| drop((&*near).write(frame)), self.passes, now, buffer),
                false,
            ),
            Some([this, that]) => (
                carry(out, &near, &mut |frame| this.send(frame), self.passes, now, buffer),
                carry(back, &far, &mut |frame| that.send(frame), self.passes, now, buffer),
                [this.receive(&near, buffer), that.receive(&far, buffer)].contains(&true),
            ),
        };
        match (first, second) {
            (Ok(first), Ok(second)) => first || second || arrived,
            // A device was deleted by somebody else: what is on its way goes nowhere.
            _ => {
                self.drop_ends();
                true
            }
        }
    }

    fn drop_ends(&mut self) {
        self.ends = None;
        self.tunnel = None;
        self.lanes.iter_mut().for_each(Lane::clear);
    }
}

impl Tunnel {
    /// Sends a packet to the other end.
    fn send(&self, packet: &[u8]) {
        // An error about a former one would keep this one from being sent.
        let _ = self.socket.take_error();
        let _ = self.socket.send_to(packet, self.peer);
    }

    /// Takes what has come from the other end, wherever that is by now. Returns whether there was anything.
    fn receive(&mut self, device: &File, buffer: &mut [u8]) -> bool {
        let mut any = false;
        for _ in 0..BURST {
            match self.socket.recv_from(buffer) {
                Ok((length, from)) => {
                    self.peer = from;
                    let mut device = device;
                    let _ = device.write(&buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // About a former datagram.
                Err(_) => {}
            }
            any = true;
        }
        any
    }
}

/// Moves frames in one direction. Returns whether there were any, or why there will be no more.
fn carry(
    lane: &mut Lane,
    from: &File,
    send: &mut impl FnMut(&[u8]),
    passes: bool,
    now: Moment,
    buffer: &mut [u8],
) -> io::Result<bool> {
    let mut moved = false;
    let mut from = from;
    let mut out = |frame: &[u8]| {
        moved = true;
        send(frame);
    };
    lane.leave(now, &mut out);
    let mut any = false;
    for _ in 0..BURST {
        match from.read(buffer) {
            Ok(length) if passes => lane.enter(now, &mut buffer[..length], &mut out),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any || moved),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Down: nothing comes until it is up.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(any || moved),
            Err(error) => return Err(error),
        }
        any = true;
    }
    Ok(true)
}
