//! `[replies]`: a technique for each protocol, and the interfaces that it works on.

use std::collections::BTreeSet;

use toml::Spanned;

use super::super::raw;
use super::super::words::{alternatives, nearest};
use super::looped;
use super::uplinks::{Known, interface};
use crate::diagnostic::Diagnostic;
use crate::model::{Replies, UdpReplies};
use crate::name::IfName;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Technique {
    Mark,
    Redirect,
    Loop,
}

pub(super) fn replies(
    raw: Option<&Spanned<raw::Replies>>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Replies {
    let mut out = Replies { udp: None, tcp: BTreeSet::new() };
    let Some(spanned) = raw else { return out };
    let raw = spanned.get_ref();
    if raw.udp.is_none() && raw.tcp.is_none() {
        found.push(
            Diagnostic::new("`replies` names no protocol", spanned.span(), "needs `udp`, `tcp` or both")
                .hint("for example `udp = \"mark\"`")
                .follows_from(&["udp", "tcp"]),
        );
    }
    let udp = raw.udp.as_ref().and_then(|it| Some((it, technique(it, found)?)));
    let tcp = raw.tcp.as_ref().and_then(|it| Some((it, technique(it, found)?)));
    let on = interfaces(raw, spanned, uplinks, found);
    match udp {
        Some((_, Technique::Mark)) => out.udp = Some(UdpReplies::Mark(on.clone())),
        Some((text, Technique::Redirect)) => {
            one_way_out(text, &on, uplinks, found);
            out.udp = Some(UdpReplies::Redirect(on.clone()));
        }
        Some((text, Technique::Loop)) => {
            out.udp = looped::looped(text, raw, on.clone(), uplinks, found).map(UdpReplies::Loop);
        }
        None => {}
    }
    if !matches!(udp, Some((_, Technique::Loop))) {
        looped::without_loop(raw, found);
    }
    match tcp {
        Some((_, Technique::Mark)) => out.tcp = on,
        Some((text, Technique::Redirect | Technique::Loop)) => {
            let title = format!("TCP has no need of `{}`", text.get_ref());
            found.push(Diagnostic::new(title, text.span(), "expected `mark`").hint(
                "a TCP server answers from the address that was asked by itself; \
                 `mark` is for addresses that belong to no uplink",
            ))
        }
        None => {}
    }
    let marking = [udp, tcp].into_iter().flatten().find(|(_, it)| *it == Technique::Mark);
    if let Some((text, _)) = marking {
        can_mark(text, raw, uplinks, found);
    }
    if let Some((text, Technique::Mark)) = udp {
        has_preferred(text, uplinks, found);
    }
    out
}

fn technique(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<Technique> {
    match text.get_ref().as_str() {
        "mark" => Some(Technique::Mark),
        "redirect" => Some(Technique::Redirect),
        "loop" => Some(Technique::Loop),
        other => {
            let known = ["mark", "redirect", "loop"];
            let label = nearest(other, known.into_iter())
                .map_or_else(|| "not known".to_owned(), |meant| format!("perhaps `{meant}` was meant"));
            found.push(
                Diagnostic::new(format!("{other:?} is not a way to answer"), text.span(), label)
                    .hint(format!("expected {}", alternatives(known.into_iter()))),
            );
            None
        }
    }
}

fn interfaces(
    raw: &raw::Replies,
    whole: &Spanned<raw::Replies>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<IfName> {
    let Some(list) = &raw.interfaces else {
        if uplinks.is_empty() {
            found.push(
                Diagnostic::new("`replies` has no interface", whole.span(), "needs `interfaces`")
                    .hint(
                        "name the interfaces, for example `interfaces = [\"eth0\"]`, or add an `[[uplink]]`",
                    )
                    .follows_from(&["interfaces", "uplink", "interface"]),
            );
        }
        return uplinks.iter().map(|known| known.uplink.interface.clone()).collect();
    };
    if list.get_ref().is_empty() {
        found.push(
            Diagnostic::new("`replies` has no interface", list.span(), "this list is empty")
                .hint("leave `interfaces` out for those of all uplinks"),
        );
    }
    let mut on = BTreeSet::new();
    for text in list.get_ref() {
        let Some(name) = interface(text, found) else { continue };
        if !on.insert(name) {
            found.push(Diagnostic::new(
                format!("interface {} is listed twice", text.get_ref()),
                text.span(),
                "given again here",
            ));
        }
    }
    on
}

/// A mark names an uplink, so each interface must be one's.
fn can_mark(text: &Spanned<String>, raw: &raw::Replies, uplinks: &[Known], found: &mut Vec<Diagnostic>) {
    for name in raw.interfaces.iter().flat_map(|list| list.get_ref()) {
        if uplinks.iter().any(|known| known.uplink.interface.as_str() == name.get_ref()) {
            continue;
        }
        found.push(
            Diagnostic::new(
                format!("interface {} belongs to no uplink", name.get_ref()),
                name.span(),
                "nothing to mark connections with",
            )
            .related(text.span(), "asked for here")
            .hint("`mark` leads answers back to an uplink; add an `[[uplink]]` with this interface")
            .follows_from(&["interface", "uplink"]),
        );
    }
}

/// The kernel takes the source of an answer from the default route; ours is known, another's is not.
fn has_preferred(text: &Spanned<String>, uplinks: &[Known], found: &mut Vec<Diagnostic>) {
    let mut families: BTreeSet<_> = uplinks.iter().flat_map(|known| known.uplink.legs.keys()).collect();
    for known in uplinks.iter().filter(|known| known.uplink.metric.is_some()) {
        families.retain(|family| !known.uplink.legs.contains_key(family));
    }
    for family in families {
        found.push(
            Diagnostic::new(
                format!("no {family} uplink has a metric"),
                text.span(),
                "answers get their source from the default route",
            )
            .hint(format!("give `metric` to at least one `[[uplink]]` with an {family} address"))
            .follows_from(&["metric", "uplink", "address"]),
        );
    }
}

/// A wildcard socket answers all clients from one address, that of the preferred way out.
fn one_way_out(
    text: &Spanned<String>,
    on: &BTreeSet<IfName>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) {
    let count = uplinks.iter().filter(|known| on.contains(&known.uplink.interface)).count();
    if count > 1 {
        found.push(
            Diagnostic::new(
                format!("`redirect` cannot answer on {count} uplinks"),
                text.span(),
                "all answers would leave by one of them",
            )
            .hint("use `mark`, or name the interface that has several addresses in `interfaces`"),
        );
    }
}
