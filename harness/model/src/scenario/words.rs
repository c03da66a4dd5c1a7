//! The small words of the language: endpoints, flags, durations, services, marks.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Endpoint, Findings, Limit,
    spanned::{At, NumberOrText},
};
use crate::{
    diagnostic::{Diagnostic, known_words},
    packet::flags,
    relay::Share,
    topology::{Service, ServiceProtocol},
};

/// An address, or a finding.
pub(crate) fn address(text: &At<String>, findings: &mut Findings) -> Option<IpAddr> {
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        let hint = match text.value.parse::<IpNet>() {
            Ok(net) => format!("an address stands alone here, without prefix length: {}", net.addr()),
            Err(_) => "such as 192.0.2.1 or 2001:db8::1".to_owned(),
        };
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("\"{}\" is not an address", text.value),
                "expected an IPv4 or IPv6 address",
            )
            .hint(hint),
        );
    }
    parsed
}

/// An address or a prefix, or a finding. Bits behind the prefix length must be zero.
pub(crate) fn prefix(text: &At<String>, findings: &mut Findings) -> Option<IpNet> {
    if let Ok(address) = text.value.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    let Ok(net) = text.value.parse::<IpNet>() else {
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("\"{}\" is not a prefix", text.value),
                "expected ADDRESS/LENGTH",
            )
            .hint("such as 192.0.2.0/24 or 2001:db8::/64"),
        );
        return None;
    };
    if net.trunc() != net {
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("\"{}\" is an address within a prefix, not a prefix", text.value),
                "has bits behind its length",
            )
            .hint(format!("did you mean {}?", net.trunc())),
        );
    }
    // What was meant is clear enough to look for further mistakes.
    Some(net.trunc())
}

/// An address with its prefix length, or a finding.
pub(crate) fn interface_address(text: &At<String>, findings: &mut Findings) -> Option<IpNet> {
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("\"{}\" is not an address with its prefix length", text.value),
                "expected ADDRESS/LENGTH",
            )
            .hint("such as 192.0.2.1/24 or 2001:db8::1/64"),
        );
    }
    parsed
}

/// "ADDRESS" or "ADDRESS:PORT", with brackets around an IPv6 address that has a port.
pub(crate) fn endpoint(text: &At<String>, findings: &mut Findings) -> Option<Endpoint> {
    if let Ok(socket) = text.value.parse::<SocketAddr>() {
        return Some(Endpoint { address: socket.ip(), port: Some(socket.port()) });
    }
    if let Ok(address) = text.value.parse() {
        return Some(Endpoint { address, port: None });
    }
    findings.push(
        Diagnostic::new(
            &text.span,
            format!("\"{}\" is not an address, with or without a port", text.value),
            "expected ADDRESS or ADDRESS:PORT",
        )
        .hint("such as 192.0.2.1, 192.0.2.1:80, 2001:db8::1 or [2001:db8::1]:80"),
    );
    None
}

/// "syn+ack" and the like.
pub(crate) fn tcp_flags(text: &At<String>, findings: &mut Findings) -> Option<u8> {
    let flag = |word: &str| flags::NAMES.iter().find(|(_, name)| *name == word).map(|(flag, _)| *flag);
    let mut set = 0;
    for word in text.value.split('+').map(str::trim) {
        if let Some(flag) = flag(word) {
            set |= flag;
            continue;
        }
        let finding = Diagnostic::new(
            &text.span,
            format!("unknown TCP flag \"{word}\""),
            "expected flags joined by `+`",
        );
        // All flags have three letters, so "SYN,ACK" and "synack" can be told apart from other words.
        let letters: String = text.value.to_lowercase().chars().filter(char::is_ascii_lowercase).collect();
        let respelled: Vec<&str> =
            (0..letters.len()).step_by(3).filter_map(|at| letters.get(at..at + 3)).collect();
        let fits = letters.len().is_multiple_of(3)
            && !letters.is_empty()
            && respelled.iter().all(|word| flag(word).is_some());
        findings.push(if fits {
            finding.hint(format!("did you mean \"{}\"?", respelled.join("+")))
        } else {
            finding.hint(known_words(word, flags::NAMES.iter().map(|(_, name)| *name)))
        });
        return None;
    }
    Some(set)
}

/// "500us", "200ms", "3s", "2min".
pub(crate) fn duration(text: &At<String>, findings: &mut Findings) -> Option<Duration> {
    let split = text.value.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.value.len());
    let (number, unit) = text.value.split_at(split);
    let scale = match unit.trim() {
        "us" => Some(1),
        "ms" => Some(1_000),
        "s" => Some(1_000_000),
        "min" => Some(60_000_000),
        _ => None,
    };
    let parsed = scale.zip(number.parse::<u64>().ok()).and_then(|(scale, number)| number.checked_mul(scale));
    match parsed {
        Some(micros) if micros <= 600_000_000 => Some(Duration::from_micros(micros)),
        _ => {
            findings.push(
                Diagnostic::new(
                    &text.span,
                    format!("\"{}\" is not a time", text.value),
                    "expected a number with its unit, at most 10min",
                )
                .hint("such as 200ms, 3s or 2min"),
            );
            None
        }
    }
}

/// "10%" or "0.25%".
pub(crate) fn share(text: &At<String>, findings: &mut Findings) -> Option<Share> {
    let parsed = text.value.strip_suffix('%').and_then(|number| millionths(number.trim_end(), 4));
    let share = parsed.and_then(|millionths| Share::millionths(u32::try_from(millionths).ok()?));
    if share.is_none() {
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("\"{}\" is not a part of all frames", text.value),
                "expected 0% to 100%",
            )
            .hint("such as \"10%\" or \"0.25%\""),
        );
    }
    share
}

/// A decimal number times a power of ten, without a rounding error.
fn millionths(number: &str, power: usize) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > power {
        return None;
    }
    format!("{whole}{fraction:0<power$}").parse().ok()
}

/// "512kbit", "10Mbit", "1Gbit": bits a second.
pub(crate) fn rate(text: &At<String>, findings: &mut Findings) -> Option<NonZeroU64> {
    let units = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
    let found = units.iter().find_map(|(unit, scale)| Some((text.value.strip_suffix(unit)?, *scale)));
    let parsed = found.and_then(|(number, scale)| number.trim_end().parse::<u64>().ok()?.checked_mul(scale));
    let rate = parsed.and_then(NonZeroU64::new);
    if rate.is_none() {
        findings.push(
            Diagnostic::new(
                &text.span,
                format!("\"{}\" is not a rate", text.value),
                "expected bits a second, as a whole number with its unit",
            )
            .hint("such as \"512kbit\", \"10Mbit\" or \"1Gbit\""),
        );
    }
    rate
}

/// "3", "<= 3" or ">= 3".
pub(crate) fn count(text: &At<NumberOrText>, findings: &mut Findings) -> Option<Limit<u64>> {
    let words = match &text.value {
        NumberOrText::Number(number) => return Some(Limit::Exactly(*number)),
        NumberOrText::Text(words) => text.with(words.clone()),
    };
    let (limit, number) = limit(&words);
    if let Ok(number) = number.parse() {
        return Some(limit(number));
    }
    findings.push(
        Diagnostic::new(
            &text.span,
            format!("\"{}\" is not a number of packets", words.value),
            "expected a number, \"<= NUMBER\" or \">= NUMBER\"",
        )
        .hint("such as 0, \"<= 3\" or \">= 100\""),
    );
    None
}

/// "<= 50ms" or ">= 50ms".
pub(crate) fn time_limit(text: &At<String>, findings: &mut Findings) -> Option<Limit<Duration>> {
    let (limit, time) = limit(text);
    let limit = limit(duration(&text.with(time.to_owned()), findings)?);
    if limit.is_exact() {
        findings.push(
            Diagnostic::new(
                &text.span,
                "no time is met to the letter",
                "expected \"<= TIME\" or \">= TIME\"",
            )
            .hint(format!("did you mean \"<= {}\"?", text.value.trim())),
        );
        return None;
    }
    Some(limit)
}

/// What a comparison makes of a value, and the value.
fn limit<T>(text: &At<String>) -> (fn(T) -> Limit<T>, &str) {
    let text = text.value.trim();
    if let Some(value) = text.strip_prefix("<=") {
        return (Limit::AtMost, value.trim_start());
    }
    match text.strip_prefix(">=") {
        Some(value) => (Limit::AtLeast, value.trim_start()),
        None => (Limit::Exactly, text),
    }
}

/// "udp/7000 echo" or "udp/53 dns", or "udp/7000 echo at 192.0.2.1" for one that is bound to an address.
pub(crate) fn service(text: &At<String>, findings: &mut Findings) -> Option<Service> {
    let (socket, what) = text.value.split_once(' ').unwrap_or((&text.value, ""));
    let (protocol, port) = socket.split_once('/').unwrap_or((socket, ""));
    let number = port.parse::<u16>().ok().filter(|port| *port > 0);
    let (what, address) = match what.trim().split_once(" at ") {
        Some((what, address)) => {
            (what.trim(), Some(self::address(&text.with(address.trim().to_owned()), findings)?))
        }
        None => (what.trim(), None),
    };
    let speaks = match (protocol, what) {
        ("udp", "echo") => Some(ServiceProtocol::Udp),
        ("tcp", "echo") => Some(ServiceProtocol::Tcp),
        ("udp", "dns") => Some(ServiceProtocol::Dns),
        _ => None,
    };
    if let (Some(protocol), Some(port)) = (speaks, number) {
        return Some(Service { protocol, port, address });
    }
    let finding =
        |label: &str| Diagnostic::new(&text.span, format!("\"{}\" is not a service", text.value), label);
    let known = matches!(protocol, "udp" | "tcp");
    findings.push(match number {
        None if known && !port.is_empty() => finding("expected a port from 1 to 65535"),
        Some(_) if known && what.is_empty() => {
            finding("expected what it does as well").hint(format!("did you mean \"{socket} echo\"?"))
        }
        Some(port) if known => finding("the services are `echo`, and `dns` by udp")
            .hint(format!("did you mean \"{protocol}/{port} echo\"?")),
        _ => finding("expected \"udp/PORT echo\", \"tcp/PORT echo\" or \"udp/PORT dns\"")
            .hint("such as \"udp/7000 echo\""),
    });
    None
}

/// "0x100" or "0x100/0xff00".
pub(crate) fn mark(text: &At<String>, findings: &mut Findings) -> Option<(u32, u32)> {
    fn number(text: &str) -> Option<u32> {
        match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }
    let (value, mask) = text.value.split_once('/').unwrap_or((&text.value, "0xffffffff"));
    let Some((value, mask)) = number(value).zip(number(mask)) else {
        let message = format!("\"{}\" is not a mark", text.value);
        findings.push(
            Diagnostic::new(&text.span, message, "expected VALUE or VALUE/MASK")
                .hint("such as 0x100 or 0x100/0xff00"),
        );
        return None;
    };
    if value & !mask != 0 {
        let message = format!("no mark is {value:#x} under the mask {mask:#x}");
        findings.push(
            Diagnostic::new(&text.span, message, "expected a value within the mask")
                .hint(format!("the mask leaves {:#x} of it", value & mask)),
        );
        return None;
    }
    Some((value, mask))
}
