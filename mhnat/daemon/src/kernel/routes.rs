//! Routes, as `RTA_*` attributes (linux/rtnetlink.h).

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use mhnat_core::family::Family;
use mhnat_core::routing::{PROTOCOL, Route, TableId};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;
use rtnetlink::Handle;

use super::{Devices, KernelError, injected, lacks_family, refused};

pub(super) async fn ours(handle: &Handle, devices: &Devices) -> Result<BTreeSet<Route>, KernelError> {
    let mut routes = BTreeSet::new();
    for family in Family::ALL {
        for message in dump(handle, family, RouteProtocol::Other(PROTOCOL)).await? {
            let route = parse(family, &message, devices)
                .ok_or_else(|| KernelError::Stranger(format!("an {family} route")))?;
            routes.insert(route);
        }
    }
    Ok(routes)
}

pub(super) async fn advertised(handle: &Handle, devices: &Devices) -> Result<BTreeSet<String>, KernelError> {
    let routes = dump(handle, Family::V6, RouteProtocol::Ra).await?;
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

async fn dump(
    handle: &Handle,
    family: Family,
    protocol: RouteProtocol,
) -> Result<Vec<RouteMessage>, KernelError> {
    let mut filter = RouteMessage::default();
    filter.header.address_family = address_family(family);
    filter.header.protocol = protocol;
    injected("list the routes")?;
    let mut stream = Box::pin(handle.route().get(filter).execute());
    let mut found = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(message)) => found.push(message),
            Ok(None) => break,
            // A kernel without IPv6 has no routes of it.
            Err(error) if family == Family::V6 && lacks_family(&error) => break,
            Err(error) => return Err(refused(format!("list the {family} routes"))(error)),
        }
    }
    // Kernels before 5.0 do not filter.
    found.retain(|message| message.header.protocol == protocol);
    Ok(found)
}

const fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The route, if it is one that we write.
fn parse(family: Family, message: &RouteMessage, devices: &Devices) -> Option<Route> {
    if message.header.destination_prefix_length != 0 {
        return None;
    }
    let mut table = u32::from(message.header.table);
    let (mut metric, mut device, mut gateway, mut source) = (0, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(it) => table = *it,
            RouteAttribute::Priority(it) => metric = *it,
            RouteAttribute::Oif(it) => device = devices.by_index.get(it)?.parse().ok(),
            RouteAttribute::Gateway(it) => gateway = Some(ip(it)?),
            RouteAttribute::PrefSource(it) => source = Some(ip(it)?),
            _ => {}
        }
    }
    Some(Route { table: TableId::from_number(table), family, metric, device: device?, gateway, source })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(it) => Some(IpAddr::V4(*it)),
        RouteAddress::Inet6(it) => Some(IpAddr::V6(*it)),
        _ => None,
    }
}

fn message(route: &Route, devices: &Devices) -> Result<RouteMessage, KernelError> {
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
    Ok(message)
}

/// Adds a route where there is none: one of another program at the same metric stays, and is an error.
pub(super) async fn add(handle: &Handle, route: &Route, devices: &Devices) -> Result<(), KernelError> {
    let request = handle.route().add(message(route, devices)?);
    match request.execute().await {
        Err(rtnetlink::Error::NetlinkError(error))
            if error.to_io().raw_os_error().map(Errno::from_raw) == Some(Errno::EEXIST) =>
        {
            Err(KernelError::Taken(route.clone()))
        }
        other => other.map_err(refused(format!("add the {} route `{route}`", route.family))),
    }
}

/// Replaces a route of ours, without a moment in which there is none.
pub(super) async fn replace(handle: &Handle, route: &Route, devices: &Devices) -> Result<(), KernelError> {
    let request = handle.route().add(message(route, devices)?).replace();
    request.execute().await.map_err(refused(format!("replace the {} route `{route}`", route.family)))
}

pub(super) async fn delete(handle: &Handle, route: &Route, devices: &Devices) -> Result<(), KernelError> {
    let request = handle.route().del(message(route, devices)?);
    request.execute().await.map_err(refused(format!("delete the {} route `{route}`", route.family)))
}
