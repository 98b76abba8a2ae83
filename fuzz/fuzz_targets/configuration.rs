//! The loader of a whole folder, under the property that the tests hold kept inputs to.
#![no_main]

#[path = "../../tests/it/fuzzed/configuration.rs"]
mod configuration;
#[path = "../../tests/it/config/conformity.rs"]
mod conformity;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    configuration::check(input);
});
