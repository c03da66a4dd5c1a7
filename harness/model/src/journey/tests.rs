use std::net::IpAddr;

use rstest::rstest;

use super::{Identity, Journey, follow};
use crate::{
    observation::Record,
    packet::{Ip, Packet, Token, TokenKind, Transport, flags},
};

const CLIENT: usize = 0;
const ROUTER: usize = 1;
const SERVER: usize = 2;

fn ip(source: &str, destination: &str, transport: Transport, token: Option<Token>) -> Ip {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Ip {
        source: address(source),
        destination: address(destination),
        ttl: 64,
        length: 44,
        transport,
        token,
        payload: Vec::new(),
    }
}

fn udp(source: &str, destination: &str, kind: TokenKind, id: u32) -> Ip {
    ip(source, destination, Transport::Udp { source: 4000, destination: 53 }, Some(Token { kind, id }))
}

fn tcp(flags: u8, sequence: u32, acknowledgement: u32) -> Ip {
    let transport = Transport::Tcp { source: 4000, destination: 53, flags, sequence, acknowledgement };
    ip("10.0.0.2", "192.0.2.1", transport, None)
}

/// One record a step, in the order of time: node, device, whether it was sent, packet.
fn seen(records: impl IntoIterator<Item = (usize, u32, bool, Ip)>) -> Vec<Record> {
    let records = records.into_iter().enumerate();
    records
        .map(|(at, (node, device, sent, packet))| Record {
            at: at as u64 * 1000,
            node,
            device,
            sent,
            overheard: false,
            packet: Packet::Ip(packet),
            times: 1,
        })
        .collect()
}

fn hops(journey: &Journey) -> Vec<(usize, Option<u32>, Option<u32>)> {
    journey.hops.iter().map(|hop| (hop.node, hop.came_in, hop.went_out)).collect()
}

#[test]
fn a_probe_is_followed_through_a_translation() {
    let before = udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 7);
    let after = udp("203.0.113.5", "192.0.2.1", TokenKind::Question, 7);
    let other = udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 8);
    let records = seen([
        (CLIENT, 101, true, before.clone()),
        (CLIENT, 101, true, other),
        (ROUTER, 102, false, before.clone()),
        (ROUTER, 103, true, after.clone()),
        (SERVER, 104, false, after.clone()),
    ]);
    let journeys = follow(&records, Identity::question(7));
    let [journey] = journeys.as_slice() else { panic!("{journeys:?}") };
    assert_eq!(
        hops(journey),
        [(CLIENT, None, Some(101)), (ROUTER, Some(102), Some(103)), (SERVER, Some(104), None)]
    );
    assert_eq!((&journey.hops[1].before, &journey.hops[1].after), (&before, &after));
    assert_eq!(journey.nodes(), [CLIENT, ROUTER, SERVER]);
    assert_eq!(journey.devices().collect::<Vec<_>>(), [101, 102, 103, 104]);
    assert_eq!(journey.end().map(|hop| (hop.node, hop.at)), Some((SERVER, 4000)));
    assert!(follow(&records, Identity::answer(7)).is_empty());
}

#[test]
fn a_packet_that_nobody_received_has_no_end() {
    let question = udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 7);
    let records = seen([(CLIENT, 101, true, question)]);
    let journeys = follow(&records, Identity::question(7));
    assert_eq!(hops(&journeys[0]), [(CLIENT, None, Some(101))]);
    assert!(journeys[0].end().is_none());
}

#[test]
fn a_packet_that_was_sent_again_makes_a_journey_of_its_own() {
    let syn = tcp(flags::SYN, 1000, 0);
    let way = [(CLIENT, 101, true, syn.clone()), (ROUTER, 102, false, syn)];
    let journeys = follow(&seen([way.clone(), way].concat()), Identity::Connect(1000));
    assert_eq!(journeys.len(), 2);
    for journey in &journeys {
        assert_eq!(hops(journey), [(CLIENT, None, Some(101)), (ROUTER, Some(102), None)]);
    }
}

#[test]
fn a_cable_between_two_devices_of_one_node_is_one_node() {
    let question = udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 7);
    let records = seen([
        (ROUTER, 102, false, question.clone()),
        (ROUTER, 105, true, question.clone()),
        (ROUTER, 106, false, question.clone()),
        (ROUTER, 103, true, question),
    ]);
    let journeys = follow(&records, Identity::question(7));
    assert_eq!(hops(&journeys[0]), [(ROUTER, Some(102), Some(105)), (ROUTER, Some(106), Some(103))]);
    assert_eq!(journeys[0].nodes(), [ROUTER]);
}

#[test]
fn what_was_only_overheard_is_no_hop() {
    let question = udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 7);
    let mut records = seen([(CLIENT, 101, true, question.clone()), (SERVER, 104, false, question)]);
    records[1].overheard = true;
    assert_eq!(follow(&records, Identity::question(7))[0].nodes(), [CLIENT]);
}

fn echo(request: bool) -> Ip {
    let token = Some(Token { kind: TokenKind::Question, id: 7 });
    ip("10.0.0.2", "192.0.2.1", Transport::Echo { request, identifier: 1, sequence: 1 }, token)
}

fn error_about(about: Ip) -> Ip {
    let transport = Transport::Error { kind: 3, code: 1, about: Some(Box::new(about)) };
    ip("192.0.2.1", "10.0.0.2", transport, None)
}

#[rstest]
#[case::question(Identity::question(7), udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 7), true)]
#[case::question_is_no_answer(
    Identity::answer(7),
    udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 7),
    false
)]
#[case::another_probe(Identity::question(7), udp("10.0.0.2", "192.0.2.1", TokenKind::Question, 8), false)]
#[case::echo_request(Identity::question(7), echo(true), true)]
#[case::echo_reply_repeats_the_question(Identity::answer(7), echo(false), true)]
#[case::echo_reply_is_no_question(Identity::question(7), echo(false), false)]
#[case::connect(Identity::Connect(1000), tcp(flags::SYN, 1000, 0), true)]
#[case::connect_by_another(Identity::Connect(1000), tcp(flags::SYN, 1001, 0), false)]
#[case::accept(Identity::Accept(1000), tcp(flags::SYN | flags::ACK, 5, 1001), true)]
#[case::accept_wraps(Identity::Accept(u32::MAX), tcp(flags::SYN | flags::ACK, 5, 0), true)]
#[case::accept_is_no_connect(Identity::Connect(5), tcp(flags::SYN | flags::ACK, 5, 1001), false)]
#[case::bare_acknowledgement(Identity::Accept(1000), tcp(flags::ACK, 5, 1001), false)]
#[case::error(Identity::ErrorAbout(7), error_about(echo(true)), true)]
#[case::error_about_another(Identity::ErrorAbout(8), error_about(echo(true)), false)]
#[case::error_is_no_question(Identity::question(7), error_about(echo(true)), false)]
#[case::error_about_connect(Identity::ErrorAboutConnect(9), error_about(tcp(flags::SYN, 9, 0)), true)]
#[case::connect_is_no_error(Identity::ErrorAboutConnect(9), tcp(flags::SYN, 9, 0), false)]
fn recognises(#[case] identity: Identity, #[case] packet: Ip, #[case] expected: bool) {
    assert_eq!(identity.matches(&packet), expected);
}
