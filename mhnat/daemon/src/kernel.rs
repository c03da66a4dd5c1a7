//! Links, devices of ours, rules and routes through rtnetlink(7).
//!
//! Reading is told apart from writing: what is read is turned into the core's types at once, and objects
//! that do not carry our protocol number are never seen by anyone else here.

mod batch;
mod conntrack;
mod events;
mod flows;
mod forget;
mod host;
mod links;
mod lookup;
mod neighbours;
mod pairs;
mod routes;
mod rules;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use mhnat_core::converge::{Routing, Step};
use mhnat_core::device::{self, Present, Taken};
use mhnat_core::explain::{Entry, Fate, Lookup, Protocol, Tuple};
use mhnat_core::family::Family;
use mhnat_core::host::Host;
use mhnat_core::link::Links;
use mhnat_core::name::IfName;
use mhnat_core::rehome::Sweep;
use mhnat_core::routing::{Destination, Route};
use nix::errno::Errno;
use rtnetlink::Handle;
use thiserror::Error;

pub(crate) use self::events::Events;
pub(crate) use self::flows::flows;
pub(crate) use self::forget::{Forgotten, Signs};
pub(crate) use self::links::{Counters, LinkNews};
use crate::failure::{Exit, Failure, with_causes};
use crate::fault;
use crate::sysctl::SysctlError;

/// Something that the kernel would not do.
#[derive(Debug, Error)]
pub(crate) enum KernelError {
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    /// A request was refused.
    #[error("the kernel refused to {what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The interface of a route has gone since the links were read.
    #[error("interface {0} has just gone")]
    Gone(IfName),
    /// A device with a name of ours is another program's.
    #[error("there is a device {0} that is not mhnat's")]
    NotOurs(IfName),
    /// A route that is not ours has the place of one of ours.
    #[error(
        "another program's {} {} route stands in table {} at metric {}",
        .0.family, Destination(.0.destination), .0.table, .0.metric
    )]
    Taken(Route),
    /// Something with our number that we never write.
    #[error("{0} has mhnat's protocol number, but is none of its own")]
    Stranger(String),
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        let text = with_causes(&error);
        match &error {
            KernelError::Open(_) => Self::new(Exit::Cannot, text),
            KernelError::Refused { source, .. } => match source.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EPERM) => {
                    Self::new(Exit::Cannot, text).hint("run as root, or in a network namespace of your own")
                }
                Some(Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP) => {
                    Self::new(Exit::Cannot, text).hint("is policy routing part of this kernel?")
                }
                _ => Self::new(Exit::Failed, text),
            },
            KernelError::Gone(_) => Self::new(Exit::Failed, text).hint("apply again"),
            KernelError::NotOurs(name) => Self::new(Exit::Failed, text).hint(rename(name)),
            KernelError::Taken(_) => {
                Self::new(Exit::Failed, text).hint("delete it, or have its owner use another table or metric")
            }
            KernelError::Stranger(_) => {
                Self::new(Exit::Failed, text).hint("delete it, or have its owner use another number")
            }
        }
    }
}

/// What to do about a device that has a name of ours.
fn rename(name: &IfName) -> String {
    format!(
        "`loop` makes a device of that name: have its owner use another, or delete it with `ip link del {name}`"
    )
}

impl From<Taken> for Failure {
    fn from(error: Taken) -> Self {
        let hint = rename(&error.0);
        Self::new(Exit::Failed, error).hint(hint)
    }
}

/// How many connections stay on each uplink that a sweep names.
pub(crate) fn stranded(sweep: &Sweep) -> Result<Forgotten, KernelError> {
    if sweep.is_empty() { Ok(Forgotten::new()) } else { forget::count(sweep) }
}

/// A failure that a test asks for, before the request named.
fn injected(what: &str) -> Result<(), KernelError> {
    fault::point(what).map_err(denied(what))
}

/// Whether a family is not part of this kernel: then there is nothing of it, which is no failure.
fn lacks_family(error: &rtnetlink::Error) -> bool {
    match error {
        rtnetlink::Error::NetlinkError(message) => matches!(
            message.to_io().raw_os_error().map(Errno::from_raw),
            Some(Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP | Errno::EPFNOSUPPORT)
        ),
        _ => false,
    }
}

/// A socket of netfilter's that says no.
fn denied(what: impl Into<String>) -> impl FnOnce(io::Error) -> KernelError {
    let what = what.into();
    move |source| KernelError::Refused { what, source }
}

fn refused(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> KernelError {
    let what = what.into();
    move |error| {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other.to_string()),
        };
        KernelError::Refused { what, source }
    }
}

/// What to do with the steps that are left when one was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    /// Nothing.
    Stop,
    /// All of them.
    GoOn,
}

/// What was seen of the network devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    /// Those that can be uplinks.
    pub(crate) links: Links,
    /// All names, `lo` included.
    pub(crate) names: BTreeSet<String>,
    /// What has passed each of them.
    pub(crate) counters: BTreeMap<String, Counters>,
    /// Those with names of ours, whoever made them.
    ends: BTreeMap<String, pairs::End>,
    /// All names by interface index.
    by_index: BTreeMap<u32, String>,
}

/// A connection to the kernel, in the network namespace that this process was in when it was made.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    handle: Handle,
}

impl Kernel {
    /// Opens a netlink socket and serves it in the background of the current runtime.
    pub(crate) fn open() -> Result<Self, KernelError> {
        // Only with strict checking does the kernel heed the protocol in a request for routes; without it,
        // a router with a million of them would send them all.
        let (connection, handle, _) =
            rtnetlink::new_connection_with_strict_check().map_err(KernelError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// All devices with their addresses.
    pub(crate) async fn devices(&self) -> Result<Devices, KernelError> {
        links::devices(&self.handle).await
    }

    /// Adds to these devices the next hops of default routes that other programs made through them.
    pub(crate) async fn learn<'a>(
        &self,
        devices: &mut Devices,
        interfaces: impl Iterator<Item = &'a IfName>,
    ) -> Result<(), KernelError> {
        for interface in interfaces {
            routes::learn(&self.handle, devices, interface).await?;
        }
        Ok(())
    }

    /// Forgets the neighbours behind the device with this index that have not answered yet, so that they are asked for anew.
    pub(crate) async fn forget_unresolved(&self, index: u32) -> Result<(), KernelError> {
        neighbours::forget_unresolved(&self.handle, index).await
    }

    /// What stands under the names of our devices.
    pub(crate) fn present(devices: &Devices) -> Result<Present, SysctlError> {
        pairs::present(devices)
    }

    /// Does one step to our devices.
    pub(crate) async fn change_device(&self, step: &device::Step) -> Result<(), Failure> {
        pairs::execute(&self.handle, step).await
    }

    /// The families that this kernel knows (proc(5)).
    pub(crate) fn families() -> BTreeSet<Family> {
        let v6 = Path::new("/proc/net/if_inet6").exists();
        Family::ALL.into_iter().filter(|family| *family == Family::V4 || v6).collect()
    }

    /// Devices with a default route from a router advertisement.
    pub(crate) async fn advertised(&self, devices: &Devices) -> Result<BTreeSet<String>, KernelError> {
        routes::advertised(&self.handle, devices).await
    }

    /// Our rules and routes.
    pub(crate) async fn routing(&self, devices: &Devices) -> Result<Routing, KernelError> {
        Ok(Routing {
            rules: rules::ours(&self.handle).await?,
            routes: routes::ours(&self.handle, devices).await?,
        })
    }

    /// What others have in the kernel.
    pub(crate) async fn host(&self, devices: &Devices) -> Result<Host, KernelError> {
        host::host(&self.handle, devices).await
    }

    /// The routing decision for one packet.
    pub(crate) async fn lookup(
        &self,
        devices: &Devices,
        lookup: &Lookup,
        protocol: Protocol,
    ) -> Result<Fate, KernelError> {
        lookup::lookup(&self.handle, devices, lookup, protocol).await
    }

    /// The entry of one connection.
    pub(crate) fn connection(&self, tuple: Tuple, protocol: Protocol) -> Result<Option<Entry>, KernelError> {
        conntrack::find(tuple, protocol)
    }

    /// Forgets the connections that these sweeps take, and says how many they were.
    pub(crate) fn forget(sweeps: &[&Sweep]) -> Result<Forgotten, KernelError> {
        forget::forget(sweeps)
    }

    /// Forgets most of the connections that a sweep takes at once, and says how many; nothing where each of them has to
    /// be looked at. What was asked for is not asked for again.
    pub(crate) fn forget_most(
        sweep: &Sweep,
        asked: &mut BTreeSet<Signs>,
    ) -> Result<Option<Forgotten>, KernelError> {
        forget::forget_most(sweep, asked)
    }

    /// Whether so many connections are tracked that a look at each of them is better taken later.
    pub(crate) fn tracks_many() -> bool {
        forget::are_many()
    }

    /// Closes the sockets of this host that a sweep closes, and says how many they were.
    pub(crate) fn close(sweep: &Sweep) -> Result<u64, KernelError> {
        sockets::close(sweep)
    }

    /// Does the steps in order, and says what was refused.
    pub(crate) fn execute(steps: &[Step], devices: &Devices, on_error: OnError) -> Vec<KernelError> {
        batch::execute(steps, devices, on_error)
    }
}
