use std::net::Ipv4Addr;

use super::*;

/// An attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

fn direction(kind: u16, source: [u8; 4], destination: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
    let addresses = [attribute(1, &source), attribute(2, &destination)];
    let protocol =
        [attribute(1, &[17]), attribute(2, &ports[0].to_be_bytes()), attribute(3, &ports[1].to_be_bytes())];
    nested(kind, &[nested(1, &addresses), nested(2, &protocol)])
}

fn message() -> Vec<u8> {
    [
        vec![2, 0, 0, 0],
        direction(1, [10, 0, 0, 2], [192, 0, 2, 1], [4000, 53]),
        direction(2, [192, 0, 2, 1], [198, 51, 100, 1], [53, 4001]),
        attribute(3, &(status::SRC_NAT | status::CONFIRMED).to_be_bytes()),
        attribute(8, &0x100_u32.to_be_bytes()),
        attribute(18, &7_u16.to_be_bytes()),
        attribute(99, b"of a later kernel"),
    ]
    .concat()
}

#[test]
fn an_entry_is_read() {
    let entry = parse_entry(&message()).unwrap();
    assert_eq!(entry.original.source, IpAddr::from(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(entry.reply.destination, IpAddr::from(Ipv4Addr::new(198, 51, 100, 1)));
    assert_eq!((entry.original.source_port, entry.reply.destination_port), (4000, 4001));
    assert_eq!((entry.protocol, entry.mark, entry.zone), (17, 0x100, 7));
    assert_eq!(entry.status, status::SRC_NAT | status::CONFIRMED);
}

#[test]
fn an_entry_that_is_cut_short_is_no_entry() {
    let whole = message();
    let tuples = 4 + direction(1, [0; 4], [0; 4], [0; 2]).len() * 2;
    for length in 0..tuples {
        assert_eq!(parse_entry(&whole[..length]), None, "of {length} bytes");
    }
}
