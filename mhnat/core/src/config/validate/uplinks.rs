//! `[[uplink]]`: names, interfaces, addresses, gateways and metrics.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::super::Named;
use super::super::raw::{self, OneOrMany};
use super::super::words::{nearest, one_of};
use super::addresses::{Placed, address, is_link_local, some_words, words};
use super::{prefixes, probe, sources};
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::mark::MarkMask;
use crate::model::{Dynamic, FlowFate, Leg, Source, Target, Uplink};
use crate::mtu::Mtu;
use crate::name::{IfName, NameError, UplinkName};
use crate::routing::priority::MAX_ADDRESSES;
use crate::slot::Slot;

/// An uplink with the places of what others may contradict.
pub(super) struct Known {
    pub(super) uplink: Uplink,
    pub(super) addresses: Vec<Placed<IpAddr>>,
    pub(super) gateways: Vec<Placed<IpAddr>>,
    pub(super) prefixes: Vec<prefixes::Given>,
    pub(super) targets: Vec<Placed<Target>>,
}

pub(super) fn uplinks(
    raw: &[Spanned<raw::Uplink>],
    named: &Named<'_>,
    mask: MarkMask,
    found: &mut Vec<Diagnostic>,
) -> Vec<Known> {
    let mut seen = Seen::default();
    let known: Vec<Known> =
        raw.iter().filter_map(|it| uplink(it.get_ref(), named, &mut seen, found)).collect();
    prefixes::shared(&known, found);
    let room = usize::try_from(mask.capacity()).unwrap_or(usize::MAX).min(usize::from(Slot::MAX));
    if let Some(surplus) = raw.get(room) {
        let hint = if room < usize::from(Slot::MAX) {
            "give `mask` in `[marks]` more bits"
        } else {
            "no host has been seen with so many"
        };
        found.push(
            Diagnostic::new(
                format!("there are {} uplinks, and marks for {room}", raw.len()),
                surplus.span(),
                "no mark is left for this uplink",
            )
            .hint(hint),
        );
    }
    known
}

/// Where a value that must be unique was given first.
#[derive(Default)]
struct Seen {
    names: BTreeMap<String, Range<usize>>,
    interfaces: BTreeMap<String, Range<usize>>,
    addresses: BTreeMap<String, Range<usize>>,
}

fn unique(
    seen: &mut BTreeMap<String, Range<usize>>,
    value: &str,
    span: Range<usize>,
    what: &str,
    hint: &str,
    found: &mut Vec<Diagnostic>,
) {
    if let Some(first) = seen.get(value) {
        found.push(
            Diagnostic::new(format!("two uplinks have the {what} {value}"), span, "given again here")
                .related(first.clone(), "given first here")
                .hint(hint),
        );
    } else {
        seen.insert(value.to_owned(), span);
    }
}

fn uplink(
    raw: &raw::Uplink,
    named: &Named<'_>,
    seen: &mut Seen,
    found: &mut Vec<Diagnostic>,
) -> Option<Known> {
    let name = raw.name.as_ref().and_then(|it| name(it, found));
    let interface = raw.interface.as_ref().and_then(|it| interface(it, found));
    if let (Some(name), Some(text)) = (&name, &raw.name) {
        unique(&mut seen.names, name.as_str(), text.span(), "name", "each needs a name of its own", found);
    }
    if let (Some(interface), Some(text)) = (&interface, &raw.interface) {
        let hint = "an uplink is recognised by its interface; two next hops on one are not supported";
        unique(&mut seen.interfaces, interface.as_str(), text.span(), "interface", hint, found);
    }
    if let (Some(weight), None) = (&raw.weight, &raw.metric) {
        found.push(
            Diagnostic::new(
                "a weight without a metric",
                weight.span(),
                "nothing to share with another uplink",
            )
            .hint("uplinks with the same `metric` share what leaves, by `weight`")
            .follows_from(&["metric"]),
        );
    }

    let dynamic =
        Dynamic { address: is_dynamic(raw.address.as_ref()), gateway: is_dynamic(raw.gateway.as_ref()) };
    let addresses = if dynamic.address { Vec::new() } else { addresses(raw.address.as_ref(), found) };
    for it in &addresses {
        let hint =
            "an address belongs to one uplink; put one that all of them lead to on a dummy or lo interface";
        unique(&mut seen.addresses, &it.value.to_string(), it.span.clone(), "address", hint, found);
    }
    let gateways =
        if dynamic.gateway { Vec::new() } else { gateways(raw.gateway.as_ref(), &addresses, found) };
    let sources = sources::sources(raw.source.as_ref(), &addresses, found);
    // A next hop in one family says that there is no way out in the other.
    let expected = |gateway: Option<IpAddr>| dynamic.address && (gateway.is_some() || gateways.is_empty());
    let legs: BTreeMap<Family, Leg> = Family::ALL
        .into_iter()
        .filter_map(|family| {
            let own: Vec<IpAddr> =
                addresses.iter().map(|it| it.value).filter(|it| Family::of(*it) == family).collect();
            let gateway = gateways.iter().map(|it| it.value).find(|it| Family::of(*it) == family);
            let source = sources.get(&family).copied().unwrap_or(Source::Unchanged);
            (!own.is_empty() || expected(gateway))
                .then_some((family, Leg { addresses: own, gateway, source }))
        })
        .collect();
    let metric = raw.metric.as_ref().and_then(|it| u32::try_from(*it.get_ref()).ok());
    let weight = raw.weight.as_ref().and_then(|it| u8::try_from(*it.get_ref()).ok()).unwrap_or(1);
    let mtu = raw.mtu.as_ref().and_then(|it| mtu(it, &addresses, found));
    let given = prefixes::prefixes(raw, &legs, named, found);
    let prefixes = given.iter().map(|it| it.net).collect();
    let (on_loss, on_return) = fates(raw, found);
    let (probe, targets) = raw.probe.as_ref().map(|it| probe::probe(it, &legs, found)).unwrap_or_default();
    let dampening = raw.dampening.as_ref().and_then(|it| probe::dampening(it, found));
    let (name, interface) = (name?, interface?);
    let uplink = Uplink {
        name,
        interface,
        metric,
        weight,
        mtu,
        legs,
        dynamic,
        prefixes,
        on_loss,
        on_return,
        probe,
        dampening,
    };
    Some(Known { uplink, addresses, gateways, prefixes: given, targets })
}

fn name(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<UplinkName> {
    complain(text, "an uplink", "names have lower-case letters, digits and hyphens, such as \"vpn-a\"", found)
}

/// A word that must be the name of an interface.
pub(super) fn interface(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<IfName> {
    complain(text, "an interface", "`ip link` lists the interfaces of this host", found)
}

fn complain<T: std::str::FromStr<Err = NameError>>(
    text: &Spanned<String>,
    what: &str,
    hint: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    text.get_ref()
        .parse()
        .map_err(|error: NameError| {
            let title = format!("{:?} cannot be the name of {what}", text.get_ref());
            found.push(Diagnostic::new(title, text.span(), error.to_string()).hint(hint));
        })
        .ok()
}

/// What becomes of connections when it is lost, and when it is back.
fn fates(raw: &raw::Uplink, found: &mut Vec<Diagnostic>) -> (FlowFate, FlowFate) {
    const DRAIN: &str = "drain";
    let time = raw.drain.as_ref().and_then(|it| probe::time(it, DRAIN, found));
    let before = found.len();
    let mut drains = None;
    let mut fate = |text: Option<&Spanned<String>>, otherwise, lost: bool| {
        let Some(text) = text else { return otherwise };
        if text.get_ref() == DRAIN {
            drains = Some(text.span());
            return time.map_or(otherwise, FlowFate::Drain);
        }
        let words = [
            ("rehome", FlowFate::Rehome),
            ("stay", FlowFate::Stay),
            (DRAIN, otherwise),
            ("reset", FlowFate::Reset),
        ];
        let words = if lost { &words[..] } else { &words[..3] };
        let complaint = |word: &str| match word {
            "reset" => (
                "nothing is reset when an uplink is back".to_owned(),
                "`reset` is for `on-loss`: where a connection works, whoever has it need not be told to begin anew",
            ),
            _ => (
                format!("connections do not {word:?}"),
                "`stay` keeps their uplink; `rehome` has them begin anew by the uplink that a new one takes; \
                 `drain` does that after a time; and `reset`, for `on-loss` alone, tells TCP at once",
            ),
        };
        one_of(text, words, found, complaint).unwrap_or(otherwise)
    };
    let on_loss = fate(raw.on_loss.as_ref(), FlowFate::Rehome, true);
    let fates = (on_loss, fate(raw.on_return.as_ref(), FlowFate::Stay, false));
    match (&raw.drain, drains) {
        (None, Some(place)) => found.push(
            Diagnostic::new("`drain` needs a time", place, "for how long may they stay?")
                .hint("for example `drain = \"30s\"`"),
        ),
        (Some(time), None) if found.len() == before => found.push(
            Diagnostic::new("nothing drains", time.span(), "no `on-loss` or `on-return` is `drain`")
                .hint("for example `on-return = \"drain\"`: what went elsewhere comes back after this time"),
        ),
        _ => {}
    }
    fates
}

/// What stands for whatever the kernel was told by others.
const DYNAMIC: &str = "dynamic";

fn is_dynamic(raw: Option<&Spanned<OneOrMany>>) -> bool {
    matches!(raw.map(Spanned::get_ref), Some(OneOrMany::One(word)) if word == DYNAMIC)
}

/// Complains about a word that is or was meant to be `dynamic` where an address is wanted.
fn not_dynamic(word: &Placed<&str>, key: &str, found: &mut Vec<Diagnostic>) -> bool {
    let meant = !word.value.contains(['.', ':']) && nearest(word.value, [DYNAMIC].into_iter()).is_some();
    if meant {
        let complaint = if word.value == DYNAMIC {
            Diagnostic::new(
                format!("`dynamic` is for all of `{key}`, so it stands alone"),
                word.span.clone(),
                "expected an IPv4 or IPv6 address in this list",
            )
            .hint(format!("write `{key} = \"dynamic\"`"))
        } else {
            Diagnostic::new(
                format!("{:?} is not an address", word.value),
                word.span.clone(),
                "perhaps `dynamic` was meant",
            )
        };
        found.push(complaint);
    }
    meant
}

fn addresses(raw: Option<&Spanned<OneOrMany>>, found: &mut Vec<Diagnostic>) -> Vec<Placed<IpAddr>> {
    let Some(raw) = raw else { return Vec::new() };
    let words =
        some_words(raw, "an uplink needs an address", "for example `address = \"198.51.100.2\"`", found);
    let mut own: Vec<Placed<IpAddr>> = Vec::new();
    for word in &words {
        if not_dynamic(word, "address", found) {
            continue;
        }
        let Some(it) = address(word, "an address of this host", found) else { continue };
        if is_link_local(it.value) {
            found.push(
                Diagnostic::new(
                    format!("{} means something on one link only", it.value),
                    it.span.clone(),
                    "a link-local address cannot be routed by",
                )
                .hint("give the global address of the interface"),
            );
        }
        own.push(it);
    }
    for family in Family::ALL {
        if let Some(ninth) = own.iter().filter(|it| Family::of(it.value) == family).nth(MAX_ADDRESSES) {
            found.push(Diagnostic::new(
                format!("an uplink has at most {MAX_ADDRESSES} {family} addresses"),
                ninth.span.clone(),
                "one too many",
            ));
        }
    }
    own
}

/// The schema has seen to the range; IPv6 wants more than IPv4.
fn mtu(bytes: &Spanned<i64>, addresses: &[Placed<IpAddr>], found: &mut Vec<Diagnostic>) -> Option<Mtu> {
    let mtu = Mtu::new(u32::try_from(*bytes.get_ref()).ok()?)?;
    for family in Family::ALL {
        let least = Mtu::least(family);
        let Some(address) = addresses.iter().find(|it| Family::of(it.value) == family) else { continue };
        if mtu < least {
            found.push(
                Diagnostic::new(
                    format!("an {family} link carries packets of {} bytes", least.bytes()),
                    bytes.span(),
                    "this is less",
                )
                .related(address.span.clone(), format!("an {family} address"))
                .hint(format!("raise `mtu`, or leave the {family} address out")),
            );
        }
    }
    Some(mtu)
}

/// At most one for each family, and then one for each family that the uplink has an address of.
fn gateways(
    raw: Option<&Spanned<OneOrMany>>,
    addresses: &[Placed<IpAddr>],
    found: &mut Vec<Diagnostic>,
) -> Vec<Placed<IpAddr>> {
    let Some(raw) = raw else { return Vec::new() };
    let words = words(raw);
    let mut gateways: Vec<Placed<IpAddr>> = Vec::new();
    for word in &words {
        if !not_dynamic(word, "gateway", found) {
            gateways.extend(address(word, "a gateway", found));
        }
    }
    if gateways.len() < words.len() {
        return gateways;
    }
    one_for_each_family(&gateways, addresses, "gateway", found);
    for gateway in &gateways {
        if let Some(own) = addresses.iter().find(|own| own.value == gateway.value) {
            found.push(
                Diagnostic::new(
                    format!("{} is both gateway and address", gateway.value),
                    gateway.span.clone(),
                    "the next hop is another host",
                )
                .related(own.span.clone(), "this host's address")
                .hint("leave `gateway` out on a point-to-point interface"),
            );
        }
    }
    for family in Family::ALL {
        let has = |list: &[Placed<IpAddr>]| list.iter().any(|it| Family::of(it.value) == family);
        if has(addresses) && !has(&gateways) {
            found.push(
                Diagnostic::new(
                    format!("the {family} addresses have no gateway"),
                    raw.span(),
                    format!("no {family} address here"),
                )
                .hint("give one gateway for each family, or none at all on a point-to-point interface"),
            );
        }
    }
    gateways
}

pub(super) fn one_for_each_family(
    given: &[Placed<IpAddr>],
    addresses: &[Placed<IpAddr>],
    what: &str,
    found: &mut Vec<Diagnostic>,
) {
    for family in Family::ALL {
        let mut own = given.iter().filter(|it| Family::of(it.value) == family);
        let Some(first) = own.next() else { continue };
        if let Some(second) = own.next() {
            found.push(
                Diagnostic::new(
                    format!("an uplink has one {family} {what}"),
                    second.span.clone(),
                    "one too many",
                )
                .related(first.span.clone(), "given first here"),
            );
        }
        if !addresses.is_empty() && !addresses.iter().any(|it| Family::of(it.value) == family) {
            found.push(
                Diagnostic::new(
                    format!("the uplink has no {family} address"),
                    first.span.clone(),
                    format!("this {what} is {family}"),
                )
                .hint(format!("add this host's {family} address there to `address`"))
                .follows_from(&["address", "uplink"]),
            );
        }
    }
}
