//! The plan as a person reviews it: the ruleset as nft takes it, rules and routes as ip(8) takes them.

use std::fmt::Write as _;

use crate::desired::Desired;
use crate::device::VethPair;
use crate::family::Family;
use crate::model::Model;
use crate::nft::Ruleset;
use crate::sysctl::Demand;

/// The whole plan. Every line can be pasted into a shell or into `nft -f`, where `#` starts a comment.
pub fn plan(desired: &Desired) -> String {
    let mut out = String::new();
    let devices = desired.devices.iter().flat_map(VethPair::all_commands);
    section(&mut out, "devices", &devices.map(|it| format!("{it}\n")).collect::<String>());
    section(&mut out, "nft", &desired.ruleset_text());
    for family in Family::ALL {
        let ip = ip_command(family);
        let rules: String = {
            let mut rules: Vec<_> = desired.rules.iter().filter(|rule| rule.family == family).collect();
            rules.sort_by_key(|rule| rule.priority);
            rules.iter().map(|rule| format!("{ip} rule add {rule}\n")).collect()
        };
        section(&mut out, &format!("{family} policy rules"), &rules);
        let routes: String = desired
            .routes
            .iter()
            .filter(|route| route.family == family)
            .map(|route| format!("{ip} route replace {route}\n"))
            .collect();
        section(&mut out, &format!("{family} routes"), &routes);
    }
    let mut demands: Vec<&Demand> = desired.sysctls.iter().collect();
    demands.sort();
    let sysctls: String = demands.iter().map(|demand| format!("{demand}\n")).collect();
    section(&mut out, "sysctl", &sysctls);
    out
}

/// What `mhnat run` gives to conntrackd, as it is written to its file.
pub fn conntrackd(file: Option<&str>) -> String {
    file.map(|it| format!("\n# conntrackd.conf, for `mhnat run`\n{it}")).unwrap_or_default()
}

/// What a plan without a kernel cannot say, as comments.
pub fn notes(model: &Model) -> String {
    let mut out = String::new();
    for uplink in &model.uplinks {
        let what = match (uplink.dynamic.address, uplink.dynamic.gateway) {
            (false, false) => continue,
            (true, false) => "addresses are",
            (false, true) => "gateways are",
            (true, true) => "addresses and gateways are",
        };
        let (name, interface) = (&uplink.name, &uplink.interface);
        let _ = writeln!(out, "# uplink {name}: its {what} read from {interface} when this is applied");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

impl Desired {
    /// All tables as nft text; nothing when all are empty.
    pub fn ruleset_text(&self) -> String {
        let tables: Vec<String> = self.rulesets().map(Ruleset::text).collect();
        tables.join("\n")
    }
}

const fn ip_command(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip -6",
    }
}

fn section(out: &mut String, title: &str, body: &str) {
    if body.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "# {title}");
    out.push_str(body);
}
