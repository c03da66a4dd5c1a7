use std::fmt::Write as _;

use rstest::rstest;
use serde::Deserialize;

use super::expand;
use crate::{
    diagnostic::render,
    scenario::raw::Raw,
    topology::{LinkId, Routing, Topology},
};

/// What a topology says, on as few lines as a person can read.
fn text(topology: &Topology) -> String {
    let mut text = String::new();
    for link in &topology.links {
        let ends = link.ends.iter().map(|(node, at)| {
            let node = topology.node(*node);
            format!("{}:{}", node.name, node.interfaces[*at].name)
        });
        let gateway =
            link.gateway.map_or(String::new(), |node| format!(", gateway {}", topology.node(node).name));
        let _ = writeln!(
            text,
            "link {} {:?}: {}{gateway}",
            link.name,
            link.prefixes,
            ends.collect::<Vec<_>>().join(" ")
        );
    }
    for node in &topology.nodes {
        let forwards = if node.forward { ", forwards" } else { "" };
        let _ = writeln!(text, "{:?} {}{forwards}", node.role, node.name);
        for interface in &node.interfaces {
            let link = &topology.link(LinkId(interface.link.0)).name;
            let _ = writeln!(text, "  {} on {link}: {:?}", interface.name, interface.addresses);
        }
        for address in &node.loopback {
            let _ = writeln!(text, "  lo: {address}");
        }
        if let Routing::Static(routes) = &node.routing {
            for route in routes {
                let _ = writeln!(text, "  route {} via {} metric {}", route.to, route.via, route.metric);
            }
        }
        for ingress in &node.ingress {
            let _ =
                writeln!(text, "  {} admits {:?}", node.interfaces[ingress.interface].name, ingress.admits);
        }
        for delegation in &node.delegations {
            let _ =
                writeln!(text, "  {} by {}", delegation.prefix, node.interfaces[delegation.interface].name);
        }
        for service in &node.services {
            let _ = writeln!(text, "  serves {service}");
        }
    }
    text
}

fn expanded(body: &str) -> String {
    let source = format!("title = \"t\"\n{body}\n[subject]\non = \"x\"\nvariant = {{}}\n");
    let raw = Raw::deserialize(toml::de::Deserializer::parse(&source).unwrap()).unwrap();
    let mut findings = Vec::new();
    let (topology, _) = expand(&raw, &mut findings);
    assert!(findings.is_empty(), "{}", render("preset", &source, &findings, false));
    text(&topology)
}

#[rstest]
#[case::lan(
    "[lan]\na = { prefix = [\"10.0.0.0/24\", \"fd00::/64\"], gateway = \"r\" }\n[router]\nr = { on = \"a\" }\n[host]\nh = { on = \"a\" }\nk = { on = \"a\", address = \"10.0.0.10\" }\n"
)]
#[case::isp(
    "[isp]\np = { prefix = \"192.0.2.0/24\", filter = \"source\", routes = \"203.0.113.0/28\" }\nq = { prefix = \"198.51.100.0/30\", to = \"core\" }\n[lan.core]\nprefix = \"10.0.0.0/24\"\n"
)]
#[case::vpn(
    "[vpn]\nv = { prefix = \"10.1.0.0/24\", admits = [\"203.0.113.1\", \"10.1.0.0/25\"], to = \"far\" }\n[lan.far]\nprefix = \"10.2.0.0/24\"\n"
)]
#[case::internet(
    "[internet]\naddress = \"8.8.8.8\"\n[host]\na = { on = \"internet\", address = \"203.0.113.1\" }\nb = { on = [\"internet\", \"l\"], address = [\"2001:db8::1\", \"10.0.0.3\"] }\nc = { on = \"internet\" }\n[router]\nr = { on = [\"l\", \"internet\"] }\n[lan.l]\nprefix = \"10.0.0.0/24\"\n"
)]
#[case::gateway(
    "[lan.home]\nprefix = \"10.0.0.0/24\"\n[isp]\np = { prefix = [\"192.0.2.0/24\", \"2001:db8:1::/64\"] }\nq = { prefix = \"198.51.100.0/24\" }\n[gateway.g]\nlan = { eth0 = \"home\" }\nuplink = { wan1 = \"q\", wan0 = \"p\" }\naddress = { wan0 = [\"192.0.2.7\", \"192.0.2.8\"] }\ndefault = [\"q\", \"p\"]\nserve = [\"udp/53 echo\"]\n"
)]
#[case::plain(
    "[node]\na = { interface = { eth0 = [\"10.0.0.1/24\", \"fd00::1/64\"] }, route = [{ to = \"default\", via = \"10.0.0.2\", metric = 7 }], loopback = \"9.9.9.9\" }\nb = { interface = { x = \"10.0.0.2/24\" }, forward = true }\n[[link]]\nends = [\"a:eth0\", \"b:x\"]\nmtu = 1400\n"
)]
fn presets_stand_for_plain_nodes_and_links(#[case] body: &str) {
    let thread = std::thread::current();
    let name = thread.name().and_then(|name| name.rsplit("case_").next()).unwrap_or_default();
    let name = name.split_once('_').map_or(name, |(_, name)| name).to_owned();
    insta::assert_snapshot!(name, expanded(body));
}

#[test]
fn a_named_address_is_given_to_nobody_else() {
    let text = expanded(
        "[lan.l]\nprefix = \"10.0.0.0/24\"\n[host]\nfirst = { on = \"l\" }\nsecond = { on = \"l\", address = \"10.0.0.10\" }\n[router]\nr = { on = \"l\" }\n",
    );
    assert!(text.contains("Host first\n  eth0 on l: [10.0.0.11/24]"), "{text}");
}

#[test]
fn a_segment_may_lie_where_links_without_prefix_get_their_addresses() {
    let text =
        expanded("[lan.l]\nprefix = \"198.18.0.0/24\"\n[router]\nr = { on = [\"l\", \"internet\"] }\n");
    assert!(text.contains("eth1 on r-internet: [198.18.1.0/32]"), "{text}");
}

#[test]
fn segments_that_leave_no_address_for_the_internet_are_reported_and_not_searched_for_ever() {
    for prefix in ["0.0.0.0/0", "198.0.0.0/8", "::/0", "2001::/16"] {
        let source = format!(
            "title = \"t\"\nlan.l.prefix = \"{prefix}\"\nhost.h.on = \"internet\"\nhost.k = {{ on = \"internet\", address = [\"203.0.113.1\", \"2001:db8::1\"] }}\nsubject = {{ on = \"h\", variant = {{}} }}\n"
        );
        let raw = Raw::deserialize(toml::de::Deserializer::parse(&source).unwrap()).unwrap();
        let mut findings = Vec::new();
        expand(&raw, &mut findings);
        let told: Vec<_> =
            findings.iter().filter(|finding| finding.message.contains("is left for")).collect();
        assert_eq!(told.len(), 1, "{prefix}: {}", render("preset", &source, &findings, false));
    }
}
