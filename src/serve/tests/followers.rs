//! What a client asks for only when it has something else: routes of a listener, filters, scopes, and all that goes with
//! them.

use super::super::Pace;
use super::super::wire::Variant::{Delta, Sotw};
use super::{Stream, eds, plain, put, remove, resource, shown};
use crate::resource::Kind::{self, Cluster, Endpoint, ExtensionConfig, Listener, Route, ScopedRoute};
use crate::resource::{Claim, Reference, Resource};
use crate::snapshot::Edit;
use std::sync::Arc;

/// A cluster that is warm some time after its ACK.
fn dns(name: &str) -> Edit {
    put(Arc::new(Resource::new(Cluster, name, &[1]).warming_slowly()))
}

fn naming(kind: Kind, name: &str, content: u8, of: (Kind, &str)) -> Edit {
    put(resource(kind, name, content, &[of]))
}

/// An Envoy that holds a listener `l`, what that names, `f0`, and its cluster `c0`.
fn serving(follower: Kind) -> Stream {
    let first =
        [dns("c0"), naming(follower, "f0", 0, (Cluster, "c0")), naming(Listener, "l", 0, (follower, "f0"))];
    let mut stream = Stream::ads(Delta, first);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    stream.take(Cluster);
    stream.wait(Pace::default().settle);
    stream.take(Listener);
    stream.subscribe(follower, &["f0"], &[]);
    stream.take(follower);
    stream
}

/// The same with other names all the way down.
fn renamed(follower: Kind) -> [Edit; 5] {
    [
        dns("c1"),
        naming(follower, "f1", 1, (Cluster, "c1")),
        naming(Listener, "l", 1, (follower, "f1")),
        remove(Cluster, "c0"),
        remove(follower, "f0"),
    ]
}

#[test]
fn a_listener_goes_out_when_what_it_names_can_follow_at_once_and_nothing_of_before_goes_meanwhile() {
    for follower in [Route, ExtensionConfig] {
        let mut stream = serving(follower);
        stream.publish(renamed(follower));
        assert_eq!(stream.take(Cluster), ["c1"]);
        stream.expect_nothing();
        stream.wait(Pace::default().settle);
        assert_eq!(stream.take(Listener), ["l"]);
        // The filter of before is used as long as the connections of before are there; of routes Envoy takes no removal.
        if follower == Route {
            assert_eq!(stream.take(Route), ["-f0"]);
        }
        stream.expect_nothing();
        stream.subscribe(follower, &["f1"], &["f0"]);
        assert_eq!(stream.take(follower), ["f1"]);
        stream.expect_nothing();
        stream.wait(Pace::default().drain);
        assert_eq!(stream.take(Cluster), ["-c0"]);
        stream.expect_nothing();
    }
}

#[test]
fn a_client_goes_on_with_its_listener_when_what_the_next_one_leads_to_is_refused() {
    for follower in [Route, ExtensionConfig] {
        let mut stream = serving(follower);
        stream.publish(renamed(follower));
        let clusters = stream.expect(Cluster);
        stream.nack(&clusters);
        stream.wait(Pace::default().deadline);
        stream.expect_nothing();
        // One that is mended lets all of it go on.
        stream.publish([put(Arc::new(Resource::new(Cluster, "c1", &[2])))]);
        assert_eq!(stream.take(Cluster), ["c1"]);
        assert_eq!(stream.take(Listener), ["l"]);
    }
}

#[test]
fn a_first_listener_comes_although_a_cluster_of_its_routes_is_refused() {
    let first = [
        plain(Cluster, "c", 0),
        naming(Route, "r", 0, (Cluster, "c")),
        naming(Listener, "l", 0, (Route, "r")),
    ];
    let mut stream = Stream::ads(Delta, first);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    let clusters = stream.expect(Cluster);
    stream.expect_nothing();
    stream.nack(&clusters);
    assert_eq!(stream.take(Listener), ["l"]);
}

#[test]
fn a_scope_waits_for_what_its_routes_wait_for_and_what_it_names_itself_stays_as_long() {
    let scope = |content, of| naming(ScopedRoute, "s", content, of);
    let mut stream = Stream::ads(Delta, [plain(Cluster, "c0", 0), scope(0, (Cluster, "c0"))]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(ScopedRoute, &[], &[]);
    stream.take(Cluster);
    stream.take(ScopedRoute);
    stream.publish([
        dns("c1"),
        naming(Route, "r", 1, (Cluster, "c1")),
        scope(1, (Route, "r")),
        remove(Cluster, "c0"),
    ]);
    assert_eq!(stream.take(Cluster), ["c1"]);
    stream.expect_nothing();
    stream.wait(Pace::default().settle);
    assert_eq!(stream.take(ScopedRoute), ["s"]);
    assert_eq!(stream.take(Cluster), ["-c0"]);
}

#[test]
fn a_listener_that_goes_waits_for_one_that_comes() {
    for variant in [Delta, Sotw] {
        let listener = |name, cluster: &str| naming(Listener, name, 0, (Cluster, cluster));
        let mut stream = Stream::ads(variant, [dns("c0"), listener("l0", "c0")]);
        match variant {
            Delta => [Cluster, Listener].map(|kind| stream.subscribe(kind, &[], &[])),
            Sotw => [Cluster, Listener].map(|kind| stream.ask(kind, &[], "")),
        };
        stream.take(Cluster);
        stream.wait(Pace::default().settle);
        stream.take(Listener);
        stream.publish([dns("c1"), listener("l1", "c1"), remove(Listener, "l0"), remove(Cluster, "c0")]);
        let clusters = stream.expect(Cluster);
        stream.expect_nothing();
        stream.ack(&clusters);
        stream.expect_nothing();
        stream.wait(Pace::default().settle);
        let expected: &[&str] = if variant == Delta { &["l1", "-l0"] } else { &["l1"] };
        assert_eq!(stream.take(Listener), expected);
        stream.expect_nothing();
        stream.wait(Pace::default().drain);
        assert_eq!(shown(&stream.expect(Cluster)), if variant == Delta { ["-c0"] } else { ["c1"] });
    }
}

#[test]
fn a_cluster_of_clusters_goes_on_with_those_that_it_has_until_a_new_one_is_there() {
    let aggregate = |content, of| naming(Cluster, "a", content, (Cluster, of));
    let mut stream = Stream::ads(Delta, [plain(Cluster, "c0", 0), aggregate(0, "c0")]);
    stream.subscribe(Cluster, &[], &[]);
    assert_eq!(stream.take(Cluster), ["a", "c0"], "at first all come at once");
    stream.publish([put(eds("c1", 0)), plain(Endpoint, "c1", 0), aggregate(1, "c1"), remove(Cluster, "c0")]);
    assert_eq!(stream.take(Cluster), ["c1"]);
    stream.expect_nothing();
    stream.subscribe(Endpoint, &["c1"], &[]);
    assert_eq!(stream.take(Endpoint), ["c1"]);
    assert_eq!(stream.take(Cluster), ["a"]);
    assert_eq!(stream.take(Cluster), ["-c0"]);
    // Two that name each other and change at once hold nothing up.
    stream.publish([aggregate(2, "b"), naming(Cluster, "b", 0, (Cluster, "a"))]);
    assert_eq!(stream.take(Cluster), ["b"]);
    assert_eq!(stream.take(Cluster), ["a"]);
    stream.publish([aggregate(3, "b"), naming(Cluster, "b", 1, (Cluster, "a"))]);
    assert_eq!(stream.take(Cluster), ["a", "b"]);
}

/// A listener at these addresses, which names a cluster.
fn at(name: &str, content: u8, addresses: &[&str], cluster: &str) -> Edit {
    let body = [content, addresses.len() as u8];
    let cluster = Reference { kind: Cluster, name: cluster.into() };
    let addresses = addresses.iter().map(|address| Claim::of([address.as_bytes()]));
    let listener = Resource::new(Listener, name, &body).with_references([cluster]).with_claims(addresses);
    put(Arc::new(listener))
}

#[test]
fn a_listener_stays_as_long_as_the_one_that_takes_its_address_is_refused() {
    let mut stream =
        Stream::ads(Delta, [plain(Cluster, "c0", 0), at("l0", 0, &["p"], "c0"), at("x", 0, &["q"], "c0")]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    stream.take(Cluster);
    stream.take(Listener);
    stream.publish([
        plain(Cluster, "c1", 0),
        at("l1", 0, &["p"], "c1"),
        remove(Listener, "l0"),
        remove(Listener, "x"),
    ]);
    let clusters = stream.expect(Cluster);
    stream.nack(&clusters);
    assert_eq!(stream.take(Listener), ["-x"], "nobody takes its address");
    stream.expect_nothing();
    stream.publish([plain(Cluster, "c1", 1)]);
    stream.take(Cluster);
    assert_eq!(stream.take(Listener), ["l1", "-l0"]);
}

#[test]
fn a_listener_that_takes_an_address_is_offered_once_more_when_it_is_free() {
    let first = [plain(Cluster, "c", 0), at("z", 0, &["p"], "c"), at("y", 0, &["q"], "c")];
    let mut stream = Stream::ads(Delta, first);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    stream.take(Cluster);
    stream.take(Listener);
    // In one response, in the order of names.
    stream.publish([at("b", 0, &["p"], "c"), at("z", 1, &["r"], "c")]);
    for again in [false, true] {
        let response = stream.expect(Listener);
        assert_eq!(shown(&response), ["b", "z"], "{again}");
        stream.nack(&response);
    }
    stream.expect_nothing();
    // In two responses.
    stream.publish([at("c", 0, &["q"], "c")]);
    let response = stream.expect(Listener);
    stream.nack(&response);
    stream.expect_nothing();
    stream.publish([remove(Listener, "y")]);
    assert_eq!(stream.take(Listener), ["-y"]);
    assert_eq!(stream.take(Listener), ["c"]);
    stream.expect_nothing();
}
