//! `mhlab plan`

use std::fmt::{Display, Write as _};

use harness_model::{
    plan::{self, LabPlan, Layer, NodePlan, Place, Route, RuleAction, Wire},
    topology::{LinkId, Role, Topology},
};

use super::{Exit, Stop, args::Plan, console::Console};
use crate::discover;

pub(super) fn plan(options: &Plan, console: &mut Console) -> Result<Exit, Stop> {
    let scenarios = discover::discover(std::slice::from_ref(&options.file))
        .map_err(|broken| Stop::Findings(broken.render(console.colour_err())))?;
    let [loaded] = scenarios.as_slice() else {
        let (file, number) = (options.file.display(), scenarios.len());
        return Err(Stop::BadInput(format!("{file} has {number} scenarios, expected the file of one")));
    };
    let scenario = &loaded.scenario;
    let plan = plan::build(&scenario.topology, scenario.ipv6);
    let text = if options.json {
        let json = serde_json::to_string_pretty(&plan)
            .map_err(|error| Stop::Cannot(format!("the plan cannot be written as JSON: {error}")))?;
        format!("{json}\n")
    } else {
        readable(&scenario.title, &plan, &scenario.topology)
    };
    console.print(&text)?;
    Ok(Exit::Passed)
}

fn readable(title: &str, plan: &LabPlan, topology: &Topology) -> String {
    let mut out = String::new();
    line(&mut out, 0, title);
    let ipv6 = if plan.ipv6 { "IPv4 and IPv6" } else { "IPv4 only" };
    line(&mut out, 0, format_args!("{}, {ipv6}", plan::summary(plan, topology)));
    let shared = shared_sysctls(plan);
    line(&mut out, 0, "");
    line(&mut out, 0, "every node");
    for (name, value) in &shared {
        line(&mut out, 2, format_args!("sysctl     {name} = {value}"));
    }
    for (node, described) in plan.nodes.iter().zip(&topology.nodes) {
        line(&mut out, 0, "");
        let role = match described.role {
            Role::Host => "host",
            Role::Router => "router",
            Role::Gateway => "gateway",
        };
        line(&mut out, 0, format_args!("{} ({role})", node.name));
        show_node(&mut out, node, plan, topology, &shared);
    }
    line(&mut out, 0, "");
    line(&mut out, 0, "cables");
    for cable in &plan.cables {
        let ends = [&cable.near, &cable.far].map(|end| {
            let place = match end.place {
                Place::Node(at) => plan.nodes.get(at).map(|node| &node.name),
                Place::Switch(at) => plan.switches.get(at).map(|switch| &switch.name),
            };
            format!("{} {} ({})", place.map_or("", String::as_str), end.name, mac(&end.mac))
        });
        let wire = match &cable.wire {
            Wire::Veth => "",
            Wire::Relayed { layer: Layer::Ethernet, .. } => ", through the relay",
            Wire::Relayed { layer: Layer::Ip, .. } => ", point to point through the relay",
        };
        line(&mut out, 2, format_args!("{} - {}, mtu {}{wire}", ends[0], ends[1], cable.mtu));
    }
    if !plan.switches.is_empty() {
        line(&mut out, 0, "switches");
    }
    for switch in &plan.switches {
        line(&mut out, 2, format_args!("{}, mtu {}", switch.name, switch.mtu));
    }
    out
}

/// What is written in every node alike, so that it is told once.
fn shared_sysctls(plan: &LabPlan) -> Vec<(String, String)> {
    let first = plan.nodes.first().map(|node| node.sysctls.clone()).unwrap_or_default();
    first.into_iter().filter(|sysctl| plan.nodes.iter().all(|node| node.sysctls.contains(sysctl))).collect()
}

fn show_node(
    out: &mut String,
    node: &NodePlan,
    plan: &LabPlan,
    topology: &Topology,
    shared: &[(String, String)],
) {
    let device_name = |index: u32| {
        let device = node.devices.iter().find(|device| device.index == index);
        device.map_or_else(|| format!("#{index}"), |device| device.name.clone())
    };
    for device in &node.devices {
        let link = topology.links.get(device.link).map(|_| topology.link(LinkId(device.link)));
        let on = link.map_or("", |link| link.name.as_str());
        line(
            out,
            2,
            format_args!("device     {} #{} on {on}: {}", device.name, device.index, list(&device.addresses)),
        );
    }
    if !node.loopback.is_empty() {
        line(out, 2, format_args!("device     lo: {}", list(&node.loopback)));
    }
    for (name, value) in node.sysctls.iter().filter(|sysctl| !shared.contains(sysctl)) {
        line(out, 2, format_args!("sysctl     {name} = {value}"));
    }
    for route in &node.routes {
        line(out, 2, format_args!("route      {} dev {}", show_route(route), device_name(route.device)));
    }
    for rule in &node.rules {
        let from = rule.from.map_or_else(|| "all".to_owned(), |from| from.to_string());
        let family = if rule.ipv6 { "IPv6" } else { "IPv4" };
        let action = match rule.action {
            RuleAction::Main => "look up in the main table",
            RuleAction::Blackhole => "drop",
        };
        line(
            out,
            2,
            format_args!("rule       {}: {family} from {from} in by {}: {action}", rule.priority, rule.iif),
        );
    }
    for neighbour in &node.neighbours {
        let owner = plan.nodes.iter().find(|other| has_address(other, neighbour.address));
        let owner = owner.map(|owner| format!(" ({})", owner.name)).unwrap_or_default();
        let (address, device) = (neighbour.address, device_name(neighbour.device));
        line(out, 2, format_args!("neighbour  {address}{owner} at {} dev {device}", mac(&neighbour.mac)));
    }
    let services: Vec<String> = node.services.iter().map(ToString::to_string).collect();
    if !services.is_empty() {
        line(out, 2, format_args!("serves     {}", list(&services)));
    }
}

fn has_address(node: &NodePlan, address: std::net::IpAddr) -> bool {
    let mut on_links = node.devices.iter().flat_map(|device| &device.addresses);
    on_links.any(|net| net.addr() == address) || node.loopback.contains(&address)
}

fn show_route(route: &Route) -> String {
    let mut text =
        if route.to.prefix_len() == 0 { format!("default ({})", route.to) } else { route.to.to_string() };
    if let Some(via) = route.via {
        text.push_str(&format!(" via {via}"));
    }
    if route.metric > 0 {
        text.push_str(&format!(" metric {}", route.metric));
    }
    if route.onlink {
        text.push_str(" onlink");
    }
    text
}

fn list(items: &[impl Display]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}

fn mac(bytes: &[u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn line(out: &mut String, indent: usize, text: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}
