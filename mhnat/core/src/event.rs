//! What a daemon tells while it works: one type, as text for people and as JSON for programs.
//!
//! Names of events, their fields and the words of causes stay what they are; sentences may change.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::chronicle::Cause;
use crate::family::Family;
use crate::link::Unusable;
use crate::name::UplinkName;
use crate::stamp::Stamp;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody should see to it.
    Error,
    /// Somebody should know.
    Warning,
    /// It goes as it should.
    Info,
}

impl Level {
    /// The number of syslog(3), as sd-daemon(3) takes it in front of a line.
    pub const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Info => 6,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the sentence says")]
pub enum Event {
    /// One family of an uplink carries packets.
    Carries { uplink: UplinkName, family: Family },
    /// It does not, or not any more.
    Lost { uplink: UplinkName, family: Family, why: Unusable },
    /// Nothing speaks against it any more.
    Well { uplink: UplinkName, family: Family },
    /// It is used although something speaks against it.
    Despite { uplink: UplinkName, family: Family, why: Unusable },
    /// The kernel is as it should be again.
    InForce { took: Duration },
    /// Connections were forgotten.
    Rehomed { connections: u64, took: Duration },
    /// Sockets of this host were closed.
    Closed { sockets: u64 },
    /// They could not be.
    Unclosed { message: String },
    /// A change did not succeed.
    Failed { message: String, hint: Option<String>, retry: Duration },
    /// Another program works against this one.
    Strife,
    /// The file was read again.
    Reloaded { file: String, contents: String },
    /// It has mistakes, and the one before stays in force.
    Kept { message: String, hint: Option<String>, report: Option<String> },
    /// Connections are shared with another node from now on.
    Sharing,
    /// They are not any more.
    SharingEnds,
    /// conntrackd could not be looked after.
    SharingFailed { message: String, hint: Option<String> },
    /// conntrackd has ended.
    ConntrackdEnded { how: String },
    /// Everything was taken back.
    TakenBack,
}

impl Event {
    /// How much it matters.
    pub const fn level(&self) -> Level {
        match self {
            Self::Carries { .. }
            | Self::Lost { .. }
            | Self::Well { .. }
            | Self::Despite { .. }
            | Self::InForce { .. }
            | Self::Rehomed { .. }
            | Self::Closed { .. }
            | Self::Reloaded { .. }
            | Self::Sharing
            | Self::SharingEnds
            | Self::TakenBack => Level::Info,
            Self::Unclosed { .. } | Self::Failed { .. } | Self::Strife | Self::ConntrackdEnded { .. } => {
                Level::Warning
            }
            Self::Kept { .. } | Self::SharingFailed { .. } => Level::Error,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Carries { .. } => "carries",
            Self::Lost { .. } => "lost",
            Self::Well { .. } => "well",
            Self::Despite { .. } => "despite",
            Self::InForce { .. } => "in-force",
            Self::Rehomed { .. } => "rehomed",
            Self::Closed { .. } => "closed",
            Self::Unclosed { .. } => "unclosed",
            Self::Failed { .. } => "failed",
            Self::Strife => "strife",
            Self::Reloaded { .. } => "reloaded",
            Self::Kept { .. } => "kept",
            Self::Sharing => "sharing",
            Self::SharingEnds => "sharing-ends",
            Self::SharingFailed { .. } => "sharing-failed",
            Self::ConntrackdEnded { .. } => "conntrackd-ended",
            Self::TakenBack => "taken-back",
        }
    }

    /// What may help.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { hint, retry, .. } => Some(hint.clone().unwrap_or_else(|| {
                format!("tried again in {} ms, and whenever something changes", retry.as_millis())
            })),
            Self::Kept { hint, .. } | Self::SharingFailed { hint, .. } => hint.clone(),
            Self::Unclosed { .. } => Some(
                "this host's own connections by a lost uplink wait there; those of hosts behind it are reset".into(),
            ),
            Self::Strife => {
                Some("`mhnat audit` names those that manage rules, routes or nft tables".to_owned())
            }
            Self::ConntrackdEnded { .. } => Some(
                "what it said stands above; it is started again, and the other node is asked for what it knows".into(),
            ),
            Self::Carries { .. }
            | Self::Lost { .. }
            | Self::Well { .. }
            | Self::Despite { .. }
            | Self::InForce { .. }
            | Self::Rehomed { .. }
            | Self::Closed { .. }
            | Self::Reloaded { .. }
            | Self::Sharing
            | Self::SharingEnds
            | Self::TakenBack => None,
        }
    }

    /// The event as one line of JSON: `time`, `level`, `event`, `message`, and what it is about.
    pub fn json(&self, time: Stamp) -> String {
        let mut out = Map::new();
        let mut add = |key: &str, value: Value| out.insert(key.to_owned(), value);
        add("time", time.to_string().into());
        add("level", self.level().word().into());
        add("event", self.name().into());
        match self {
            Self::Carries { uplink, family } | Self::Well { uplink, family } => {
                add("uplink", uplink.to_string().into());
                add("family", family.nft_protocol().into());
            }
            Self::Lost { uplink, family, why } | Self::Despite { uplink, family, why } => {
                add("uplink", uplink.to_string().into());
                add("family", family.nft_protocol().into());
                add("cause", Cause::from(*why).word().into());
            }
            Self::InForce { took } => {
                add("milliseconds", milliseconds(*took).into());
            }
            Self::Rehomed { connections, took } => {
                add("connections", (*connections).into());
                add("milliseconds", milliseconds(*took).into());
            }
            Self::Closed { sockets } => {
                add("sockets", (*sockets).into());
            }
            Self::Failed { retry, .. } => {
                add("retry-milliseconds", milliseconds(*retry).into());
            }
            Self::Reloaded { file, .. } => {
                add("file", file.as_str().into());
            }
            Self::Kept { report: Some(report), .. } => {
                add("report", report.as_str().into());
            }
            Self::Kept { report: None, .. }
            | Self::Unclosed { .. }
            | Self::Strife
            | Self::Sharing
            | Self::SharingEnds
            | Self::SharingFailed { .. }
            | Self::ConntrackdEnded { .. }
            | Self::TakenBack => {}
        }
        add("message", self.to_string().into());
        if let Some(hint) = self.hint() {
            add("hint", hint.into());
        }
        Value::Object(out).to_string()
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// `1 connection begins`, `2 connections begin`.
fn counted(f: &mut fmt::Formatter<'_>, number: u64, what: &str, verbs: [&str; 2]) -> fmt::Result {
    let [one, more] = verbs;
    if number == 1 { write!(f, "1 {what}{one}") } else { write!(f, "{number} {what}s{more}") }
}

/// The sentence, without its hint.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carries { uplink, family } => write!(f, "uplink {uplink} carries {family}"),
            Self::Lost { uplink, family, why } => {
                write!(f, "uplink {uplink} does not carry {family}: {why}")
            }
            Self::Well { uplink, family } => write!(f, "uplink {uplink} is well again in {family}"),
            Self::Despite { uplink, family, why } => {
                write!(f, "uplink {uplink} carries {family} for want of another, although {why}")
            }
            Self::InForce { took } => write!(f, "in force after {:.2} ms", milliseconds(*took)),
            Self::Rehomed { connections, took } => {
                counted(f, *connections, "connection", [" begins", " begin"])?;
                write!(f, " anew after {:.2} ms", milliseconds(*took))
            }
            Self::Closed { sockets } => {
                counted(f, *sockets, "socket", [" of this host is closed", " of this host are closed"])
            }
            Self::Unclosed { message }
            | Self::Failed { message, .. }
            | Self::SharingFailed { message, .. } => f.write_str(message),
            Self::Strife => f.write_str("another program keeps changing what mhnat has put into the kernel"),
            Self::Reloaded { file, contents } => write!(f, "read {file} again: {contents}"),
            Self::Kept { message, .. } => {
                write!(f, "{message}; the configuration before stays in force")
            }
            Self::Sharing => f.write_str("conntrackd is started, to share connections with the other node"),
            Self::SharingEnds => f.write_str("connections are not shared any more"),
            Self::ConntrackdEnded { how } => write!(f, "conntrackd has ended: {how}"),
            Self::TakenBack => f.write_str("taken back"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Event> {
        let (uplink, family) = ("line".parse::<UplinkName>().unwrap(), Family::V4);
        let why = Unusable::NoCarrier;
        let took = Duration::from_micros(1_234);
        let message = "it is \"so\"".to_owned();
        vec![
            Event::Carries { uplink: uplink.clone(), family },
            Event::Lost { uplink: uplink.clone(), family, why },
            Event::Well { uplink: uplink.clone(), family },
            Event::Despite { uplink, family: Family::V6, why },
            Event::InForce { took },
            Event::Rehomed { connections: 1, took },
            Event::Rehomed { connections: 2, took },
            Event::Closed { sockets: 3 },
            Event::Unclosed { message: message.clone() },
            Event::Failed { message: message.clone(), hint: None, retry: Duration::from_millis(50) },
            Event::Strife,
            Event::Reloaded { file: "/etc/mhnat.toml".into(), contents: "2 uplinks".into() },
            Event::Kept { message: message.clone(), hint: None, report: Some("line 1\nline 2".into()) },
            Event::Sharing,
            Event::SharingEnds,
            Event::SharingFailed { message, hint: Some("do it".into()) },
            Event::ConntrackdEnded { how: "killed".into() },
            Event::TakenBack,
        ]
    }

    #[test]
    fn sentences() {
        let lines: Vec<String> =
            all().iter().map(|it| format!("<{}>{it} ({:?})", it.level().priority(), it.hint())).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn json() {
        let lines: Vec<String> = all().iter().map(|it| it.json(Stamp(1_700_000_000_123))).collect();
        for line in &lines {
            assert!(!line.contains('\n'), "{line}");
            serde_json::from_str::<Value>(line).unwrap();
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
