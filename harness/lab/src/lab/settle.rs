//! The wait until devices pass packets.
//!
//! Administratively up is not enough: a device that got its carrier after it was opened drops all it is given until
//! the kernel's link watch has looked at it, in a worker, up to a second later (net/core/link_watch.c). In recent
//! kernels, 6.18 among them, a request for one device by its index makes the kernel look at it at once
//! (linkwatch_sync_dev in rtnl_getlink, net/core/rtnetlink.c): the first round of questions below is then the last
//! one. Others need some rounds.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use harness_model::plan::{CableEnd, Place};
use netlink_packet_core::Parseable;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};

use super::{Lab, LabError, Node, message};
use crate::netlink::Netlink;

/// How long a device, or an address (`own`), may take. The kernel's workers need the RTNL lock, which the removal of a
/// bridge in some namespace that has just died holds for a whole `rcu_barrier` (br_multicast_dev_del,
/// net/bridge/br_multicast.c): seconds on a machine that is busy.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// Between two rounds of questions.
pub(super) const ROUND: Duration = Duration::from_micros(200);
/// Questions at once: their answers, of 2 KiB each, must fit into the receive buffer.
const QUESTIONS: usize = 32;

/// What the kernel says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    /// Administratively up.
    enabled: bool,
    /// RFC 2863's ifOperStatus.
    state: State,
}

impl Lab {
    /// Waits until all these ends are operationally up.
    pub(super) fn settle(&mut self, ends: &[CableEnd]) -> Result<(), LabError> {
        let start = Instant::now();
        let root = self.nodes.len();
        let mut waiting: Vec<Vec<&CableEnd>> = vec![Vec::new(); root + 1];
        for end in ends {
            waiting[if let Place::Node(node) = end.place { node } else { root }].push(end);
        }
        loop {
            let mut late = None;
            for (at, ends) in waiting.iter_mut().enumerate().filter(|(_, ends)| !ends.is_empty()) {
                let node = self.namespace(at);
                let statuses = node.statuses(ends)?;
                let not_up = ends.iter().zip(statuses).filter(|(_, status)| status.state != State::Up);
                let not_up: Vec<_> = not_up.map(|(end, status)| (*end, status.state)).collect();
                if let Some((end, state)) = not_up.first() {
                    late = Some((node.name.clone(), end.name.clone(), *state));
                }
                *ends = not_up.into_iter().map(|(end, _)| end).collect();
            }
            match late {
                None => return Ok(()),
                Some(late) => pause(start, || late)?,
            }
        }
    }

    /// Waits until both ends of a cable are operationally up, if both are enabled and it is not cut, and otherwise until
    /// neither is.
    pub(super) fn conclude(&mut self, ends: [&CableEnd; 2], cut: bool) -> Result<(), LabError> {
        let start = Instant::now();
        loop {
            let mut statuses = Vec::with_capacity(2);
            for end in ends {
                statuses.extend(self.namespace_of(end.place).statuses(&[end])?);
            }
            let connected = !cut && statuses.iter().all(|status| status.enabled);
            let late = statuses.iter().position(|status| (status.state == State::Up) != connected);
            let Some(late) = late else {
                return Ok(());
            };
            let end = ends[late];
            let node = self.namespace_of(end.place).name.clone();
            pause(start, || (node, end.name.clone(), statuses[late].state))?;
        }
    }

    /// Whether an end is administratively up.
    pub(super) fn is_enabled(&mut self, end: &CableEnd) -> Result<bool, LabError> {
        let statuses = self.namespace_of(end.place).statuses(&[end])?;
        Ok(statuses.iter().all(|status| status.enabled))
    }

    /// Whether a node's device, which is named by its planned index, is operationally up. A device that does not exist
    /// is not.
    pub fn device_up(&mut self, node: usize, index: u32) -> Result<bool, LabError> {
        let index = self.index_now(index);
        let node = self.node_mut(node)?;
        match statuses(&mut node.netlink, &[index]) {
            Ok(statuses) => Ok(statuses.iter().all(|status| status.state == State::Up)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(source) => Err(LabError::Read { node: node.name.clone(), what: "devices", source }),
        }
    }
}

impl Node {
    /// The status of each of these ends, which are in this namespace.
    fn statuses(&mut self, ends: &[&CableEnd]) -> Result<Vec<Status>, LabError> {
        let mut all = Vec::with_capacity(ends.len());
        for some in ends.chunks(QUESTIONS) {
            let indexes: Vec<u32> = some.iter().map(|end| end.index).collect();
            let statuses = statuses(&mut self.netlink, &indexes);
            all.extend(statuses.map_err(|source| LabError::Read {
                node: self.name.clone(),
                what: "devices",
                source,
            })?);
        }
        Ok(all)
    }
}

/// Sleeps for a round, or gives up on a device: its node, its name and its state.
fn pause(start: Instant, late: impl FnOnce() -> (String, String, State)) -> Result<(), LabError> {
    let waited = start.elapsed();
    if waited < DEADLINE {
        thread::sleep(ROUND);
        return Ok(());
    }
    let (node, device, state) = late();
    Err(LabError::NotUp { node, device, waited_ms: waited.as_millis(), state })
}

fn statuses(netlink: &mut Netlink, indexes: &[u32]) -> io::Result<Vec<Status>> {
    let mut statuses = vec![Status { enabled: false, state: State::Unknown }; indexes.len()];
    netlink.get(indexes.iter().map(|index| message::link_get(*index)), |payload| {
        let Ok(link) = LinkMessage::parse(payload) else { return };
        let Some(at) = indexes.iter().position(|index| *index == link.header.index) else { return };
        statuses[at].enabled = link.header.flags.contains(LinkFlags::Up);
        for attribute in &link.attributes {
            if let LinkAttribute::OperState(state) = attribute {
                statuses[at].state = *state;
            }
        }
    })?;
    Ok(statuses)
}
