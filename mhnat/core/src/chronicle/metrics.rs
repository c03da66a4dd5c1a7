//! The text exposition format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::{CLASSES, Chronicle, Key, Leg};
use crate::family::Family;
use crate::name::IfName;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the kernel counts, as it was asked for this text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections that stay on an uplink which is lost.
    pub stranded: BTreeMap<Key, u64>,
    /// Packets that were kept from leaving, by the interface that they would have left by.
    pub leaked: BTreeMap<(IfName, Family), u64>,
}

impl Chronicle {
    /// All that is known, as text.
    pub fn metrics(&self, counted: &Counted) -> String {
        let mut out = Text(String::new());
        out.head("mhnat_start_time_seconds", "gauge", "When the daemon began to watch, in Unix time.");
        out.sample("mhnat_start_time_seconds", &[], self.started.seconds());

        out.legs(self, "mhnat_uplink_up", "gauge", "Whether the uplink is used.", |_, leg| {
            leg.transitions.back().map(|it| f64::from(u8::from(it.why.is_none())))
        });
        out.legs(
            self,
            "mhnat_uplink_state_since_seconds",
            "gauge",
            "Since when the uplink is as it is, in Unix time.",
            |_, leg| leg.transitions.back().map(|it| it.time.seconds()),
        );
        let name = "mhnat_uplink_transitions_total";
        out.head(name, "counter", "Times that the uplink was lost or came back, by cause.");
        for (key, leg) in &self.legs {
            for (cause, number) in &leg.totals {
                let mut labels = labels(key, leg);
                labels.push(("cause", cause.word().to_owned()));
                out.sample(name, &labels, number);
            }
        }
        out.legs(
            self,
            "mhnat_uplink_rehomed_connections_total",
            "counter",
            "Connections that had to leave the uplink and begin anew.",
            |_, leg| Some(leg.rehomed),
        );
        out.legs(
            self,
            "mhnat_uplink_stranded_connections",
            "gauge",
            "Connections that stay on the uplink while it is lost.",
            |key, _| Some(counted.stranded.get(key).copied().unwrap_or(0)),
        );
        out.legs(
            self,
            "mhnat_uplink_leaked_packets_total",
            "counter",
            "Packets that did not leave by the uplink because their source was not its own.",
            |(_, family), leg| {
                Some(counted.leaked.get(&(leg.interface.clone(), *family)).copied().unwrap_or(0))
            },
        );
        out.legs(self, "mhnat_probes_sent_total", "counter", "Probes that were sent.", |_, leg| {
            Some(leg.probes.sent)
        });
        out.legs(self, "mhnat_probes_lost_total", "counter", "Probes that were not answered.", |_, leg| {
            Some(leg.probes.lost)
        });
        let name = "mhnat_probe_rtt_seconds";
        out.head(name, "summary", "Time until probes were answered.");
        for (key, leg) in &self.legs {
            let labels = labels(key, leg);
            out.sample(&format!("{name}_sum"), &labels, leg.probes.round_trips.as_secs_f64());
            out.sample(&format!("{name}_count"), &labels, leg.probes.answered);
        }

        let name = "mhnat_turn_duration_seconds";
        out.head(
            name,
            "histogram",
            "Time from the first look to the last change, where something was changed.",
        );
        for (limit, count) in CLASSES.iter().zip(&self.turns.classes) {
            let limit = (f64::from(*limit) / 1e6).to_string();
            out.sample(&format!("{name}_bucket"), &[("le", limit)], count);
        }
        out.sample(&format!("{name}_bucket"), &[("le", "+Inf".to_owned())], self.turns.count);
        out.sample(&format!("{name}_sum"), &[], self.turns.sum.as_secs_f64());
        out.sample(&format!("{name}_count"), &[], self.turns.count);

        for (name, number, help) in [
            ("mhnat_looks_total", self.looks, "Times that the kernel was looked at."),
            (
                "mhnat_reasserted_total",
                self.reasserted,
                "Times that the kernel was brought back to what it should be although no uplink had changed.",
            ),
            ("mhnat_failed_turns_total", self.failed, "Changes that did not succeed."),
            (
                "mhnat_closed_sockets_total",
                self.closed,
                "Sockets of this host on lost uplinks that were closed.",
            ),
        ] {
            out.head(name, "counter", help);
            out.sample(name, &[], number);
        }
        out.0
    }
}

type Label = (&'static str, String);

fn labels((uplink, family): &Key, leg: &Leg) -> Vec<Label> {
    let family = family.nft_protocol().to_owned();
    vec![("uplink", uplink.to_string()), ("interface", leg.interface.to_string()), ("family", family)]
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label], value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let pairs: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let _ = write!(self.0, "{{{}}}", pairs.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A sample for each leg of which something is known.
    fn legs<T: Display>(
        &mut self,
        chronicle: &Chronicle,
        name: &str,
        kind: &str,
        help: &str,
        value: impl Fn(&Key, &Leg) -> Option<T>,
    ) {
        self.head(name, kind, help);
        for (key, leg) in &chronicle.legs {
            if let Some(value) = value(key, leg) {
                self.sample(name, &labels(key, leg), value);
            }
        }
    }
}

/// Names of interfaces may have almost any character.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
