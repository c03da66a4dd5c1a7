//! The one place through which this program prints.

use std::{
    env,
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use super::Stop;

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Console {
    colour_out: bool,
    colour_err: bool,
    /// Whoever read our output has gone.
    closed: bool,
}

impl Console {
    pub(super) fn new() -> Self {
        Console {
            colour_out: colour(io::stdout().is_terminal()),
            colour_err: colour(io::stderr().is_terminal()),
            closed: false,
        }
    }

    /// Whether standard output shows colours.
    pub(super) fn colour_out(&self) -> bool {
        self.colour_out
    }

    /// Whether standard error shows colours.
    pub(super) fn colour_err(&self) -> bool {
        self.colour_err
    }

    /// Whether a person watches standard error.
    pub(super) fn is_watched(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Writes to standard output. That nobody reads it any more, as in `mhlab list | head`, is no error.
    pub(super) fn print(&mut self, text: &str) -> Result<(), Stop> {
        if self.closed || text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.map_err(Stop::Output),
        }
    }

    /// Writes a line to standard error.
    pub(super) fn complain(&self, text: impl Display) {
        self.complain_raw(&format!("{text}\n"));
    }

    /// Writes to standard error. There is nobody to tell that this failed.
    pub(super) fn complain_raw(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Writes an error, and a hint within it on a line of its own.
    pub(super) fn error(&self, error: impl Display) {
        let (strong, end) = if self.colour_err { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        self.complain(format_args!("{strong}error:{end} {error}"));
    }
}

/// Colour on terminals only, unless the user says otherwise (<https://no-color.org>, <https://bixense.com/clicolors>).
fn colour(terminal: bool) -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    if set("NO_COLOR") { false } else { forced || (terminal && !dumb) }
}
