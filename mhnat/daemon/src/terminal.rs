//! Standard output and standard error: the only place that writes to them, and that knows about colour.

use std::io::{self, IsTerminal as _, Write as _};

use mhnat_core::diagnostic::Colour;

use crate::failure::Failure;

/// The two streams of this process.
pub(crate) struct Terminal {
    colour: Colour,
    output_colour: Colour,
}

impl Terminal {
    /// Colour is for terminals only, and for nobody who has set `NO_COLOR` (<https://no-color.org>).
    pub(crate) fn new() -> Self {
        Self { colour: colour(io::stderr().is_terminal()), output_colour: colour(io::stdout().is_terminal()) }
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

    /// Writes something that a person should know and that ends nothing.
    pub(crate) fn warn(&mut self, message: &str, hint: Option<&str>) {
        self.line("warning", "\x1b[1;33m", message, hint);
    }

    /// Writes why the program ends.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if let Some(report) = &failure.report {
            let _ = writeln!(io::stderr(), "{report}");
        }
        self.line("error", "\x1b[1;31m", &failure.message, failure.hint.as_deref());
    }

    fn line(&mut self, kind: &str, escape: &str, message: &str, hint: Option<&str>) {
        let kind = match self.colour {
            Colour::Always => format!("{escape}{kind}\x1b[0m"),
            Colour::Never => kind.to_owned(),
        };
        let hint = hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        let _ = writeln!(io::stderr(), "{kind}: {message}{hint}");
    }
}

fn colour(terminal: bool) -> Colour {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if terminal && !unwanted { Colour::Always } else { Colour::Never }
}
