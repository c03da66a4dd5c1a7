//! What a run of mhlab looks like to a person and to a machine.
//!
//! Every report consumes the one stream of [`harness_model::event::Event`]s and nothing else, so that what a
//! person reads and what a machine reads cannot differ. This crate opens no file and reads no clock: events come
//! in, text comes out.
//!
//! ```text
//! events -> record::Recorder -> record::Test -> terminal, tap, junit, json
//! ```
#![forbid(unsafe_code)]

use std::str::FromStr;

use harness_model::event::Event;

pub mod json;
pub mod junit;
mod paint;
pub mod record;
pub mod tap;
pub mod terminal;
#[cfg(test)]
mod tests;
mod words;

/// Something that is made from the events of a run.
pub trait Report {
    /// Takes the next event.
    fn event(&mut self, event: &Event);

    /// The text of the report. For a report that was streamed: what was not taken yet.
    ///
    /// # Errors
    /// If what happened cannot be written in the report's format.
    fn finish(self: Box<Self>) -> Result<String, ReportError>;
}

/// A report could not be written in its format.
#[derive(Debug, thiserror::Error)]
#[error("the {format} report could not be made")]
pub struct ReportError {
    /// The report's format.
    pub format: Format,
    /// What its writer says.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The formats of reports that are written to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// What a terminal shows, without colour.
    Text,
    /// Test Anything Protocol, version 14.
    Tap,
    /// JUnit XML, as CI servers read it.
    Junit,
    /// Everything, for programs.
    Json,
}

impl Format {
    /// All, with the words that a person uses for them.
    pub const ALL: [(Format, &'static str); 4] =
        [(Format::Text, "text"), (Format::Tap, "tap"), (Format::Junit, "junit"), (Format::Json, "json")];

    /// An empty report of this format.
    pub fn report(self) -> Box<dyn Report> {
        match self {
            Format::Text => Box::new(terminal::Terminal::new(terminal::Style::default())),
            Format::Tap => Box::new(tap::Tap::default()),
            Format::Junit => Box::new(junit::Junit::default()),
            Format::Json => Box::new(json::Json::default()),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = Self::ALL.iter().find(|(format, _)| format == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

/// A word that names no format.
#[derive(Debug, thiserror::Error)]
#[error("no report format is called `{word}` (hint: {hint})")]
pub struct UnknownFormat {
    word: String,
    hint: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(format, _)| *format).ok_or_else(|| {
            let known = Self::ALL.map(|(_, known)| known);
            UnknownFormat { word: word.to_owned(), hint: harness_model::diagnostic::known_words(word, known) }
        })
    }
}
