//! One network namespace a node, by name.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use harness_model::plan::LabPlan;
use netns_rs::{Env, NetNs};
use nix::sched::{CloneFlags, setns};

use super::{Back, HERE, LabError, Node};
use crate::{netlink::Netlink, sys};

/// For errors about the namespace that holds the bridges.
pub(super) const LAB: &str = "lab";

/// Where the names are. The crate's own default is /var/run, which is not everywhere a link to /run.
struct PrivateRun;

impl Env for PrivateRun {
    fn persist_dir(&self) -> PathBuf {
        PathBuf::from("/run/netns")
    }
}

/// The lab's own namespace, and those of the nodes.
pub(super) fn create(plan: &LabPlan) -> Result<(Node, Vec<Node>), LabError> {
    let here = File::open(HERE).map_err(|source| LabError::Enter { node: LAB.to_owned(), source })?;
    prepare_own()?;
    let root = open(LAB, &here)?;
    // The kernel begins to stamp received frames some time after the first socket has asked for it, in a worker
    // (net_enable_timestamp in net/core/dev.c). Asked here, it has begun long before the captures are opened.
    sys::packet::stamp_any(root.netlink.socket())
        .map_err(|source| LabError::Socket { node: LAB.to_owned(), source })?;

    let back = Back(here);
    let mut nodes = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        // netns-rs makes it in a thread of its own, which is gone afterwards.
        let namespace = NetNs::new_with_env(&node.name, PrivateRun)
            .map_err(|source| LabError::Namespace { node: node.name.clone(), source })?;
        setns(namespace.file(), CloneFlags::CLONE_NEWNET)
            .map_err(|errno| LabError::Enter { node: node.name.clone(), source: errno.into() })?;
        for (key, value) in &node.sysctls {
            write_sysctl(&node.name, key, value)?;
        }
        nodes.push(open(&node.name, namespace.file())?);
    }
    drop(back);
    Ok((root, nodes))
}

fn open(name: &str, namespace: &File) -> Result<Node, LabError> {
    let socket = |source| LabError::Socket { node: name.to_owned(), source };
    Ok(Node {
        name: name.to_owned(),
        namespace: Arc::new(namespace.try_clone().map_err(socket)?),
        netlink: Netlink::route().map_err(socket)?,
        conntrack: None,
    })
}

/// Keeps the namespace of the bridges silent: it has no addresses, announces nothing and filters nothing.
fn prepare_own() -> Result<(), LabError> {
    let quiet = [
        ("ipv6/conf/default/disable_ipv6", "1"),
        ("bridge/bridge-nf-call-iptables", "0"),
        ("bridge/bridge-nf-call-ip6tables", "0"),
        ("bridge/bridge-nf-call-arptables", "0"),
    ];
    for (key, value) in quiet {
        match write_sysctl(LAB, key, value) {
            // A kernel without IPv6, or without a packet filter for bridges, is as silent as one wants.
            Err(LabError::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

fn write_sysctl(node: &str, key: &str, value: &str) -> Result<(), LabError> {
    let path = Path::new("/proc/sys/net").join(key);
    // Not created when absent: procfs would say EACCES for it, which misleads.
    File::options()
        .write(true)
        .open(&path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|source| LabError::Sysctl { node: node.to_owned(), path, value: value.to_owned(), source })
}
