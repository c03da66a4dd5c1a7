#![no_main]
//! The plan of whatever is accepted.

#[path = "../src/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> libfuzzer_sys::Corpus {
    match properties::config(bytes) {
        Some(model) => {
            properties::planner(&model);
            libfuzzer_sys::Corpus::Keep
        }
        None => libfuzzer_sys::Corpus::Reject,
    }
});
