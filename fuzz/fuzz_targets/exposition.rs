//! The parser of the text format, under the property that the tests hold kept inputs to.
#![no_main]

#[path = "../../tests/it/fuzzed/exposition.rs"]
mod exposition;

libfuzzer_sys::fuzz_target!(|page: &[u8]| exposition::check(page));
