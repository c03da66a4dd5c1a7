//! `[balance]`: how uplinks with the same metric share what leaves.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use toml::Spanned;

use super::super::raw;
use super::super::words::one_of;
use super::uplinks::Known;
use crate::diagnostic::Diagnostic;
use crate::model::{Balance, BalanceBy, Seconds};

/// The longest time for which a source keeps its uplink.
const MAX_SECONDS: u32 = 7 * 24 * 3600;

pub(super) fn balance(
    raw: Option<&Spanned<raw::Balance>>,
    uplinks: &[Known],
    found: &mut Vec<Diagnostic>,
) -> Balance {
    let Some(spanned) = raw else { return Balance::default() };
    let mut metrics: BTreeMap<u32, usize> = BTreeMap::new();
    for metric in uplinks.iter().filter_map(|known| known.uplink.metric) {
        *metrics.entry(metric).or_default() += 1;
    }
    if metrics.values().all(|count| *count < 2) {
        found.push(
            Diagnostic::new("there is nothing to balance", spanned.span(), "no two uplinks share a metric")
                .hint("uplinks with the same `metric` share what leaves, by `weight`")
                .follows_from(&["uplink", "metric"]),
        );
    }
    let raw = spanned.get_ref();
    Balance {
        by: raw.by.as_ref().and_then(|text| by(text, found)).unwrap_or_default(),
        sticky: raw.sticky.as_ref().and_then(|text| seconds(text, found)),
    }
}

fn by(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<BalanceBy> {
    let words = [("connection", BalanceBy::Connection), ("source-destination", BalanceBy::SourceDestination)];
    one_of(text, &words, found, |word| {
        (
            format!("nothing is balanced by {word:?}"),
            "`connection` draws lots for each new connection; `source-destination` gives the same two \
             addresses the same uplink",
        )
    })
}

fn seconds(text: &Spanned<String>, found: &mut Vec<Diagnostic>) -> Option<Seconds> {
    let word = text.get_ref();
    let time = parse(word);
    if time.is_none() {
        found.push(
            Diagnostic::new(
                format!("{word:?} is not a time"),
                text.span(),
                "expected a number from 1 and `s`, `m` or `h`, a week at most",
            )
            .hint("for example `sticky = \"10m\"`"),
        );
    }
    time
}

fn parse(word: &str) -> Option<Seconds> {
    let (digits, unit) = word.split_at_checked(word.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse::<u32>().ok()?.checked_mul(unit)?;
    NonZeroU32::new(seconds).filter(|it| it.get() <= MAX_SECONDS).map(Seconds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1s", Some(1))]
    #[case("10m", Some(600))]
    #[case("24h", Some(86_400))]
    #[case("168h", Some(604_800))]
    #[case("169h", None)]
    #[case("0s", None)]
    #[case("s", None)]
    #[case("", None)]
    #[case("10", None)]
    #[case("+1m", None)]
    #[case("1.5h", None)]
    #[case("10 m", None)]
    #[case("1d", None)]
    #[case("99999999999s", None)]
    #[case("2000000000h", None)]
    #[case("10µ", None)]
    fn times(#[case] word: &str, #[case] expected: Option<u32>) {
        assert_eq!(parse(word).map(|it| it.0.get()), expected);
    }
}
