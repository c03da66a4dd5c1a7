//! `[arp-filter]`: devices and addresses, each once.

use std::collections::BTreeSet;

use toml::Spanned;

use super::super::raw;
use super::addresses::of_string;
use super::uplinks::interface;
use crate::diagnostic::Diagnostic;
use crate::model::ArpFilter;

pub(super) fn arp_filter(
    raw: Option<&Spanned<raw::ArpFilter>>,
    found: &mut Vec<Diagnostic>,
) -> Option<ArpFilter> {
    let raw = raw?.get_ref();
    let devices = each(raw.devices.as_ref(), "device", interface, found);
    let addresses = each(
        raw.addresses.as_ref(),
        "address",
        |text, found| of_string(text, "an address that nodes share", found).map(|it| it.value),
        found,
    );
    Some(ArpFilter { devices, addresses })
}

/// The items of a list that must not be empty, without repetitions.
fn each<T: Ord>(
    list: Option<&Spanned<Vec<Spanned<String>>>>,
    what: &str,
    read: impl Fn(&Spanned<String>, &mut Vec<Diagnostic>) -> Option<T>,
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<T> {
    let mut out = BTreeSet::new();
    let Some(list) = list else { return out };
    if list.get_ref().is_empty() {
        found.push(
            Diagnostic::new(format!("`arp-filter` has no {what}"), list.span(), "this list is empty")
                .hint("leave `[arp-filter]` out where no address is shared"),
        );
    }
    for text in list.get_ref() {
        let Some(item) = read(text, found) else { continue };
        if !out.insert(item) {
            found.push(Diagnostic::new(
                format!("{what} {} is listed twice", text.get_ref()),
                text.span(),
                "given again here",
            ));
        }
    }
    out
}
