//! Names that a file may give to nodes, links and interfaces.

use super::internet;
use crate::{
    diagnostic::Diagnostic,
    scenario::{Findings, spanned::At},
};

/// What a name is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It becomes a namespace's host name and a word of reports.
    Node,
    /// It stands in expectations only.
    Link,
    /// It becomes a device.
    Interface,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Kind::Node => "a node's name",
            Kind::Link => "a link's name",
            Kind::Interface => "an interface's name",
        }
    }

    /// Most bytes. The kernel's limit for devices (IFNAMSIZ, include/uapi/linux/if.h) does for nodes as well: others
    /// name devices after them.
    fn longest(self) -> usize {
        match self {
            Kind::Node | Kind::Interface => 15,
            Kind::Link => 32,
        }
    }
}

/// Checks a name against what the kernel takes and a shell needs no quotes for.
pub(super) fn check(name: &At<String>, kind: Kind, findings: &mut Findings) {
    let text = name.value.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let what = kind.text();
    let cannot = format!("`{text}` cannot be {what}");
    let finding = if text.is_empty() {
        Diagnostic::new(&name.span, format!("{what} cannot be empty"), "expected a word")
    } else if let Some(wrong) = text.chars().find(|c| !plain(*c)) {
        let label = format!("has {wrong:?}, expected letters, digits, `-`, `_` or `.`");
        let replaced: String = text.chars().map(|c| if plain(c) { c } else { '-' }).collect();
        Diagnostic::new(&name.span, cannot, label).hint(format!("such as `{replaced}`"))
    } else if text.starts_with(['-', '.']) {
        Diagnostic::new(&name.span, cannot, "expected a letter or a digit first")
    } else if text.len() > kind.longest() {
        let label = format!("has {} characters, expected at most {}", text.len(), kind.longest());
        let finding = Diagnostic::new(&name.span, format!("`{text}` is too long for {what}"), label);
        if kind == Kind::Link {
            finding
        } else {
            finding.hint("the kernel gives a device's name 15 characters")
        }
    } else if kind == Kind::Interface && text == "lo" {
        Diagnostic::new(&name.span, cannot, "every node has a loopback device `lo`")
            .hint("give addresses of its own to the node with `loopback`")
    } else if kind != Kind::Interface && text == internet::NAME {
        Diagnostic::new(&name.span, cannot, "this is the name of the core between providers and far hosts")
            .hint("say `on = \"internet\"` or `to = \"internet\"` to connect to it")
    } else {
        return;
    };
    findings.push(finding);
}
