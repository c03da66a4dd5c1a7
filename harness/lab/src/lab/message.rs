//! Requests to rtnetlink. See rtnetlink(7).

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use harness_model::plan::{self, CableEnd, Layer, Neighbour, Route, Rule, Switch};
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage},
    link::{
        BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags,
        LinkInfo, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

/// The loopback device's index in every network namespace, `LOOPBACK_IFINDEX` in include/net/flow.h.
pub(crate) const LOOPBACK: u32 = 1;

/// An end of a cable and where it is made.
pub(super) struct Placed<'a> {
    pub(super) end: &'a CableEnd,
    pub(super) namespace: BorrowedFd<'a>,
    /// The bridge that it is a port of.
    pub(super) bridge: Option<u32>,
}

/// A bridge that forwards at once and says nothing of its own.
pub(super) fn bridge(switch: &Switch) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = switch.index;
    set_up(&mut message, true);
    message.attributes = vec![
        LinkAttribute::IfName(switch.name.clone()),
        LinkAttribute::Mtu(switch.mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::StpState(BridgeStpState::Disabled),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]),
    ];
    RouteNetlinkMessage::NewLink(message)
}

/// Both ends of a cable, each in its place. Only `main` can be made a bridge's port by the same request.
pub(super) fn veth(main: &Placed<'_>, peer: &Placed<'_>, mtu: u32) -> RouteNetlinkMessage {
    let side = |placed: &Placed<'_>| {
        let mut message = LinkMessage::default();
        message.header.index = placed.end.index;
        message.attributes = vec![
            LinkAttribute::IfName(placed.end.name.clone()),
            LinkAttribute::NetNsFd(placed.namespace.as_raw_fd()),
            LinkAttribute::Address(placed.end.mac.to_vec()),
            LinkAttribute::Mtu(mtu),
            // Left to itself the driver makes a queue for each processor and then gives all but one up, for which
            // it waits for the other processors, twice a pair (veth_init_queues in drivers/net/veth.c).
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
        ];
        message
    };
    let mut message = side(main);
    message.attributes.extend(main.bridge.map(LinkAttribute::Controller));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(side(peer)))),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// Makes a device that has been made without a word about them what its cable's end is to be.
pub(super) fn furnish(end: &CableEnd, layer: Layer, mtu: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = end.index;
    message.attributes = vec![LinkAttribute::Mtu(mtu), LinkAttribute::TxQueueLen(RELAY_QUEUE)];
    if layer == Layer::Ethernet {
        message.attributes.push(LinkAttribute::Address(end.mac.to_vec()));
    }
    RouteNetlinkMessage::SetLink(message)
}

/// Frames that wait for the relay: more than a second of the fastest stream, so that none is lost that the relay has not
/// seen.
const RELAY_QUEUE: u32 = 16_384;

/// No bridge, for [`enslave`].
pub(super) const NO_BRIDGE: u32 = 0;

/// Makes a device a port of a bridge, or of none.
pub(super) fn enslave(index: u32, bridge: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::Controller(bridge)];
    RouteNetlinkMessage::SetLink(message)
}

/// Sets a device administratively up or down.
pub(crate) fn link_up(index: u32, up: bool) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    set_up(&mut message, up);
    RouteNetlinkMessage::SetLink(message)
}

fn set_up(message: &mut LinkMessage, up: bool) {
    message.header.change_mask |= LinkFlags::Up;
    message.header.flags.set(LinkFlags::Up, up);
}

/// Asks for one device.
pub(super) fn link_get(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    RouteNetlinkMessage::GetLink(message)
}

/// Asks how packets to an address are routed.
pub(super) fn route_get(address: IpAddr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.attributes = vec![RouteAttribute::Destination(route_address(address))];
    RouteNetlinkMessage::GetRoute(message)
}

/// Deletes a device.
pub(super) fn link_delete(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::DelLink(message)
}

/// Gives a device an address, and tells who is at the other end of a point-to-point device. IPv6 addresses are usable at
/// once, without duplicate address detection.
pub(super) fn address(device: u32, address: IpNet, peer: Option<IpAddr>) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(address_message(device, address, peer))
}

/// Takes an address from a device.
pub(super) fn address_delete(device: u32, address: IpNet, peer: Option<IpAddr>) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(address_message(device, address, peer))
}

fn address_message(device: u32, address: IpNet, peer: Option<IpAddr>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.addr());
    message.header.prefix_len = address.prefix_len();
    message.header.index = device;
    let address = address.addr();
    message.attributes =
        vec![AddressAttribute::Address(peer.unwrap_or(address)), AddressAttribute::Local(address)];
    if address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

/// A route of the main table.
pub(super) fn route(route: &Route) -> RouteNetlinkMessage {
    let Route { to, via, source, device, onlink, metric } = route;
    let mut message = RouteMessage::default();
    message.header.address_family = family(to.addr());
    message.header.destination_prefix_length = to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    // Without a next hop the destination itself is on the link; fib_check_nh in net/ipv4/fib_semantics.c.
    message.header.scope = match via {
        None if to.addr().is_ipv4() => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    message.header.flags.set(RouteFlags::Onlink, *onlink);
    message.attributes = vec![RouteAttribute::Oif(*device)];
    if to.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(route_address(to.network())));
    }
    if let Some(via) = via {
        message.attributes.push(RouteAttribute::Gateway(route_address(*via)));
    }
    if let Some(source) = source {
        message.attributes.push(RouteAttribute::PrefSource(route_address(*source)));
    }
    if *metric > 0 {
        message.attributes.push(RouteAttribute::Priority(*metric));
    }
    RouteNetlinkMessage::NewRoute(message)
}

/// A policy rule.
pub(super) fn rule(rule: &Rule) -> RouteNetlinkMessage {
    let Rule { priority, iif, from, ipv6, action } = rule;
    let mut message = RuleMessage::default();
    message.header.family = if *ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.attributes =
        vec![RuleAttribute::Priority(*priority), RuleAttribute::Protocol(RouteProtocol::Static)];
    if !iif.is_empty() {
        message.attributes.push(RuleAttribute::Iifname(iif.clone()));
    }
    if let Some(from) = from {
        message.header.src_len = from.prefix_len();
        // An address of zero length means "any", and the kernel wants it left out (fib_nl2rule).
        if from.prefix_len() > 0 {
            message.attributes.push(RuleAttribute::Source(from.network()));
        }
    }
    match action {
        plan::RuleAction::Main => {
            message.header.action = RuleAction::ToTable;
            message.header.table = RouteHeader::RT_TABLE_MAIN;
        }
        plan::RuleAction::Blackhole => message.header.action = RuleAction::Blackhole,
    }
    RouteNetlinkMessage::NewRule(message)
}

/// A neighbour whose hardware address is known.
pub(super) fn neighbour(neighbour: &Neighbour) -> RouteNetlinkMessage {
    let Neighbour { device, address, mac } = neighbour;
    let mut message = NeighbourMessage::default();
    message.header.family = family(*address);
    message.header.ifindex = *device;
    message.header.state = NeighbourState::Reachable;
    // Exempt from the limit on neighbours (gc_thresh3, 1,024 by default), which counts those of all namespaces of the
    // machine, however many labs stand at a time (neigh_alloc, net/core/neighbour.c).
    message.header.flags = NeighbourFlags::ExtLearned;
    message.header.kind = RouteType::Unicast;
    let destination = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(*v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(*v6),
    };
    message.attributes = vec![
        NeighbourAttribute::Destination(destination),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Forgets a neighbour.
pub(super) fn neighbour_delete(device: u32, address: IpAddr) -> RouteNetlinkMessage {
    match neighbour(&Neighbour { device, address, mac: [0; 6] }) {
        RouteNetlinkMessage::NewNeighbour(message) => RouteNetlinkMessage::DelNeighbour(message),
        other => other,
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}
