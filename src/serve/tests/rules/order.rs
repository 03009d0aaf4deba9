//! Make before break (rules 22 to 24).

use super::{service, serving_c0, without};
use crate::serve::tests::*;
use Kind::{Cluster, Endpoint, Listener, Route};
use Variant::{Delta, Sotw};

#[test]
fn rule_22_a_rename_goes_cluster_endpoints_route_and_then_the_removals() {
    for variant in [Delta, Sotw] {
        let route = |cluster: &str, content| put(resource(Route, "r", content, &[(Cluster, cluster)]));
        let mut stream =
            Stream::ads(variant, [put(eds("old", 1)), plain(Endpoint, "old", 1), route("old", 1)]);
        match variant {
            Delta => {
                stream.subscribe(Cluster, &[], &[]);
                stream.subscribe(Endpoint, &["old"], &[]);
                stream.subscribe(Route, &["r"], &[]);
            }
            Sotw => {
                stream.ask(Cluster, &[], "");
                stream.ask(Endpoint, &["old"], "");
                stream.ask(Route, &["r"], "");
            }
        }
        stream.take(Cluster);
        let endpoints = stream.expect(Endpoint);
        stream.answer(&endpoints, None, &["old"]);
        let routes = stream.expect(Route);
        stream.answer(&routes, None, &["r"]);

        stream.publish([
            put(eds("new", 1)),
            plain(Endpoint, "new", 1),
            route("new", 2),
            remove(Cluster, "old"),
            remove(Endpoint, "old"),
        ]);
        let clusters = stream.expect(Cluster);
        assert_eq!(shown(&clusters), if variant == Delta { vec!["new"] } else { vec!["new", "old"] });
        stream.expect_nothing();
        stream.ack(&clusters);
        match variant {
            Delta => stream.subscribe(Endpoint, &["new"], &[]),
            Sotw => stream.ask(Endpoint, &["old", "new"], &endpoints.nonce),
        }
        let endpoints = stream.expect(Endpoint);
        assert_eq!(shown(&endpoints), ["new"]);
        stream.expect_nothing();
        stream.answer(&endpoints, None, &["old", "new"]);
        let routes = stream.expect(Route);
        assert_eq!(shown(&routes), ["r"]);
        stream.expect_nothing();
        stream.answer(&routes, None, &["r"]);
        let clusters = stream.expect(Cluster);
        assert_eq!(shown(&clusters), if variant == Delta { vec!["-old"] } else { vec!["new"] });
    }
}

#[test]
fn rule_22_streams_of_single_types_of_one_client_keep_the_order_together() {
    let route = |cluster: &str, content| put(resource(Route, "r", content, &[(Cluster, cluster)]));
    let family = Arc::new(crate::serve::siblings::Siblings::default());
    let first = [put(eds("old", 1)), plain(Endpoint, "old", 1), route("old", 1)];
    let second = [
        put(eds("new", 1)),
        plain(Endpoint, "new", 1),
        route("new", 2),
        remove(Cluster, "old"),
        remove(Endpoint, "old"),
    ];
    let mut streams = [Cluster, Endpoint, Route].map(|kind| {
        let mut stream = Stream::open(Delta, Some(kind));
        stream.session.join(family.clone());
        stream.publish(first.clone());
        stream
    });
    let names: [&[&str]; 3] = [&[], &["old"], &["r"]];
    for (stream, (kind, names)) in streams.iter_mut().zip([Cluster, Endpoint, Route].into_iter().zip(names)) {
        stream.subscribe(kind, names, &[]);
        stream.take(kind);
    }
    streams.iter_mut().for_each(|stream| stream.publish(second.clone()));
    let [clusters, endpoints, routes] = &mut streams;
    routes.expect_nothing();
    assert_eq!(clusters.take(Cluster), ["new"]);
    clusters.expect_nothing();
    routes.expect_nothing();
    endpoints.subscribe(Endpoint, &["new"], &[]);
    assert_eq!(endpoints.take(Endpoint), ["new"]);
    assert_eq!(routes.take(Route), ["r"]);
    assert_eq!(clusters.take(Cluster), ["-old"]);
}

#[test]
fn rule_23_a_cluster_that_resolves_names_gets_time_to_settle() {
    let dns = || {
        let cluster = Resource::new(Cluster, "dns", &[1]).warming_slowly();
        put(Arc::new(cluster))
    };
    let mut stream = Stream::ads(Delta, [dns(), put(resource(Route, "r", 1, &[(Cluster, "dns")]))]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Route, &["r"], &[]);
    stream.take(Cluster);
    let next = stream.session.next(stream.now);
    assert!(next.response.is_none());
    assert_eq!(next.wake_at, Some(stream.now + Pace::default().settle));
    stream.wait(Pace::default().settle);
    assert_eq!(stream.take(Route), ["r"]);
}

#[test]
fn rule_23_a_cluster_that_a_listener_named_itself_outlives_its_connections() {
    let listener = |content, cluster: &str| put(resource(Listener, "l", content, &[(Cluster, cluster)]));
    let mut stream = Stream::ads(Delta, [plain(Cluster, "old", 1), listener(1, "old")]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    stream.take(Cluster);
    stream.take(Listener);
    stream.publish([plain(Cluster, "new", 1), listener(2, "new"), remove(Cluster, "old")]);
    assert_eq!(stream.take(Cluster), ["new"]);
    assert_eq!(stream.take(Listener), ["l"]);
    assert_eq!(stream.session.next(stream.now).wake_at, Some(stream.now + Pace::default().drain));
    stream.wait(Pace::default().drain);
    assert_eq!(stream.take(Cluster), ["-old"]);
}

#[test]
fn rule_23_endpoints_that_a_cluster_in_flight_needs_are_there_also_when_they_have_gone() {
    for variant in [Delta, Sotw] {
        let mut stream = serving_c0(variant);
        stream.publish(service("c1", 1).into_iter().chain(without("c0")));
        let clusters = stream.expect(Cluster);
        // An Envoy acknowledges `c1` when it is warm, for which it needs the endpoints, of which by now
        // there is nothing left.
        stream.publish(service("c2", 2).into_iter().chain(without("c1")));
        stream.expect_nothing();
        match variant {
            Delta => stream.subscribe(Endpoint, &["c1"], &[]),
            Sotw => stream.ask(Endpoint, &["c0", "c1"], ""),
        }
        let endpoints = stream.expect(Endpoint);
        assert_eq!(shown(&endpoints), ["c1"]);
        stream.answer(&endpoints, None, &["c0", "c1"]);
        stream.expect_nothing();
        stream.ack(&clusters);
        let clusters = stream.expect(Cluster);
        assert_eq!(shown(&clusters), if variant == Delta { vec!["c2", "-c1"] } else { vec!["c0", "c2"] });
        stream.expect_nothing();
        stream.ack(&clusters);
        // Whoever goes on asking for `c1` is told, as far as the variant can tell.
        if variant == Delta {
            assert_eq!(stream.take(Endpoint), ["-c1"]);
        }
        stream.expect_nothing();
    }
}

#[test]
fn rule_24_the_deadline_of_an_answer_does_not_let_pass_what_was_never_sent() {
    for variant in [Delta, Sotw] {
        let mut stream = serving_c0(variant);
        stream.publish(service("c1", 1).into_iter().chain(without("c0")));
        stream.expect(Cluster);
        stream.wait(Pace::default().deadline - Duration::from_millis(1));
        stream.publish(service("c2", 2).into_iter().chain(without("c1")));
        stream.expect_nothing();
        stream.wait(Duration::from_millis(1));
        // No answer came: the next clusters go out all the same, and the route that needs them waits.
        let clusters = stream.expect(Cluster);
        let overdue =
            stream.events().iter().filter(|e| matches!(e, Event::Overdue { kind: Cluster, .. })).count();
        assert_eq!(overdue, 1);
        assert_eq!(shown(&clusters), if variant == Delta { vec!["c2", "-c1"] } else { vec!["c0", "c2"] });
        stream.expect_nothing();
        let next = stream.session.next(stream.now);
        assert_eq!(next.wake_at, Some(stream.now + Pace::default().deadline));
        stream.wait(Pace::default().deadline);
        assert_eq!(shown(&stream.expect(Route)), ["r"]);
        stream.expect_nothing();
    }
}

#[test]
fn rule_24_a_cluster_is_not_removed_while_the_next_one_stands_refused() {
    for variant in [Delta, Sotw] {
        let mut stream = serving_c0(variant);
        stream.publish(service("c1", 1).into_iter().chain(without("c0")));
        let refused = stream.expect(Cluster);
        stream.nack(&refused);
        stream.wait(Pace::default().deadline * 2);
        stream.expect_nothing();
        stream.wait(Pace::default().deadline * 2);
        stream.expect_nothing();
    }
}

#[test]
fn rule_22_clusters_that_name_clusters_go_before_them_or_together() {
    let of = |name: &str, to: &str| put(resource(Cluster, name, 1, &[(Cluster, to)]));
    let route = |content, to: &str| put(resource(Route, "r", content, &[(Cluster, to)]));
    let edits = [of("whole", "part"), plain(Cluster, "part", 1), of("x", "y"), of("y", "x"), of("z", "z")];
    let mut stream =
        Stream::ads(Delta, edits.into_iter().chain([plain(Cluster, "other", 1), route(1, "whole")]));
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Route, &["r"], &[]);
    stream.take(Cluster);
    stream.take(Route);
    let gone = ["whole", "part", "x", "y", "z"].map(|name| remove(Cluster, name));
    stream.publish(gone.into_iter().chain([route(2, "other")]));
    assert_eq!(stream.take(Cluster), ["-x", "-y", "-z"]);
    assert_eq!(stream.take(Route), ["r"]);
    assert_eq!(stream.take(Cluster), ["-part", "-whole"]);
    stream.expect_nothing();
}

#[test]
fn rule_24_a_client_that_never_asks_for_endpoints_holds_nothing_up_for_long() {
    let edits = [put(eds("c", 1)), plain(Endpoint, "c", 1), put(resource(Route, "r", 1, &[(Cluster, "c")]))];
    let mut stream = Stream::ads(Delta, edits);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Route, &["r"], &[]);
    stream.take(Cluster);
    stream.expect_nothing();
    stream.wait(Pace::default().ask);
    assert_eq!(stream.take(Route), ["r"]);
}

#[test]
fn rule_24_a_client_that_asks_for_routes_only_gets_them_at_once() {
    let edits = [put(eds("c", 1)), plain(Endpoint, "c", 1), put(resource(Route, "r", 1, &[(Cluster, "c")]))];
    let mut stream = Stream::ads(Delta, edits);
    stream.subscribe(Route, &["r"], &[]);
    assert_eq!(stream.take(Route), ["r"]);
}

#[test]
fn rule_24_a_refused_cluster_holds_only_the_route_that_needs_it() {
    let route = |name: &str, cluster: &str| put(resource(Route, name, 1, &[(Cluster, cluster)]));
    let mut stream = Stream::ads(Delta, [plain(Cluster, "good", 1)]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Route, &["needs-bad", "needs-good"], &[]);
    stream.take(Cluster);
    assert_eq!(stream.take(Route), ["-needs-bad", "-needs-good"]);
    stream.publish([plain(Cluster, "bad", 1), route("needs-bad", "bad"), route("needs-good", "good")]);
    let bad = stream.expect(Cluster);
    assert_eq!(stream.take(Route), ["needs-good"]);
    stream.nack(&bad);
    stream.wait(Pace::default().deadline * 2);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "bad", 2)]);
    assert_eq!(stream.take(Cluster), ["bad"]);
    assert_eq!(stream.take(Route), ["needs-bad"]);
}

#[test]
fn rule_24_a_cluster_that_a_refused_route_goes_on_using_is_not_removed() {
    let route = |content, cluster: &str| put(resource(Route, "r", content, &[(Cluster, cluster)]));
    let mut stream = Stream::ads(Delta, [plain(Cluster, "old", 1), route(1, "old")]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Route, &["r"], &[]);
    stream.take(Cluster);
    stream.take(Route);
    stream.publish([plain(Cluster, "new", 1), route(66, "new"), remove(Cluster, "old")]);
    assert_eq!(stream.take(Cluster), ["new"]);
    let refused = stream.expect(Route);
    stream.nack(&refused);
    stream.wait(Pace::default().deadline * 2);
    stream.expect_nothing();
    stream.publish([route(2, "new")]);
    assert_eq!(stream.take(Route), ["r"]);
    assert_eq!(stream.take(Cluster), ["-old"]);
}

#[test]
fn rule_24_a_silent_client_gets_the_rest_after_the_deadline() {
    let mut stream =
        Stream::ads(Delta, [plain(Cluster, "c", 1), put(resource(Route, "r", 1, &[(Cluster, "c")]))]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Route, &["r"], &[]);
    stream.expect(Cluster);
    let next = stream.session.next(stream.now);
    assert_eq!(next.wake_at, Some(stream.now + Pace::default().deadline));
    stream.wait(Pace::default().deadline);
    stream.expect(Route);
}
