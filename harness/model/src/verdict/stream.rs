//! What a stream came to, and what it should have.

use std::time::Duration;

use super::{Ground, describe};
use crate::{
    event::Check,
    observation::StreamSeen,
    scenario::{Limit, StreamExpect},
    stream::{Measures, Recovery},
};

#[cfg(test)]
mod tests;

/// Judges a stream. What it came to is told in any case.
pub(super) fn checks(ground: Ground<'_>, expect: &StreamExpect, seen: &StreamSeen, checks: &mut Vec<Check>) {
    let StreamExpect { lost, reply_lost, duplicated, reordered, leaked, outage, recovery } = expect;
    let measures = &seen.measures;
    checks.push(Check { expected: "measured".to_owned(), seen: summary(measures), holds: true });
    let mut counted = |limit: &Option<Limit<u64>>, found: u64, what: &str, example: Option<String>| {
        let Some(limit) = limit else { return };
        let example = example.map(|example| format!(", the first: {example}")).unwrap_or_default();
        checks.push(Check {
            expected: format!("{} {what}", in_words(limit, u64::to_string)),
            seen: format!("{found} of {}{example}", measures.sent),
            holds: limit.admits(found),
        });
    };
    counted(lost, measures.lost, "packets never arrived", None);
    counted(reply_lost, measures.reply_lost, "packets arrived but their answers did not", None);
    counted(duplicated, measures.duplicated, "packets arrived more than once", None);
    counted(reordered, measures.reordered, "packets arrived behind a later one", None);
    let leak = seen.leak.as_ref().map(|record| describe::record(ground, record));
    counted(leaked, seen.leaked, "packets on a provider's link with a source of somebody else", leak);
    if let Some(limit) = outage {
        checks.push(Check {
            expected: format!("an outage of {}", in_words(limit, |outage| time(*outage))),
            seen: time(measures.outage),
            holds: limit.admits(measures.outage),
        });
    }
    if let Some(limit) = recovery {
        let (seen, holds) = match measures.recovery {
            Some(Recovery::Unharmed) => {
                ("every packet after it was answered".to_owned(), limit.admits(Duration::ZERO))
            }
            Some(Recovery::After(after)) => (time(after), limit.admits(after)),
            Some(Recovery::NotWithin(watched)) => (
                format!("no answered packet behind the first loss within {}", time(watched)),
                limit.admits(Duration::MAX),
            ),
            None => ("no link changed".to_owned(), false),
        };
        let expected =
            format!("recovery {} after the last link change", in_words(limit, |after| time(*after)));
        checks.push(Check { expected, seen, holds });
    }
}

fn summary(measures: &Measures) -> String {
    let Measures { sent, left_out, answered, lost, reply_lost, duplicated, reordered, outage, recovery } =
        measures;
    let recovery = match recovery {
        Some(Recovery::After(after)) => format!(", recovery {}", time(*after)),
        Some(Recovery::NotWithin(_)) => ", no recovery".to_owned(),
        Some(Recovery::Unharmed) | None => String::new(),
    };
    let left_out = match left_out {
        0 => String::new(),
        some => format!(" ({some} left out, the sender was late)"),
    };
    format!(
        "{sent} packets sent{left_out}, {answered} answered, {lost} lost, {reply_lost} answers lost, {duplicated} duplicated, \
         {reordered} reordered, outage {}{recovery}",
        time(*outage)
    )
}

fn in_words<T>(limit: &Limit<T>, word: impl Fn(&T) -> String) -> String {
    match limit {
        Limit::Exactly(wanted) => word(wanted),
        Limit::AtMost(most) => format!("at most {}", word(most)),
        Limit::AtLeast(least) => format!("at least {}", word(least)),
    }
}

fn time(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
