//! A single routing decision, asked of the kernel (`RTM_GETROUTE`, as `ip route get` does).

use std::io;

use futures_util::TryStreamExt as _;
use mhnat_core::explain::{Fate, Lookup, Protocol};
use mhnat_core::family::Family;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage};
use nix::errno::Errno;
use rtnetlink::Handle;

use super::host::route;
use super::routes::address_family;
use super::{Devices, KernelError, refused};

/// What the kernel decides.
pub(super) async fn lookup(
    handle: &Handle,
    devices: &Devices,
    asked: &Lookup,
    protocol: Protocol,
) -> Result<Fate, KernelError> {
    let family = Family::of(asked.destination);
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.destination_prefix_length = family.host_prefix();
    // IPv6 says the table by itself, and refuses the flag.
    if family == Family::V4 {
        message.header.flags = RouteFlags::LookupTable;
    }
    message.attributes.push(RouteAttribute::Destination(asked.destination.into()));
    if let Some(source) = asked.source {
        message.header.source_prefix_length = family.host_prefix();
        message.attributes.push(RouteAttribute::Source(source.into()));
    }
    message.attributes.push(RouteAttribute::Mark(asked.mark));
    message.attributes.push(RouteAttribute::IpProto(protocol.number(family)));
    if let Some(iif) = &asked.iif {
        let index = devices.by_index.iter().find(|(_, name)| *name == iif).map(|(index, _)| *index);
        let index = index.ok_or_else(|| KernelError::Refused {
            what: format!("route a packet that comes by {iif}"),
            source: io::Error::other("there is no such interface"),
        })?;
        message.attributes.push(RouteAttribute::Iif(index));
    }
    let answer: Result<Vec<RouteMessage>, _> = handle.route().get(message).execute().try_collect().await;
    let messages = match answer {
        Ok(messages) => messages,
        Err(rtnetlink::Error::NetlinkError(error)) => {
            let error = error.to_io();
            return match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES) => {
                    Ok(Fate::Refused { by: error.to_string() })
                }
                // The kernel's words for what rp_filter drops, or for a source that cannot be.
                Some(Errno::EXDEV | Errno::EINVAL) => {
                    Ok(Fate::Dropped { by: format!("the check of its source: {error}") })
                }
                _ => Err(KernelError::Refused { what: "look up a route".to_owned(), source: error }),
            };
        }
        Err(other) => return Err(refused("look up a route")(other)),
    };
    let found = messages.iter().find_map(|it| {
        // What a lookup finds is marked as cloned, whatever it is.
        let mut it = it.clone();
        it.header.flags.remove(RouteFlags::Cloned);
        route(family, &it, devices)
    });
    Ok(match found {
        Some(it) if it.kind == "local" => Fate::Delivered,
        Some(it) if it.kind == "unicast" => match it.hops.into_iter().next() {
            Some(hop) => Fate::Leaves {
                uplink: None,
                device: hop.device,
                gateway: hop.gateway,
                table: it.table.number(),
            },
            None => Fate::Refused { by: "a route without a device".to_owned() },
        },
        Some(it) => Fate::Refused { by: it.kind },
        None => Fate::Refused { by: "no answer".to_owned() },
    })
}
