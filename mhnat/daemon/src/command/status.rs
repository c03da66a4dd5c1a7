//! `mhnat status`: what is in the kernel, beside what was applied.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::check::count;
use super::config;
use crate::engine::{self, Status, UplinkStatus};
use crate::failure::{Exit, Failure, Outcome};
use crate::state::look;
use crate::terminal::Terminal;

pub(super) async fn run(json: bool, state_dir: &Path, terminal: &mut Terminal) -> Result<Outcome, Failure> {
    let memory = look(state_dir)?;
    if memory.stale {
        terminal.warn("an earlier boot left a state, which means nothing any more", None);
    }
    let applied = memory.state.as_ref().and_then(|state| state.applied.as_ref());
    let model = match applied {
        Some(applied) => Some(config::parse(&applied.config.path, applied.config.text.as_bytes(), terminal)?),
        None => None,
    };
    let status = engine::status(state_dir, memory.state.as_ref(), model.as_ref()).await?;
    let text = if json {
        serde_json::to_string_pretty(&status)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?
            + "\n"
    } else {
        text(&status)
    };
    terminal.print(&text);
    let abandoned = status.unconfirmed.as_ref().is_some_and(|it| !it.supervised);
    let differs = status.cut_off || abandoned || !status.drift.is_empty();
    Ok(if differs { Outcome::Differs } else { Outcome::Done })
}

fn text(status: &Status) -> String {
    let Status { config, cut_off, unconfirmed, uplinks, drift, unknown } = status;
    let mut out = match config {
        Some(path) => format!("applied: {}\n", path.display()),
        None if *cut_off => {
            "a change was cut off in the middle: `mhnat apply`, `mhnat rollback` or `mhnat down` repairs it\n"
                .to_owned()
        }
        None => "nothing is applied\n".to_owned(),
    };
    if let Some(waiting) = unconfirmed {
        let left = seconds(Duration::from_millis(waiting.milliseconds_left));
        let _ = if waiting.supervised {
            writeln!(out, "unconfirmed: rolled back in {left} unless `mhnat confirm` comes before")
        } else {
            writeln!(
                out,
                "unconfirmed, and the process that would roll it back has died: `mhnat confirm` or `mhnat rollback`"
            )
        };
    }
    for uplink in uplinks {
        write_uplink(&mut out, uplink);
    }
    if drift.is_empty() {
        if config.is_some() {
            out.push_str("the kernel is as it was applied\n");
        }
    } else {
        let _ = writeln!(out, "{} from what was applied:", count(drift.len(), "difference"));
        for line in drift {
            let _ = writeln!(out, "  {line}");
        }
    }
    for line in unknown {
        let _ = writeln!(out, "unknown: {line}");
    }
    out
}

fn write_uplink(out: &mut String, uplink: &UplinkStatus) {
    let UplinkStatus { name, interface, mark, table, legs, counters, flows } = uplink;
    let _ = write!(out, "uplink {name}: {interface}");
    if let Some(table) = table {
        let _ = write!(out, ", table {table}");
    }
    if let Some(mark) = mark {
        let _ = write!(out, ", mark {mark}");
    }
    if let Some(flows) = flows {
        let _ = write!(out, ", {}", count(usize::try_from(*flows).unwrap_or(usize::MAX), "flow"));
    }
    out.push('\n');
    for (family, leg) in legs {
        let addresses: Vec<String> = leg.addresses.iter().map(ToString::to_string).collect();
        let _ = write!(out, "  {family} {}", addresses.join(" "));
        if let Some(gateway) = leg.gateway {
            let _ = write!(out, " via {gateway}");
        }
        let _ = match (&leg.unusable, &leg.despite) {
            (None, None) => writeln!(out, ": usable"),
            (None, Some(why)) => writeln!(out, ": used for want of another, {why}"),
            (Some(why), _) => writeln!(out, ": not usable, {why}"),
        };
    }
    if let Some(it) = counters {
        let _ = writeln!(
            out,
            "  received {} bytes in {} packets, sent {} bytes in {} packets",
            it.received_bytes, it.received_packets, it.sent_bytes, it.sent_packets
        );
    }
}

/// A time in seconds, rounded up: what is left is not zero while there is some.
pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_millis().div_ceil(1000))
}
