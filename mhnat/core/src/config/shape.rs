//! Whether a TOML tree has the shape that the JSON schema describes: known words, right types, nothing
//! required left out.
//!
//! What does not fit is reported and taken out of the tree, so that the rest can be read and checked.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::words::{alternatives, nearest};
use crate::diagnostic::Diagnostic;

/// What may explain that something is missing, beside other complaints of the shape: it stands on a line that
/// is not TOML. No word has a space in it.
const BROKEN_LINE: &[&str] = &["a broken line"];

/// Reports every difference between the tree and the schema, and removes it from the tree.
pub(super) fn check(source: &str, tree: &mut DeTable<'_>, schema: &Value) -> Vec<Diagnostic> {
    let mut walk = Walk { source, root: schema, found: Vec::new() };
    walk.table(tree, schema, &Place { within: None, name: "", span: 0..0 });
    walk.found
}

/// Where in the tree the walk is: at a key within a place, or, without one, at the whole file.
struct Place<'p> {
    within: Option<&'p Place<'p>>,
    name: &'p str,
    span: Range<usize>,
}

impl<'p> Place<'p> {
    fn key(&'p self, name: &'p str, span: Range<usize>) -> Self {
        Self { within: Some(self), name, span }
    }

    fn name(&self) -> &str {
        if self.within.is_some() { self.name } else { "the file" }
    }

    /// The key at the top of the file that leads here.
    fn top(&self) -> Option<&str> {
        let outer = self.within?;
        Some(outer.top().unwrap_or(self.name))
    }
}

struct Walk<'s> {
    source: &'s str,
    root: &'s Value,
    found: Vec<Diagnostic>,
}

impl<'s> Walk<'s> {
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| self.root.pointer(path.trim_start_matches('#')))
            .unwrap_or(schema)
    }

    fn table(&mut self, table: &mut DeTable<'_>, schema: &'s Value, place: &Place<'_>) {
        let schema = self.resolve(schema);
        let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
        let mut misfits = Vec::new();
        for (key, value) in table.iter_mut() {
            let word = key.get_ref().as_ref();
            match known.get(word) {
                None => self.unknown(word, key.span(), known, place),
                Some(schema) if self.value(value, schema, &place.key(word, value.span())) => continue,
                Some(_) => {}
            }
            misfits.push(word.to_owned());
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let absent: Vec<_> = required
            .filter_map(Value::as_str)
            .filter(|word| !table.contains_key(*word))
            .filter(|word| !self.found.iter().any(|it| it.refused.as_deref() == Some(word)))
            .collect();
        for word in absent {
            self.missing(word, known.get(word), place);
        }
        for word in misfits {
            table.remove(word.as_str());
        }
    }

    /// Whether the value, or at least its outside, fits.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &'s Value, place: &Place<'_>) -> bool {
        let described = schema;
        let resolved = self.resolve(schema);
        let options: Vec<&Value> = match resolved.get("anyOf").and_then(Value::as_array) {
            Some(options) => options.iter().collect(),
            None => vec![resolved],
        };
        let fitting = options.iter().copied().find(|it| type_of(it) == kind(value.get_ref()));
        let Some(schema) = fitting else {
            self.wrong_type(value, &options, described, place);
            return false;
        };
        match value.get_mut() {
            DeValue::Table(table) => {
                self.table(table, schema, place);
                true
            }
            DeValue::Array(items) => {
                let inner = schema.get("items").unwrap_or(&Value::Null);
                let mut fits = true;
                for item in items.iter_mut() {
                    let place = place.key(place.name(), item.span());
                    fits &= self.value(item, inner, &place);
                }
                fits
            }
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
                self.in_range(parsed, described, place)
            }
            _ => true,
        }
    }

    fn in_range(&mut self, number: Option<i64>, schema: &Value, place: &Place<'_>) -> bool {
        let min = schema.get("minimum").and_then(Value::as_i64).unwrap_or(i64::MIN);
        let max = schema.get("maximum").and_then(Value::as_i64).unwrap_or(i64::from(u32::MAX));
        if number.is_some_and(|number| (min..=max).contains(&number)) {
            return true;
        }
        let complaint = Diagnostic::new(
            format!("`{}` is out of range", place.name()),
            place.span.clone(),
            format!("expected a whole number from {min} to {max}"),
        );
        self.found.push(complaint.refused(place.name()));
        false
    }

    fn unknown(
        &mut self,
        word: &str,
        span: Range<usize>,
        known: &serde_json::Map<String, Value>,
        place: &Place<'_>,
    ) {
        let inside = place.top().map(|table| format!(" in `{table}`")).unwrap_or_default();
        let meant = nearest(word, known.keys().map(String::as_str));
        let label = match meant {
            Some(meant) => format!("perhaps `{meant}` was meant"),
            None => "not known here".to_owned(),
        };
        let refused = meant.unwrap_or(word);
        let known = alternatives(known.keys().map(String::as_str));
        self.found.push(
            Diagnostic::new(format!("unknown word `{word}`{inside}"), span, label)
                .hint(format!("expected {known}"))
                .refused(refused),
        );
    }

    fn missing(&mut self, word: &str, schema: Option<&Value>, place: &Place<'_>) {
        let mut diagnostic = Diagnostic::new(
            format!("`{}` lacks `{word}`", place.name()),
            header(self.source, &place.span),
            format!("needs `{word}`"),
        )
        .refused(word)
        .follows_from(BROKEN_LINE);
        if let Some(example) = schema.and_then(example) {
            diagnostic = diagnostic.hint(format!("for example `{word} = {example}`"));
        }
        self.found.push(diagnostic);
    }

    fn wrong_type(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        options: &[&Value],
        schema: &Value,
        place: &Place<'_>,
    ) {
        let found = kind(value.get_ref());
        let expected: Vec<&str> = options.iter().map(|it| noun(type_of(it), it)).collect();
        let mut diagnostic = Diagnostic::new(
            format!("`{}` has the wrong type", place.name()),
            header(self.source, &value.span()),
            format!("expected {}, found {}", expected.join(" or "), found_noun(found)),
        )
        .refused(place.name());
        let tables =
            options.iter().any(|it| it.get("items").is_some_and(|items| items.get("$ref").is_some()));
        if tables && found == "object" {
            let name = place.name();
            diagnostic = diagnostic.hint(format!("write `[[{name}]]`, once for each"));
        } else if let Some(example) = example(schema) {
            diagnostic = diagnostic.hint(format!("for example `{} = {example}`", place.name()));
        }
        self.found.push(diagnostic);
    }
}

/// The header line of a table that begins where the span does; the span itself for anything else.
fn header(source: &str, span: &Range<usize>) -> Range<usize> {
    let rest = source.get(span.start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    if line.starts_with('[') && !line.contains(',') {
        span.start..span.start + line.trim_end().len()
    } else {
        span.clone()
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

fn type_of(schema: &Value) -> &str {
    schema.get("type").and_then(Value::as_str).unwrap_or("object")
}

fn noun(kind: &str, schema: &Value) -> &'static str {
    match kind {
        "string" => "a string in quotes",
        "integer" => "a whole number",
        "boolean" => "`true` or `false`",
        "array" if schema.get("items").is_some_and(|items| items.get("$ref").is_some()) => "a list of tables",
        "array" => "a list of strings",
        _ => "a table",
    }
}

fn found_noun(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number with a fraction",
        "boolean" => "a boolean",
        "date" => "a date or time",
        "array" => "a list",
        _ => "a table",
    }
}

/// The schema's example as TOML writes it, which for these types is also how JSON does.
fn example(schema: &Value) -> Option<String> {
    schema.get("examples").and_then(Value::as_array)?.first().map(Value::to_string)
}
