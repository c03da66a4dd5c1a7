//! From bytes to packets. Whatever cannot be read is [`Packet::Other`]: a capture sees all kinds of frames.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{
    EtherType, IcmpEchoHeader, Icmpv4Type, Icmpv6Type, IpNumber, LaxNetSlice, LaxSlicedPacket, LinkSlice,
    TransportSlice,
};

use super::{Ip, Packet, Token, Transport, flags};

/// How much of a payload is kept for patterns.
const KEEP: usize = 128;

/// Reads an Ethernet frame.
pub fn parse(frame: &[u8]) -> Packet {
    let other = |frame: &[u8]| Packet::Other(u16::from_be_bytes([frame[12], frame[13]]));
    if frame.len() < 14 {
        return Packet::Other(0);
    }
    let Ok(sliced) = LaxSlicedPacket::from_ethernet(frame) else { return other(frame) };
    let ether_type = match &sliced.link {
        Some(LinkSlice::Ethernet2(ethernet)) => ethernet.ether_type(),
        _ => return other(frame),
    };
    if ether_type == EtherType::ARP {
        return arp(&frame[14..]).unwrap_or(Packet::Other(EtherType::ARP.0));
    }
    match ip(&sliced) {
        Some(ip) => Packet::Ip(ip),
        None => Packet::Other(ether_type.0),
    }
}

/// Reads what a device without a link layer of its own carries: an IP packet.
pub fn parse_ip(packet: &[u8]) -> Packet {
    let sliced = LaxSlicedPacket::from_ip(packet).ok();
    sliced.and_then(|sliced| ip(&sliced)).map_or(Packet::Other(0), Packet::Ip)
}

fn arp(body: &[u8]) -> Option<Packet> {
    // RFC 826: hardware and protocol types and lengths, operation, then the four addresses.
    if body.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let address = |at: usize| {
        let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(bytes)))
    };
    let operation = u16::from_be_bytes(body.get(6..8)?.try_into().ok()?);
    Some(Packet::Arp { operation, sender: address(14)?, target: address(24)? })
}

fn ip(sliced: &LaxSlicedPacket<'_>) -> Option<Ip> {
    let (source, destination, ttl, length, protocol, body, fragment): (
        IpAddr,
        IpAddr,
        u8,
        u16,
        IpNumber,
        &[u8],
        bool,
    ) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(v4) => {
            let header = v4.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.ttl(),
                header.total_len(),
                v4.payload().ip_number,
                v4.payload().payload,
                header.fragments_offset().value() > 0,
            )
        }
        LaxNetSlice::Ipv6(v6) => {
            let header = v6.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.hop_limit(),
                header.payload_length().saturating_add(40),
                v6.payload().ip_number,
                v6.payload().payload,
                // The offset is in an extension header; the mark behind a UDP header tells the first one as well.
                v6.payload().fragmented && v6.payload().payload.get(8..).and_then(Token::read).is_none(),
            )
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let (transport, payload): (Transport, &[u8]) = match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => {
            (Transport::Udp { source: udp.source_port(), destination: udp.destination_port() }, udp.payload())
        }
        Some(TransportSlice::Tcp(tcp)) => (
            Transport::Tcp {
                source: tcp.source_port(),
                destination: tcp.destination_port(),
                flags: [
                    (tcp.fin(), flags::FIN),
                    (tcp.syn(), flags::SYN),
                    (tcp.rst(), flags::RST),
                    (tcp.psh(), flags::PSH),
                    (tcp.ack(), flags::ACK),
                    (tcp.urg(), flags::URG),
                ]
                .into_iter()
                .filter(|(set, _)| *set)
                .fold(0, |all, (_, flag)| all | flag),
                sequence: tcp.sequence_number(),
                acknowledgement: tcp.acknowledgment_number(),
            },
            tcp.payload(),
        ),
        Some(TransportSlice::Icmpv4(icmp)) => match icmp.icmp_type() {
            Icmpv4Type::EchoRequest(echo) => (echo_of(true, echo), icmp.payload()),
            Icmpv4Type::EchoReply(echo) => (echo_of(false, echo), icmp.payload()),
            Icmpv4Type::DestinationUnreachable(_)
            | Icmpv4Type::TimeExceeded(_)
            | Icmpv4Type::ParameterProblem(_)
            | Icmpv4Type::Redirect(_) => {
                (error(icmp.type_u8(), icmp.code_u8(), icmp.payload()), icmp.payload())
            }
            _ => (Transport::Control { kind: icmp.type_u8() }, icmp.payload()),
        },
        Some(TransportSlice::Icmpv6(icmp)) => match icmp.icmp_type() {
            Icmpv6Type::EchoRequest(echo) => (echo_of(true, echo), icmp.payload()),
            Icmpv6Type::EchoReply(echo) => (echo_of(false, echo), icmp.payload()),
            // RFC 4443, section 2.1: types below 128 are errors.
            _ if icmp.type_u8() < 128 => {
                (error(icmp.type_u8(), icmp.code_u8(), icmp.payload()), icmp.payload())
            }
            _ => (Transport::Control { kind: icmp.type_u8() }, icmp.payload()),
        },
        None if fragment => (Transport::Other(protocol.0), &[]),
        Some(TransportSlice::Igmp(_)) | None => partial(protocol, body),
    };
    Some(Ip {
        source,
        destination,
        ttl,
        length,
        transport,
        token: Token::read(payload),
        payload: payload[..payload.len().min(KEEP)].to_vec(),
    })
}

fn echo_of(request: bool, echo: IcmpEchoHeader) -> Transport {
    Transport::Echo { request, identifier: echo.id, sequence: echo.seq }
}

fn error(kind: u8, code: u8, quoted: &[u8]) -> Transport {
    let about = LaxSlicedPacket::from_ip(quoted).ok().and_then(|sliced| ip(&sliced)).map(Box::new);
    Transport::Error { kind, code, about }
}

/// A transport header that is cut short, as in an ICMP error that quotes eight bytes (RFC 792).
///
/// The first fragment of a datagram comes here as well. Later fragments have no ports: whoever calls sorts them out.
fn partial(protocol: IpNumber, body: &[u8]) -> (Transport, &[u8]) {
    let port = |at: usize| body.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let transport = match (protocol, port(0), port(2)) {
        (IpNumber::UDP, Some(source), Some(destination)) => Transport::Udp { source, destination },
        (IpNumber::TCP, Some(source), Some(destination)) => {
            let number =
                |at: usize| body.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            Transport::Tcp {
                source,
                destination,
                flags: body.get(13).copied().unwrap_or(0),
                sequence: number(4),
                acknowledgement: number(8),
            }
        }
        _ => Transport::Other(protocol.0),
    };
    let header = if matches!(transport, Transport::Udp { .. }) { 8 } else { body.len() };
    (transport, body.get(header..).unwrap_or_default())
}
