//! Reading addresses, alone or in lists.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use toml::Spanned;

use super::super::raw::OneOrMany;
use crate::diagnostic::Diagnostic;

/// A value with its place in the file.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// The words of a value that may be one or a list, with their places.
pub(super) fn words(value: &Spanned<OneOrMany>) -> Vec<Placed<&str>> {
    match value.get_ref() {
        OneOrMany::One(word) => vec![Placed { value: word.as_str(), span: value.span() }],
        OneOrMany::Many(items) => {
            items.iter().map(|item| Placed { value: item.get_ref().as_str(), span: item.span() }).collect()
        }
    }
}

/// The words of a value that must have some.
pub(super) fn some_words<'a>(
    value: &'a Spanned<OneOrMany>,
    lacks: &str,
    hint: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<Placed<&'a str>> {
    let words = words(value);
    if words.is_empty() {
        found.push(Diagnostic::new(lacks, value.span(), "this list is empty").hint(hint));
    }
    words
}

/// A word that must be the address of one host.
pub(super) fn address(
    word: &Placed<&str>,
    what: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Placed<IpAddr>> {
    let complain = |label: &str| {
        Diagnostic::new(format!("{:?} is not {what}", word.value), word.span.clone(), label.to_owned())
    };
    let parsed = word.value.parse::<IpAddr>();
    let Ok(value) = parsed else {
        found.push(match word.value.parse::<IpNet>() {
            Ok(net) => complain("expected an address without prefix length")
                .hint(format!("write \"{}\"; the interface knows the prefix", net.addr())),
            Err(_) => complain("expected an IPv4 or IPv6 address"),
        });
        return None;
    };
    let wrong = match value {
        _ if value.is_unspecified() => "this is the wildcard address",
        _ if value.is_loopback() => "this is a loopback address",
        _ if value.is_multicast() => "this is a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "this is the broadcast address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "this is an IPv4 address in IPv6 form",
        _ => return Some(Placed { value, span: word.span.clone() }),
    };
    found.push(complain(wrong).hint("expected the address of one host"));
    None
}

/// As [`address`], of a plain string.
pub(super) fn of_string(
    text: &Spanned<String>,
    what: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Placed<IpAddr>> {
    address(&Placed { value: text.get_ref().as_str(), span: text.span() }, what, found)
}

/// Whether an address means something only on one link.
pub(super) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
