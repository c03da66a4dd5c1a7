//! From the bytes of a configuration file to a [`Model`], or to everything that is wrong with it.
//!
//! Three passes, each of which finds all that it can find: the TOML parser recovers after a syntax error;
//! `shape` compares the tree with the JSON schema that is generated from the types in `raw`, and takes
//! out what does not fit; `validate` reads what is left, and asks whether it makes sense.

mod raw;
mod shape;
mod validate;
mod words;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize as _;
use toml::de::DeTable;

use crate::diagnostic::Diagnostic;
use crate::model::Model;

pub use raw::schema;

/// The size above which a file is refused unread, in bytes: room for some eight thousand fan-outs.
pub const MAX_BYTES: usize = 1 << 20;

/// The size above which a file of prefixes is refused, in bytes: room for some three hundred thousand.
pub const MAX_PREFIX_FILE_BYTES: usize = 4 << 20;

/// Gives the content of a file that a configuration names, by the name that stands there: at most one byte more
/// than [`MAX_PREFIX_FILE_BYTES`], or why there is none.
pub type Named<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Made once: it is the same for every file, and making it takes longer than a small file does.
static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema);

/// Why a file gives no model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is larger than [`MAX_BYTES`].
    TooLarge,
    /// It is not text. The offset is that of the first byte which is not UTF-8.
    NotText {
        /// The line of that byte, from 1.
        line: usize,
        /// The byte.
        byte: u8,
    },
    /// It is text, with these things wrong.
    Wrong {
        /// The text, for excerpts.
        source: String,
        /// At least one complaint.
        diagnostics: Vec<Diagnostic>,
    },
}

/// Reads a configuration that names no other files.
///
/// # Errors
/// As [`read_with`].
pub fn read(bytes: &[u8]) -> Result<Model, Rejected> {
    read_with(bytes, &|_| Err("only a configuration in a file can name others".to_owned()))
}

/// Reads a configuration, and the files that it names through `named`.
///
/// # Errors
/// Everything that is wrong with it and with them, at once.
pub fn read_with(bytes: &[u8], named: &Named<'_>) -> Result<Model, Rejected> {
    if bytes.len() > MAX_BYTES {
        return Err(Rejected::TooLarge);
    }
    let source = std::str::from_utf8(bytes).map_err(|error| not_text(bytes, error.valid_up_to()))?;
    let wrong = |diagnostics| Err(Rejected::Wrong { source: source.to_owned(), diagnostics });

    let (mut tree, syntax) = DeTable::parse_recoverable(source);
    let syntax = syntax_errors(source, &syntax);
    let mut found = shape::check(source, tree.get_mut(), &SCHEMA);
    let model = match raw::Config::deserialize(toml::de::Deserializer::from(tree)) {
        Ok(raw) => {
            let (model, mut complaints) = validate::validate(&raw, named);
            // What was taken out of the tree is missing in it.
            let refused: BTreeSet<&str> = found.iter().filter_map(|it| it.refused.as_deref()).collect();
            complaints.retain(|it| !it.follows_from.iter().any(|word| refused.contains(word)));
            found.extend(complaints);
            model
        }
        // The shape was checked, so only a difference between schema and types can lead here.
        Err(error) => {
            found.push(Diagnostic::new(error.message(), error.span().unwrap_or(0..0), "here"));
            None
        }
    };
    if !syntax.is_empty() {
        found = independent(source, &syntax, found);
        found.extend(syntax);
    }
    match model {
        Some(model) if found.is_empty() => Ok(model),
        _ => wrong(found),
    }
}

fn not_text(bytes: &[u8], at: usize) -> Rejected {
    let line = 1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    Rejected::NotText { line, byte: bytes.get(at).copied().unwrap_or_default() }
}

fn syntax_errors(source: &str, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut lines = BTreeSet::new();
    errors
        .iter()
        .filter_map(|error| {
            let span = error.span().unwrap_or(source.len()..source.len());
            // After the first error on a line the parser only guesses.
            lines
                .insert(line_of(source, span.start))
                .then(|| Diagnostic::new("this is not valid TOML", span, error.message().to_owned()))
        })
        .collect()
}

/// Complaints that hold whatever a broken line was meant to say.
fn independent(source: &str, syntax: &[Diagnostic], found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let broken: BTreeSet<usize> = syntax.iter().map(|it| line_of(source, it.span.start)).collect();
    found
        .into_iter()
        .filter(|it| it.follows_from.is_empty() && !broken.contains(&line_of(source, it.span.start)))
        .collect()
}

fn line_of(source: &str, offset: usize) -> usize {
    source.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
