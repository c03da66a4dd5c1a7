//! From packets to bytes, with checksums, through pnet.

use std::net::IpAddr;

use pnet_packet::{
    ethernet::{EtherType, EtherTypes},
    icmp::{self, IcmpTypes, echo_request::MutableEchoRequestPacket},
    icmpv6::{self, Icmpv6Types},
    ip::IpNextHeaderProtocols,
    ipv4::{self, MutableIpv4Packet},
    ipv6::MutableIpv6Packet,
    tcp::{self, MutableTcpPacket},
    udp::{self, MutableUdpPacket},
};
use thiserror::Error;

use super::Token;
use crate::scenario::Protocol;

/// A frame to be made.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// Hardware address of the sender.
    pub from: [u8; 6],
    /// Hardware address of the receiver.
    pub to: [u8; 6],
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Protocol.
    pub protocol: Protocol,
    /// Source port, or identifier of an echo.
    pub source_port: u16,
    /// Destination port, or sequence number of an echo.
    pub destination_port: u16,
    /// TCP flags.
    pub flags: u8,
    /// TCP sequence number.
    pub sequence: u32,
    /// Mark at the head of the payload.
    pub token: Token,
    /// Payload behind the mark.
    pub payload: &'a [u8],
}

/// A frame that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// IPv4 to IPv6 or the reverse.
    #[error("source and destination are of different families")]
    Families,
    /// More than fits an IP packet.
    #[error("the payload has {0} bytes, more than a packet can carry")]
    TooLong(usize),
}

/// Makes a frame.
///
/// # Errors
/// When the families differ or the payload is too long.
pub fn build(frame: &Frame<'_>) -> Result<Vec<u8>, FrameError> {
    let mut payload = frame.token.bytes().to_vec();
    payload.extend_from_slice(frame.payload);
    let segment = segment(frame, &payload);
    let length = segment.len();
    if length > 65_000 {
        return Err(FrameError::TooLong(length));
    }
    let (ether_type, packet) = match (frame.source, frame.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = vec![0; 20 + length];
            if let Some(mut header) = MutableIpv4Packet::new(&mut bytes) {
                header.set_version(4);
                header.set_header_length(5);
                header.set_total_length((20 + length) as u16);
                header.set_flags(ipv4::Ipv4Flags::DontFragment);
                header.set_ttl(frame.ttl);
                header.set_next_level_protocol(match frame.protocol {
                    Protocol::Udp => IpNextHeaderProtocols::Udp,
                    Protocol::Tcp => IpNextHeaderProtocols::Tcp,
                    Protocol::Icmp => IpNextHeaderProtocols::Icmp,
                });
                header.set_source(source);
                header.set_destination(destination);
                header.set_payload(&segment);
                header.set_checksum(ipv4::checksum(&header.to_immutable()));
            }
            (EtherTypes::Ipv4, bytes)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0; 40 + length];
            if let Some(mut header) = MutableIpv6Packet::new(&mut bytes) {
                header.set_version(6);
                header.set_payload_length(length as u16);
                header.set_hop_limit(frame.ttl);
                header.set_next_header(match frame.protocol {
                    Protocol::Udp => IpNextHeaderProtocols::Udp,
                    Protocol::Tcp => IpNextHeaderProtocols::Tcp,
                    Protocol::Icmp => IpNextHeaderProtocols::Icmpv6,
                });
                header.set_source(source);
                header.set_destination(destination);
                header.set_payload(&segment);
            }
            (EtherTypes::Ipv6, bytes)
        }
        _ => return Err(FrameError::Families),
    };
    let EtherType(ether_type) = ether_type;
    Ok([&frame.to[..], &frame.from, &ether_type.to_be_bytes(), &packet].concat())
}

fn segment(frame: &Frame<'_>, payload: &[u8]) -> Vec<u8> {
    match frame.protocol {
        Protocol::Udp => {
            let mut bytes = vec![0; 8 + payload.len()];
            if let Some(mut udp) = MutableUdpPacket::new(&mut bytes) {
                udp.set_source(frame.source_port);
                udp.set_destination(frame.destination_port);
                udp.set_length((8 + payload.len()) as u16);
                udp.set_payload(payload);
                let checksum = match (frame.source, frame.destination) {
                    (IpAddr::V4(s), IpAddr::V4(d)) => udp::ipv4_checksum(&udp.to_immutable(), &s, &d),
                    (IpAddr::V6(s), IpAddr::V6(d)) => udp::ipv6_checksum(&udp.to_immutable(), &s, &d),
                    _ => 0,
                };
                udp.set_checksum(checksum);
            }
            bytes
        }
        Protocol::Tcp => {
            let mut bytes = vec![0; 20 + payload.len()];
            if let Some(mut tcp) = MutableTcpPacket::new(&mut bytes) {
                tcp.set_source(frame.source_port);
                tcp.set_destination(frame.destination_port);
                tcp.set_sequence(frame.sequence);
                tcp.set_data_offset(5);
                tcp.set_flags(frame.flags);
                tcp.set_window(64_240);
                tcp.set_payload(payload);
                let checksum = match (frame.source, frame.destination) {
                    (IpAddr::V4(s), IpAddr::V4(d)) => tcp::ipv4_checksum(&tcp.to_immutable(), &s, &d),
                    (IpAddr::V6(s), IpAddr::V6(d)) => tcp::ipv6_checksum(&tcp.to_immutable(), &s, &d),
                    _ => 0,
                };
                tcp.set_checksum(checksum);
            }
            bytes
        }
        Protocol::Icmp => {
            let ends = (frame.source, frame.destination);
            echo_request(ends, frame.source_port, frame.destination_port, payload)
        }
    }
}

/// An echo request, between two addresses of one family.
///
/// The layouts of ICMP (RFC 792) and ICMPv6 (RFC 4443) agree but for the type and the checksum's pseudo header.
pub fn echo_request(ends: (IpAddr, IpAddr), identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + payload.len()];
    if let Some(mut echo) = MutableEchoRequestPacket::new(&mut bytes) {
        echo.set_identifier(identifier);
        echo.set_sequence_number(sequence);
        echo.set_payload(payload);
        if ends.0.is_ipv4() {
            echo.set_icmp_type(IcmpTypes::EchoRequest);
        } else {
            echo.set_icmp_type(icmp::IcmpType::new(Icmpv6Types::EchoRequest.0));
        }
    }
    let checksum = match ends {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            icmpv6::Icmpv6Packet::new(&bytes).map(|icmp| icmpv6::checksum(&icmp, &source, &destination))
        }
        _ => icmp::IcmpPacket::new(&bytes).map(|icmp| icmp::checksum(&icmp)),
    };
    if let (Some(checksum), Some(mut echo)) = (checksum, MutableEchoRequestPacket::new(&mut bytes)) {
        echo.set_checksum(checksum);
    }
    bytes
}
