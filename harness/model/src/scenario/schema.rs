//! The JSON Schema of the scenario language, generated from the raw types.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::raw::Raw;

/// The schema as text, for editors.
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(value()).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema, made once.
pub(super) fn value() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let schema = SchemaSettings::draft07()
            .with(|settings| settings.definitions_path = "/definitions".into())
            .into_generator()
            .into_root_schema_for::<Raw>();
        let mut json = schema.to_value();
        without_null(&mut json);
        json
    })
}

/// TOML has no null: an optional value is one that may be left out.
fn without_null(json: &mut Json) {
    match json {
        Json::Object(object) => {
            if let Some(Json::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Json::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [only] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    if let Json::Object(only) = only {
                        object.extend(only);
                    }
                }
            }
            if object.get("default").is_some_and(Json::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Json::Array(array) => array.iter_mut().for_each(without_null),
        _ => {}
    }
}
