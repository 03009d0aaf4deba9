//! cargo-fuzz: any text with references to variables, and any value.
#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::substitute(bytes));
