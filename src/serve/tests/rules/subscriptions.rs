//! What a client asks for, and how it is told what there is not (rules 5 to 10).

use super::{two_clusters, version};
use crate::serve::tests::*;
use Kind::{Cluster, Endpoint, Route};
use Variant::{Delta, Sotw};

#[test]
fn rule_5_a_star_stands_beside_names_and_is_dropped_again() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["*", "a"], &[]);
    assert_eq!(stream.take(Cluster), ["a", "b"]);
    stream.subscribe(Cluster, &[], &["*"]);
    stream.publish([plain(Cluster, "a", 2), plain(Cluster, "b", 2)]);
    assert_eq!(stream.take(Cluster), ["a"]);
    stream.expect_nothing();
}

#[test]
fn rule_5_sotw_an_empty_list_means_nothing_once_a_name_was_given() {
    let mut stream = Stream::ads(Sotw, two_clusters());
    stream.ask(Cluster, &["a"], "");
    let first = stream.expect(Cluster);
    assert_eq!(shown(&first), ["a"]);
    stream.ask(Cluster, &[], &first.nonce);
    stream.publish([plain(Cluster, "a", 2), plain(Cluster, "b", 2)]);
    stream.expect_nothing();
}

#[test]
fn rule_6_a_first_wildcard_is_answered_with_nothing_when_there_is_nothing() {
    for variant in [Delta, Sotw] {
        for kind in Kind::ALL {
            let mut stream = Stream::ads(variant, []);
            match variant {
                Delta => stream.subscribe(kind, &[], &[]),
                Sotw => stream.ask(kind, &[], ""),
            }
            assert!(stream.take(kind).is_empty());
            stream.expect_nothing();
        }
    }
}

#[test]
fn rule_7_each_name_is_answered_even_if_the_client_has_it() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["a"], &[]);
    assert_eq!(stream.take(Cluster), ["a"]);
    stream.subscribe(Cluster, &["a"], &[]);
    assert_eq!(stream.take(Cluster), ["a"]);
    stream.subscribe(Cluster, &[], &["a"]);
    stream.subscribe(Cluster, &["a"], &[]);
    assert_eq!(stream.take(Cluster), ["a"]);
}

#[test]
fn rule_7_what_is_equal_is_not_sent_again_and_what_is_gone_is_told() {
    let mut stream =
        Stream::ads(Delta, [plain(Cluster, "a", 1), plain(Cluster, "b", 1), plain(Cluster, "new", 1)]);
    let a = version(&stream, Cluster, "a");
    stream.resume(Cluster, &[], &[("a", &a), ("b", "older"), ("gone", "x")]);
    stream.expect_nothing();
    stream.wait(Pace::default().resume);
    assert_eq!(stream.take(Cluster), ["b", "new", "-gone"]);
    stream.expect_nothing();
    stream.reopen();
    stream.resume(Cluster, &["a", "b", "gone", "never"], &[("a", &a), ("b", "older"), ("gone", "x")]);
    stream.wait(Pace::default().resume);
    assert_eq!(stream.take(Cluster), ["b", "-gone", "-never"]);
    stream.expect_nothing();
}

#[test]
fn rule_7_a_reconnect_before_the_first_load_is_answered_as_after_it() {
    let mut stream = Stream::open(Delta, None);
    let known = Stream::ads(Delta, two_clusters());
    let a = version(&known, Cluster, "a");
    stream.resume(Cluster, &[], &[("a", &a), ("gone", "x")]);
    stream.expect_nothing();
    stream.wait(Pace::default().resume);
    stream.publish(two_clusters());
    assert_eq!(stream.take(Cluster), ["b", "-gone"]);
}

#[test]
fn rule_7_a_cluster_that_went_while_the_client_was_away_goes_after_the_route_that_used_it() {
    let route = put(resource(Route, "r", 2, &[(Cluster, "b")]));
    let mut stream = Stream::ads(Delta, [plain(Cluster, "b", 1), route]);
    stream.resume(Cluster, &[], &[("gone", "x")]);
    stream.resume(Route, &["r"], &[("r", "y")]);
    stream.wait(Pace::default().resume);
    assert_eq!(stream.take(Cluster), ["b"]);
    assert_eq!(stream.take(Route), ["r"]);
    assert_eq!(stream.take(Cluster), ["-gone"]);
}

#[test]
fn rule_8_a_name_that_does_not_exist_is_told_at_once_and_sent_when_it_comes() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Endpoint, &["e"], &[]);
    assert_eq!(stream.take(Endpoint), ["-e"]);
    stream.publish([plain(Endpoint, "e", 1)]);
    assert_eq!(stream.take(Endpoint), ["e"]);
    stream.publish([remove(Endpoint, "e")]);
    assert_eq!(stream.take(Endpoint), ["-e"]);
    stream.expect_nothing();
}

#[test]
fn rule_8_sotw_leaves_a_missing_name_out() {
    let mut stream = Stream::ads(Sotw, [plain(Endpoint, "e", 1)]);
    stream.ask(Endpoint, &["missing"], "");
    stream.expect_nothing();
    stream.ask(Endpoint, &["missing", "e"], "");
    let response = stream.expect(Endpoint);
    assert_eq!(shown(&response), ["e"]);
    stream.answer(&response, None, &["missing", "e"]);
    stream.publish([plain(Endpoint, "missing", 1)]);
    assert_eq!(shown(&stream.expect(Endpoint)), ["missing"]);
}

#[test]
fn rule_9_a_dropped_name_that_the_star_covers_is_answered() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["*", "a", "none"], &[]);
    assert_eq!(stream.take(Cluster), ["a", "b", "-none"]);
    stream.subscribe(Cluster, &[], &["a", "none"]);
    assert_eq!(stream.take(Cluster), ["a", "-none"]);
    stream.expect_nothing();
}

#[test]
fn rule_10_a_dropped_name_is_silent() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["a", "b"], &[]);
    stream.take(Cluster);
    stream.subscribe(Cluster, &[], &["a"]);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "a", 2)]);
    stream.publish([remove(Cluster, "a")]);
    stream.expect_nothing();
}
