//! Routes, as `RTA_*` attributes (linux/rtnetlink.h).

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use mhnat_core::family::Family;
use mhnat_core::link::{NextHop, Origin};
use mhnat_core::mtu::Mtu;
use mhnat_core::name::IfName;
use mhnat_core::routing::{PROTOCOL, Route, TableId};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};
use rtnetlink::Handle;

use super::{Devices, KernelError, injected, lacks_family, refused};

pub(super) async fn ours(handle: &Handle, devices: &Devices) -> Result<BTreeSet<Route>, KernelError> {
    let mut routes = BTreeSet::new();
    for family in Family::ALL {
        let filter = filter(family, RouteProtocol::Other(PROTOCOL));
        for message in dump(handle, filter).await? {
            let route = parse(family, &message, devices)
                .ok_or_else(|| KernelError::Stranger(format!("an {family} route")))?;
            routes.insert(route);
        }
    }
    Ok(routes)
}

pub(super) async fn advertised(handle: &Handle, devices: &Devices) -> Result<BTreeSet<String>, KernelError> {
    let routes = dump(handle, filter(Family::V6, RouteProtocol::Ra)).await?;
    Ok(routes
        .iter()
        .filter(|message| message.header.destination_prefix_length == 0)
        .flat_map(|message| &message.attributes)
        .filter_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => devices.by_index.get(index).cloned(),
            _ => None,
        })
        .collect())
}

/// Next hops of default routes through the interface, in any table that is not ours.
pub(super) async fn learn(
    handle: &Handle,
    devices: &mut Devices,
    interface: &IfName,
) -> Result<(), KernelError> {
    let index = devices.by_index.iter().find(|(_, name)| name.as_str() == interface.as_str());
    let Some(index) = index.map(|(index, _)| *index) else { return Ok(()) };
    for family in Family::ALL {
        let mut filter = filter(family, RouteProtocol::Unspec);
        filter.attributes.push(RouteAttribute::Oif(index));
        let hops: Vec<NextHop> =
            dump(handle, filter).await?.iter().flat_map(|message| next_hops(message, index)).collect();
        if let Some(link) = devices.links.get_mut(interface) {
            link.learned.extend(hops);
        }
    }
    Ok(())
}

fn next_hops(message: &RouteMessage, index: u32) -> Vec<NextHop> {
    let header = &message.header;
    let (mut table, mut metric) = (u32::from(header.table), 0);
    // Several next hops of one route each have attributes of their own.
    let mut hops = vec![(None, message.attributes.as_slice())];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(it) => table = *it,
            RouteAttribute::Priority(it) => metric = *it,
            RouteAttribute::MultiPath(several) => {
                hops =
                    several.iter().map(|it| (Some(it.interface_index), it.attributes.as_slice())).collect();
            }
            _ => {}
        }
    }
    let table = TableId::from_number(table);
    let ours = header.protocol == RouteProtocol::Other(PROTOCOL) || table.in_our_range();
    if ours || header.destination_prefix_length != 0 || header.kind != RouteType::Unicast {
        return Vec::new();
    }
    hops.into_iter()
        .filter_map(|(device, attributes)| {
            let (mut device, mut gateway) = (device, None);
            for attribute in attributes {
                match attribute {
                    RouteAttribute::Oif(it) => device = Some(*it),
                    RouteAttribute::Gateway(it) => gateway = ip(it),
                    _ => {}
                }
            }
            (device == Some(index)).then_some(NextHop {
                aside: table != TableId::MAIN,
                origin: origin(header.protocol),
                metric,
                gateway: gateway?,
            })
        })
        .collect()
}

const fn origin(protocol: RouteProtocol) -> Origin {
    match protocol {
        RouteProtocol::Dhcp => Origin::Dhcp,
        RouteProtocol::Ra => Origin::Advertisement,
        RouteProtocol::Static => Origin::Static,
        RouteProtocol::Boot => Origin::Boot,
        _ => Origin::Other,
    }
}

/// All routes of a family that this protocol made; of all protocols when it is not given.
fn filter(family: Family, protocol: RouteProtocol) -> RouteMessage {
    let mut filter = RouteMessage::default();
    filter.header.address_family = address_family(family);
    filter.header.protocol = protocol;
    filter
}

async fn dump(handle: &Handle, filter: RouteMessage) -> Result<Vec<RouteMessage>, KernelError> {
    let (family, protocol) = (filter.header.address_family, filter.header.protocol);
    injected("list the routes")?;
    let mut stream = Box::pin(handle.route().get(filter).execute());
    let mut found = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(message)) => found.push(message),
            Ok(None) => break,
            // A kernel without IPv6 has no routes of it.
            Err(error) if family == AddressFamily::Inet6 && lacks_family(&error) => break,
            Err(error) => return Err(refused("list the routes")(error)),
        }
    }
    // Kernels before 5.0 do not filter.
    found.retain(|message| protocol == RouteProtocol::Unspec || message.header.protocol == protocol);
    Ok(found)
}

pub(super) const fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The route, if it is one that we write.
fn parse(family: Family, message: &RouteMessage, devices: &Devices) -> Option<Route> {
    let mut destination = family.everywhere();
    let mut table = u32::from(message.header.table);
    let (mut metric, mut device, mut gateway, mut source, mut mtu) = (0, None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(it) => {
                destination = IpNet::new(ip(it)?, message.header.destination_prefix_length).ok()?;
            }
            RouteAttribute::Table(it) => table = *it,
            RouteAttribute::Priority(it) => metric = *it,
            RouteAttribute::Oif(it) => device = devices.by_index.get(it)?.parse().ok(),
            RouteAttribute::Gateway(it) => gateway = Some(ip(it)?),
            RouteAttribute::PrefSource(it) => source = Some(ip(it)?),
            RouteAttribute::Metrics(metrics) => {
                for metric in metrics {
                    if let RouteMetric::Mtu(bytes) = metric {
                        mtu = Some(Mtu::new(*bytes)?);
                    }
                }
            }
            _ => {}
        }
    }
    let table = TableId::from_number(table);
    Some(Route { table, family, destination, metric, device: device?, gateway, source, mtu })
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(it) => Some(IpAddr::V4(*it)),
        RouteAddress::Inet6(it) => Some(IpAddr::V6(*it)),
        _ => None,
    }
}

pub(super) fn message(route: &Route, devices: &Devices) -> Result<RouteMessage, KernelError> {
    let index = devices
        .by_index
        .iter()
        .find(|(_, name)| name.as_str() == route.device.as_str())
        .map(|(index, _)| *index)
        .ok_or_else(|| KernelError::Gone(route.device.clone()))?;
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: address_family(route.family),
        protocol: RouteProtocol::Other(PROTOCOL),
        kind: RouteType::Unicast,
        // As ip-route(8) chooses: without a next hop, an IPv4 destination is on the link.
        scope: match (route.family, route.gateway) {
            (Family::V4, None) => RouteScope::Link,
            _ => RouteScope::Universe,
        },
        ..RouteHeader::default()
    };
    if route.destination.prefix_len() > 0 {
        message.header.destination_prefix_length = route.destination.prefix_len();
        message.attributes.push(RouteAttribute::Destination(route.destination.addr().into()));
    }
    message.attributes.push(RouteAttribute::Table(route.table.number()));
    message.attributes.push(RouteAttribute::Priority(route.metric));
    message.attributes.push(RouteAttribute::Oif(index));
    if let Some(gateway) = route.gateway {
        message.header.flags = RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
    }
    if let Some(source) = route.source {
        message.attributes.push(RouteAttribute::PrefSource(source.into()));
    }
    if let Some(mtu) = route.mtu {
        message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu.bytes().into())]));
    }
    Ok(message)
}
