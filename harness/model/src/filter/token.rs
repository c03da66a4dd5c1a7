//! From characters to tokens.

use std::ops::Range;

use crate::diagnostic::Diagnostic;

/// A token with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word, which may be the name of a function or an operator.
    Word(String),
    /// A quoted text.
    Quoted(String),
    Open,
    Close,
    And,
    Or,
    Not,
}

/// Splits an expression.
pub(super) fn split(text: &str) -> Result<Vec<Token>, Diagnostic> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let start = at;
        let kind = match first {
            space if space.is_whitespace() => {
                at += space.len_utf8();
                continue;
            }
            '(' => Kind::Open,
            ')' => Kind::Close,
            '!' => Kind::Not,
            '&' => Kind::And,
            '|' => Kind::Or,
            '"' | '\'' => {
                let inner = &text[at + 1..];
                let Some(length) = inner.find(first) else {
                    let message = format!("the quote {first} is not closed");
                    return Err(Diagnostic::new(&(start..text.len()), message, "begins here"));
                };
                at += length + 2;
                tokens.push(Token { kind: Kind::Quoted(inner[..length].to_owned()), span: start..at });
                continue;
            }
            _ => {
                let length = text[at..].find(ends_word).unwrap_or(text.len() - at);
                at += length;
                let word = text[start..at].to_owned();
                let kind = match word.as_str() {
                    "and" => Kind::And,
                    "or" => Kind::Or,
                    "not" => Kind::Not,
                    _ => Kind::Word(word),
                };
                tokens.push(Token { kind, span: start..at });
                continue;
            }
        };
        at += 1;
        // `&&` and `||` are what fingers type; they mean the same.
        if matches!(kind, Kind::And | Kind::Or) && text[at..].starts_with(first) {
            at += 1;
        }
        tokens.push(Token { kind, span: start..at });
    }
    Ok(tokens)
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || "()!&|\"'".contains(character)
}
