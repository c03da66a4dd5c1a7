//! From one ruleset to another that differs in elements only, without touching anything else.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Map, Ruleset, Set, Table, is_interval};

impl Ruleset {
    /// One transaction that turns `present` into this ruleset by adding and deleting elements of sets and maps;
    /// empty when both are the same. Nothing when they differ in more than elements, as when a chain is new: then
    /// only [`super::replacement`] leads there.
    ///
    /// Its cost follows the number of elements that differ, so it is what a change of state takes, such as an
    /// uplink that goes. It trusts that `present` is what the kernel has, where a replacement trusts nobody.
    pub fn update(&self, present: &Self) -> Option<String> {
        let same_sets = present.sets.iter().map(declaration).eq(self.sets.iter().map(declaration));
        let same_maps = present.maps.iter().map(map_declaration).eq(self.maps.iter().map(map_declaration));
        let same_chains = present.chains == self.chains;
        if present.table != self.table
            || present.sticky != self.sticky
            || !same_chains
            || !same_sets
            || !same_maps
        {
            return None;
        }
        let (mut deleted, mut added) = (String::new(), String::new());
        for (Set { name, elements: old, .. }, Set { elements: new, .. }) in
            present.sets.iter().zip(&self.sets)
        {
            let (gone, come) = differing(old, new);
            command(&mut deleted, "delete", self.table, name, gone.into_iter().map(String::as_str));
            command(&mut added, "add", self.table, name, come.into_iter().map(String::as_str));
        }
        for (Map { name, elements: old, .. }, Map { elements: new, .. }) in
            present.maps.iter().zip(&self.maps)
        {
            let (gone, come) = differing(old, new);
            // By key alone, as every version of nft takes it.
            command(&mut deleted, "delete", self.table, name, gone.into_iter().map(|(key, _)| key.as_str()));
            command(
                &mut added,
                "add",
                self.table,
                name,
                come.iter().map(|(key, value)| format!("{key} : {value}")),
            );
        }
        // A key that gets another value is deleted and added, in this order and in the same transaction.
        Some(deleted + &added)
    }
}

fn declaration(set: &Set) -> (&str, &str, bool) {
    (&set.name, set.key, set.interval)
}

fn map_declaration(map: &Map) -> (&str, &str, &str, bool) {
    (&map.name, map.key, map.value, map.elements.iter().any(|(key, _)| is_interval(key)))
}

/// What only the first has, and what only the second has.
fn differing<'a, T: Ord>(old: &'a [T], new: &'a [T]) -> (Vec<&'a T>, Vec<&'a T>) {
    // A few among thousands: whatever is the same at both ends needs no tree.
    let before = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (old.get(before..).unwrap_or_default(), new.get(before..).unwrap_or_default());
    let after = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let old: BTreeSet<&T> = old.iter().take(old.len() - after).collect();
    let new: BTreeSet<&T> = new.iter().take(new.len() - after).collect();
    (old.difference(&new).copied().collect(), new.difference(&old).copied().collect())
}

fn command(
    out: &mut String,
    verb: &str,
    table: Table,
    name: &str,
    elements: impl Iterator<Item = impl AsRef<str>>,
) {
    let elements: Vec<_> = elements.collect();
    if elements.is_empty() {
        return;
    }
    let _ = write!(out, "{verb} element {table} {name} {{ ");
    for (index, element) in elements.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        out.push_str(element.as_ref());
    }
    out.push_str(" }\n");
}

#[cfg(test)]
mod tests;
