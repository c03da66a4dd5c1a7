//! Conntrack entries of nodes: those that there are, and those that come and go.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd},
};

use harness_lab::{conntrack::Events, lab::Lab};
use harness_model::{
    observation::{Entry, EntryEvent},
    scenario::Expect,
    topology::NodeId,
};
use nix::poll::PollFlags;

use crate::worker::failure::Failure;

/// All entries of the nodes that are asked for.
pub(super) fn tables(lab: &mut Lab, expect: &Expect) -> Result<Vec<(NodeId, Vec<Entry>)>, Failure> {
    let nodes: BTreeSet<NodeId> = expect.conntrack.iter().map(|entries| entries.node).collect();
    nodes.into_iter().map(|node| Ok((node, lab.conntrack(node.0)?))).collect()
}

/// The nodes whose entries are watched, and what has become of them since the last step.
pub(super) struct Watched {
    sockets: Vec<Events>,
    seen: Vec<(NodeId, Vec<EntryEvent>)>,
}

impl Watched {
    /// Begins to watch.
    pub(super) fn begin(lab: &Lab, nodes: BTreeSet<NodeId>) -> Result<Self, Failure> {
        let sockets = nodes.iter().map(|node| lab.conntrack_events(node.0)).collect::<Result<_, _>>()?;
        Ok(Watched { sockets, seen: nodes.into_iter().map(|node| (node, Vec::new())).collect() })
    }

    /// Takes what has happened, and says whether anything has.
    pub(super) fn look(&mut self) -> Result<bool, Failure> {
        let mut news = false;
        for (socket, (_, seen)) in self.sockets.iter_mut().zip(&mut self.seen) {
            let before = seen.len();
            socket.drain(seen)?;
            news |= seen.len() > before;
        }
        Ok(news)
    }

    /// What has happened, as far as it was looked at.
    pub(super) fn seen(&self) -> &[(NodeId, Vec<EntryEvent>)] {
        &self.seen
    }

    /// What was looked at so far belongs to a step that is over.
    pub(super) fn forget(&mut self) {
        self.seen.iter_mut().for_each(|(_, seen)| seen.clear());
    }

    /// For the loop: what is ready when something has happened.
    pub(super) fn interest(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        self.sockets.iter().map(|socket| (socket.as_fd(), PollFlags::POLLIN)).collect()
    }
}
