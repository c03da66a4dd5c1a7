use std::net::IpAddr;

use proptest::prelude::*;
use rstest::rstest;

use super::{
    Packet, Token, TokenKind, Transport,
    build::{Frame, FrameError, build},
    flags, parse,
};
use crate::scenario::Protocol;

fn frame<'a>(source: &str, destination: &str, protocol: Protocol, payload: &'a [u8]) -> Frame<'a> {
    Frame {
        from: [2, 0, 0, 0, 0, 1],
        to: [2, 0, 0, 0, 0, 2],
        source: source.parse::<IpAddr>().unwrap(),
        destination: destination.parse::<IpAddr>().unwrap(),
        ttl: 61,
        protocol,
        source_port: 4000,
        destination_port: 53,
        flags: flags::SYN,
        sequence: 0x0102_0304,
        token: Token { kind: TokenKind::Question, id: 42 },
        payload,
    }
}

#[rstest]
#[case::v4("192.0.2.1", "198.51.100.2")]
#[case::v6("2001:db8::1", "2001:db8::2")]
fn what_is_built_reads_back(
    #[case] source: &str,
    #[case] destination: &str,
    #[values(Protocol::Udp, Protocol::Tcp, Protocol::Icmp)] protocol: Protocol,
) {
    let bytes = build(&frame(source, destination, protocol, b"hello")).unwrap();
    let Packet::Ip(ip) = parse(&bytes) else { panic!("not IP") };
    assert_eq!(ip.source.to_string(), source);
    assert_eq!(ip.destination.to_string(), destination);
    assert_eq!(ip.ttl, 61);
    assert_eq!(usize::from(ip.length), bytes.len() - 14);
    assert_eq!(ip.token, Some(Token { kind: TokenKind::Question, id: 42 }));
    assert!(ip.payload.ends_with(b"hello"));
    match (protocol, &ip.transport) {
        (Protocol::Udp, Transport::Udp { source: 4000, destination: 53 })
        | (
            Protocol::Tcp,
            Transport::Tcp {
                source: 4000, destination: 53, flags: flags::SYN, sequence: 0x0102_0304, ..
            },
        )
        | (Protocol::Icmp, Transport::Echo { request: true, identifier: 4000, sequence: 53 }) => {}
        other => panic!("{other:?}"),
    }
}

/// The checksum over a segment and its pseudo header comes out as zero when it is right (RFC 1071).
#[rstest]
#[case::v4("192.0.2.1", "198.51.100.2", 20)]
#[case::v6("2001:db8::1", "2001:db8::2", 40)]
fn checksums_are_right(
    #[case] source: &str,
    #[case] destination: &str,
    #[case] header: usize,
    #[values(Protocol::Udp, Protocol::Tcp, Protocol::Icmp)] protocol: Protocol,
) {
    let bytes = build(&frame(source, destination, protocol, b"odd")).unwrap();
    let segment = &bytes[14 + header..];
    let mut sum: u32 = 0;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    };
    add(segment);
    let number = match (protocol, header) {
        (Protocol::Udp, _) => Some(17),
        (Protocol::Tcp, _) => Some(6),
        (Protocol::Icmp, 40) => Some(58),
        (Protocol::Icmp, _) => None,
    };
    if let Some(number) = number {
        match (source.parse::<IpAddr>().unwrap(), destination.parse::<IpAddr>().unwrap()) {
            (IpAddr::V4(s), IpAddr::V4(d)) => [s.octets(), d.octets()].iter().for_each(|octets| add(octets)),
            (IpAddr::V6(s), IpAddr::V6(d)) => [s.octets(), d.octets()].iter().for_each(|octets| add(octets)),
            _ => unreachable!(),
        }
        add(&[0, number]);
        add(&(segment.len() as u16).to_be_bytes());
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    assert_eq!(sum, 0xffff);
}

#[test]
fn families_must_agree() {
    assert_eq!(build(&frame("192.0.2.1", "2001:db8::2", Protocol::Udp, b"")), Err(FrameError::Families));
}

#[test]
fn an_error_shows_the_packet_that_it_is_about() {
    let inner = build(&frame("192.0.2.1", "198.51.100.2", Protocol::Udp, b"")).unwrap();
    let mut bytes = inner[..14].to_vec();
    let quoted = &inner[14..];
    let mut outer = quoted[..20].to_vec();
    outer[9] = 1;
    outer[2..4].copy_from_slice(&((28 + quoted.len()) as u16).to_be_bytes());
    bytes.extend_from_slice(&outer);
    bytes.extend_from_slice(&[3, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(quoted);
    let Packet::Ip(ip) = parse(&bytes) else { panic!("not IP") };
    let Transport::Error { kind: 3, code: 1, about: Some(about) } = &ip.transport else { panic!("{ip:?}") };
    assert_eq!(about.addresses(), "192.0.2.1:4000 > 198.51.100.2:53");
    assert_eq!(ip.traced().map(|token| token.id), Some(42));
    // RFC 792 asks for eight bytes of the quoted payload: the ports are still there.
    let cut = &bytes[..14 + 20 + 8 + 20 + 8];
    let Packet::Ip(ip) = parse(cut) else { panic!("not IP") };
    let Transport::Error { about: Some(about), .. } = &ip.transport else { panic!("{ip:?}") };
    assert_eq!(about.source_port(), Some(4000));
}

#[test]
fn the_first_fragment_tells_ports_and_mark_and_later_ones_neither() {
    let whole = build(&frame("192.0.2.1", "198.51.100.2", Protocol::Udp, &[b'.'; 64])).unwrap();
    let (header, body) = whole[14..].split_at(20);
    let fragment = |offset: u16, more: bool, part: &[u8]| {
        let mut bytes = whole[..14].to_vec();
        let mut ip = header.to_vec();
        ip[2..4].copy_from_slice(&((20 + part.len()) as u16).to_be_bytes());
        ip[6..8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
        bytes.extend_from_slice(&ip);
        bytes.extend_from_slice(part);
        let Packet::Ip(ip) = parse(&bytes) else { panic!("not IP") };
        ip
    };
    let first = fragment(0, true, &body[..32]);
    assert_eq!((first.source_port(), first.token.map(|token| token.id)), (Some(4000), Some(42)));
    let second = fragment(32, false, &body[32..]);
    assert_eq!(second.transport, Transport::Other(17));
    assert_eq!(second.token, None);
}

#[test]
fn a_stream_of_questions_is_answered_mark_by_mark() {
    let question = |id| Token { kind: TokenKind::Question, id }.bytes();
    let mut stream = [b"..", &question(1)[..], b"..", &question(2)[..5]].concat();
    let answer = Token::answer_stream(&mut stream);
    assert_eq!(answer, [b"..", &Token { kind: TokenKind::Answer, id: 1 }.bytes()[..], b".."].concat());
    stream.extend_from_slice(&question(2)[5..]);
    assert_eq!(Token::answer_stream(&mut stream), Token { kind: TokenKind::Answer, id: 2 }.bytes());
    assert!(stream.is_empty());
}

#[test]
fn arp_is_read() {
    let mut bytes = vec![0xff; 6];
    bytes.extend_from_slice(&[2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let expected = Packet::Arp {
        operation: 1,
        sender: "10.0.0.1".parse().unwrap(),
        target: "10.0.0.2".parse().unwrap(),
    };
    assert_eq!(parse(&bytes), expected);
}

#[test]
fn an_answer_keeps_the_payload() {
    let mut question = Token { kind: TokenKind::Question, id: 7 }.bytes().to_vec();
    question.extend_from_slice(b"rest");
    let answer = Token::answer(&question).unwrap();
    assert_eq!(Token::read(&answer), Some(Token { kind: TokenKind::Answer, id: 7 }));
    assert!(answer.ends_with(b"rest"));
    assert_eq!(Token::answer(&answer), None, "an answer is not answered");
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(&bytes);
    }

    #[test]
    fn a_damaged_frame_never_panics(at in 0usize..80, value in any::<u8>(), cut in 0usize..90) {
        let mut bytes = build(&frame("192.0.2.1", "198.51.100.2", Protocol::Tcp, b"hello")).unwrap();
        let length = bytes.len();
        bytes[at % length] = value;
        parse(&bytes[..cut.min(length)]);
    }

    #[test]
    fn tokens_read_back(id in any::<u32>()) {
        let token = Token { kind: TokenKind::Answer, id };
        prop_assert_eq!(Token::read(&token.bytes()), Some(token));
    }
}
