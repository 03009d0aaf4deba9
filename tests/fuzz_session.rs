//! Any sequence of requests on a stream: the entry of the fuzz target `session` over made-up bytes,
//! with every compiler.
//!
//! Goes out: the bytes that broke a promise, made as short as they can be.

#[path = "../fuzz/session.rs"]
mod session;

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
