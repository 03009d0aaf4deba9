//! Versions: what must be sent again because something else has changed (rules 3 and 4).

use crate::serve::tests::*;
use Kind::{Cluster, Endpoint};
use Variant::{Delta, Sotw};

#[test]
fn rule_3_a_changed_cluster_brings_its_endpoints_again_behind_it() {
    let mut stream = Stream::ads(Delta, [put(eds("c", 1)), plain(Endpoint, "c", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Endpoint, &["c"], &[]);
    assert_eq!(stream.take(Cluster), ["c"]);
    assert_eq!(stream.take(Endpoint), ["c"]);
    stream.publish([put(eds("c", 2))]);
    assert_eq!(stream.take(Cluster), ["c"]);
    assert_eq!(stream.take(Endpoint), ["c"]);
    stream.expect_nothing();
}

#[test]
fn rule_3_endpoints_wait_for_a_cluster_whose_change_cannot_go_out_yet() {
    let mut stream = Stream::ads(Delta, [put(eds("c", 1)), plain(Endpoint, "c", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Endpoint, &["c"], &[]);
    let in_flight = stream.expect(Cluster);
    stream.take(Endpoint);
    stream.publish([put(eds("c", 2)), plain(Endpoint, "c", 2)]);
    stream.expect_nothing();
    stream.ack(&in_flight);
    assert_eq!(stream.take(Cluster), ["c"]);
    assert_eq!(stream.take(Endpoint), ["c"]);
}

#[test]
fn rule_3_sotw_a_cluster_that_goes_and_comes_back_brings_its_endpoints_again() {
    let mut stream = Stream::ads(Sotw, [put(eds("c", 1)), plain(Endpoint, "c", 1)]);
    stream.ask(Cluster, &[], "");
    stream.ask(Endpoint, &["c"], "");
    stream.take(Cluster);
    let endpoints = stream.expect(Endpoint);
    stream.answer(&endpoints, None, &["c"]);
    stream.publish([remove(Cluster, "c")]);
    assert!(stream.take(Cluster).is_empty());
    // The list of names never said that the endpoints were dropped.
    stream.publish([put(eds("c", 1))]);
    assert_eq!(stream.take(Cluster), ["c"]);
    assert_eq!(stream.take(Endpoint), ["c"]);
    stream.expect_nothing();
}
