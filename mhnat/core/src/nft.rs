//! Our nft tables as data, their text, and the transaction that puts them in the place of others.
//!
//! Only what loads with nft 0.9.8 and later is used: numeric priorities (names such as `dstnat` are not
//! known in every hook), no `destroy`, no wildcards in maps, and a line break before each closing brace.

mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::model::Seconds;

/// A table of ours, known by its family and name. Whatever is in it is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// `inet mhnat`: what this host routes.
    #[default]
    Inet,
    /// `bridge mhnat`: what passes bridges of this host.
    Bridge,
}

impl Table {
    /// Every table of ours, in the order of loading and printing.
    pub const ALL: [Self; 2] = [Self::Inet, Self::Bridge];
}

/// Family and name, as nft takes them after the word `table`.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet mhnat",
            Self::Bridge => "bridge mhnat",
        })
    }
}

/// What names of sets begin with whose content outlives a replacement of the table. Their names tell all that they
/// are, so that one of the same name is the same.
pub const STICKY: &str = "sticky";

/// A set of keys. Ranges and prefixes among them make it one of intervals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Set {
    /// Its name in the table.
    pub name: String,
    /// The nft type of its keys.
    pub key: &'static str,
    /// Whether keys may be ranges or prefixes, whatever is in it now.
    pub interval: bool,
    /// Its keys as nft writes them.
    pub elements: Vec<String>,
}

impl Set {
    /// A set of these keys, of intervals if one of them is.
    pub fn new(name: impl Into<String>, key: &'static str, elements: Vec<String>) -> Self {
        let interval = elements.iter().any(|it| is_interval(it));
        Self { name: name.into(), key, interval, elements }
    }

    /// A set of some keys out of `all` that may ever be in it.
    pub fn within(name: impl Into<String>, key: &'static str, all: &[String], elements: Vec<String>) -> Self {
        Self { name: name.into(), key, interval: all.iter().any(|it| is_interval(it)), elements }
    }
}

/// A set that packets fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StickySet {
    /// Its name in the table, which begins with [`STICKY`] and differs whenever one of the others does.
    pub name: String,
    /// The nft type of its keys.
    pub key: &'static str,
    /// How long a key is kept after it was seen last; for good when not given.
    pub time: Option<Seconds>,
    /// How many keys there is room for.
    pub size: u32,
}

/// A map from keys to values or verdicts. Ranges and prefixes among the keys make it one of intervals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Its name in the table.
    pub name: String,
    /// The nft type of its keys.
    pub key: &'static str,
    /// The nft type of its values, or `verdict`.
    pub value: &'static str,
    /// Keys and values as nft writes them.
    pub elements: Vec<(String, String)>,
}

/// A rule and the role that it has in plain words, unique in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Matches and statement as nft takes them.
    pub text: String,
    /// The comment that the kernel keeps with the rule, at most 128 bytes.
    pub comment: String,
}

/// Where a chain is called from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// The chain type: `filter`, `nat` or `route`.
    pub kind: &'static str,
    /// The netfilter hook.
    pub hook: &'static str,
    /// The priority among all chains of the hook.
    pub priority: i32,
}

/// A chain of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Its name in the table.
    pub name: String,
    /// Where it is called from; nothing when only verdicts lead to it.
    pub hook: Option<Hook>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// The whole content of one table of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ruleset {
    /// Which one.
    pub table: Table,
    /// Sets in the order of printing.
    pub sets: Vec<Set>,
    /// Sets that packets fill, in the order of printing.
    pub sticky: Vec<StickySet>,
    /// Maps in the order of printing.
    pub maps: Vec<Map>,
    /// Chains in the order of printing; those that only verdicts lead to last.
    pub chains: Vec<Chain>,
}

/// What stands in each of our tables that exist.
pub type Inventories = BTreeMap<Table, Inventory>;

/// What stands in one of our tables now, by name: enough to take it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Names of sets.
    pub sets: BTreeSet<String>,
    /// Names of maps.
    pub maps: BTreeSet<String>,
    /// Names of chains that no hook calls.
    pub plain_chains: BTreeSet<String>,
    /// Names of base chains.
    pub base_chains: BTreeSet<String>,
    /// Comments of rules.
    pub comments: BTreeSet<String>,
}

impl Ruleset {
    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// The table as nft text.
    pub fn text(&self) -> String {
        let mut out = format!("table {} {{\n", self.table);
        let mut parts: Vec<String> = Vec::new();
        // First, because a replacement keeps these and makes the others anew: so the listing stays the same.
        parts.extend(self.sticky.iter().map(sticky_text));
        parts.extend(self.sets.iter().map(set_text));
        parts.extend(self.maps.iter().map(map_text));
        parts.extend(self.chains.iter().map(chain_text));
        out.push_str(&parts.join("\n"));
        out.push_str("}\n");
        out
    }

    /// What [`inventories`] finds in its table once this ruleset is loaded.
    pub fn inventory(&self) -> Inventory {
        let names = |base: bool| {
            self.chains
                .iter()
                .filter(|chain| chain.hook.is_some() == base)
                .map(|chain| chain.name.clone())
                .collect()
        };
        Inventory {
            sets: {
                let sticky = self.sticky.iter().map(|set| set.name.clone());
                self.sets.iter().map(|set| set.name.clone()).chain(sticky).collect()
            },
            maps: self.maps.iter().map(|map| map.name.clone()).collect(),
            plain_chains: names(false),
            base_chains: names(true),
            comments: self
                .chains
                .iter()
                .flat_map(|chain| &chain.rules)
                .map(|rule| rule.comment.clone())
                .collect(),
        }
    }
}

/// One transaction that replaces our tables that are there by those of `text`, of which there may be none.
///
/// Base chains that both have stay registered throughout. Deleting and adding a whole table instead lets
/// packets pass between the two, because the kernel registers hooks one by one.
pub fn replacement(present: &Inventories, text: &str) -> String {
    let wanted = inventories(text);
    let mut out = String::new();
    for (table, inventory) in present {
        match wanted.get(table) {
            Some(next) => {
                out.push_str(&inventory.clearing_but(*table, next));
                out.push_str(&declarations(*table, text));
            }
            None => {
                let _ = writeln!(out, "delete table {table}");
            }
        }
    }
    out + text
}

impl Inventory {
    /// Commands that empty the table, keeping only base chains, and sets that packets fill, of the next one.
    fn clearing_but(&self, table: Table, next: &Self) -> String {
        // Rules refer to maps and chains, and elements of verdict maps refer to chains: each goes before what
        // it refers to.
        let mut out = format!("flush table {table}\n");
        for map in &self.maps {
            let _ = writeln!(out, "flush map {table} {map}");
        }
        for map in &self.maps {
            let _ = writeln!(out, "delete map {table} {map}");
        }
        let kept = |set: &&String| set.starts_with(STICKY) && next.sets.contains(*set);
        for set in self.sets.iter().filter(|set| !kept(set)) {
            let _ = writeln!(out, "delete set {table} {set}");
        }
        for chain in self.plain_chains.iter().chain(self.base_chains.difference(&next.base_chains)) {
            let _ = writeln!(out, "delete chain {table} {chain}");
        }
        out
    }
}

/// Commands that declare the sets and maps of a listing, without their elements. nft 0.9.8 crashes when one input
/// deletes a chain and has a set that is new inside of a table's braces.
fn declarations(table: Table, listing: &str) -> String {
    let mut out = String::new();
    let heading = format!("table {table} {{");
    let mut lines = listing.lines().skip_while(|line| **line != heading).skip(1).peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with('}')) {
        // Elements, of which there may be very many, stand further in.
        let Some(line) = line.strip_prefix('\t').filter(|it| !it.starts_with('\t')) else { continue };
        if let [kind @ ("set" | "map"), name, "{"] = line.split(' ').collect::<Vec<_>>()[..] {
            let _ = write!(out, "add {kind} {table} {name} {{");
            let property = |line: &&str| line.starts_with("\t\t") && !line.contains("elements");
            while let Some(property) = lines.next_if(property) {
                let _ = write!(out, " {};", property.trim());
            }
            out.push_str(" }\n");
        }
    }
    out
}

fn elements_text(elements: &[String]) -> String {
    if elements.is_empty() {
        return String::new();
    }
    format!("\t\telements = {{\n\t\t\t{}\n\t\t}}\n", elements.join(",\n\t\t\t"))
}

/// Whether a part of the key is a range or a prefix. Names stand in quotes.
fn is_interval(key: &str) -> bool {
    key.split(" . ").any(|part| !part.starts_with('"') && part.contains(['-', '/']))
}

const INTERVAL: &str = "\t\tflags interval\n";

fn set_text(set: &Set) -> String {
    let Set { name, key, interval, elements } = set;
    let flags = if *interval { INTERVAL } else { "" };
    format!("\tset {name} {{\n\t\ttype {key}\n{flags}{}\t}}\n", elements_text(elements))
}

fn sticky_text(set: &StickySet) -> String {
    let StickySet { name, key, time, size } = set;
    let time = time.map_or_else(String::new, |it| format!(",timeout\n\t\ttimeout {it}"));
    format!("\tset {name} {{\n\t\ttype {key}\n\t\tsize {size}\n\t\tflags dynamic{time}\n\t}}\n")
}

fn map_text(map: &Map) -> String {
    let Map { name, key, value, elements } = map;
    let flags = if elements.iter().any(|(key, _)| is_interval(key)) { INTERVAL } else { "" };
    let elements: Vec<String> = elements.iter().map(|(key, value)| format!("{key} : {value}")).collect();
    format!("\tmap {name} {{\n\t\ttype {key} : {value}\n{flags}{}\t}}\n", elements_text(&elements))
}

fn chain_text(chain: &Chain) -> String {
    let mut out = format!("\tchain {} {{\n", chain.name);
    if let Some(Hook { kind, hook, priority }) = chain.hook {
        let _ = writeln!(out, "\t\ttype {kind} hook {hook} priority {priority}; policy accept;");
    }
    for rule in &chain.rules {
        let _ = writeln!(out, "\t\t{} comment \"{}\"", rule.text, rule.comment);
    }
    out.push_str("\t}\n");
    out
}

/// Reads the names out of what `nft list table` prints, of any number of tables; those that are not ours are
/// passed over.
///
/// Names and comments are all that is taken from it: nft does not print every rule the way that it reads it.
pub fn inventories(listing: &str) -> Inventories {
    let mut found = Inventories::new();
    let mut current: Option<Table> = None;
    let mut chain: Option<String> = None;
    for line in listing.lines() {
        if let Some(rest) = line.strip_prefix("table ") {
            let name = rest.trim_end_matches('{').trim();
            current = Table::ALL.into_iter().find(|table| table.to_string() == name);
            continue;
        }
        // Elements, of which there may be very many.
        let Some(table) = current.filter(|_| !line.starts_with("\t\t\t")) else { continue };
        let inventory = found.entry(table).or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match (line.starts_with('\t') && !line.starts_with("\t\t"), words.as_slice()) {
            (true, ["set", name, "{"]) => {
                inventory.sets.insert((*name).to_owned());
            }
            (true, ["map", name, "{"]) => {
                inventory.maps.insert((*name).to_owned());
            }
            (true, ["chain", name, "{"]) => {
                inventory.plain_chains.insert((*name).to_owned());
                chain = Some((*name).to_owned());
            }
            (false, ["type", _, "hook", ..]) => {
                if let Some(name) = chain.take() {
                    inventory.plain_chains.remove(&name);
                    inventory.base_chains.insert(name);
                }
            }
            _ => {}
        }
        if let Some((_, comment)) = line.rsplit_once(" comment \"") {
            inventory.comments.insert(comment.trim_end_matches('"').to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests;
