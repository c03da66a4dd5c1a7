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
use crate::netlink::{HEADER, attribute, kind_of};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_IFNAME: u16 = 3;
/// Bytes of `struct ifinfomsg`: family, device type, index, flags, and which flags have changed.
const IFINFOMSG: usize = 16;

/// How an event says that a link is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkNews {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Nothing when it is gone.
    flags: Option<LinkFlags>,
}

impl LinkNews {
    /// Whether it is up and has a carrier.
    pub(crate) fn carries(&self) -> bool {
        self.flags.is_some_and(|it| state(it) == (true, true))
    }
}

/// What this event tells of a link, if it does.
pub(super) fn news(message: &[u8]) -> Option<LinkNews> {
    let kind = kind_of(message);
    let body = message.get(HEADER..)?;
    // Bridges tell of their ports by messages of the same kind, in a family of their own, which is no news of the device.
    if ![RTM_NEWLINK, RTM_DELLINK].contains(&kind) || *body.first()? != 0 {
        return None;
    }
    let word = |at: usize| body.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let name = attribute(body.get(IFINFOMSG..)?, IFLA_IFNAME)?;
    Some(LinkNews {
        index: word(4)?,
        name: str::from_utf8(name.strip_suffix(&[0]).unwrap_or(name)).ok()?.to_owned(),
        flags: if kind == RTM_NEWLINK { Some(LinkFlags::from_bits_retain(word(8)?)) } else { None },
    })
}

impl Devices {
    /// What they are by these news, and whether that is another than before. Devices that are not known yet are not
    /// made known by it: of them there is more to be read than this.
    pub(crate) fn hear(&mut self, news: &[LinkNews]) -> bool {
        let mut changed = false;
        for LinkNews { index, name, flags } in news {
            if self.by_index.get(index) != Some(name) {
                continue;
            }
            let Ok(usable) = name.parse::<IfName>() else { continue };
            match flags {
                Some(flags) => {
                    let Some(link) = self.links.get_mut(&usable) else { continue };
                    let (up, carrier) = state(*flags);
                    changed |= (link.up, link.carrier) != (up, carrier);
                    (link.up, link.carrier) = (up, carrier);
                }
                None => {
                    changed |= self.links.remove(&usable).is_some();
                    self.by_index.remove(index);
                }
            }
        }
        changed
    }
}

/// Whether the device is administratively up, and whether it has a carrier.
fn state(flags: LinkFlags) -> (bool, bool) {
    (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::LowerUp))
}

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
        let (up, carrier) = state(flags);
        devices.links.insert(
            usable,
            Link {
                up,
                carrier,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::push;

    fn event(kind: u16, family: u8, index: u32, name: &str, flags: LinkFlags) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        out[4..6].copy_from_slice(&kind.to_ne_bytes());
        out.extend([family, 0, 1, 0]);
        out.extend(index.to_ne_bytes());
        out.extend(flags.bits().to_ne_bytes());
        out.extend([0; 4]);
        push(&mut out, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
        out
    }

    fn devices() -> Devices {
        let link = Link { up: true, carrier: true, ..Link::default() };
        Devices {
            links: [("eth0".parse().unwrap(), link)].into(),
            by_index: [(7, "eth0".to_owned())].into(),
            ..Devices::default()
        }
    }

    fn heard(event: &[u8]) -> (Devices, bool) {
        let mut devices = devices();
        let news: Vec<_> = news(event).into_iter().collect();
        let changed = devices.hear(&news);
        (devices, changed)
    }

    #[test]
    fn news_of_a_carrier_are_taken_over() {
        let (devices, changed) = heard(&event(RTM_NEWLINK, 0, 7, "eth0", LinkFlags::Up));
        assert!(changed);
        assert!(devices.links.values().all(|it| it.up && !it.carrier));
        assert!(!heard(&event(RTM_NEWLINK, 0, 7, "eth0", LinkFlags::Up | LinkFlags::LowerUp)).1);
    }

    #[test]
    fn a_device_that_is_gone_is_known_no_more() {
        let (devices, changed) = heard(&event(RTM_DELLINK, 0, 7, "eth0", LinkFlags::empty()));
        assert!(changed && devices.links.is_empty() && devices.by_index.is_empty());
    }

    #[test]
    fn other_names_other_indexes_and_ports_of_bridges_are_no_news() {
        let none = LinkFlags::empty();
        for event in [
            event(RTM_NEWLINK, 0, 7, "eth1", none),
            event(RTM_NEWLINK, 0, 8, "eth0", none),
            event(RTM_NEWLINK, 7, 7, "eth0", none),
            event(RTM_DELLINK, 7, 7, "eth0", none),
            event(20, 0, 7, "eth0", none),
        ] {
            assert!(!heard(&event).1);
        }
        let whole = event(RTM_NEWLINK, 0, 7, "eth0", none);
        assert!((0..whole.len() - 3).all(|length| news(&whole[..length]).is_none()));
    }
}
