//! What is seen of traffic.

use std::net::UdpSocket;

use harness_lab::{capture::Capture, conntrack, inject::Injector, lab::Lab};
use harness_model::{
    observation::Record,
    packet::{Packet, Transport},
};

use crate::{Case, plans::*};

pub(crate) const ALL: [Case; 9] = [
    ("udp_is_seen_hop_by_hop_in_order", udp_is_seen_hop_by_hop_in_order),
    ("a_fence_waits_for_all_frames", a_fence_waits_for_all_frames),
    ("a_fence_waits_for_switched_frames", a_fence_waits_for_switched_frames),
    ("loopback_is_seen_twice", loopback_is_seen_twice),
    ("an_injected_frame_arrives_before_and_after_a_flap", an_injected_frame_arrives_before_and_after_a_flap),
    ("a_restored_device_is_seen_as_the_former_one", a_restored_device_is_seen_as_the_former_one),
    ("nothing_passes_a_mute_link", nothing_passes_a_mute_link),
    ("an_unanswered_neighbour_is_pending", an_unanswered_neighbour_is_pending),
    ("conntrack_shows_a_translation", conntrack_shows_a_translation),
];

/// A datagram from one node to an address.
fn send(lab: &Lab, from: usize, to: &str, payload: &[u8]) {
    let to = (address(to), 4000);
    let local = if to.0.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = lab.in_node(from, || UdpSocket::bind(local)).unwrap().unwrap();
    socket.send_to(payload, to).unwrap();
}

fn quiet(capture: &mut Capture) -> Vec<Record> {
    let mut records = Vec::new();
    while capture.fence(&mut records).unwrap() {}
    assert_eq!(capture.lost().unwrap(), 0);
    records
}

/// Where datagrams to port 4000 were seen, but for those that a switch showed to everybody.
fn datagrams(records: &[Record]) -> Vec<(usize, u32, bool)> {
    let is_ours = |record: &&Record| {
        matches!(&record.packet, Packet::Ip(ip)
            if matches!(ip.transport, Transport::Udp { destination: 4000, .. }) && !record.overheard)
    };
    records.iter().filter(is_ours).map(|record| (record.node, record.device, record.sent)).collect()
}

fn udp_is_seen_hop_by_hop_in_order() {
    let lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    for to in ["192.0.2.80", "2001:db8::80", "198.51.100.1", "2001:db8:1::1"] {
        send(&lab, ALICE, to, b"probe");
        let records = quiet(&mut capture);
        assert!(records.is_sorted_by_key(|record| record.at));
        let way = [
            (ALICE, ALICE_ETH0, true),
            (ROUTER, ROUTER_LAN, false),
            (ROUTER, ROUTER_WAN, true),
            (SERVER, SERVER_ETH0, false),
        ];
        assert_eq!(datagrams(&records), way, "to {to}");
    }
    assert!(capture.fences() > 0);
    capture.close();
}

fn a_fence_waits_for_all_frames() {
    let lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    for _ in 0..50 {
        for _ in 0..20 {
            send(&lab, ALICE, "192.0.2.80", &[0; 1000]);
        }
        assert_eq!(datagrams(&quiet(&mut capture)).len(), 20 * 4);
    }
    capture.close();
}

fn a_fence_waits_for_switched_frames() {
    let lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    send(&lab, ALICE, "10.0.0.3", b"first, with ARP");
    for _ in 0..200 {
        quiet(&mut capture);
        send(&lab, ALICE, "10.0.0.3", b"switched");
        let mut records = Vec::new();
        capture.fence(&mut records).unwrap();
        assert_eq!(datagrams(&records), [(ALICE, ALICE_ETH0, true), (BOB, BOB_ETH0, false)]);
    }
    capture.close();
}

fn loopback_is_seen_twice() {
    let lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    send(&lab, SERVER, "127.0.0.1", b"to myself");
    assert_eq!(datagrams(&quiet(&mut capture)), [(SERVER, 1, true), (SERVER, 1, false)]);
    capture.close();
}

/// A UDP datagram from Alice to the server, by way of the router.
fn frame() -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(mac(ROUTER_LAN));
    frame.extend(mac(ALICE_ETH0));
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 192, 0, 2, 80]);
    let sum: u32 = frame[14..].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !(((sum >> 16) + (sum & 0xffff)) as u16);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame.extend([0x20, 0x00, 0x0f, 0xa0, 0, 8, 0, 0]);
    frame
}

fn an_injected_frame_arrives_before_and_after_a_flap() {
    use harness_model::scenario::LinkAction::{Cut, Down, Mend, Up};
    let mut lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    let mut injector = Injector::new();
    injector.send(&lab, ALICE, ALICE_ETH0, &frame()).unwrap();
    assert_eq!(datagrams(&quiet(&mut capture)).len(), 4);

    lab.change(ALICE, ALICE_ETH0, Down).unwrap();
    assert!(injector.send(&lab, ALICE, ALICE_ETH0, &frame()).is_err());
    lab.change(ALICE, ALICE_ETH0, Up).unwrap();
    injector.send(&lab, ALICE, ALICE_ETH0, &frame()).unwrap();
    assert_eq!(datagrams(&quiet(&mut capture)).len(), 4);

    lab.change(ALICE, ALICE_ETH0, Cut).unwrap();
    lab.change(ALICE, ALICE_ETH0, Mend).unwrap();
    injector.send(&lab, ALICE, ALICE_ETH0, &frame()).unwrap();
    assert_eq!(datagrams(&quiet(&mut capture)).len(), 4);
    harness_lab::close(Some(capture), Some(injector));
}

/// From Alice to the server, by the planned indexes.
const WAY: [(usize, u32, bool); 4] = [
    (ALICE, ALICE_ETH0, true),
    (ROUTER, ROUTER_LAN, false),
    (ROUTER, ROUTER_WAN, true),
    (SERVER, SERVER_ETH0, false),
];

fn a_restored_device_is_seen_as_the_former_one() {
    use harness_model::scenario::LinkAction::{Remove, Restore};
    let mut lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    let mut injector = Injector::new();
    for (node, device) in
        [(ALICE, ALICE_ETH0), (ROUTER, ROUTER_WAN), (ALICE, ALICE_ETH0), (ROUTER, ROUTER_LAN)]
    {
        for to in ["192.0.2.80", "2001:db8::80"] {
            send(&lab, ALICE, to, b"probe");
            assert_eq!(datagrams(&quiet(&mut capture)), WAY, "to {to}");
        }
        injector.send(&lab, ALICE, ALICE_ETH0, &frame()).unwrap();
        assert_eq!(datagrams(&quiet(&mut capture)), WAY);
        lab.change(node, device, Remove).unwrap();
        lab.change(node, device, Restore).unwrap();
        quiet(&mut capture);
    }
    // The router's loopback route to the server, and its answer by the same way.
    send(&lab, ALICE, "198.51.100.1", b"probe");
    assert_eq!(datagrams(&quiet(&mut capture)), WAY);
    harness_lab::close(Some(capture), Some(injector));
}

/// Without what kernels say of themselves in IPv6, some time after a device came up.
fn of_ours(mut records: Vec<Record>) -> Vec<Record> {
    records.retain(
        |record| !matches!(&record.packet, Packet::Ip(ip) if matches!(ip.transport, Transport::Control { .. })),
    );
    records
}

fn nothing_passes_a_mute_link() {
    use harness_model::scenario::LinkAction::{Mute, Unmute};
    let mut lab = Lab::build(&small()).unwrap();
    let mut capture = Capture::open(&lab).unwrap();
    for _ in 0..3 {
        lab.change(ALICE, ALICE_ETH0, Mute).unwrap();
        send(&lab, ALICE, "192.0.2.80", b"into the hole");
        // Bob is unknown, so that ARP asks first.
        send(&lab, ALICE, "10.0.0.3", b"into the hole");
        let records = of_ours(quiet(&mut capture));
        assert_eq!(datagrams(&records), WAY[..1]);
        assert!(records.iter().all(|record| record.node == ALICE && record.sent), "{records:?}");
        send(&lab, SERVER, "10.0.0.2", b"the other way");
        let records = of_ours(quiet(&mut capture));
        assert!(records.iter().all(|record| record.node != ALICE), "{records:?}");
        lab.change(ALICE, ALICE_ETH0, Unmute).unwrap();
        send(&lab, ALICE, "192.0.2.80", b"probe");
        let seen = datagrams(&quiet(&mut capture));
        assert!(seen.ends_with(&WAY), "{seen:?}");
    }
    capture.close();
}

fn an_unanswered_neighbour_is_pending() {
    let mut lab = Lab::build(&small()).unwrap();
    assert!(!lab.neighbours_pending().unwrap());
    send(&lab, ALICE, "10.0.0.99", b"nobody there");
    assert!(lab.neighbours_pending().unwrap());
}

fn conntrack_shows_a_translation() {
    let mut lab = Lab::build(&small()).unwrap();
    assert_eq!(lab.conntrack(ROUTER).unwrap(), []);
    let rules = "table ip nat { chain post { type nat hook postrouting priority 100; \
                 oifname \"wan\" ct mark set 0x2a masquerade; }; }";
    let status = match lab.command(ROUTER, "nft").unwrap().arg(rules).status() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: there is no nft");
            return;
        }
        status => status.unwrap(),
    };
    assert!(status.success());
    send(&lab, ALICE, "192.0.2.80", b"translate me");
    let entries = lab.conntrack(ROUTER).unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(entry.original.source, address("10.0.0.2"));
    assert_eq!(entry.reply.destination, address("192.0.2.1"));
    assert_eq!((entry.protocol, entry.mark, entry.zone), (17, 0x2a, 0));
    assert_eq!(entry.original.destination_port, 4000);
    assert_ne!(entry.status & conntrack::status::SRC_NAT, 0);
}
