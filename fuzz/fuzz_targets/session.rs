//! cargo-fuzz: any sequence of requests and changes on one stream.
#![no_main]

#[path = "../session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| session::session(bytes));
