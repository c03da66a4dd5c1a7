//! Addresses: whose they are, which are free, and those that a file leaves to us.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    diagnostic::Diagnostic,
    scenario::{Findings, raw::Raw, spanned::At},
};

/// Who has which address, and which prefixes are segments.
pub(super) struct Book {
    owners: BTreeMap<IpAddr, Owner>,
    /// Addresses that the file gives to somebody, even if that is further down: nobody else gets them by default.
    named: BTreeSet<IpAddr>,
    prefixes: Vec<At<IpNet>>,
    /// How many addresses of links without prefix were handed out.
    transit: u32,
}

struct Owner {
    node: String,
    span: Range<usize>,
    by_default: bool,
}

impl Book {
    /// A book that keeps free whatever a file names.
    pub(super) fn new(raw: &Raw) -> Self {
        let hosts =
            raw.host.iter().chain(raw.router.iter()).flat_map(|(_, host)| host.value.address.as_ref());
        let gateways = raw.gateway.iter().flat_map(|(_, gateway)| gateway.value.address.iter());
        let texts = hosts.chain(gateways.map(|(_, addresses)| addresses)).flat_map(At::items);
        let named = texts.filter_map(|text| text.value.parse().ok()).collect();
        Book { owners: BTreeMap::new(), named, prefixes: Vec::new(), transit: 0 }
    }

    /// Notes that a node has an address, unless that cannot be.
    pub(super) fn take(
        &mut self,
        node: &str,
        address: &At<IpAddr>,
        by_default: bool,
        findings: &mut Findings,
    ) {
        let At { value, span } = address;
        if let Some(what) = special(*value) {
            let message = format!("{value} is {what} address");
            findings.push(Diagnostic::new(span, message, "expected the address of a host"));
        } else if let Some(former) = self.owners.get(value) {
            let note = if former.by_default { "it gets this address by default" } else { "first use" };
            findings.push(
                Diagnostic::new(
                    span,
                    format!("{value} is an address of `{}` already", former.node),
                    "second use",
                )
                .related(&former.span, note),
            );
        } else {
            let owner = Owner { node: node.to_owned(), span: span.clone(), by_default };
            self.owners.insert(*value, owner);
        }
    }

    /// Notes that a prefix is a segment's, and whether it can be one.
    pub(super) fn claim(&mut self, prefix: &At<IpNet>, findings: &mut Findings) -> bool {
        let overlaps = |other: &IpNet| other.contains(&prefix.value) || prefix.value.contains(other);
        if let Some(what) = special(prefix.value.network()).filter(|_| prefix.value.prefix_len() > 0) {
            let message =
                format!("{} is no prefix of a segment: its first one is {what} address", prefix.value);
            findings.push(Diagnostic::new(&prefix.span, message, "expected addresses of hosts"));
            return false;
        }
        if let Some(other) = self.prefixes.iter().find(|other| overlaps(&other.value)) {
            findings.push(
                Diagnostic::new(
                    &prefix.span,
                    format!("prefix {} overlaps {}, which another segment has", prefix.value, other.value),
                    "this prefix",
                )
                .related(&other.span, "first used here"),
            );
        }
        self.prefixes.push(prefix.clone());
        true
    }

    /// The segment's prefix that an address belongs to.
    pub(super) fn segment_of(&self, address: IpAddr) -> Option<&At<IpNet>> {
        self.prefixes.iter().find(|prefix| prefix.value.contains(&address))
    }

    /// The first free address of a prefix, at or above the `from`-th; below it if there is none above.
    pub(super) fn free(&self, prefix: IpNet, from: u32) -> Option<IpAddr> {
        let lowest = lowest(prefix);
        let above = (from.max(lowest)..from.saturating_add(65_536)).map_while(|n| nth(prefix, n));
        let below = (lowest..from).map_while(|n| nth(prefix, n));
        above.chain(below).find(|address| !self.owners.contains_key(address) && !self.named.contains(address))
    }

    /// The next address for a link that the file gives no prefix: RFC 2544 and RFC 5180 set these ranges aside for
    /// benchmarks. A segment of the file may lie there all the same; if it takes all of the range, there is none.
    pub(super) fn transit(&mut self, ipv6: bool) -> Option<IpAddr> {
        let range = transit_range(ipv6);
        let covers = |prefix: &At<IpNet>| prefix.value.contains(&range);
        if self.prefixes.iter().any(covers) {
            return None;
        }
        let mut candidates = (self.transit + 1..TRANSIT_ADDRESSES).map(|n| Some((n, nth(range, n)?)));
        let free =
            |address: &IpAddr| !self.owners.contains_key(address) && self.segment_of(*address).is_none();
        let (n, address) = candidates.find_map(|found| found.filter(|(_, address)| free(address)))?;
        self.transit = n;
        Some(address)
    }
}

/// So many addresses has the smaller one of the two ranges for links without prefix.
const TRANSIT_ADDRESSES: u32 = 1 << 17;

/// The range of the addresses of links without prefix.
pub(super) fn transit_range(ipv6: bool) -> IpNet {
    if ipv6 {
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48))
    } else {
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15))
    }
}

/// The first address of a prefix that a host can have.
pub(super) fn first(prefix: IpNet) -> Option<IpAddr> {
    nth(prefix, lowest(prefix))
}

/// /31 and /127 have no network address of their own (RFC 3021, RFC 6164), and neither have single addresses.
fn lowest(prefix: IpNet) -> u32 {
    u32::from(has_network_address(prefix))
}

fn has_network_address(prefix: IpNet) -> bool {
    prefix.prefix_len() + 1 < prefix.max_prefix_len()
}

/// The `n`-th address of a prefix, counted from its network address.
fn nth(prefix: IpNet, n: u32) -> Option<IpAddr> {
    let address = match prefix.network() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4).checked_add(n)?)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).checked_add(u128::from(n))?)),
    };
    let last = has_network_address(prefix) && address.is_ipv4() && address == prefix.broadcast();
    (prefix.contains(&address) && !last).then_some(address)
}

/// Reports the address of a network, or its broadcast address, where a host's is expected.
pub(super) fn check_host_part(address: &At<IpNet>, findings: &mut Findings) {
    let net = address.value;
    if !has_network_address(net) {
        return;
    }
    let what = match net.addr() {
        own if own == net.network() => "network",
        own if own.is_ipv4() && own == net.broadcast() => "broadcast",
        _ => return,
    };
    findings.push(Diagnostic::new(
        &address.span,
        format!("{} is the {what} address of {}", net.addr(), net.trunc()),
        "expected the address of a host",
    ));
}

/// What an address is that no host can have on a link.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_multicast() => Some("a multicast"),
        address if address.is_loopback() => Some("a loopback"),
        address if address.is_unspecified() => Some("the unspecified"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast"),
        _ => None,
    }
}
