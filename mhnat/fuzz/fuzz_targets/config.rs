#![no_main]
//! Any bytes at all as a configuration.

#[path = "../src/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::config(bytes);
});
