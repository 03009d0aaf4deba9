//! Rules 25 and 26, and what is not served: clients that do not read, gRPC's own client, REST.

use std::time::Instant;

use super::*;
use crate::common::xds::Node;
use tonic::Code;

/// A runtime of some fifty kilobytes.
fn bulk(content: u32) -> String {
    format!("runtimes:\n- {{name: bulk, layer: {{n: {content}, text: {}}}}}\n", "x".repeat(50_000))
}

#[test]
fn rule_25_clients_that_never_read_delay_nobody_and_grow_nothing() {
    const CHANGES: u32 = 2_000;
    const SILENT: usize = 20;
    let world = World::new(&[("bulk.yaml", &bulk(0)), ("all.yaml", &one_of_each("a", 1))]);
    let mut reader = world.delta();
    reader.ask(Kind::Runtime, &["bulk"]);
    reader.take(Kind::Runtime);
    let typical = |reader: &mut Stream, from: u32, count: u32| {
        let mut times = Vec::new();
        for n in from..from + count {
            let start = Instant::now();
            world.put("bulk.yaml", &bulk(n));
            reader.take(Kind::Runtime);
            times.push(start.elapsed());
        }
        times.sort();
        times[times.len() / 2]
    };
    let alone = typical(&mut reader, 1, 100);
    // Half of them acknowledge by guess what they never read, so that more is always due.
    let mut silent: Vec<(Client, Stream)> = (0..SILENT)
        .map(|n| {
            let client = Client::connect(world.bridge.address());
            let mut stream = client.ads(if n % 4 < 2 { Delta } else { Sotw });
            stream.ask(Kind::Runtime, &["bulk"]);
            stream.ask(Kind::Cluster, &[]);
            (client, stream)
        })
        .collect();
    let before = world.bridge.memory();
    let mut middle = alone;
    for round in 0..20 {
        middle = middle.max(typical(&mut reader, 1_000 + round * CHANGES / 20, CHANGES / 20));
        for (_, stream) in silent.iter_mut().step_by(2) {
            for nonce in 1..100 {
                let nonce = format!("{}", round * 100 + nonce);
                let ask = Ask { nonce: &nonce, subscribe: &["bulk"], ..Ask::default() };
                stream.send(Kind::Runtime.type_url(), ask);
            }
        }
    }
    let grown = world.bridge.memory().saturating_sub(before);
    // Queues would hold two gigabytes by now.
    assert!(grown < 150 << 20, "{grown} bytes more");
    assert!(middle < alone * 10 + std::time::Duration::from_millis(50), "{middle:?} instead of {alone:?}");
    // One that begins to read finds the last state behind what was on its way, not all between.
    let (_, stream) = &mut silent[1];
    let last = format!("{}", 1_000 + CHANGES - 1).into_bytes();
    let mut answers = 0;
    stream.take_until(Kind::Runtime, "the last state", |answer| {
        answers += 1;
        answer.resources.iter().any(|got| !got.body.is_empty()) && answers < 10 && !last.is_empty()
    });
    assert!(answers < 10);
}

#[test]
fn a_client_is_announced_once_whatever_the_number_of_its_streams() {
    let mut world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    let open = |client: &Client, node: &str| {
        let mut streams: Vec<Stream> = (0..20).map(|_| client.single(Delta, Kind::Endpoint)).collect();
        for stream in &mut streams {
            stream.node = Some(Node::envoy(node));
            stream.ask(Kind::Endpoint, &["a"]);
            stream.take(Kind::Endpoint);
        }
        streams
    };
    let streams = open(&world.client, "one");
    let more = open(&world.client, "two");
    let other = open(&Client::connect(world.bridge.address()), "one");
    let announced =
        |world: &World| world.bridge.log().lines().filter(|line| line.contains("a client connected")).count();
    assert_eq!(announced(&world), 3, "{}", world.bridge.log());
    drop((streams, more, other));
    // All streams of the first have ended when one that comes later has been answered.
    let before = world.bridge.log().len();
    common::wait_until(common::SOON, "the client to be announced again", || {
        drop(open(&world.client, "one"));
        announced(&world) > 3
    });
    let line = world.bridge.wait_for_line(before, "a client connected");
    assert!(line.contains("single types"), "{line}");
}

#[test]
fn rule_26_a_client_that_names_its_listeners_and_clusters_gets_those() {
    let route = |cluster: &str| {
        format!(
            "routes: [{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [\
             {{match: {{prefix: ''}}, route: {{cluster: {cluster}}}}}]}}]}}]"
        )
    };
    let world = World::new(&[
        ("all.yaml", &format!("{}{}", one_of_each("a", 1), "")),
        ("b.yaml", &one_of_each("b", 1)),
        ("r.yaml", &route("a")),
    ]);
    let mut stream = world.sotw();
    stream.node = Some(Node { id: "grpc".into(), user_agent_name: "gRPC C-core".into(), ..Node::default() });
    stream.ask(Kind::Listener, &["a"]);
    assert_eq!(stream.take(Kind::Listener).says(), ["a"]);
    stream.ask(Kind::Route, &["r"]);
    assert_eq!(stream.take(Kind::Route).says(), ["r"]);
    stream.ask(Kind::Cluster, &["a"]);
    let clusters = stream.take(Kind::Cluster);
    assert_eq!(clusters.says(), ["a"]);
    stream.ask(Kind::Endpoint, &["a"]);
    stream.take(Kind::Endpoint);
    // A route to a cluster that it does not ask for yet: it asks when it has the route.
    world.put("r.yaml", &route("b"));
    assert_eq!(stream.take(Kind::Route).says(), ["r"]);
    ask_again(&mut stream, Kind::Cluster, &clusters, &["a", "b"]);
    let clusters = stream.take(Kind::Cluster);
    assert_eq!(clusters.says(), ["a", "b"]);
    ask_again(&mut stream, Kind::Cluster, &clusters, &["b"]);
    stream.expect_silence();
    // It keeps good resources of what it refuses, and another stream is not touched by that.
    world.put("b.yaml", &one_of_each("b", 2));
    let refused = stream.take_until(Kind::Cluster, "the change", |_| true);
    let mut delta = world.delta();
    delta.ask(Kind::Cluster, &[]);
    assert_eq!(delta.take(Kind::Cluster).says(), ["a", "b"]);
    assert_eq!(refused.says(), ["b"]);
}

#[test]
fn fetch_methods_rest_and_what_is_no_method_answer_unimplemented() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    let mut paths: Vec<String> =
        Kind::ALL.iter().map(|kind| format!("/{}/Fetch{}", kind.service(), kind.method())).collect();
    paths.extend(
        [
            "/v3/discovery:clusters",
            "/v2/discovery:listeners",
            "/",
            "/envoy.api.v2.ClusterDiscoveryService/StreamClusters",
            "/envoy.service.discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources",
            "/envoy.service.route.v3.VirtualHostDiscoveryService/StreamVirtualHosts",
            "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
        ]
        .map(str::to_owned),
    );
    for path in paths {
        let (status, code) = world.client.post(&path, "application/grpc", &[0; 5], false);
        assert_eq!((status, code), (200, Some(Code::Unimplemented)), "{path}");
    }
}

#[test]
fn rule_27_what_is_no_grpc_call_is_refused_as_grpc_has_it_and_no_header_of_one_ends_it() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    let path = format!("/{}/DeltaAggregatedResources", xds_bridge::serve::ADS);
    let ask = |method: &str, headers: &[(&'static str, &str)]| {
        world.client.http(method, &path, headers, &[], false)
    };
    for content_type in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8"] {
        let (status, code, _) = ask("POST", &[("content-type", content_type)]);
        assert_eq!((status, code), (200, Some(Code::Ok)), "{content_type}");
    }
    for content_type in ["application/json", "application/grpc-web", "application/grpc+json", "text/html", ""]
    {
        let (status, code, _) = ask("POST", &[("content-type", content_type)]);
        assert_eq!((status, code), (415, None), "{content_type}");
    }
    let grpc = ("content-type", "application/grpc");
    assert_eq!(ask("POST", &[]).0, 415);
    assert_eq!(ask("GET", &[grpc]).0, 405);
    // What is compressed is told how it is taken.
    let (status, code, headers) = ask("POST", &[grpc, ("grpc-encoding", "gzip")]);
    assert_eq!((status, code), (200, Some(Code::Unimplemented)));
    assert_eq!(headers.get("grpc-accept-encoding").and_then(|it| it.to_str().ok()), Some("identity"));
    // Clients end their calls themselves when their time is over; what they say of it, and what they take, is no reason.
    for header in [("grpc-timeout", "1S"), ("grpc-timeout", "no time"), ("grpc-accept-encoding", "gzip, br")]
    {
        let (status, code, _) = ask("POST", &[grpc, header]);
        assert_eq!((status, code), (200, Some(Code::Ok)), "{header:?}");
    }
}

#[test]
fn rule_28_only_clients_that_announce_it_get_a_ttl_and_heartbeats() {
    let text = format!("ttls: {{a: 1s}}\n{}", fragment(&[(Kind::Runtime, "a", 1), (Kind::Runtime, "b", 1)]));
    let world = World::new(&[("all.yaml", &text)]);
    for variant in [Delta, Sotw] {
        for only in [None, Some(Kind::Runtime)] {
            let mut plain = world.client.open(variant, only).unwrap();
            plain.ask(Kind::Runtime, &["a", "b"]);
            assert!(plain.take(Kind::Runtime).resources.iter().all(|got| got.ttl.is_none()), "{plain:?}");
            let mut stream = world.client.open(variant, only).unwrap();
            let features = vec!["xds.config.supports-resource-ttl".to_owned()];
            stream.node = Some(Node { client_features: features, ..Node::envoy("test") });
            stream.ask(Kind::Runtime, &["a", "b"]);
            let first = stream.take(Kind::Runtime);
            let ttl = Some(std::time::Duration::from_secs(1));
            assert_eq!((first.get("a").ttl, first.get("b").ttl), (ttl, None), "{stream:?}");
            assert!(!first.get("a").body.is_empty());
            for _ in 0..3 {
                let start = Instant::now();
                let beat = stream.take(Kind::Runtime);
                assert_eq!(beat.says(), ["?a"], "{stream:?}");
                assert_eq!(beat.get("a").ttl, ttl);
                assert_eq!(beat.get("a").version, first.get("a").version);
                assert!(
                    start.elapsed() < std::time::Duration::from_secs(1),
                    "too late: {:?}",
                    start.elapsed()
                );
            }
            plain.expect_silence();
        }
    }
}
