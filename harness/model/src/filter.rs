//! The language of `--filter`: which tests a person means.
//!
//! ```text
//! any     = all { ("|" | "or") all }
//! all     = one { ("&" | "and") one }
//! one     = ("!" | "not") one | "(" any ")" | atom
//! atom    = "scenario(" GLOB ")" | "variant(" GLOB ")" | "tag(" GLOB ")" | "control()" | WORD | "'" TEXT "'"
//! ```
//!
//! A word or a quoted text is looked for anywhere in `scenario::variant`. In a GLOB, `*` stands for any text, also
//! over slashes, and `?` for one character; it must match from beginning to end.

use std::collections::BTreeSet;

use crate::diagnostic::Diagnostic;

mod glob;
mod parse;
#[cfg(test)]
mod tests;
mod token;

use glob::Glob;

/// What a filter looks at: one test.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The scenario's path below the given directory, without extension.
    pub scenario: &'a str,
    /// The variant's name.
    pub variant: &'a str,
    /// The scenario's tags.
    pub tags: &'a BTreeSet<String>,
    /// Whether the variant must break something.
    pub control: bool,
}

/// A parsed filter expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    root: Expression,
}

/// A node of the expression. Chains are flat, so that a long one does not nest.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Name(String),
    Scenario(Glob),
    Variant(Glob),
    Tag(Glob),
    Control,
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Filter {
    /// Reads a filter expression.
    ///
    /// # Errors
    /// The first finding, with its place in the expression.
    pub fn parse(text: &str) -> Result<Filter, Diagnostic> {
        parse::parse(text).map(|root| Filter { root })
    }

    /// Whether a test is meant.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.root.matches(subject)
    }
}

impl Expression {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Expression::Name(text) => format!("{}::{}", subject.scenario, subject.variant).contains(text),
            Expression::Scenario(glob) => glob.matches(subject.scenario),
            Expression::Variant(glob) => glob.matches(subject.variant),
            Expression::Tag(glob) => subject.tags.iter().any(|tag| glob.matches(tag)),
            Expression::Control => subject.control,
            Expression::Not(inner) => !inner.matches(subject),
            Expression::All(parts) => parts.iter().all(|part| part.matches(subject)),
            Expression::Any(parts) => parts.iter().any(|part| part.matches(subject)),
        }
    }
}
