//! Network devices of ours: veth pairs whose two ends are both on this host.
//!
//! The kernel keeps no owner of a device. Ours are known by their name *and* their hardware address, `02` and
//! `mhnat` in ASCII, which the request that makes a pair gives to both ends: there is no moment in which one stands
//! there without it, as there would be with an alias, which the kernel does not take from that request, and it
//! survives the loss of the state directory, as a journal would not. A device of that name with another address, or
//! of another kind, is somebody else's, and is neither used nor removed.
//!
//! Both ends have that same address and resolve none (`IFF_NOARP`), so that whatever leaves one end is addressed to
//! the other. There are no neighbours to be found, kept or lost.

mod pair;
mod steps;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::name::IfName;

pub use self::pair::{HARDWARE_ADDRESS, Hardware, LOOP_IN, LOOP_OUT, VethPair};
pub use self::steps::{Step, Steps, Taken, differences, lines, steps};

/// What stands under the names of our devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Present {
    /// Pairs of ours, with the addresses that they have.
    pub pairs: BTreeSet<VethPair>,
    /// Devices of ours whose other end is not where it should be: renamed, moved, or none of ours.
    pub stray: BTreeSet<IfName>,
    /// Devices of others.
    pub foreign: BTreeSet<IfName>,
    /// What of our pairs is not as it was set up, in words.
    pub faults: BTreeSet<String>,
}
