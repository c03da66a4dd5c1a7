//! A plan, in the kernel.
//!
//! [`Lab::build`] executes a [`LabPlan`] in the order of the pages below; nothing is decided here.
//!
//! - `namespaces`: one for each node, by name, with its sysctls set before any device exists
//! - `cables`: bridges and veth pairs, both ends made in place and brought up
//! - `relayed`: cables whose frames are carried in user space
//! - `settle`: the wait until every end passes packets
//! - `addresses`: addresses, routes, rules and neighbours
//! - `own`: the wait until nodes know their IPv6 addresses
//! - `change`: what a scenario does to a link afterwards; `restore`: a removed device comes back;
//!   `readdress`: a device gets other addresses
//!
//! The namespace in which the lab is built holds the bridges. It is nobody's node.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    process::Command,
    sync::Arc,
};

use harness_model::plan::{LabPlan, index_in_life};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};

use crate::{netlink::Netlink, sys};

mod addresses;
mod cables;
mod change;
mod error;
mod message;
mod namespaces;
mod neighbours;
mod own;
mod readdress;
mod relayed;
mod restore;
mod settle;

pub use error::LabError;
pub(crate) use message::{LOOPBACK, link_up};
use relayed::Relayed;
pub(crate) use relayed::{Order, Strung, Tunnel};

/// A running lab. It lives as long as the process, whatever becomes of this value.
#[derive(Debug)]
pub struct Lab {
    plan: LabPlan,
    nodes: Vec<Node>,
    root: Node,
    /// How many times devices have been restored, by planned index.
    lives: BTreeMap<u32, u32>,
    /// The node whose routes are its own affair once it is built.
    own_routes: Option<usize>,
    relayed: Relayed,
    /// Cables that are not there, by their near ends' planned indexes.
    removed: BTreeSet<u32>,
}

/// A network namespace and a socket in it.
#[derive(Debug)]
pub(crate) struct Node {
    /// For a person.
    name: String,
    namespace: Arc<File>,
    netlink: Netlink,
    /// Made by the first look at the connection tracking table.
    pub(crate) conntrack: Option<Netlink>,
}

impl Lab {
    /// Builds what the plan says, and returns when every device passes packets.
    ///
    /// The calling thread must be the process's only one that makes namespaces meanwhile.
    pub fn build(plan: &LabPlan) -> Result<Self, LabError> {
        let (root, nodes) = namespaces::create(plan)?;
        let (lives, own_routes, relayed) = (BTreeMap::new(), None, Relayed::default());
        let removed = BTreeSet::new();
        let mut lab = Self { plan: plan.clone(), nodes, root, lives, own_routes, relayed, removed };
        lab.lay_cables()?;
        lab.bring_up()?;
        lab.assign()?;
        lab.own_addresses()?;
        Ok(lab)
    }

    /// What was built.
    pub fn plan(&self) -> &LabPlan {
        &self.plan
    }

    /// Leaves it to a node to find its routes when one of its devices is restored: it runs what is under test.
    pub fn leave_routes_to(&mut self, node: usize) {
        self.own_routes = Some(node);
    }

    /// The interface index that a device of the plan has now.
    pub fn index_now(&self, planned: u32) -> u32 {
        index_in_life(planned, self.lives.get(&planned).copied().unwrap_or(0))
    }

    /// Runs a function in a node's network namespace, on this thread, which is back where it was when this returns
    /// or panics.
    ///
    /// Sockets that are made in there stay there; they may be used from anywhere.
    pub fn in_node<T>(&self, node: usize, run: impl FnOnce() -> T) -> Result<T, LabError> {
        let node = self.node(node)?;
        let failed = |source: io::Error| LabError::Enter { node: node.name.clone(), source };
        let _back = Back(File::open(HERE).map_err(failed)?);
        setns(&node.namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
        Ok(run())
    }

    /// A node's network namespace, for setns(2).
    pub fn node_fd(&self, node: usize) -> Result<BorrowedFd<'_>, LabError> {
        Ok(self.node(node)?.namespace.as_fd())
    }

    /// A command that will run in a node's network namespace, with no signal blocked.
    pub fn command(&self, node: usize, program: impl AsRef<OsStr>) -> Result<Command, LabError> {
        Ok(sys::process::command_in(Arc::clone(&self.node(node)?.namespace), program.as_ref()))
    }

    fn node(&self, index: usize) -> Result<&Node, LabError> {
        self.nodes.get(index).ok_or(LabError::NoSuchNode { index, nodes: self.nodes.len() })
    }

    pub(crate) fn node_mut(&mut self, index: usize) -> Result<&mut Node, LabError> {
        let nodes = self.nodes.len();
        self.nodes.get_mut(index).ok_or(LabError::NoSuchNode { index, nodes })
    }
}

/// The calling thread's network namespace.
const HERE: &str = "/proc/thread-self/ns/net";

/// Takes the thread back to a namespace.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        if setns(&self.0, CloneFlags::CLONE_NEWNET) != Ok::<(), Errno>(()) {
            // All that this thread says from now on would be about the wrong network: better to say nothing.
            std::process::abort();
        }
    }
}
