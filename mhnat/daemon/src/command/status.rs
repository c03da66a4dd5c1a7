//! `mhnat status`: what is in the kernel, beside what was applied.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mhnat_core::chronicle::{LegHistory, Transition};
use mhnat_core::family::Family;

use super::check::count;
use super::config;
use crate::engine::{self, DaemonStatus, LegStatus, Status, UplinkStatus};
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
    let Status { config, cut_off, unconfirmed, daemon, daemon_killed, uplinks, drift, unknown } = status;
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
    if let Some(DaemonStatus { started, looks: _, turns, reasserted, failed, closed }) = daemon {
        let _ = write!(out, "kept so by `mhnat run` since {started}: {}", counted(*turns, "change"));
        for (number, what) in
            [(reasserted, "against other programs"), (failed, "without success"), (closed, "sockets closed")]
        {
            if *number > 0 {
                let _ = write!(out, ", {number} {what}");
            }
        }
        out.push('\n');
    } else if *daemon_killed {
        out.push_str("`mhnat run` was killed: nobody keeps it so\n");
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
    for (family, leg) in legs {
        write_history(out, *family, leg);
    }
    if let Some(it) = counters {
        let _ = writeln!(
            out,
            "  received {} bytes in {} packets, sent {} bytes in {} packets",
            it.received_bytes, it.received_packets, it.sent_bytes, it.sent_packets
        );
    }
}

/// What has become of one family of it; nothing where there is nothing to tell.
fn write_history(out: &mut String, family: Family, leg: &LegStatus) {
    let LegStatus { stranded, leaked, history, .. } = leg;
    let mut counts = Vec::new();
    if let Some(number) = history.as_ref().map(|it| it.rehomed).filter(|it| *it > 0) {
        counts.push(format!("{} began anew", counted(number, "connection")));
    }
    if let Some(number) = stranded.filter(|it| *it > 0) {
        counts.push(format!("{} waiting here", counted(number, "connection")));
    }
    if let Some(number) = leaked.filter(|it| *it > 0) {
        counts.push(format!("{} kept from leaving with the source of another", counted(number, "packet")));
    }
    if let Some(LegHistory { probes_sent, probes_lost, .. }) = history
        && *probes_sent > 0
    {
        counts.push(format!("{probes_lost} of {} lost", counted(*probes_sent, "probe")));
    }
    if let Some(history) = history {
        counts.insert(0, format!("as it is since {}", history.since));
    }
    if !counts.is_empty() {
        let _ = writeln!(out, "  {family} {}", counts.join(", "));
    }
    for Transition { time, usable, cause, why, milliseconds } in history.iter().flat_map(|it| &it.transitions)
    {
        let what = match (usable, why) {
            (true, _) => cause.word().to_owned(),
            (false, Some(why)) => format!("lost, {why}"),
            (false, None) => "lost".to_owned(),
        };
        let took = milliseconds.map_or_else(String::new, |it| format!(", in force after {it:.2} ms"));
        let _ = writeln!(out, "    {time} {what}{took}");
    }
}

fn counted(number: u64, what: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), what)
}

/// A time in seconds, rounded up: what is left is not zero while there is some.
pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_millis().div_ceil(1000))
}
