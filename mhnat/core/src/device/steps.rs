//! From the devices that are there to those that should be.

use std::collections::BTreeSet;
use std::net::IpAddr;

use thiserror::Error;

use super::{Present, VethPair};
use crate::changes::Line;
use crate::name::IfName;

/// A device of somebody else has the name of one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is a device {0} that is not mhnat's")]
pub struct Taken(pub IfName);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the pair, where there is no device of either name.
    Make(VethPair),
    /// Bring the pair's settings and flags to what they should be, if they are not.
    SetUp(VethPair),
    /// Give the device an address.
    AddAddress(IfName, IpAddr),
    /// Take an address from the device.
    DeleteAddress(IfName, IpAddr),
    /// Delete the device, and with it its other end.
    Delete(IfName),
}

/// All changes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// To be done before routes that use the devices.
    pub first: Vec<Step>,
    /// To be done when no route uses them any more.
    pub last: Vec<Step>,
}

/// Compares what is there with what is wanted. A pair that stays is set up again, which changes nothing when it is as
/// it should be: a switch for all devices may have been turned since it was looked at.
///
/// # Errors
/// When the name of a wanted device is taken.
pub fn steps(present: &Present, wanted: &BTreeSet<VethPair>) -> Result<Steps, Taken> {
    let mut out = Steps::default();
    let mut stray = present.stray.clone();
    for pair in wanted {
        if let Some(name) = pair.ends().into_iter().find(|name| present.foreign.contains(*name)) {
            return Err(Taken(name.clone()));
        }
        let same = |it: &&VethPair| it.ends() == pair.ends();
        let found = present.pairs.iter().find(same);
        let has = found.map(|it| it.addresses.clone()).unwrap_or_default();
        if found.is_none() {
            for name in pair.ends() {
                out.first.extend(stray.take(name).map(Step::Delete));
            }
            out.first.push(Step::Make(pair.clone()));
        }
        out.first.push(Step::SetUp(pair.clone()));
        let device = || pair.receives.clone();
        let missing = pair.addresses.difference(&has);
        out.first.extend(missing.map(|address| Step::AddAddress(device(), *address)));
        let surplus = has.difference(&pair.addresses);
        out.last.extend(surplus.map(|address| Step::DeleteAddress(device(), *address)));
    }
    let kept = |it: &&VethPair| !wanted.iter().any(|pair| pair.ends() == it.ends());
    out.last.extend(present.pairs.iter().filter(kept).map(|it| Step::Delete(it.sends.clone())));
    out.last.extend(stray.into_iter().map(Step::Delete));
    Ok(out)
}

impl Step {
    /// What it does as a person reviews it. A pair that stays and has no faults is nothing to be told.
    fn lines(&self, faulty: bool) -> Vec<Line> {
        match self {
            Self::Make(pair) => vec![Line::Add(pair.make())],
            Self::SetUp(pair) if faulty => pair.set_up().into_iter().map(Line::Add).collect(),
            Self::SetUp(_) => Vec::new(),
            Self::AddAddress(device, address) => vec![Line::Add(VethPair::add_address(device, *address))],
            Self::DeleteAddress(device, address) => {
                vec![Line::Remove(VethPair::delete_address(device, *address))]
            }
            Self::Delete(device) => vec![Line::Remove(format!("ip link del {device}"))],
        }
    }
}

/// Steps as a person reviews them.
pub fn lines(steps: &Steps, present: &Present) -> Vec<Line> {
    let all = || steps.first.iter().chain(&steps.last);
    let faulty = !present.faults.is_empty() || all().any(|it| matches!(it, Step::Make(_)));
    all().flat_map(|it| it.lines(faulty)).collect()
}

/// What of the wanted pairs is not there or not as it should be, and the other way round, in words.
pub fn differences(present: &Present, wanted: &BTreeSet<VethPair>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    match steps(present, wanted) {
        Err(taken) => {
            out.insert(taken.to_string());
        }
        Ok(Steps { first, last }) => {
            out.extend(first.iter().chain(&last).filter_map(|step| match step {
                Step::Make(pair) => Some(format!("veth pair {pair} is missing")),
                Step::SetUp(_) => None,
                Step::AddAddress(device, address) => {
                    Some(format!("address {address} on {device} is missing"))
                }
                Step::DeleteAddress(device, address) => {
                    Some(format!("address {address} on {device} should not be there"))
                }
                Step::Delete(device) if present.stray.contains(device) => {
                    Some(format!("device {device} has lost its other end"))
                }
                Step::Delete(device) => Some(format!("device {device} should not be there")),
            }));
            if !wanted.is_empty() {
                out.extend(present.faults.iter().cloned());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
