//! Findings about kernel settings, the nft program and the kernel's abilities.

use std::collections::BTreeMap;

use super::{Facts, Finding, NftProgram, Severity, path};
use crate::family::Family;
use crate::model::{Model, Source};
use crate::routing::TableId;

/// The oldest nft that loads our rulesets.
const OLDEST: (u32, u32, u32) = (0, 9, 8);

/// `RTPROT_KERNEL` and `RTPROT_RA` (linux/rtnetlink.h).
const BY_KERNEL: u8 = 2;
const BY_ADVERTISEMENT: u8 = 9;

pub(super) fn add(found: &mut Vec<Finding>, facts: &Facts, model: Option<&Model>) {
    program(found, facts);
    for (what, words) in &facts.refused {
        found.push(Finding {
            id: "kernel-feature",
            severity: Severity::Error,
            title: format!("the kernel does not have what {what} needs"),
            evidence: vec![words.clone()],
            remedy: "load the module, or use a kernel that has it".to_owned(),
        });
    }
    connection_tracking(found, facts, model);
    bridge(found, facts);
    address_resolution(found, facts);
    advertisements(found, facts);
    if let Some(model) = model {
        reverse_path(found, facts, model);
        secondaries(found, facts, model);
    }
}

fn program(found: &mut Vec<Finding>, facts: &Facts) {
    let (title, evidence) = match facts.nft {
        NftProgram::Unknown => return,
        NftProgram::Version(a, b, c) if (a, b, c) >= OLDEST => return,
        NftProgram::Version(a, b, c) => {
            ("the nft program is too old for mhnat's rulesets", format!("nft --version: {a}.{b}.{c}"))
        }
        NftProgram::Missing => ("there is no nft program", "nowhere in PATH, /usr/sbin and /sbin".to_owned()),
    };
    found.push(Finding {
        id: "nft-program",
        severity: Severity::Error,
        title: title.to_owned(),
        evidence: vec![evidence],
        remedy: "install nftables 0.9.8 or later".to_owned(),
    });
}

fn connection_tracking(found: &mut Vec<Finding>, facts: &Facts, model: Option<&Model>) {
    let (count, max) = ("net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max");
    if let (Some(count_now), Some(max_now)) = (facts.number(count), facts.number(max))
        && max_now > 0
        && count_now.saturating_mul(100) >= max_now.saturating_mul(80)
    {
        let full = count_now.saturating_mul(100) >= max_now.saturating_mul(95);
        found.push(Finding {
            id: "conntrack-full",
            severity: if full { Severity::Error } else { Severity::Warning },
            title: "the connection tracking table is nearly full: new connections will be dropped".to_owned(),
            evidence: vec![format!("{count} = {count_now}"), format!("{max} = {max_now}")],
            remedy: format!("sysctl -w {max}={}", max_now.saturating_mul(2)),
        });
    }
    let loose = "net/netfilter/nf_conntrack_tcp_loose";
    let translating = model.map_or(0, |model| {
        let translates = |it: &crate::model::Leg| it.source != Source::Unchanged;
        model.uplinks.iter().filter(|it| it.legs.values().any(translates)).count()
    });
    if translating > 1 && facts.number(loose) == Some(1) {
        found.push(Finding {
            id: "tcp-loose",
            severity: Severity::Note,
            title: "a TCP connection that was forgotten is picked up in its middle, with a new source: its \
                    server answers with a reset"
                .to_owned(),
            evidence: vec![format!("{loose} = 1")],
            remedy: format!("sysctl -w {loose}=0, if such packets should be invalid instead"),
        });
    }
}

fn bridge(found: &mut Vec<Finding>, facts: &Facts) {
    // The setting is on wherever the module is, and means nothing without a bridge.
    if facts.bridges.is_empty() {
        return;
    }
    let mut on: Vec<String> = ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"]
        .into_iter()
        .filter(|it| facts.number(it) == Some(1))
        .map(|it| format!("{it} = 1"))
        .collect();
    if let Some(first) = on.first().cloned() {
        on.push(format!("bridges: {}", facts.bridges.join(", ")));
        found.push(Finding {
            id: "bridge-netfilter",
            severity: Severity::Warning,
            title: "bridged packets pass the IP hooks, and are marked and translated as if they were routed"
                .to_owned(),
            remedy: format!("sysctl -w {}0", first.trim_end_matches('1').replace(" = ", "=")),
            evidence: on,
        });
    }
}

/// Two interfaces in one prefix answer for each other's addresses.
fn address_resolution(found: &mut Vec<Finding>, facts: &Facts) {
    let mut shared: BTreeMap<ipnet::IpNet, Vec<&str>> = BTreeMap::new();
    for route in &facts.host.routes {
        if route.table == TableId::MAIN && route.protocol == BY_KERNEL && route.to.addr().is_ipv4() {
            let devices = shared.entry(route.to).or_default();
            devices.extend(route.hops.iter().map(|it| it.device.as_str()));
        }
    }
    for (prefix, devices) in shared.iter().filter(|(_, devices)| devices.len() > 1) {
        let mut evidence = vec![format!("{prefix} is on {}", devices.join(", "))];
        for device in devices {
            for (setting, wanted) in [("arp_ignore", 1), ("arp_announce", 2)] {
                match facts.greater(Family::V4, device, setting) {
                    Some(value) if value < wanted => {
                        evidence.push(format!("{} = {value} in effect", path(Family::V4, device, setting)));
                    }
                    _ => {}
                }
            }
        }
        if evidence.len() > 1 {
            found.push(Finding {
                id: "arp-flux",
                severity: Severity::Warning,
                title: "interfaces in one prefix answer ARP for each other: packets come in by the wrong one"
                    .to_owned(),
                evidence,
                remedy: "sysctl -w net/ipv4/conf/all/arp_ignore=1 net/ipv4/conf/all/arp_announce=2"
                    .to_owned(),
            });
        }
    }
}

/// A default route from an advertisement is no longer renewed when the host forwards.
fn advertisements(found: &mut Vec<Finding>, facts: &Facts) {
    for route in &facts.host.routes {
        let Some(device) = route.hops.first().map(|it| it.device.as_str()) else { continue };
        let advertised = route.protocol == BY_ADVERTISEMENT && route.to.prefix_len() == 0;
        let forwards = facts.greater(Family::V6, device, "forwarding").is_some_and(|it| it > 0);
        let accept = path(Family::V6, device, "accept_ra");
        if advertised && forwards && facts.number(&accept) == Some(1) {
            found.push(Finding {
                id: "accept-ra",
                severity: Severity::Warning,
                title: format!(
                    "the default route by {device} is not renewed: a host that forwards ignores router \
                                advertisements unless accept_ra is 2"
                ),
                evidence: vec![format!("{accept} = 1"), format!("{route}")],
                remedy: format!("sysctl -w {accept}=2"),
            });
        }
    }
}

fn reverse_path(found: &mut Vec<Finding>, facts: &Facts, model: &Model) {
    for uplink in model.uplinks.iter().filter(|it| it.legs.contains_key(&Family::V4)) {
        let interface = uplink.interface.as_str();
        if facts.greater(Family::V4, interface, "rp_filter") != Some(1) {
            continue;
        }
        let (all, own) = (path(Family::V4, "all", "rp_filter"), path(Family::V4, interface, "rp_filter"));
        let value = |path: &str| format!("{path} = {}", facts.number(path).unwrap_or_default());
        let remedy = format!("sysctl -w {own}=2 (mhnat apply does so)");
        found.push(Finding {
            id: "rp-filter",
            severity: Severity::Warning,
            title: format!(
                "packets that come by uplink {} from where the best route does not point are dropped",
                uplink.name
            ),
            // The kernel uses the greater of the two.
            evidence: vec![value(&all), value(&own)],
            remedy: remedy.clone(),
        });
        if facts.greater(Family::V4, interface, "src_valid_mark") == Some(0) {
            let mark = path(Family::V4, interface, "src_valid_mark");
            found.push(Finding {
                id: "src-valid-mark",
                severity: Severity::Warning,
                title: format!("strict reverse path filtering on uplink {} does not heed marks", uplink.name),
                evidence: vec![format!("{mark} = 0 in effect"), value(&own)],
                remedy,
            });
        }
    }
}

/// Without promotion, the first address takes the others of its prefix with it when it goes.
fn secondaries(found: &mut Vec<Finding>, facts: &Facts, model: &Model) {
    for uplink in &model.uplinks {
        let interface = uplink.interface.as_str();
        let several = uplink.legs.get(&Family::V4).filter(|leg| leg.addresses.len() > 1);
        if let Some(leg) = several
            && facts.greater(Family::V4, interface, "promote_secondaries") == Some(0)
        {
            let setting = path(Family::V4, interface, "promote_secondaries");
            let addresses: Vec<String> = leg.addresses.iter().map(ToString::to_string).collect();
            found.push(Finding {
                id: "promote-secondaries",
                severity: Severity::Warning,
                title: format!(
                    "when the first address of {interface} is removed, the kernel removes the others of \
                                its prefix with it"
                ),
                evidence: vec![
                    format!("{setting} = 0 in effect"),
                    format!("addresses {}", addresses.join(", ")),
                ],
                remedy: format!("sysctl -w {setting}=1"),
            });
        }
    }
}
