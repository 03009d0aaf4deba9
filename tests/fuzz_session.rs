//! Any sequence of requests on a stream: the entry of the fuzz target `session` over made-up bytes,
//! with every compiler.
//!
//! Goes out: the bytes that broke a promise, made as short as they can be.

#[path = "../fuzz/session.rs"]
mod session;

use std::path::Path;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_requests_breaks_the_session(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        session::session(&bytes);
    }

    #[test]
    fn a_long_sequence_costs_no_more_than_a_short_one(
        bytes in prop::collection::vec(any::<u8>(), 10..60),
        times in 50..100usize,
    ) {
        session::session(&bytes.repeat(times));
    }
}

#[test]
fn the_kept_sequences_break_nothing_nor_do_their_beginnings() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is kept") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        for end in 0..=bytes.len() {
            session::session(&bytes[..end]);
        }
        count += 1;
    }
    assert!(count > 3, "the corpus has gone");
}
