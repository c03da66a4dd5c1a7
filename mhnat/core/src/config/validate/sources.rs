//! `source` of an `[[uplink]]`: a word, or an address or a pool of addresses for each family.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::super::raw::OneOrMany;
use super::super::words::nearest;
use super::addresses::{Placed, address, some_words};
use super::uplinks::one_for_each_family;
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::Source;

pub(super) fn sources(
    raw: Option<&Spanned<OneOrMany>>,
    addresses: &[Placed<IpAddr>],
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<Family, Source> {
    let Some(raw) = raw else { return BTreeMap::new() };
    let everywhere = |source| Family::ALL.into_iter().map(|family| (family, source)).collect();
    match raw.get_ref() {
        OneOrMany::One(word) if word == "masquerade" => return everywhere(Source::Masquerade),
        OneOrMany::One(word) if word == "none" => return BTreeMap::new(),
        OneOrMany::One(word) if !word.contains(['.', ':']) => {
            let meant = nearest(word, ["masquerade", "none"].into_iter());
            let label = meant.map_or_else(
                || "expected `masquerade`, `none`, an address or a pool".to_owned(),
                |meant| format!("perhaps `{meant}` was meant"),
            );
            found.push(
                Diagnostic::new(format!("{word:?} is not a source"), raw.span(), label)
                    .hint("expected `masquerade`, `none`, an address, or a list with one for each family"),
            );
            return BTreeMap::new();
        }
        OneOrMany::One(_) | OneOrMany::Many(_) => {}
    }
    let words = some_words(
        raw,
        "`source` names no address",
        "write `source = \"none\"` to leave sources as they are",
        found,
    );
    if let Some(alone) = words.iter().find(|it| matches!(it.value, "masquerade" | "none")) {
        found.push(
            Diagnostic::new(
                format!("`{}` is for both families, so it stands alone", alone.value),
                alone.span.clone(),
                "expected an IPv4 or IPv6 address in this list",
            )
            .hint(format!("write `source = \"{}\"`", alone.value)),
        );
        return BTreeMap::new();
    }
    let given: Vec<(Placed<IpAddr>, Source)> =
        words.iter().filter_map(|word| fixed_or_pool(word, found)).collect();
    let places: Vec<Placed<IpAddr>> = given.iter().map(|(place, _)| place.clone()).collect();
    one_for_each_family(&places, addresses, "source", found);
    given.iter().map(|(place, source)| (Family::of(place.value), *source)).collect()
}

/// One address, `FIRST-LAST`, or a prefix; with its first address.
fn fixed_or_pool(word: &Placed<&str>, found: &mut Vec<Diagnostic>) -> Option<(Placed<IpAddr>, Source)> {
    let complain = |title: String, label: String| Diagnostic::new(title, word.span.clone(), label);
    let (first, last) = if let Some((first, last)) = word.value.split_once('-') {
        let part = |value| Placed { value, span: word.span.clone() };
        let first = address(&part(first.trim()), "the first address of a pool", found);
        let last = address(&part(last.trim()), "the last address of a pool", found);
        (first?.value, last?.value)
    } else if let Ok(net) = word.value.parse::<IpNet>() {
        if net.addr() != net.network() {
            found.push(
                complain(
                    format!("{:?} has bits behind its prefix", word.value),
                    "not the first address of that prefix".to_owned(),
                )
                .hint(format!(
                    "write \"{}\" for the whole prefix, or \"{}\"",
                    net.trunc(),
                    net.addr()
                )),
            );
            return None;
        }
        let part = |value| Placed { value, span: word.span.clone() };
        let first = address(&part(net.network().to_string().as_str()), "the first address of a pool", found)?;
        (first.value, last_of(net))
    } else {
        let it = address(word, "a source address", found)?;
        let source = Source::Fixed(it.value);
        return Some((it, source));
    };
    if Family::of(first) != Family::of(last) {
        found.push(complain(
            format!("{first} and {last} are of two families"),
            "a pool has addresses of one family".to_owned(),
        ));
        return None;
    }
    if first > last {
        found.push(
            complain(
                format!("the pool {first}-{last} is empty"),
                "the first address is the higher".to_owned(),
            )
            .hint(format!("write \"{last}-{first}\"")),
        );
        return None;
    }
    let source = if first == last { Source::Fixed(first) } else { Source::Pool { first, last } };
    Some((Placed { value: first, span: word.span.clone() }, source))
}

/// The last address of a prefix, which for IPv4 would be the broadcast address on a link of its own.
fn last_of(net: IpNet) -> IpAddr {
    match net {
        IpNet::V4(it) => IpAddr::V4(it.broadcast()),
        IpNet::V6(it) => IpAddr::V6(it.broadcast()),
    }
}
