//! Versions: what must be sent again because something else has changed (rules 3 and 4).

use super::{service, serving_c0, two_clusters, without};
use crate::serve::tests::*;
use Kind::{Cluster, Endpoint, Route};
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

#[test]
fn rule_4_sotw_the_version_of_a_full_state_names_what_is_in_it() {
    let mut stream = serving_c0(Sotw);
    let state = |response: &Response| (response.version, shown(response));
    let fresh = |stream: &mut Stream| {
        stream.reopen();
        stream.ask(Cluster, &[], "");
        let response = stream.expect(Cluster);
        stream.ack(&response);
        state(&response)
    };
    // Made before it is broken: both, and then the new one alone.
    stream.publish(service("c1", 1).into_iter().chain(without("c0")));
    let both = stream.expect(Cluster);
    stream.ack(&both);
    stream.ask(Endpoint, &["c0", "c1"], "");
    let endpoints = stream.expect(Endpoint);
    stream.answer(&endpoints, None, &["c0", "c1"]);
    let route = stream.expect(Route);
    stream.answer(&route, None, &["r"]);
    let one = stream.expect(Cluster);
    stream.ack(&one);
    assert_eq!([shown(&both).len(), shown(&one).len()], [2, 1]);
    assert_ne!(both.version, one.version);
    let before = state(&one);
    assert_eq!(fresh(&mut stream), before);
    // What it refused it goes on without, or with what it had.
    stream.publish([plain(Cluster, "bad", 66)]);
    let refused = stream.expect(Cluster);
    stream.nack(&refused);
    stream.publish([plain(Cluster, "good", 1)]);
    let good = stream.expect(Cluster);
    stream.ack(&good);
    assert_eq!(shown(&good), ["c1", "good"]);
    let all = fresh(&mut stream);
    assert_eq!(all.1, ["bad", "c1", "good"]);
    assert_ne!(good.version, all.0);
    stream.publish([remove(Cluster, "bad")]);
    stream.take(Cluster);
    assert_eq!(fresh(&mut stream), state(&good));
}

#[test]
fn rule_4_sotw_a_full_state_of_names_has_a_version_of_its_own() {
    let mut stream = Stream::ads(Sotw, two_clusters());
    stream.ask(Cluster, &["a"], "");
    let one = stream.expect(Cluster);
    stream.answer(&one, None, &["a", "b"]);
    let both = stream.expect(Cluster);
    assert_eq!([shown(&one), shown(&both)], [vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]]);
    assert_ne!(one.version, both.version);
    stream.answer(&both, None, &["a", "b"]);
    // What it does not ask for is no part of it.
    stream.publish([plain(Cluster, "other", 1), plain(Cluster, "b", 2)]);
    let changed = stream.expect(Cluster);
    stream.answer(&changed, None, &["a", "b"]);
    stream.publish([remove(Cluster, "other"), plain(Cluster, "b", 1)]);
    assert_eq!(stream.expect(Cluster).version, both.version);
    stream.reopen();
    stream.ask(Cluster, &[], "");
    assert_eq!(stream.expect(Cluster).version, both.version);
}
