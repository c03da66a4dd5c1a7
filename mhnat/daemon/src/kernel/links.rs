//! Network devices and their addresses, read only.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use mhnat_core::link::{Link, is_global};
use mhnat_core::name::IfName;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::Handle;
use serde::Serialize;

use super::{Devices, KernelError, injected, pairs, refused};

/// What has passed a device since it was made (`IFLA_STATS64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Counters {
    pub(crate) received_bytes: u64,
    pub(crate) received_packets: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) sent_packets: u64,
}

pub(super) async fn devices(handle: &Handle) -> Result<Devices, KernelError> {
    let mut devices = Devices::default();
    injected("list the interfaces")?;
    let mut links = Box::pin(handle.link().get().execute());
    while let Some(message) = links.try_next().await.map_err(refused("list the interfaces"))? {
        add_link(&mut devices, &message);
    }
    injected("list the addresses")?;
    let mut secondary = Vec::new();
    let mut addresses = Box::pin(handle.address().get().execute());
    while let Some(message) = addresses.try_next().await.map_err(refused("list the addresses"))? {
        add_address(&mut devices, &message, &mut secondary);
    }
    for (name, address) in secondary {
        if let Some(link) = devices.links.get_mut(&name) {
            link.preferred.push(address);
        }
    }
    Ok(devices)
}

fn add_link(devices: &mut Devices, message: &LinkMessage) {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    let Some(name) = name else { return };
    let flags = message.header.flags;
    if let Ok(usable) = name.parse() {
        devices.links.insert(
            usable,
            Link {
                up: flags.contains(LinkFlags::Up),
                carrier: flags.contains(LinkFlags::LowerUp),
                point_to_point: flags.intersects(LinkFlags::Pointopoint | LinkFlags::Noarp),
                ..Link::default()
            },
        );
    }
    let counters = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(it) => Some(Counters {
            received_bytes: it.rx_bytes,
            received_packets: it.rx_packets,
            sent_bytes: it.tx_bytes,
            sent_packets: it.tx_packets,
        }),
        _ => None,
    });
    devices.counters.extend(counters.map(|it| (name.clone(), it)));
    devices.names.insert(name.clone());
    if let Some(end) = pairs::end(&name, message) {
        devices.ends.insert(name.clone(), end);
    }
    devices.by_index.insert(message.header.index, name);
}

/// Secondary addresses, which IPv6 calls temporary, come after all others.
fn add_address(devices: &mut Devices, message: &AddressMessage, secondary: &mut Vec<(IfName, IpAddr)>) {
    let mut local = None;
    let mut address = None;
    let mut flags = AddressFlags::empty();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(it) => local = Some(*it),
            AddressAttribute::Address(it) => address = Some(*it),
            AddressAttribute::Flags(it) => flags = *it,
            _ => {}
        }
    }
    // With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours (rtnetlink(7)).
    let Some(own) = local.or(address) else { return };
    let name = devices.by_index.get(&message.header.index).and_then(|name| name.parse::<IfName>().ok());
    let Some(name) = name else { return };
    if let Some(end) = devices.ends.get_mut(name.as_str()) {
        end.addresses.insert(own);
    }
    let Some(link) = devices.links.get_mut(&name) else { return };
    if flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
        && !flags.contains(AddressFlags::Optimistic)
    {
        link.tentative.insert(own);
    } else {
        link.addresses.insert(own);
        let lasting = message.header.scope == AddressScope::Universe && is_global(own);
        if lasting && !flags.contains(AddressFlags::Deprecated) {
            if flags.contains(AddressFlags::Secondary) {
                secondary.push((name, own));
            } else {
                link.preferred.push(own);
            }
        }
    }
}
