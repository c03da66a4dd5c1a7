//! Colours of a terminal, or none.

use std::fmt::{self, Display, Formatter};

/// Whether to colour.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Paint {
    pub(crate) colour: bool,
}

/// A text between the codes that begin and end its colour.
pub(crate) struct Painted<T> {
    text: T,
    code: Option<&'static str>,
}

impl Paint {
    pub(crate) fn good<T: Display>(self, text: T) -> Painted<T> {
        self.with(text, "1;32")
    }

    pub(crate) fn bad<T: Display>(self, text: T) -> Painted<T> {
        self.with(text, "1;31")
    }

    pub(crate) fn doubtful<T: Display>(self, text: T) -> Painted<T> {
        self.with(text, "1;33")
    }

    pub(crate) fn name<T: Display>(self, text: T) -> Painted<T> {
        self.with(text, "1")
    }

    pub(crate) fn faint<T: Display>(self, text: T) -> Painted<T> {
        self.with(text, "2")
    }

    fn with<T>(self, text: T, code: &'static str) -> Painted<T> {
        Painted { text, code: self.colour.then_some(code) }
    }
}

impl<T: Display> Display for Painted<T> {
    /// Width and alignment apply to the text alone: the codes take no room on a screen.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
            None => self.text.fmt(f),
        }
    }
}
