//! Our veth pairs: what stands under their names, and the requests that make them, set them up and delete them.
//!
//! Requests name a device by its index, and only after it has been looked at: in between another program may have
//! taken the name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use mhnat_core::device::{HARDWARE_ADDRESS, LOOP_IN, LOOP_OUT, Present, Step, VethPair};
use mhnat_core::family::Family;
use mhnat_core::link::is_global;
use mhnat_core::name::IfName;
use mhnat_core::sysctl::Values;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use rtnetlink::Handle;

use super::{Devices, KernelError, injected, refused};
use crate::failure::Failure;
use crate::sysctl::{self, SysctlError};

/// A device with a name of ours.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    index: u32,
    /// The index of its other end, in this network namespace.
    peer: Option<u32>,
    /// Whether it is what only we make.
    ours: bool,
    up: bool,
    resolves: bool,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// The device, if its name is one of ours.
pub(super) fn end(name: &str, message: &LinkMessage) -> Option<End> {
    if ![LOOP_OUT, LOOP_IN].contains(&name) {
        return None;
    }
    let flags = message.header.flags;
    let mut end = End {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        resolves: !flags.contains(LinkFlags::Noarp),
        ..End::default()
    };
    let (mut kind, mut address, mut elsewhere) = (false, false, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::LinkInfo(info) => kind = info.contains(&LinkInfo::Kind(InfoKind::Veth)),
            LinkAttribute::Address(it) => address = *it == HARDWARE_ADDRESS,
            LinkAttribute::Link(index) => end.peer = Some(*index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            _ => {}
        }
    }
    end.ours = kind && address;
    end.peer = end.peer.filter(|_| !elsewhere);
    Some(end)
}

/// Sorts out what stands under the names of our devices.
pub(super) fn present(devices: &Devices) -> Result<Present, SysctlError> {
    let mut present = Present::default();
    let mut ours: BTreeMap<IfName, &End> = BTreeMap::new();
    for (name, end) in &devices.ends {
        let Ok(name) = name.parse() else { continue };
        if end.ours {
            ours.insert(name, end);
        } else {
            present.foreign.insert(name);
        }
    }
    let named = |name: &str| ours.iter().find(|(it, _)| it.as_str() == name);
    let pair = match (named(LOOP_OUT), named(LOOP_IN)) {
        (Some(sends), Some(receives)) if sends.1.peer == Some(receives.1.index) => Some((sends, receives)),
        _ => None,
    };
    let Some((sends, receives)) = pair else {
        present.stray.extend(ours.into_keys());
        return Ok(present);
    };
    // A link-local address is the kernel's own doing.
    let addresses = receives.1.addresses.iter().copied().filter(|it| is_global(*it)).collect();
    let pair = VethPair { sends: sends.0.clone(), receives: receives.0.clone(), addresses };
    for (name, end) in [sends, receives] {
        if !end.up {
            present.faults.insert(format!("device {name} is down"));
        }
        if end.resolves {
            present.faults.insert(format!("device {name} resolves addresses"));
        }
    }
    for (key, (value, wanted)) in unlike(&pair)? {
        present.faults.insert(format!("sysctl {key} is {value}, and should be {wanted}"));
    }
    present.pairs.insert(pair);
    Ok(present)
}

/// The settings that differ, with what they are and what they should be. A kernel without IPv6 has none of it.
fn unlike(pair: &VethPair) -> Result<BTreeMap<mhnat_core::sysctl::Key, (String, String)>, SysctlError> {
    let wanted = pair.settings();
    let current: Values = sysctl::read(&wanted.keys().cloned().collect())?;
    Ok(wanted
        .into_iter()
        .filter_map(|(key, wanted)| {
            let value = current.get(&key).filter(|value| **value != wanted)?.clone();
            Some((key, (value, wanted)))
        })
        .collect())
}

/// Does one step.
pub(super) async fn execute(handle: &Handle, step: &Step) -> Result<(), Failure> {
    match step {
        Step::Make(pair) => make(handle, pair).await?,
        Step::SetUp(pair) => set_up(handle, pair).await?,
        Step::AddAddress(device, address) => {
            let what = format!("add the address {address} to {device}");
            let message = address_message(ours(handle, device).await?.index, *address);
            injected(&what)?;
            let mut request = handle.address().add(message.header.index, *address, message.header.prefix_len);
            *request.message_mut() = message;
            request.execute().await.map_err(refused(what))?;
        }
        Step::DeleteAddress(device, address) => {
            let what = format!("delete the address {address} from {device}");
            let message = address_message(ours(handle, device).await?.index, *address);
            injected(&what)?;
            handle.address().del(message).execute().await.map_err(refused(what))?;
        }
        Step::Delete(device) => {
            let index = ours(handle, device).await?.index;
            let what = format!("delete the device {device}");
            injected(&what)?;
            handle.link().del(index).execute().await.map_err(refused(what))?;
        }
    }
    Ok(())
}

async fn make(handle: &Handle, pair: &VethPair) -> Result<(), KernelError> {
    // Name, address and flags of both ends in one request: a pair of ours is never seen without them.
    let message = |name: &IfName| {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Noarp;
        message.attributes.push(LinkAttribute::IfName(name.as_str().to_owned()));
        message.attributes.push(LinkAttribute::Address(HARDWARE_ADDRESS.to_vec()));
        message
    };
    let mut request = message(&pair.sends);
    request.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(message(&pair.receives)))),
    ]));
    injected("make the veth pair")?;
    handle.link().add(request).execute().await.map_err(refused(format!("make the veth pair {pair}")))
}

/// Settings come before the devices are up: IPv6 gives a device its link-local address at that moment.
async fn set_up(handle: &Handle, pair: &VethPair) -> Result<(), Failure> {
    let mut ends = Vec::new();
    for name in pair.ends() {
        ends.push((name, ours(handle, name).await?));
    }
    for (key, (_, wanted)) in unlike(pair)? {
        sysctl::write(&key, &wanted)?;
    }
    for (name, end) in ends {
        if end.up && !end.resolves {
            continue;
        }
        let what = format!("set {name} up");
        let mut message = LinkMessage::default();
        message.header.index = end.index;
        message.header.flags = LinkFlags::Up | LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Up | LinkFlags::Noarp;
        injected(&what)?;
        handle.link().set(message).execute().await.map_err(refused(what))?;
    }
    Ok(())
}

/// The device of that name as it is now, which must be ours.
async fn ours(handle: &Handle, name: &IfName) -> Result<End, KernelError> {
    let what = format!("show the device {name}");
    injected(&what)?;
    let mut links = Box::pin(handle.link().get().match_name(name.as_str().to_owned()).execute());
    match links.try_next().await {
        Ok(Some(message)) => match end(name.as_str(), &message) {
            Some(end) if end.ours => Ok(end),
            Some(_) | None => Err(KernelError::NotOurs(name.clone())),
        },
        Ok(None) => Err(KernelError::Gone(name.clone())),
        Err(rtnetlink::Error::NetlinkError(message))
            if message.to_io().raw_os_error().map(Errno::from_raw) == Some(Errno::ENODEV) =>
        {
            Err(KernelError::Gone(name.clone()))
        }
        Err(error) => Err(refused(what)(error)),
    }
}

/// An address that only a socket which is bound to it uses (see `VethPair::add_address` for the commands).
fn address_message(index: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = Family::of(address).host_prefix();
    message.attributes.push(AddressAttribute::Local(address));
    match Family::of(address) {
        Family::V4 => {
            message.header.family = netlink_packet_route::AddressFamily::Inet;
            message.header.scope = AddressScope::Host;
        }
        Family::V6 => {
            message.header.family = netlink_packet_route::AddressFamily::Inet6;
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Address(address));
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            let mut life = CacheInfo::default();
            life.ifa_preferred = 0;
            life.ifa_valid = u32::MAX;
            message.attributes.push(AddressAttribute::CacheInfo(life));
        }
    }
    message
}
