//! Standard output and standard error: the only place that writes to them, and that knows about colour.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use mhnat_core::diagnostic::Colour;
use mhnat_core::event::Level;

use crate::failure::Failure;

/// The two streams of this process.
pub(crate) struct Terminal {
    colour: Colour,
    output_colour: Colour,
    /// Whether standard output and standard error go to the journal, which takes priorities from lines.
    journal: [bool; 2],
}

impl Terminal {
    /// Colour is for terminals only, and for nobody who has set `NO_COLOR` (<https://no-color.org>).
    pub(crate) fn new() -> Self {
        Self {
            colour: colour(io::stderr().is_terminal()),
            output_colour: colour(io::stdout().is_terminal()),
            journal: [false; 2],
        }
    }

    /// From now on, each line that goes to the journal has its priority in front (sd-daemon(3)).
    pub(crate) fn tell_priorities(&mut self) {
        self.journal = [1, 2].map(is_journal);
    }

    /// The colour to use on standard error.
    pub(crate) const fn colour(&self) -> Colour {
        self.colour
    }

    /// The colour to use on standard output.
    pub(crate) const fn output_colour(&self) -> Colour {
        self.output_colour
    }

    /// Writes a result. A reader that has gone away, such as `head`, is no error of ours.
    pub(crate) fn print(&mut self, text: &str) {
        let _ = io::stdout().write_all(text.as_bytes());
    }

    /// Writes a line about what happens.
    pub(crate) fn tell(&mut self, level: Level, line: &str) {
        let text = prioritised(self.journal[0], level, line);
        let _ = io::stdout().write_all(text.as_bytes());
    }

    /// Writes something that a person should know and that ends nothing.
    pub(crate) fn warn(&mut self, message: &str, hint: Option<&str>) {
        self.line((Level::Warning, "warning", "\x1b[1;33m"), message, hint);
    }

    /// Writes why the program ends.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if let Some(report) = &failure.report {
            let _ = io::stderr().write_all(prioritised(self.journal[1], Level::Error, report).as_bytes());
        }
        self.line((Level::Error, "error", "\x1b[1;31m"), &failure.message, failure.hint.as_deref());
    }

    fn line(&mut self, (level, kind, escape): (Level, &str, &str), message: &str, hint: Option<&str>) {
        let kind = match self.colour {
            Colour::Always => format!("{escape}{kind}\x1b[0m"),
            Colour::Never => kind.to_owned(),
        };
        let hint = hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        let text = prioritised(self.journal[1], level, &format!("{kind}: {message}{hint}"));
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Each line with its end, and its priority in front where that is asked for.
fn prioritised(journal: bool, level: Level, text: &str) -> String {
    let priority = if journal { format!("<{}>", level.priority()) } else { String::new() };
    text.lines().map(|line| format!("{priority}{line}\n")).collect()
}

/// Whether this file descriptor is what the service manager has connected to the journal (`JOURNAL_STREAM` in
/// systemd.exec(5)): device and inode of it.
fn is_journal(descriptor: u8) -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    std::fs::metadata(format!("/proc/self/fd/{descriptor}"))
        .is_ok_and(|it| stream == format!("{}:{}", it.dev(), it.ino()))
}

fn colour(terminal: bool) -> Colour {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if terminal && !unwanted { Colour::Always } else { Colour::Never }
}
