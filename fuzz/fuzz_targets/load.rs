//! cargo-fuzz: any bytes as a fragment.
#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::load(bytes));
