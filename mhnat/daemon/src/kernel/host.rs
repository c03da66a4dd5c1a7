//! What others have in the kernel: addresses, policy rules and routes that are not ours. Read only.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::{Stream, TryStreamExt as _};
use ipnet::IpNet;
use mhnat_core::family::Family;
use mhnat_core::host::{Hop, Host, HostAction, HostRoute, HostRule};
use mhnat_core::routing::{PROTOCOL, TableId};
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion};

use super::routes::address_family;
use super::{Devices, KernelError, lacks_family, refused};

/// Everything that is not ours.
pub(super) async fn host(handle: &Handle, devices: &Devices) -> Result<Host, KernelError> {
    let mut host = Host { asked: true, addresses: addresses(handle, devices).await?, ..Host::default() };
    for (family, version) in [(Family::V4, IpVersion::V4), (Family::V6, IpVersion::V6)] {
        let rules = collect(family, "policy rules", handle.rule().get(version).execute()).await?;
        host.rules.extend(rules.iter().filter_map(|it| rule(family, it)));
        let mut filter = RouteMessage::default();
        filter.header.address_family = address_family(family);
        let routes = collect(family, "routes", handle.route().get(filter).execute()).await?;
        host.routes.extend(routes.iter().filter_map(|it| route(family, it, devices)));
    }
    host.routes.retain(|it| it.protocol != PROTOCOL);
    Ok(host)
}

async fn collect<T>(
    family: Family,
    what: &str,
    stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, KernelError> {
    match stream.try_collect().await {
        Ok(all) => Ok(all),
        // A kernel without IPv6 has none of it.
        Err(error) if family == Family::V6 && lacks_family(&error) => Ok(Vec::new()),
        Err(error) => Err(refused(format!("list the {family} {what}"))(error)),
    }
}

async fn addresses(handle: &Handle, devices: &Devices) -> Result<BTreeMap<String, Vec<IpAddr>>, KernelError> {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    let messages = collect(Family::V4, "addresses", handle.address().get().execute()).await?;
    for message in messages {
        let (mut local, mut address) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(it) => local = Some(*it),
                AddressAttribute::Address(it) => address = Some(*it),
                _ => {}
            }
        }
        let device = devices.by_index.get(&message.header.index);
        if let (Some(own), Some(device)) = (local.or(address), device) {
            found.entry(device.clone()).or_default().push(own);
        }
    }
    Ok(found)
}

/// A rule of others.
fn rule(family: Family, message: &RuleMessage) -> Option<HostRule> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let (mut mark, mut mask, mut suppress) = (None, u32::MAX, None);
    let mut beyond = Vec::new();
    let mut rule = HostRule {
        family,
        priority: 0,
        from: None,
        to: None,
        mark: None,
        iif: None,
        action: HostAction::Other("nop".to_owned()),
        beyond: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Protocol(it) if u8::from(*it) == PROTOCOL => return None,
            RuleAttribute::Protocol(_) | RuleAttribute::SuppressIfGroup(u32::MAX) => {}
            RuleAttribute::Priority(it) => rule.priority = *it,
            RuleAttribute::Table(it) => table = *it,
            RuleAttribute::Source(it) => rule.from = IpNet::new(*it, header.src_len).ok(),
            RuleAttribute::Destination(it) => rule.to = IpNet::new(*it, header.dst_len).ok(),
            RuleAttribute::Iifname(it) => rule.iif = Some(it.clone()),
            RuleAttribute::FwMark(it) => mark = Some(*it),
            RuleAttribute::FwMask(it) => mask = *it,
            RuleAttribute::SuppressPrefixLen(it) => suppress = Some(*it).filter(|it| *it != u32::MAX),
            other => beyond.push(format!("{other:?}")),
        }
    }
    rule.mark = mark.map(|mark| (mark, mask));
    rule.beyond = (!beyond.is_empty()).then(|| beyond.join(", "));
    rule.action = match header.action {
        RuleAction::ToTable => HostAction::Lookup(TableId::from_number(table), suppress),
        RuleAction::Unreachable => HostAction::Refuse("unreachable".to_owned()),
        RuleAction::Blackhole => HostAction::Refuse("blackhole".to_owned()),
        RuleAction::Prohibit => HostAction::Refuse("prohibit".to_owned()),
        other => HostAction::Other(format!("{other:?}").to_lowercase()),
    };
    Some(rule)
}

pub(super) fn route(family: Family, message: &RouteMessage, devices: &Devices) -> Option<HostRoute> {
    // IPv6 keeps what was learned for single destinations beside the routes.
    if message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let mut to = match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0; 16]),
    };
    let mut table = u32::from(message.header.table);
    let (mut metric, mut source, mut device, mut gateway) = (0, None, None, None);
    let mut hops = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(it) => table = *it,
            RouteAttribute::Priority(it) => metric = *it,
            RouteAttribute::Destination(it) => to = super::routes::ip(it)?,
            RouteAttribute::PrefSource(it) => source = super::routes::ip(it),
            RouteAttribute::Oif(it) => device = devices.by_index.get(it).cloned(),
            RouteAttribute::Gateway(it) => gateway = super::routes::ip(it),
            RouteAttribute::MultiPath(several) => hops.extend(several.iter().filter_map(|it| {
                let gateway = it.attributes.iter().find_map(|it| match it {
                    RouteAttribute::Gateway(it) => super::routes::ip(it),
                    _ => None,
                });
                Some(Hop { device: devices.by_index.get(&it.interface_index)?.clone(), gateway })
            })),
            _ => {}
        }
    }
    hops.extend(device.map(|device| Hop { device, gateway }));
    Some(HostRoute {
        table: TableId::from_number(table),
        to: IpNet::new(to, message.header.destination_prefix_length).ok()?,
        metric,
        kind: kind(message.header.kind).to_owned(),
        hops,
        source,
        protocol: u8::from(message.header.protocol),
    })
}

/// The word of ip-route(8).
const fn kind(kind: RouteType) -> &'static str {
    match kind {
        RouteType::Unicast => "unicast",
        RouteType::Local => "local",
        RouteType::Broadcast => "broadcast",
        RouteType::Anycast => "anycast",
        RouteType::Multicast => "multicast",
        RouteType::BlackHole => "blackhole",
        RouteType::Unreachable => "unreachable",
        RouteType::Prohibit => "prohibit",
        RouteType::Throw => "throw",
        _ => "other",
    }
}
