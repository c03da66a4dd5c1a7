//! `prefixes` and `prefixes-file` of an `[[uplink]]`: destinations that use it while it is up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use toml::Spanned;

use super::super::{MAX_PREFIX_FILE_BYTES, Named, raw};
use super::uplinks::Known;
use crate::diagnostic::{Diagnostic, Excerpt};
use crate::family::Family;
use crate::model::Leg;

/// How many lines of one file are complained about: the others are likely wrong for the same reason.
const MAX_COMPLAINTS: usize = 10;

/// How much of a line is shown, in characters.
const MAX_SHOWN: usize = 120;

/// A prefix and the place in the configuration that it comes from.
pub(super) struct Given {
    pub(super) net: IpNet,
    pub(super) span: Range<usize>,
}

/// Everything that both words give.
pub(super) fn prefixes(
    raw: &raw::Uplink,
    legs: &BTreeMap<Family, Leg>,
    named: &Named<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for text in raw.prefixes.iter().flat_map(|list| list.get_ref()) {
        match prefix(text.get_ref(), legs) {
            Ok(net) => given.push(Given { net, span: text.span() }),
            Err(Wrong { title, label, hint, follows_from }) => {
                let complaint = Diagnostic::new(title, text.span(), label).follows_from(follows_from);
                found.push(match hint {
                    Some(hint) => complaint.hint(hint),
                    None => complaint,
                });
            }
        }
    }
    if let Some(name) = &raw.prefixes_file {
        given.extend(from_file(name, legs, named, found));
    }
    given
}

/// Two uplinks may share a prefix when their metrics say which of them is preferred.
pub(super) fn shared(known: &[Known], found: &mut Vec<Diagnostic>) {
    let mut first: BTreeMap<(IpNet, Option<u32>), (usize, &Given)> = BTreeMap::new();
    let mut owners: BTreeMap<IpNet, (usize, &Given)> = BTreeMap::new();
    for (index, it) in known.iter().enumerate() {
        for given in &it.prefixes {
            let metric = it.uplink.metric;
            let same = first.insert((given.net, metric), (index, given)).filter(|(other, _)| *other != index);
            let other = owners.insert(given.net, (index, given)).filter(|(other, _)| *other != index);
            let ranked = |other: usize| {
                metric.is_some() && known.get(other).is_some_and(|it| it.uplink.metric.is_some())
            };
            let rival = same.or_else(|| other.filter(|(other, _)| !ranked(*other)));
            let Some((_, rival)) = rival else { continue };
            found.push(
                Diagnostic::new(
                    format!("two uplinks have the prefix {}", given.net),
                    given.span.clone(),
                    "given again here",
                )
                .related(rival.span.clone(), "given first here")
                .hint("give both uplinks a `metric`: the lower one that is up is used")
                .follows_from(&["metric"]),
            );
        }
    }
}

/// What is wrong with a prefix, wherever it stands.
struct Wrong {
    title: String,
    label: &'static str,
    hint: Option<String>,
    follows_from: &'static [&'static str],
}

fn prefix(text: &str, legs: &BTreeMap<Family, Leg>) -> Result<IpNet, Wrong> {
    let wrong = |label, hint: Option<String>| Wrong {
        title: format!("{text:?} cannot be a destination"),
        label,
        hint,
        follows_from: &[],
    };
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (_, Ok(address)) => IpNet::from(address),
        _ => {
            return Err(wrong(
                "expected an IPv4 or IPv6 prefix",
                Some("for example 196.21.0.0/19".to_owned()),
            ));
        }
    };
    if net.addr() != net.network() {
        return Err(wrong("there are bits behind the prefix", Some(format!("write {}", net.trunc()))));
    }
    if net.prefix_len() == 0 {
        let hint = "a `metric` makes the uplink a default route".to_owned();
        return Err(wrong("this is everything", Some(hint)));
    }
    let first = net.network();
    let local = match first {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    };
    if first.is_multicast() || first.is_loopback() || local {
        return Err(wrong("such addresses are never routed by an uplink", None));
    }
    let family = Family::of(first);
    if !legs.is_empty() && !legs.contains_key(&family) {
        return Err(Wrong {
            title: format!("the uplink has no {family} address"),
            label: "this prefix is of that family",
            hint: Some(format!("add this host's {family} address there to `address`")),
            follows_from: &["address", "gateway"],
        });
    }
    Ok(net)
}

fn from_file(
    name: &Spanned<String>,
    legs: &BTreeMap<Family, Leg>,
    named: &Named<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Given> {
    let path = name.get_ref();
    let mut refuse = |why: String, hint: &str| {
        let title = format!("cannot use {path:?} as a list of prefixes");
        found.push(Diagnostic::new(title, name.span(), why).hint(hint));
        Vec::new()
    };
    let bytes = match named(path) {
        Ok(bytes) => bytes,
        Err(why) => return refuse(why, "the path is relative to the configuration file"),
    };
    if bytes.len() > MAX_PREFIX_FILE_BYTES {
        let why = format!("it is larger than {} MiB", MAX_PREFIX_FILE_BYTES >> 20);
        return refuse(why, "routes of the whole Internet are the work of a routing daemon");
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(error) => {
            let before = bytes.iter().take(error.valid_up_to());
            let line = 1 + before.filter(|byte| **byte == b'\n').count();
            return refuse(format!("line {line} is not UTF-8 text"), "expected one prefix a line");
        }
    };
    let (given, complaints) = lines(text, path, &name.span(), legs);
    let surplus = complaints.len().saturating_sub(MAX_COMPLAINTS);
    found.extend(complaints.into_iter().take(MAX_COMPLAINTS));
    if surplus > 0 {
        let title = format!("{surplus} more lines of {path:?} are wrong");
        found.push(Diagnostic::new(title, name.span(), "named here"));
    }
    given
}

fn lines(
    text: &str,
    path: &str,
    named: &Range<usize>,
    legs: &BTreeMap<Family, Leg>,
) -> (Vec<Given>, Vec<Diagnostic>) {
    let (mut given, mut complaints) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.split('#').next().unwrap_or_default();
        let word = content.trim();
        if word.is_empty() {
            continue;
        }
        match prefix(word, legs) {
            Ok(net) => given.push(Given { net, span: named.clone() }),
            Err(Wrong { title, label, hint, follows_from }) => {
                let start = content.len() - content.trim_start().len();
                let complaint = Diagnostic::new(title, named.clone(), "named here")
                    .within(Excerpt {
                        path: path.to_owned(),
                        line: number,
                        text: line.chars().take(MAX_SHOWN).collect(),
                        span: start..start + word.len(),
                        label: label.to_owned(),
                    })
                    .follows_from(follows_from);
                complaints.push(match hint {
                    Some(hint) => complaint.hint(hint),
                    None => complaint,
                });
            }
        }
    }
    (given, complaints)
}

#[cfg(test)]
mod tests;
