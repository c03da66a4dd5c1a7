//! Settings and neighbours on a host that will bite, found from facts alone.
//!
//! The shell gathers [`Facts`] and changes nothing; [`audit`] decides what of them matters. Every finding carries
//! its evidence and what to do about it. What could not be read is not a finding, and is said apart.

mod others;
mod settings;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::family::Family;
use crate::host::Host;
use crate::model::Model;

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Kernel settings by their path below /proc/sys.
    pub settings: BTreeMap<String, String>,
    /// Devices that are bridges.
    pub bridges: Vec<String>,
    /// Addresses, and what others have by way of rules and routes.
    pub host: Host,
    /// Rules of other packet filters, a line each.
    pub foreign: Vec<ForeignRule>,
    /// The nft program.
    pub nft: NftProgram,
    /// Things that rulesets need and the kernel refuses, with its words.
    pub refused: Vec<(String, String)>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// A line of another ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForeignRule {
    /// Table and chain, in the words of its program.
    pub place: String,
    /// The rule.
    pub text: String,
}

/// What was found of the nft program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NftProgram {
    /// It was not looked for, or did not tell its version.
    #[default]
    Unknown,
    /// There is none.
    Missing,
    /// Its version.
    Version(u32, u32, u32),
}

/// How bad it is; worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It does not work.
    Error,
    /// It will bite.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name, which stays the same in later versions.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in a sentence.
    pub title: String,
    /// The values, and where they stand.
    pub evidence: Vec<String>,
    /// A command, or what to change in which file.
    pub remedy: String,
}

/// All findings, the worst first.
pub fn audit(facts: &Facts, model: Option<&Model>) -> Vec<Finding> {
    let mut found = Vec::new();
    settings::add(&mut found, facts, model);
    others::add(&mut found, facts, model);
    found.sort_by(|a, b| (a.severity, a.id, &a.evidence).cmp(&(b.severity, b.id, &b.evidence)));
    found
}

impl Facts {
    fn number(&self, path: &str) -> Option<u64> {
        self.settings.get(path)?.trim().parse().ok()
    }

    /// The greater of the value for all and that of the interface, which is what the kernel heeds for most
    /// settings (Documentation/networking/ip-sysctl.rst).
    fn greater(&self, family: Family, interface: &str, setting: &str) -> Option<u64> {
        let all = self.number(&path(family, "all", setting))?;
        Some(all.max(self.number(&path(family, interface, setting))?))
    }
}

fn path(family: Family, interface: &str, setting: &str) -> String {
    crate::sysctl::Key::of_interface(family, interface, setting).path().to_owned()
}

/// The findings for a person.
pub fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for it in findings {
        let severity = match it.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        out.push_str(&format!("{severity}: {} [{}]\n", it.title, it.id));
        for evidence in &it.evidence {
            out.push_str(&format!("  found   {evidence}\n"));
        }
        out.push_str(&format!("  remedy  {}\n", it.remedy));
    }
    out
}

#[cfg(test)]
mod tests;
