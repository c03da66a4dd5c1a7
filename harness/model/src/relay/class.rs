//! Which frames are traffic, and which are the kernel's own affair.

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It carries somebody's packet.
    Traffic = 0,
    /// ARP, neighbour and router discovery, multicast membership: sent when the kernel likes.
    Upkeep = 1,
}

/// Where the EtherType is in an Ethernet header.
const ETHER_TYPE: usize = 12;
const ARP: [u8; 2] = [0x08, 0x06];
/// Bytes of an IPv6 header, and where the next header's number is in it.
const IPV6: usize = 40;
const NEXT_HEADER: usize = 6;
/// Numbers of extension headers and protocols.
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;
/// Multicast listeners (RFC 2710), and router and neighbour discovery (RFC 4861); membership reports (RFC 3810).
const UPKEEP: std::ops::RangeInclusive<u8> = 130..=137;
const REPORT: u8 = 143;
/// Where the protocol is in an IPv4 header, and the number of IGMP.
const PROTOCOL: usize = 9;
const IGMP: u8 = 2;

impl Class {
    /// Of a frame with so many bytes in front of its IP header.
    pub(super) fn of(frame: &[u8], header: usize) -> Self {
        if header > ETHER_TYPE && frame.get(ETHER_TYPE..ETHER_TYPE + 2) == Some(&ARP) {
            return Class::Upkeep;
        }
        let packet = frame.get(header..).unwrap_or_default();
        let upkeep = match packet.first().map(|first| first >> 4) {
            Some(4) => packet.get(PROTOCOL) == Some(&IGMP),
            Some(6) => match (packet.get(NEXT_HEADER).copied(), packet.get(IPV6).copied()) {
                (Some(ICMPV6), Some(kind)) => UPKEEP.contains(&kind) || kind == REPORT,
                // Membership reports carry a router alert.
                (Some(HOP_BY_HOP), Some(next)) => next == ICMPV6,
                _ => false,
            },
            _ => false,
        };
        if upkeep { Class::Upkeep } else { Class::Traffic }
    }
}
