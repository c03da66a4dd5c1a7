//! What an apply would change, as a person reviews it and as a program reads it.
//!
//! The ruleset is compared as text: the one that was applied with the one that would be. Rules and routes are
//! the steps that [`crate::converge`] plans, each as the command of ip(8) that does it behind its sign.

use std::fmt::Write as _;

use serde::Serialize;
use similar::TextDiff;

use crate::converge::{Routing, Step, steps};
use crate::device;
use crate::diagnostic::Colour;
use crate::family::Family;
use crate::routing::{Route, Rule};
use crate::sysctl::{Key, SysctlPlan, Values};

/// One line of change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change", content = "line")]
pub enum Line {
    /// Something that is there and would go.
    Remove(String),
    /// Something that would come.
    Add(String),
}

/// Everything that an apply would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The ruleset as a unified diff, without its two header lines; empty when it stays the same.
    pub ruleset: String,
    /// Whether the loaded table is not the one that was applied, so that `ruleset` compares what nft lists.
    pub altered: bool,
    /// Network devices, as commands of ip(8) and sysctl(8).
    pub devices: Vec<Line>,
    /// Policy rules, as commands of ip(8).
    pub rules: Vec<Line>,
    /// Routes, as commands of ip(8).
    pub routes: Vec<Line>,
    /// Settings, as sysctl(8) prints them.
    pub sysctls: Vec<Line>,
}

impl Changes {
    /// Compares rulesets as text.
    pub fn ruleset(mut self, present: &str, wanted: &str) -> Self {
        self.ruleset = TextDiff::from_lines(present, wanted).unified_diff().to_string();
        self
    }

    /// Compares network devices, given the steps between them.
    pub fn devices(mut self, steps: &device::Steps, present: &device::Present) -> Self {
        self.devices = device::lines(steps, present);
        self
    }

    /// Compares rules and routes.
    pub fn routing(mut self, present: &Routing, wanted: &Routing) -> Self {
        let steps = steps(present, wanted);
        for step in steps.before_ruleset.iter().chain(&steps.after_ruleset) {
            match step {
                Step::AddRoute(route) => self.routes.push(Line::Add(replace(route))),
                Step::ReplaceRoute(route) => {
                    let former = present.routes.iter().find(|it| it.key() == route.key());
                    self.routes.extend(former.map(|it| Line::Remove(delete(it))));
                    self.routes.push(Line::Add(replace(route)));
                }
                Step::DeleteRoute(route) => self.routes.push(Line::Remove(delete(route))),
                Step::AddRule(rule) => self.rules.push(Line::Add(rule_command(rule, "add"))),
                Step::DeleteRule(rule) => self.rules.push(Line::Remove(rule_command(rule, "del"))),
            }
        }
        self
    }

    /// Compares settings: what would be written, and what would be given its former value.
    pub fn sysctls(mut self, plan: &SysctlPlan, current: &Values, kept: &Values) -> Self {
        let written = plan.open.iter().chain(&plan.forward).map(|(key, value)| (key, value.as_str()));
        let restored = plan.obsolete.iter().filter_map(|key| Some((key, kept.get(key)?.as_str())));
        for (key, value) in restored.chain(written) {
            self.setting(key, current.get(key).map(String::as_str), value);
        }
        self
    }

    fn setting(&mut self, key: &Key, current: Option<&str>, value: &str) {
        // What does not exist any more went with its interface.
        let Some(current) = current.filter(|it| *it != value) else { return };
        self.sysctls.push(Line::Remove(format!("{key} = {current}")));
        self.sysctls.push(Line::Add(format!("{key} = {value}")));
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        let Self { ruleset, altered, devices, rules, routes, sysctls } = self;
        ruleset.is_empty() && !altered && [devices, rules, routes, sysctls].into_iter().all(Vec::is_empty)
    }

    /// All of it as text, in the manner of diff(1).
    pub fn text(&self, colour: Colour) -> String {
        let mut out = String::new();
        if self.altered {
            out.push_str("# the loaded table is not the one that was applied: compared as nft lists it\n");
        }
        if !self.ruleset.is_empty() {
            out.push_str(&painted("--- nft: loaded", "\x1b[1m", colour));
            out.push_str(&painted("+++ nft: wanted", "\x1b[1m", colour));
            for line in self.ruleset.lines() {
                let escape = match line.as_bytes().first() {
                    Some(b'-') => "\x1b[31m",
                    Some(b'+') => "\x1b[32m",
                    Some(b'@') => "\x1b[36m",
                    _ => "",
                };
                out.push_str(&painted(line, escape, colour));
            }
        }
        for (title, lines) in [
            ("devices", &self.devices),
            ("policy rules", &self.rules),
            ("routes", &self.routes),
            ("sysctl", &self.sysctls),
        ] {
            if lines.is_empty() {
                continue;
            }
            let _ = writeln!(out, "# {title}");
            for line in lines {
                out.push_str(&match line {
                    Line::Remove(text) => painted(&format!("-{text}"), "\x1b[31m", colour),
                    Line::Add(text) => painted(&format!("+{text}"), "\x1b[32m", colour),
                });
            }
        }
        out
    }
}

fn painted(line: &str, escape: &str, colour: Colour) -> String {
    match colour {
        Colour::Always if !escape.is_empty() => format!("{escape}{line}\x1b[0m\n"),
        Colour::Always | Colour::Never => format!("{line}\n"),
    }
}

const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip -6",
    }
}

fn rule_command(rule: &Rule, verb: &str) -> String {
    format!("{} rule {verb} {rule}", ip(rule.family))
}

fn replace(route: &Route) -> String {
    format!("{} route replace {route}", ip(route.family))
}

fn delete(route: &Route) -> String {
    format!("{} route del {route}", ip(route.family))
}

#[cfg(test)]
mod tests;
