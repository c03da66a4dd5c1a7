//! From tokens to an expression, by recursive descent.

use std::ops::Range;

use super::{
    Expression,
    glob::Glob,
    token::{Kind, Token, split},
};
use crate::diagnostic::{Diagnostic, known_words};

/// Parentheses deeper than this are a mistake.
const MAX_DEPTH: usize = 64;
/// The functions of the language.
const FUNCTIONS: [&str; 4] = ["scenario", "variant", "tag", "control"];

pub(super) fn parse(text: &str) -> Result<Expression, Diagnostic> {
    let tokens = split(text)?;
    if tokens.is_empty() {
        return Err(Diagnostic::whole("the filter is empty").hint(EXAMPLE));
    }
    let mut parser = Parser { tokens: &tokens, end: text.len(), at: 0, depth: 0 };
    let expression = parser.any()?;
    match parser.peek() {
        None => Ok(expression),
        Some(Token { kind: Kind::Close, span }) => {
            Err(Diagnostic::new(span, "this parenthesis was never opened", "nothing to close here"))
        }
        Some(Token { span, .. }) => {
            Err(Diagnostic::new(span, "two conditions without a word between them", "expected `and` or `or`"))
        }
    }
}

const EXAMPLE: &str = "for example `tag(nat) and not control()`, or a part of a test's name";

struct Parser<'a> {
    tokens: &'a [Token],
    /// Length of the text: the place of an error at its end.
    end: usize,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn accept(&mut self, kind: &Kind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == *kind);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Expression, Diagnostic> {
        let mut parts = vec![self.all()?];
        while self.accept(&Kind::Or) {
            parts.push(self.all()?);
        }
        Ok(single(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Diagnostic> {
        let mut parts = vec![self.one()?];
        while self.accept(&Kind::And) {
            parts.push(self.one()?);
        }
        Ok(single(parts, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, Diagnostic> {
        let mut negate = false;
        while self.accept(&Kind::Not) {
            negate = !negate;
        }
        let inner = self.positive()?;
        Ok(if negate { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn positive(&mut self) -> Result<Expression, Diagnostic> {
        let Some(token) = self.peek() else {
            return Err(Diagnostic::new(
                &(self.end..self.end),
                "the filter ends too early",
                "expected a condition",
            )
            .hint(EXAMPLE));
        };
        self.at += 1;
        match &token.kind {
            Kind::Open => self.parenthesis(&token.span),
            Kind::Quoted(text) => Ok(Expression::Name(text.clone())),
            Kind::Word(word) if self.accept(&Kind::Open) => self.function(word, &token.span),
            Kind::Word(word) => bare(word, &token.span),
            Kind::Close | Kind::And | Kind::Or | Kind::Not => Err(Diagnostic::new(
                &token.span,
                "a condition is missing",
                "expected a condition before this",
            )
            .hint(EXAMPLE)),
        }
    }

    fn parenthesis(&mut self, opened: &Range<usize>) -> Result<Expression, Diagnostic> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("parentheses are nested more than {MAX_DEPTH} deep");
            return Err(Diagnostic::new(opened, message, "this one is too deep"));
        }
        let inner = self.any()?;
        self.close(opened)?;
        self.depth -= 1;
        Ok(inner)
    }

    fn function(&mut self, name: &str, span: &Range<usize>) -> Result<Expression, Diagnostic> {
        if !FUNCTIONS.contains(&name) {
            let message = format!("the filter has no function `{name}`");
            return Err(Diagnostic::new(span, message, "not known").hint(known_words(name, FUNCTIONS)));
        }
        let argument = match self.peek() {
            Some(Token { kind: Kind::Word(text), .. }) => {
                self.at += 1;
                Some(Glob::new(text))
            }
            Some(Token { kind: Kind::Quoted(text), .. }) => {
                self.at += 1;
                Some(Glob::new(text))
            }
            _ => None,
        };
        if name == "control" && argument.is_some() {
            let place = &self.tokens[self.at - 1].span;
            return Err(Diagnostic::new(place, "`control()` takes no argument", "expected `)`"));
        }
        self.close(span)?;
        match (name, argument) {
            ("scenario", Some(glob)) => Ok(Expression::Scenario(glob)),
            ("variant", Some(glob)) => Ok(Expression::Variant(glob)),
            ("tag", Some(glob)) => Ok(Expression::Tag(glob)),
            ("control", None) => Ok(Expression::Control),
            _ => {
                let whole = span.start..self.tokens[self.at - 1].span.end;
                Err(Diagnostic::new(&whole, format!("`{name}()` needs a pattern"), "nothing can match this")
                    .hint(format!("for example `{name}(na*)`")))
            }
        }
    }

    /// Expects the parenthesis that ends what began at a place.
    fn close(&mut self, opened: &Range<usize>) -> Result<(), Diagnostic> {
        if self.accept(&Kind::Close) {
            return Ok(());
        }
        let (place, label) = match self.peek() {
            Some(token) => (token.span.clone(), "expected `)` before this"),
            None => (self.end..self.end, "expected `)`"),
        };
        Err(Diagnostic::new(&place, "a parenthesis is not closed", label).related(opened, "opened here"))
    }
}

fn bare(word: &str, span: &Range<usize>) -> Result<Expression, Diagnostic> {
    if word.contains(['*', '?']) {
        return Err(Diagnostic::new(span, "a bare word is no pattern", "`*` and `?` mean nothing here").hint(
            format!(
                "write `scenario({word})`, `variant({word})` or `tag({word})`, or only a part of the test's name"
            ),
        ));
    }
    Ok(Expression::Name(word.to_owned()))
}

fn single(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}
