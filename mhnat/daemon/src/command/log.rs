//! What `mhnat run` tells of what happens: for people or for programs, a line each, from the same events.

use clap::ValueEnum;
use mhnat_core::event::{Event, Level};

use crate::book::stamp;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// How it is told what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Sentences. A service manager adds the time.
    Text,
    /// An object of JSON a line, on standard output.
    Json,
}

/// Where it is told.
pub(super) struct Log<'t> {
    pub(super) terminal: &'t mut Terminal,
    format: Format,
    /// What was last warned of, which is not repeated while it lasts.
    warned: Option<String>,
    /// Whether it was told that sockets cannot be closed here.
    unclosed: bool,
}

impl<'t> Log<'t> {
    pub(super) fn new(terminal: &'t mut Terminal, format: Format) -> Self {
        terminal.tell_priorities();
        Self { terminal, format, warned: None, unclosed: false }
    }

    pub(super) fn tell(&mut self, event: Event) {
        match &event {
            Event::Failed { message, .. } if self.warned.as_ref() == Some(message) => return,
            Event::Failed { message, .. } => self.warned = Some(message.clone()),
            Event::Unclosed { .. } if std::mem::replace(&mut self.unclosed, true) => return,
            _ => {}
        }
        match (self.format, event.level()) {
            (Format::Json, level) => self.terminal.tell(level, &event.json(stamp())),
            (Format::Text, Level::Info) => self.terminal.tell(Level::Info, &event.to_string()),
            (Format::Text, Level::Warning) => {
                self.terminal.warn(&event.to_string(), event.hint().as_deref());
            }
            (Format::Text, Level::Error) => {
                let mut failure = Failure::new(Exit::Failed, &event);
                failure.hint = event.hint();
                if let Event::Kept { report, .. } = event {
                    failure.report = report;
                }
                self.terminal.fail(&failure);
            }
        }
    }

    /// From now on, what was warned of is worth a word again.
    pub(super) fn all_is_well(&mut self) {
        self.warned = None;
    }
}
