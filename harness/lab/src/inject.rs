//! Hand-made frames on their way out of a device.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    os::fd::{AsFd, IntoRawFd},
};

use pnet::datalink::{self, Channel, Config, DataLinkSender, NetworkInterface};

use crate::{
    lab::{Lab, LabError},
    sys,
};

/// A frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// The node does not exist or could not be entered.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The device took no channel, or not the frame.
    #[error("{node}: send a frame out of {device}")]
    Send {
        /// The node.
        node: String,
        /// The device.
        device: String,
        /// Why not.
        source: io::Error,
    },
}

/// Sends frames.
///
/// A channel is opened when a device is first used, and kept: to close one takes as long as to close a capture's
/// socket, so that all are closed together at the end.
#[derive(Default)]
pub struct Injector {
    channels: BTreeMap<(usize, u32), Box<dyn DataLinkSender>>,
    /// Of devices that have been replaced.
    retired: Vec<Box<dyn DataLinkSender>>,
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Injector").field("channels", &self.channels.keys()).finish_non_exhaustive()
    }
}

impl Injector {
    /// One without channels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a frame, with its Ethernet header, out of a node's device, which is named by its planned index.
    pub fn send(&mut self, lab: &Lab, node: usize, device: u32, frame: &[u8]) -> Result<(), InjectError> {
        let failed = |source| {
            let found = lab.plan().nodes.get(node);
            let name = found.and_then(|node| node.devices.iter().find(|known| known.index == device));
            InjectError::Send {
                node: found.map_or_else(String::new, |node| node.name.clone()),
                device: name.map_or_else(|| format!("device {device}"), |device| device.name.clone()),
                source,
            }
        };
        let channel = match self.channels.entry((node, device)) {
            Entry::Occupied(channel) => channel.into_mut(),
            Entry::Vacant(place) => {
                place.insert(lab.in_node(node, || open(lab.index_now(device)))?.map_err(failed)?)
            }
        };
        // A socket remembers that its device went down, and tells whoever uses it next, once: so the second attempt
        // counts (packet_notifier in net/packet/af_packet.c). One whose device was deleted is of no more use.
        if transmit(channel, frame).is_ok() || transmit(channel, frame).is_ok() {
            return Ok(());
        }
        let fresh = lab.in_node(node, || open(lab.index_now(device)))?.map_err(failed)?;
        self.retired.push(std::mem::replace(channel, fresh));
        transmit(channel, frame).map_err(failed)
    }

    /// Closes all channels. See [`crate::close`] for the cost.
    pub fn close(self) {
        crate::close(None, Some(self));
    }

    pub(crate) fn into_channels(self) -> impl Iterator<Item = Box<dyn DataLinkSender>> {
        self.channels.into_values().chain(self.retired)
    }
}

fn transmit(channel: &mut Box<dyn DataLinkSender>, frame: &[u8]) -> io::Result<()> {
    channel.send_to(frame, None).unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()))
}

/// A channel of a device of the calling thread's namespace.
fn open(device: u32) -> io::Result<Box<dyn DataLinkSender>> {
    // The socket is made here, since pnet's own would stay open across exec(2), in the programs under test, and
    // would fill up with frames that nobody reads.
    let socket = sys::packet::socket()?;
    sys::packet::receive_nothing(socket.as_fd())?;
    // pnet needs of an interface only its index.
    let interface = NetworkInterface {
        name: String::new(),
        description: String::new(),
        index: device,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        // Promiscuous mode would be a change of the link's state, which programs under test get to see.
        promiscuous: false,
        read_buffer_size: 0,
        write_buffer_size: 0,
        // From here on pnet owns the descriptor, and closes it even if it fails.
        socket_fd: Some(socket.into_raw_fd()),
        ..Config::default()
    };
    match datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, _receiver) => Ok(sender),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
