//! The first pass over a file: is every word known, and does every value have the type that it must have?
//!
//! serde stops at the first mistake. So the spanned TOML tree is walked against the JSON Schema of the raw types,
//! which reports every mistake of this kind at once; what passes here, serde accepts as well.

use serde_json::Value as Json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::diagnostic::{Diagnostic, hint_known, listed, nearest};

/// What the outermost table is called in findings.
const FILE: &str = "the file";

/// Walks a parsed document against a JSON Schema and returns every mistake.
pub(super) fn check(schema: &Json, document: &Spanned<DeTable<'_>>) -> Vec<Diagnostic> {
    let table = document.get_ref();
    let known = schema.get("properties").and_then(Json::as_object);
    if !table.keys().any(|key| known.is_some_and(|known| known.contains_key(key.get_ref().as_ref()))) {
        return vec![
            Diagnostic::whole("this is no scenario: it has none of the words that a scenario begins with")
                .hint("the least is a `title`, a `[gateway.NAME]`, a `[subject]` and a `[[step]]`"),
        ];
    }
    let mut walk = Walk { root: schema, findings: Vec::new() };
    walk.table(schema, document.get_ref(), document.span(), FILE);
    walk.findings
}

struct Walk<'s> {
    root: &'s Json,
    findings: Vec<Diagnostic>,
}

impl<'s> Walk<'s> {
    fn resolve(&self, schema: &'s Json) -> &'s Json {
        let mut schema = schema;
        loop {
            // Draft 7 has no description beside a reference, so a described field wraps it.
            let wrapped = schema.pointer("/allOf/0/$ref").or_else(|| schema.get("$ref"));
            let target = wrapped.and_then(Json::as_str).map(|reference| reference.trim_start_matches('#'));
            match target.and_then(|pointer| self.root.pointer(pointer)) {
                Some(target) => schema = target,
                None => return schema,
            }
        }
    }

    /// A table, which is called `place` in findings.
    fn table(&mut self, schema: &'s Json, table: &DeTable<'_>, span: std::ops::Range<usize>, place: &str) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let mut mistyped: Vec<&str> = Vec::new();
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            match (properties.and_then(|properties| properties.get(name)), others) {
                (Some(inner), _) => self.value(inner, name, value),
                (None, Some(inner)) => self.value(inner, &format!("{place}.{name}"), value),
                (None, None) => {
                    let known: Vec<&str> = properties
                        .into_iter()
                        .flat_map(|properties| properties.keys())
                        .map(String::as_str)
                        .collect();
                    mistyped.extend(nearest(name, known.iter().copied()));
                    let message = format!("unknown word `{name}` in {}", titled(place));
                    let finding = Diagnostic::new(&key.span(), message, "not known here");
                    self.findings.push(hint_known(finding, name, known));
                }
            }
        }
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let required = required.as_str().unwrap_or_default();
            // A word that is there, but mistyped, is not missing as well.
            if mistyped.contains(&required) || table.iter().any(|(key, _)| key.get_ref() == required) {
                continue;
            }
            let about = properties
                .and_then(|properties| properties.get(required))
                .and_then(|inner| inner.get("description"))
                .and_then(Json::as_str)
                .unwrap_or_default();
            let message = format!("`{required}` is missing in {}", titled(place));
            let finding = if place == FILE {
                Diagnostic::whole(message)
            } else {
                Diagnostic::new(&span, message, format!("this needs `{required}`"))
            };
            self.findings.push(if about.is_empty() {
                finding
            } else {
                finding.hint(format!("`{required}`: {about}"))
            });
        }
    }

    fn value(&mut self, schema: &'s Json, name: &str, value: &Spanned<DeValue<'_>>) {
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            match value.get_ref() {
                DeValue::String(word) if words.contains(&word.as_ref()) => {}
                DeValue::String(word) => {
                    let finding = Diagnostic::new(
                        &value.span(),
                        format!("unknown word \"{word}\" for `{name}`"),
                        format!("expected {}", quoted(&words)),
                    );
                    let near =
                        nearest(word, words.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
                    self.findings.push(match near {
                        Some(near) => finding.hint(near),
                        None => finding,
                    });
                }
                other => self.wrong(name, value, &quoted(&words), other),
            }
            return;
        }
        if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
            let fits = choices.iter().find(|choice| accepts(self.resolve(choice), value.get_ref()));
            match fits {
                Some(choice) => self.value(choice, name, value),
                None => self.wrong(name, value, &expected(schema), value.get_ref()),
            }
            return;
        }
        if !accepts(schema, value.get_ref()) {
            self.wrong(name, value, &expected(schema), value.get_ref());
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(schema, table, value.span(), name),
            DeValue::Array(array) => {
                if let Some(items) = schema.get("items") {
                    for item in array.iter() {
                        self.value(items, name, item);
                    }
                }
            }
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok();
                let (low, high) = bounds(schema);
                if parsed.is_none_or(|parsed| parsed < low || parsed > high) {
                    self.findings.push(Diagnostic::new(
                        &value.span(),
                        format!("`{name}` is out of range"),
                        format!("expected a whole number from {low} to {high}"),
                    ));
                }
            }
            _ => {}
        }
    }

    fn wrong(&mut self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str, found: &DeValue<'_>) {
        let finding = Diagnostic::new(
            &value.span(),
            format!("`{name}` has the wrong type"),
            format!("expected {expected}, found {}", kind(found)),
        );
        let hint = match found {
            _ if !expected.starts_with("a list") => None,
            DeValue::String(text) => Some(format!("write it in brackets: [\"{text}\"]")),
            DeValue::Table(_) => {
                Some(format!("a header has two brackets: `[[{name}]]`, and an inline table one: [{{ ... }}]"))
            }
            _ => None,
        };
        self.findings.push(match hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }
}

/// The words that an enumeration admits.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return words.iter().map(Json::as_str).collect();
    }
    let choices = schema.get("oneOf")?.as_array()?;
    choices.iter().map(|choice| choice.get("const").and_then(Json::as_str)).collect()
}

fn quoted(words: &[&str]) -> String {
    listed(words.iter().map(|word| format!("\"{word}\"")), "or")
}

/// A table as findings call it.
fn titled(place: &str) -> String {
    if place == FILE { place.to_owned() } else { format!("`{place}`") }
}

fn accepts(schema: &Json, value: &DeValue<'_>) -> bool {
    match (schema.get("type").and_then(Json::as_str), value) {
        (Some("string"), DeValue::String(_))
        | (Some("integer"), DeValue::Integer(_))
        | (Some("boolean"), DeValue::Boolean(_))
        | (Some("array"), DeValue::Array(_))
        | (Some("object"), DeValue::Table(_))
        | (Some("number"), DeValue::Integer(_) | DeValue::Float(_)) => true,
        (Some(_), _) => false,
        (None, _) => true,
    }
}

fn expected(schema: &Json) -> String {
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        let choices: Vec<String> = choices.iter().map(expected).collect();
        return choices.join(" or ");
    }
    match schema.get("type").and_then(Json::as_str) {
        Some("string") => "a string",
        Some("integer") => "a whole number",
        Some("boolean") => "true or false",
        Some("array") => match schema.pointer("/items/type").and_then(Json::as_str) {
            Some("string") => "a list of strings",
            _ => "a list",
        },
        Some("object") => "a table",
        _ => "another value",
    }
    .to_owned()
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn bounds(schema: &Json) -> (i64, i64) {
    let low = schema.get("minimum").and_then(Json::as_i64);
    let high = schema.get("maximum").and_then(Json::as_i64);
    match schema.get("format").and_then(Json::as_str) {
        Some("uint8") => (0, 255),
        Some("uint16") => (0, 65_535),
        Some("uint32") => (0, 4_294_967_295),
        Some("int32") => (-2_147_483_648, 2_147_483_647),
        _ => (low.unwrap_or(i64::MIN), high.unwrap_or(i64::MAX)),
    }
}
