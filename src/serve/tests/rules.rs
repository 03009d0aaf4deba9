//! The rules of the protocol, one by one, in the order of `docs/conformance.md`.

use super::*;
use Kind::{Cluster, Endpoint, Listener, Route, VirtualHost};
use Variant::{Delta, Sotw};

fn version(stream: &Stream, kind: Kind, name: &str) -> String {
    let node = Node { id: "n".into(), ..Node::default() };
    let view = crate::snapshot::View::new(stream.snapshot.clone(), Some(&node));
    view.version(kind, name).expect("it is there").to_string()
}

fn two_clusters() -> [Edit; 2] {
    [plain(Cluster, "a", 1), plain(Cluster, "b", 1)]
}

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

#[test]
fn rule_11_virtual_hosts_are_found_by_alias_and_unknown_hosts_answered_without_a_body() {
    let host = |content| {
        let host = Resource::new(VirtualHost, "r/v", &[0x10, content]);
        put(Arc::new(host.with_aliases(["r/a.example".into(), "r/b.example".into()])))
    };
    let mut stream = Stream::ads(Delta, [host(1), plain(Route, "r", 1)]);
    stream.subscribe(VirtualHost, &["r/a.example", "r/b.example", "r/unknown"], &[]);
    assert_eq!(stream.take(VirtualHost), ["r/v", "?r/unknown"]);
    stream.publish([host(2)]);
    assert_eq!(stream.take(VirtualHost), ["r/v"]);
    // The route configuration empties Envoy's table of virtual hosts.
    stream.publish([plain(Route, "r", 2)]);
    assert_eq!(stream.take(VirtualHost), ["r/v"]);
    stream.publish([remove(VirtualHost, "r/v")]);
    assert_eq!(stream.take(VirtualHost), ["-r/v"]);
    stream.expect_nothing();
}

#[test]
fn rule_12_a_refused_version_is_not_sent_again_and_the_next_one_is() {
    for variant in [Delta, Sotw] {
        let mut stream = Stream::ads(variant, two_clusters());
        match variant {
            Delta => stream.subscribe(Cluster, &[], &[]),
            Sotw => stream.ask(Cluster, &[], ""),
        }
        stream.take(Cluster);
        stream.publish([plain(Cluster, "a", 66)]);
        let bad = stream.expect(Cluster);
        stream.nack(&bad);
        stream.expect_nothing();
        stream.publish([plain(Cluster, "b", 2)]);
        let other = stream.expect(Cluster);
        let sent: Vec<_> = other
            .items
            .iter()
            .map(|i| (i.name.to_string(), i.resource.clone().expect("a body").body()[1]))
            .collect();
        // A full state repeats what the client still holds, never what it refused.
        let expected = if variant == Delta {
            vec![("b".to_owned(), 2)]
        } else {
            vec![("a".to_owned(), 1), ("b".to_owned(), 2)]
        };
        assert_eq!(sent, expected);
        stream.ack(&other);
        stream.publish([plain(Cluster, "a", 3)]);
        assert!(stream.take(Cluster).contains(&"a".to_owned()));
        stream.expect_nothing();
    }
}

#[test]
fn rule_12_going_back_to_the_version_before_a_refused_one_is_sent() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    stream.take(Cluster);
    stream.publish([plain(Cluster, "a", 66)]);
    let bad = stream.expect(Cluster);
    stream.nack(&bad);
    stream.publish([plain(Cluster, "a", 1)]);
    assert_eq!(stream.take(Cluster), ["a"]);
}

#[test]
fn rule_12_a_refused_listener_is_offered_once_more_when_its_cluster_comes() {
    let listener = put(resource(Listener, "l", 1, &[(Cluster, "late")]));
    let mut stream = Stream::ads(Delta, [listener]);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    stream.take(Cluster);
    let refused = stream.expect(Listener);
    stream.nack(&refused);
    stream.publish([plain(Cluster, "other", 1)]);
    assert_eq!(stream.take(Cluster), ["other"]);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "late", 1)]);
    assert_eq!(stream.take(Cluster), ["late"]);
    assert_eq!(stream.take(Listener), ["l"]);
    stream.expect_nothing();
}

#[test]
fn rule_13_sotw_ignores_a_stale_nonce() {
    let mut stream = Stream::ads(Sotw, [plain(Endpoint, "e", 1), plain(Endpoint, "f", 1)]);
    stream.ask(Endpoint, &["e"], "");
    let first = stream.expect(Endpoint);
    stream.answer(&first, None, &["e"]);
    stream.publish([plain(Endpoint, "e", 2)]);
    let second = stream.expect(Endpoint);
    stream.answer(&first, None, &["e", "f"]);
    stream.expect_nothing();
    stream.answer(&second, None, &["e", "f"]);
    assert_eq!(shown(&stream.expect(Endpoint)), ["f"]);
}

#[test]
fn rule_13_delta_takes_the_names_of_a_request_with_a_stale_nonce_and_pairs_nothing() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["a"], &[]);
    let first = stream.expect(Cluster);
    let names = Names::Delta {
        subscribe: vec!["b"].into(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    let request = stream.request(Cluster, names);
    stream.send(Request { nonce: "from another life".into(), ..request });
    stream.expect_nothing();
    stream.ack(&first);
    assert_eq!(stream.take(Cluster), ["b"]);
}

#[test]
fn rule_14_changes_coalesce_while_a_response_is_in_flight() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    let first = stream.expect(Cluster);
    for content in 2..9 {
        stream.publish([plain(Cluster, "a", content)]);
        stream.expect_nothing();
    }
    stream.publish([plain(Cluster, "c", 1), remove(Cluster, "b")]);
    stream.ack(&first);
    assert_eq!(stream.take(Cluster), ["a", "c", "-b"]);
    stream.expect_nothing();
}

#[test]
fn rule_15_a_stream_without_a_node_gets_what_is_for_everyone() {
    let mut stream = Stream::ads(Delta, [plain(Cluster, "a", 1), for_node("n", eds("mine", 1))]);
    let names = Names::Delta {
        subscribe: Default::default(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    stream.send(Request { type_url: Cluster.type_url().into(), names, ..Request::default() });
    assert_eq!(stream.take(Cluster), ["a"]);
    let mut known = Stream::ads(Delta, [plain(Cluster, "a", 1), for_node("n", eds("mine", 1))]);
    known.subscribe(Cluster, &[], &[]);
    assert_eq!(known.take(Cluster), ["a", "mine"]);
    let mut other = Stream::ads(Delta, [plain(Cluster, "a", 1), for_node("other", eds("mine", 1))]);
    other.subscribe(Cluster, &[], &[]);
    assert_eq!(other.take(Cluster), ["a"]);
}

#[test]
fn rule_16_delta_sends_what_changed_and_nothing_else() {
    let mut stream = Stream::ads(Delta, (0..100).map(|n| plain(Cluster, &format!("c{n:03}"), 1)));
    stream.subscribe(Cluster, &[], &[]);
    assert_eq!(stream.take(Cluster).len(), 100);
    stream.publish([plain(Cluster, "c007", 2), remove(Cluster, "c050")]);
    assert_eq!(stream.take(Cluster), ["c007", "-c050"]);
}

#[test]
fn rule_17_sotw_clusters_and_listeners_are_full_state_and_others_are_not() {
    for (kind, full) in
        [(Cluster, true), (Listener, true), (Kind::ScopedRoute, true), (Route, false), (Endpoint, false)]
    {
        let mut stream = Stream::ads(Sotw, [plain(kind, "a", 1), plain(kind, "b", 1)]);
        stream.ask(kind, &[], "");
        assert_eq!(stream.take(kind), ["a", "b"]);
        stream.publish([plain(kind, "a", 2)]);
        assert_eq!(stream.take(kind), if full { vec!["a", "b"] } else { vec!["a"] }, "{kind}");
        stream.publish([remove(kind, "a")]);
        if full {
            assert_eq!(stream.take(kind), ["b"]);
        }
        stream.expect_nothing();
    }
}

#[test]
fn rule_18_nothing_is_sent_before_the_first_load() {
    let mut stream = Stream::open(Delta, None);
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Endpoint, &["e"], &[]);
    stream.expect_nothing();
    stream.publish([plain(Cluster, "a", 1)]);
    assert_eq!(stream.take(Cluster), ["a"]);
    assert_eq!(stream.take(Endpoint), ["-e"]);
}

#[test]
fn rule_18_a_change_and_its_reversal_before_the_ack_send_nothing() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    let first = stream.expect(Cluster);
    stream.publish([plain(Cluster, "a", 2)]);
    stream.publish([plain(Cluster, "a", 1)]);
    stream.ack(&first);
    stream.expect_nothing();
}

#[test]
fn rule_20_every_response_names_its_type_nonce_and_server() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &[], &[]);
    stream.subscribe(Listener, &[], &[]);
    let (one, two) = (stream.expect(Cluster), stream.expect(Listener));
    assert_ne!(one.nonce, two.nonce);
    assert_eq!((&*one.server, &*two.server), ("test", "test"));
}

#[test]
fn rule_21_a_large_answer_goes_out_in_parts_that_fit() {
    let big = |name: &str| put(Arc::new(Resource::new(Cluster, name, &vec![7; 1_000_000])));
    let names: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
    for (agent, parts) in [("grpc-c", 3), ("envoy", 1)] {
        let mut stream = Stream::ads(Delta, names.iter().map(|name| big(name)));
        let identity = Identity { agent: agent.into(), ..Identity::default() };
        let names = Names::Delta {
            subscribe: Default::default(),
            unsubscribe: Default::default(),
            initial: Default::default(),
        };
        stream.send(Request {
            identity: Some(identity),
            type_url: Cluster.type_url().into(),
            names,
            ..Request::default()
        });
        stream.started = true;
        let mut sizes = Vec::new();
        let mut got = 0;
        while let Some(response) = stream.next() {
            sizes.push(response.encoded_len());
            got += response.items.len();
            stream.ack(&response);
        }
        assert_eq!((sizes.len(), got), (parts, 9));
        assert!(agent == "envoy" || sizes.iter().all(|size| *size < 4 << 20));
    }
}

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

/// What a real client does: listener aside, all of a route to one cluster.
fn service(name: &str, content: u8) -> [Edit; 3] {
    let route = resource(Route, "r", content, &[(Cluster, name)]);
    [put(eds(name, 1)), plain(Endpoint, name, 1), put(route)]
}

fn without(name: &str) -> [Edit; 2] {
    [remove(Cluster, name), remove(Endpoint, name)]
}

/// A stream over a route to `c0`, all of it acknowledged.
fn serving_c0(variant: Variant) -> Stream {
    let mut stream = Stream::ads(variant, service("c0", 0));
    for (kind, names) in [(Cluster, vec![]), (Endpoint, vec!["c0"]), (Route, vec!["r"])] {
        match variant {
            Delta => stream.subscribe(kind, &names, &[]),
            Sotw => stream.ask(kind, &names, ""),
        }
        let response = stream.expect(kind);
        stream.answer(&response, None, &names);
    }
    stream
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

#[test]
fn rule_27_an_unknown_type_is_answered_as_empty_once() {
    let mut stream = Stream::ads(Delta, two_clusters());
    for _ in 0..3 {
        let request = Request {
            type_url: "type.googleapis.com/x.Y".into(),
            ..stream.request(Cluster, Names::default())
        };
        stream.send(request);
    }
    let response = stream.next().expect("an answer");
    assert_eq!((&*response.type_url, response.items.len()), ("type.googleapis.com/x.Y", 0));
    stream.expect_nothing();
    assert_eq!(stream.events().iter().filter(|event| matches!(event, Event::UnknownType(_))).count(), 1);
    stream.subscribe(Cluster, &[], &[]);
    assert_eq!(stream.take(Cluster), ["a", "b"]);
}

#[test]
fn rule_27_a_single_service_refuses_other_types_and_fills_in_its_own() {
    let mut stream = Stream::open(Delta, Some(Cluster));
    stream.publish(two_clusters());
    let snapshot = stream.snapshot.clone();
    let wrong = Request { type_url: Listener.type_url().into(), ..Request::default() };
    let refused = stream.session.on_request(wrong, &snapshot, stream.now).expect_err("another type");
    assert!(refused.to_string().contains("Cluster"), "{refused}");
    let names = Names::Delta {
        subscribe: Default::default(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    stream.send(Request { names, ..Request::default() });
    assert_eq!(stream.take(Cluster), ["a", "b"]);
}

#[test]
fn rule_27_more_names_than_a_stream_may_have_are_refused() {
    for variant in [Delta, Sotw] {
        let mut stream = Stream::ads(variant, two_clusters());
        let limit = (0..10).map(|n| format!("n{n}")).collect::<Vec<_>>();
        let names = |list: Vec<String>| match variant {
            Delta => Names::Delta {
                subscribe: list.into(),
                unsubscribe: Default::default(),
                initial: Default::default(),
            },
            Sotw => Names::Sotw(list.into()),
        };
        let request = stream.request(Cluster, names(limit.clone()));
        stream.send(request);
        let more = if variant == Delta {
            vec!["more".to_owned()]
        } else {
            [limit, vec!["more".to_owned()]].concat()
        };
        let request = stream.request(Cluster, names(more));
        let snapshot = stream.snapshot.clone();
        let refusal = stream.session.on_request(request, &snapshot, stream.now).expect_err("too many");
        assert!(matches!(refusal, Refusal::ResourceExhausted(_)), "{refusal}");
    }
}

#[test]
fn rule_27_names_asked_for_and_dropped_at_once_count_as_long_as_they_wait() {
    let mut stream = Stream::ads(Delta, two_clusters());
    stream.subscribe(Cluster, &["*"], &[]);
    // Never acknowledged: what is asked for now waits for its answer.
    stream.expect(Cluster);
    let snapshot = stream.snapshot.clone();
    let mut ask = |n: u32| {
        let list = vec![format!("n{n}")];
        let names = Names::Delta {
            subscribe: list.clone().into(),
            unsubscribe: list.into(),
            initial: Default::default(),
        };
        let request = stream.request(Cluster, names);
        stream.session.on_request(request, &snapshot, stream.now)
    };
    // Two more, since two are there without being asked for by name.
    assert!((0..12).all(|n| ask(n).is_ok()));
    assert!(matches!(ask(12), Err(Refusal::ResourceExhausted(_))));
}

#[test]
fn rule_27_a_name_without_end_is_refused() {
    let mut stream = Stream::ads(Delta, two_clusters());
    let names = Names::Delta {
        subscribe: vec!["x".repeat(1 << 20)].into(),
        unsubscribe: Default::default(),
        initial: Default::default(),
    };
    let request = stream.request(Cluster, names);
    let snapshot = stream.snapshot.clone();
    assert!(stream.session.on_request(request, &snapshot, stream.now).is_err());
}

#[test]
fn rule_28_what_expires_is_kept_alive_at_clients_that_understand_it() {
    let ttl = Duration::from_secs(9);
    let mortal = |kind| put(Arc::new(Resource::new(kind, "mortal", &[1]).with_ttl(ttl)));
    for (variant, kind) in [(Delta, Cluster), (Delta, Endpoint), (Sotw, Endpoint), (Sotw, Cluster)] {
        let mut stream = Stream::ads(variant, [mortal(kind), plain(kind, "plain", 1)]);
        stream.features = vec!["xds.config.supports-resource-ttl".into()];
        match variant {
            Delta => stream.subscribe(kind, &["*"], &[]),
            Sotw => stream.ask(kind, &["*"], ""),
        }
        let first = stream.expect(kind);
        stream.answer(&first, None, &["*"]);
        assert_eq!(first.items.iter().filter_map(|item| item.ttl).collect::<Vec<_>>(), [ttl]);
        for _ in 0..3 {
            let next = stream.session.next(stream.now);
            assert!(next.response.is_none());
            assert_eq!(next.wake_at, Some(stream.now + ttl / 3));
            stream.wait(ttl / 3);
            let beat = stream.expect(kind);
            // A full state cannot leave the rest out.
            let full = variant == Sotw && kind == Cluster;
            assert_eq!(shown(&beat), if full { vec!["mortal", "plain"] } else { vec!["?mortal"] });
            assert_eq!(beat.items[0].ttl, Some(ttl));
            stream.answer(&beat, None, &["*"]);
        }
        stream.publish([remove(kind, "mortal")]);
        if variant == Delta || kind == Cluster {
            let gone = stream.expect(kind);
            stream.answer(&gone, None, &["*"]);
        }
        assert_eq!(stream.session.next(stream.now).wake_at, None);
    }
}

#[test]
fn rule_28_a_client_that_does_not_announce_it_sees_no_ttl() {
    let mortal = Resource::new(Cluster, "mortal", &[1]).with_ttl(Duration::from_secs(9));
    let mut stream = Stream::ads(Delta, [put(Arc::new(mortal))]);
    stream.subscribe(Cluster, &[], &[]);
    let response = stream.expect(Cluster);
    stream.ack(&response);
    assert_eq!(response.items[0].ttl, None);
    stream.wait(Duration::from_secs(100));
    let next = stream.session.next(stream.now);
    assert!(next.response.is_none() && next.wake_at.is_none());
}

#[test]
fn a_contested_name_is_neither_sent_nor_taken_away_and_is_reported() {
    let mut stream = Stream::ads(Delta, [for_node("n*", eds("x", 1))]);
    stream.subscribe(Cluster, &[], &[]);
    assert_eq!(stream.take(Cluster), ["x"]);
    stream.publish([for_node("*n", eds("x", 2)), plain(Cluster, "y", 1)]);
    assert_eq!(stream.take(Cluster), ["y"]);
    assert!(
        stream
            .events()
            .iter()
            .any(|event| matches!(event, Event::Contested(Cluster, name) if &**name == "x"))
    );
    stream.publish([for_node("n*", eds("x", 3))]);
    stream.expect_nothing();
}
