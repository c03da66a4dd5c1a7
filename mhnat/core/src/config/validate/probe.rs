//! `probe` and `dampening` of an `[[uplink]]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::ops::Range;

use toml::Spanned;

use super::super::raw::{self, OneOrMany};
use super::super::words::one_of;
use super::addresses::{Placed, address, is_link_local, some_words};
use super::uplinks::Known;
use crate::diagnostic::Diagnostic;
use crate::family::Family;
use crate::model::{Dampening, DomainName, FanOut, Leg, Milliseconds, Need, Probe, Target, Transport};

/// The port of DNS.
const DNS: u16 = 53;
/// The limits of a time, in milliseconds.
const TIMES: (u32, u32) = (10, 3_600_000);

/// The probe, and the places of its targets.
pub(super) fn probe(
    raw: &Spanned<raw::Probe>,
    legs: &BTreeMap<Family, Leg>,
    found: &mut Vec<Diagnostic>,
) -> (Option<Probe>, Vec<Placed<Target>>) {
    let place = raw.span();
    let raw = raw.get_ref();
    let before = found.len();
    let mut targets: Vec<Placed<Target>> = Vec::new();
    targets.extend(listed(raw.icmp.as_ref(), "icmp", &icmp, found));
    targets.extend(listed(raw.tcp.as_ref(), "tcp", &tcp, found));
    targets.extend(listed(raw.dns.as_ref(), "dns", &dns, found));
    if targets.is_empty() && found.len() == before {
        found.push(
            Diagnostic::new("there is nobody to ask", place, "no `icmp`, `tcp` or `dns`")
                .hint("for example `icmp = \"192.0.2.80\"`: somebody behind the provider who always answers")
                .follows_from(&["icmp", "tcp", "dns"]),
        );
    }
    twice(&targets, found);
    for it in &targets {
        let family = it.value.family();
        if !legs.is_empty() && !legs.contains_key(&family) {
            found.push(
                Diagnostic::new(
                    format!("{} cannot be asked through this uplink", it.value.address()),
                    it.span.clone(),
                    format!("the uplink has no {family} address"),
                )
                .hint(format!("ask an address of a family that it has, or add its {family} address"))
                .follows_from(&["address"]),
            );
        }
    }
    let name = raw.name.as_ref().and_then(|it| name(it, raw.dns.is_some(), found));
    let interval = raw.interval.as_ref().map(|it| (time(it, "interval", found), it.span()));
    let timeout = raw.timeout.as_ref().map(|it| (time(it, "timeout", found), it.span()));
    let second = Milliseconds(1000);
    let every = interval.as_ref().map_or(second, |(it, _)| it.unwrap_or(second));
    if let Some((Some(wait), span)) = &timeout
        && *wait > every
        // Of an interval that makes no sense, nothing follows.
        && interval.as_ref().is_none_or(|(it, _)| it.is_some())
    {
        let complaint = Diagnostic::new(
            "an answer is waited for longer than the next question takes",
            span.clone(),
            format!("more than the interval of {every}"),
        );
        found.push(match &interval {
            Some((_, span)) => complaint.related(span.clone(), "the interval"),
            None => complaint.hint("raise `interval`, or lower `timeout`"),
        });
    }
    let probe = Probe {
        targets: targets.iter().map(|it| it.value).collect(),
        name,
        interval: every,
        timeout: timeout.and_then(|(it, _)| it).unwrap_or_else(|| every.min(second)),
        fall: number(raw.fall.as_ref(), 3),
        rise: number(raw.rise.as_ref(), 2),
        need: raw.need.as_ref().and_then(|it| need(it, found)).unwrap_or_default(),
    };
    ((found.len() == before).then_some(probe), targets)
}

/// What would never leave by the uplink: addresses of this host, and dummy addresses that lead elsewhere. One that leads
/// through the uplink is asked as applications ask it, with the source that the far side admits.
pub(super) fn elsewhere(uplinks: &[Known], fan_outs: &[FanOut], found: &mut Vec<Diagnostic>) {
    let own: BTreeMap<IpAddr, Range<usize>> =
        uplinks.iter().flat_map(|it| &it.addresses).map(|it| (it.value, it.span.clone())).collect();
    let all = uplinks.iter().flat_map(|known| known.targets.iter().map(move |it| (&known.uplink.name, it)));
    for (uplink, it) in all {
        let asked = it.value.address();
        if let Some(place) = own.get(&asked) {
            found.push(
                Diagnostic::new(
                    format!("{asked} is an address of this host"),
                    it.span.clone(),
                    "asked here, and reached whatever becomes of the uplink",
                )
                .related(place.clone(), "given to an uplink here")
                .hint("ask somebody behind the provider"),
            );
        }
        let mut translated = fan_outs.iter().filter(|it| it.dummy == asked).peekable();
        if translated.peek().is_some()
            && !translated.any(|of| of.uplink.as_ref() == Some(uplink) && leads(of, it.value))
        {
            found.push(
                Diagnostic::new(
                    format!("{asked} is the dummy address of a fan-out"),
                    it.span.clone(),
                    "which does not take this by this uplink",
                )
                .hint(
                    "ask the dummy address of a fan-out that names this `uplink`, at one of its ports if it has some; \
                     or the far host by its own address, its `to`",
                ),
            );
        }
    }
}

/// What makes a target of a word, or complains.
type Reader = dyn Fn(&Placed<&str>, &mut Vec<Diagnostic>) -> Option<Target>;

/// Whether a question to its dummy address goes the way of this fan-out.
fn leads(fan_out: &FanOut, target: Target) -> bool {
    let (transport, port) = match target {
        Target::Icmp(_) => return fan_out.ports.is_empty(),
        Target::Tcp(to) => (Transport::Tcp, to.port()),
        Target::Dns(to) => (Transport::Udp, to.port()),
    };
    fan_out.ports.is_empty()
        || fan_out.ports.iter().any(|(of, ports)| *of == transport && ports.contains(port))
}

fn listed(
    raw: Option<&Spanned<OneOrMany>>,
    key: &str,
    read: &Reader,
    found: &mut Vec<Diagnostic>,
) -> Vec<Placed<Target>> {
    let Some(raw) = raw else { return Vec::new() };
    let words =
        some_words(raw, &format!("`{key}` needs somebody to ask"), "leave it out to ask nobody", found);
    let mut out = Vec::new();
    for word in words {
        let Some(value) = read(&word, found) else { continue };
        if is_link_local(value.address()) {
            found.push(
                Diagnostic::new(
                    format!("{} means something on one link only", value.address()),
                    word.span,
                    "a neighbour that answers says nothing of what is behind it",
                )
                .hint("ask somebody behind the provider"),
            );
            continue;
        }
        out.push(Placed { value, span: word.span });
    }
    out
}

fn icmp(word: &Placed<&str>, found: &mut Vec<Diagnostic>) -> Option<Target> {
    Some(Target::Icmp(address(word, "an address to ask", found)?.value))
}

fn tcp(word: &Placed<&str>, found: &mut Vec<Diagnostic>) -> Option<Target> {
    let to = word.value.parse::<SocketAddr>().ok().filter(|it| it.port() != 0);
    let Some(to) = to else {
        let expected =
            "expected an address with a port, such as \"192.0.2.80:443\" or \"[2001:db8::80]:443\"";
        let complaint = Diagnostic::new(
            format!("{:?} does not say where to connect", word.value),
            word.span.clone(),
            expected,
        );
        found.push(match word.value.parse::<IpAddr>() {
            Ok(address) => complaint.hint(format!("add the port: \"{}\"", SocketAddr::new(address, 443))),
            Err(_) => complaint,
        });
        return None;
    };
    one_host(to, word, found).map(Target::Tcp)
}

fn dns(word: &Placed<&str>, found: &mut Vec<Diagnostic>) -> Option<Target> {
    match word.value.parse::<SocketAddr>() {
        Ok(to) if to.port() != 0 => one_host(to, word, found).map(Target::Dns),
        _ => {
            let server = address(word, "the address of a DNS server", found)?.value;
            Some(Target::Dns(SocketAddr::new(server, DNS)))
        }
    }
}

/// The address within, as strictly as one that stands alone.
fn one_host(to: SocketAddr, word: &Placed<&str>, found: &mut Vec<Diagnostic>) -> Option<SocketAddr> {
    let text = to.ip().to_string();
    let alone = Placed { value: text.as_str(), span: word.span.clone() };
    address(&alone, "an address to ask", found).map(|_| to)
}

fn twice(targets: &[Placed<Target>], found: &mut Vec<Diagnostic>) {
    for (index, it) in targets.iter().enumerate() {
        if let Some(first) = targets.iter().take(index).find(|other| other.value == it.value) {
            found.push(
                Diagnostic::new(format!("{} is asked twice", it.value), it.span.clone(), "given again here")
                    .related(first.span.clone(), "given first here"),
            );
        }
    }
}

fn name(text: &Spanned<String>, asked: bool, found: &mut Vec<Diagnostic>) -> Option<DomainName> {
    if !asked {
        found.push(
            Diagnostic::new("a name that nobody is asked for", text.span(), "there is no `dns`")
                .hint("add a DNS server, as in `dns = \"192.0.2.53\"`")
                .follows_from(&["dns"]),
        );
    }
    match text.get_ref().parse::<DomainName>() {
        Ok(name) => Some(name),
        Err(error) => {
            let title = format!("{:?} is not a domain name", text.get_ref());
            found.push(Diagnostic::new(title, text.span(), error.to_string()));
            None
        }
    }
}

fn need(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<Need> {
    const WORDS: [(&str, Need); 2] = [("any", Need::Any), ("all", Need::All)];
    one_of(text, &WORDS, found, |word| {
        let hint = "with `any` one that answers is enough; with `all` every one has to";
        (format!("an uplink does not need {word:?} of its targets"), hint)
    })
}

/// The schema has seen to the range.
fn number(given: Option<&Spanned<i64>>, otherwise: u8) -> NonZeroU8 {
    let given = given.and_then(|it| u8::try_from(*it.get_ref()).ok());
    NonZeroU8::new(given.unwrap_or(otherwise)).unwrap_or(NonZeroU8::MIN)
}

pub(super) fn dampening(raw: &Spanned<raw::Dampening>, found: &mut Vec<Diagnostic>) -> Option<Dampening> {
    let place = raw.span();
    let raw = raw.get_ref();
    let before = found.len();
    let points = |given: Option<&Spanned<i64>>, otherwise| {
        given.and_then(|it| u32::try_from(*it.get_ref()).ok()).unwrap_or(otherwise)
    };
    let half_life = raw.half_life.as_ref().and_then(|it| time(it, "half-life", found));
    let half_life = half_life.unwrap_or(Milliseconds(30_000));
    let longest = raw.longest.as_ref().and_then(|it| time(it, "longest", found));
    let it = Dampening {
        penalty: points(raw.penalty.as_ref(), 1000),
        half_life,
        suppress: points(raw.suppress.as_ref(), 2000),
        reuse: points(raw.reuse.as_ref(), 750),
        longest: longest.unwrap_or(Milliseconds(half_life.0.saturating_mul(4))),
    };
    if it.reuse >= it.suppress {
        let given = raw.reuse.as_ref().or(raw.suppress.as_ref());
        found.push(
            Diagnostic::new(
                format!("`reuse` is {}, and `suppress` is {}", it.reuse, it.suppress),
                given.map_or_else(|| place.clone(), Spanned::span),
                "expected `reuse` to be less than `suppress`",
            )
            .hint("an uplink rests from `suppress` points on, until `reuse` are left"),
        );
    } else if found.len() == before && decays_in(&it) > f64::from(it.longest.0) {
        let given = raw.longest.as_ref().map(Spanned::span);
        found.push(
            Diagnostic::new(
                format!("within {}, {} points never become {}", it.longest, it.suppress, it.reuse),
                given.unwrap_or(place),
                "so the uplink would never rest",
            )
            .hint("raise `longest` or `reuse`, or lower `half-life` or `suppress`"),
        );
    }
    (found.len() == before).then_some(it)
}

/// The time in milliseconds from `suppress` to `reuse`.
fn decays_in(it: &Dampening) -> f64 {
    (f64::from(it.suppress) / f64::from(it.reuse)).log2() * f64::from(it.half_life.0)
}

pub(super) fn time(text: &Spanned<String>, key: &str, found: &mut Vec<Diagnostic>) -> Option<Milliseconds> {
    let word = text.get_ref();
    let time = parse(word);
    if time.is_none() {
        let (least, most) = (Milliseconds(TIMES.0), Milliseconds(TIMES.1));
        found.push(
            Diagnostic::new(
                format!("{word:?} is not a time"),
                text.span(),
                format!("expected a number and `ms`, `s` or `m`, from {least} to {most}"),
            )
            .hint(format!("for example `{key} = \"1s\"`")),
        );
    }
    time
}

fn parse(word: &str) -> Option<Milliseconds> {
    const UNITS: [(&str, u32); 3] = [("ms", 1), ("s", 1000), ("m", 60_000)];
    let (digits, factor) =
        UNITS.iter().find_map(|(unit, factor)| Some((word.strip_suffix(unit)?, *factor)))?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let time = digits.parse::<u32>().ok()?.checked_mul(factor)?;
    (TIMES.0..=TIMES.1).contains(&time).then_some(Milliseconds(time))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10ms", Some(10))]
    #[case("9ms", None)]
    #[case("1s", Some(1000))]
    #[case("60m", Some(3_600_000))]
    #[case("61m", None)]
    #[case("1h", None)]
    #[case("1", None)]
    #[case("ms", None)]
    #[case("", None)]
    #[case("-1s", None)]
    #[case("1.5s", None)]
    #[case("1 s", None)]
    #[case("99999999m", None)]
    #[case("99999999999s", None)]
    fn times(#[case] word: &str, #[case] expected: Option<u32>) {
        assert_eq!(parse(word).map(|it| it.0), expected);
    }
}
