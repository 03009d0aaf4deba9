//! Rules 16 to 22: what is sent, how much at once, and in which order.

use std::time::{Duration, Instant};

use super::*;
use crate::common::xds::Node;
use crate::common::{SOON, wait_until};

#[test]
fn rule_16_delta_sends_what_changed_and_nothing_else() {
    let world = World::new(&[]);
    for kind in Kind::ALL {
        let items = |changed: u32| {
            let names: Vec<String> = (0..100).map(|n| format!("n{n:03}")).collect();
            let list: Vec<_> = names
                .iter()
                .enumerate()
                .filter(|(n, _)| changed == 0 || *n != 50)
                .map(|(n, name)| (kind, name.as_str(), if n == 7 { changed } else { 0 }))
                .collect();
            fragment(&list)
        };
        world.put(&format!("{}.yaml", kind.fragment_key()), &items(0));
        for only in [None, Some(kind)] {
            let mut stream = world.client.open(Delta, only).unwrap();
            stream.ask(kind, &[]);
            stream.take_until(kind, "all", |answer| answer.resources.len() >= 50);
            world.put(&format!("{}.yaml", kind.fragment_key()), &items(1));
            let mut said = stream.take(kind).says();
            if said.len() < 2 {
                // What nothing holds back goes first.
                said.extend(stream.take(kind).says());
            }
            said.sort();
            assert_eq!(
                said,
                [format!("-{}", full_name(kind, "n050")), full_name(kind, "n007")],
                "{stream:?}"
            );
            world.put(&format!("{}.yaml", kind.fragment_key()), &items(0));
            let mut said = stream.take(kind).says();
            said.sort();
            assert_eq!(said, [full_name(kind, "n007"), full_name(kind, "n050")], "{stream:?}");
        }
    }
}

#[test]
fn rule_17_sotw_listeners_clusters_and_scopes_are_full_state_and_other_types_are_not() {
    let both = |a: u32, b: Option<u32>| {
        let list = Kind::ALL.into_iter().flat_map(|kind| {
            [Some((kind, "a", a)), Some((kind, "z", 1)), b.map(|content| (kind, "b", content))]
                .into_iter()
                .flatten()
        });
        fragment(&list.collect::<Vec<_>>())
    };
    for (_, only, kind) in everywhere().into_iter().filter(|(variant, ..)| *variant == Sotw) {
        let world = World::new(&[("all.yaml", &both(1, Some(1)))]);
        let full = matches!(kind, Kind::Cluster | Kind::Listener | Kind::ScopedRoute);
        let names = |list: &[&str]| list.iter().map(|name| full_name(kind, name)).collect::<Vec<_>>();
        let mut stream = world.client.open(Sotw, only).unwrap();
        stream.ask(kind, &[]);
        assert_eq!(stream.take(kind).says(), names(&["a", "b", "z"]), "{stream:?}");
        world.put("all.yaml", &both(2, Some(1)));
        let expected = if full { names(&["a", "b", "z"]) } else { names(&["a"]) };
        assert_eq!(stream.take(kind).says(), expected, "{stream:?}");
        // Absence deletes, where it does; elsewhere an empty answer would say nothing, and none is sent.
        world.put("all.yaml", &both(2, None));
        if full {
            assert_eq!(stream.take(kind).says(), names(&["a", "z"]), "{stream:?}");
        } else {
            let mut delta = world.delta();
            wait_until(SOON, "the removal", || {
                delta = world.delta();
                delta.ask(kind, &[]);
                delta.take(kind).resources.len() == 2
            });
        }
        stream.expect_silence();
    }
}

#[test]
fn rule_18_nothing_is_sent_before_the_first_load() {
    let home = tempfile::tempdir().unwrap();
    let later = home.path().join("config.d");
    let bridge = Bridge::serve(&later);
    let client = Client::connect(bridge.address());
    let mut streams = Vec::new();
    for (variant, only, kind) in everywhere() {
        let mut stream = client.open(variant, only).unwrap();
        stream.ask(kind, &[]);
        if only.is_none() {
            stream.expect_silence();
        }
        streams.push((stream, kind));
    }
    let aside = home.path().join("aside");
    files::put(&aside, "all.yaml", &one_of_each("a", 1));
    std::fs::rename(&aside, &later).unwrap();
    for (mut stream, kind) in streams {
        assert_eq!(stream.take(kind).says(), [full_name(kind, "a")], "{stream:?}");
    }
}

#[test]
fn rule_18_a_change_that_changes_nothing_sends_nothing() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1)), ("mark.yaml", "x-nothing: 1\n")]);
    for variant in [Delta, Sotw] {
        let mut stream = world.client.ads(variant);
        for kind in Kind::ALL {
            stream.ask(kind, &[]);
            stream.take(kind);
        }
        // Comments, another file, another order; then a mark behind which all of it has passed.
        world.put("all.yaml", &format!("# touched\n{}", one_of_each("a", 1)));
        world.put("moved.yaml", "x-nothing: 1\n");
        world.put("mark.yaml", &fragment(&[(Kind::Runtime, "mark", 1)]));
        assert_eq!(stream.take(Kind::Runtime).says(), ["mark"]);
        stream.expect_silence();
        world.clear("mark.yaml");
        if variant == Delta {
            assert_eq!(stream.take(Kind::Runtime).says(), ["-mark"]);
        }
    }
}

#[test]
fn rule_19_no_name_comes_twice_in_one_answer() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    for (variant, only, kind) in everywhere() {
        let a = full_name(kind, "a");
        let alias = if kind == Kind::VirtualHost { "rc/n1.a.example" } else { a.as_str() };
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[&a, "*", &a, alias, "*"]);
        let first = stream.expect(kind);
        let names: Vec<&str> = first.resources.iter().map(|got| got.name.as_str()).collect();
        assert_eq!(names.iter().filter(|name| **name == a).count(), 1, "{stream:?}: {names:?}");
    }
}

#[test]
fn rule_20_every_answer_is_marked_and_every_resource_has_its_name_and_version() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    for (variant, only, kind) in everywhere() {
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[]);
        let answer = stream.take(kind);
        assert_eq!(answer.type_url, kind.type_url());
        assert!(answer.server.starts_with("xds-bridge/"), "{:?}", answer.server);
        assert!(!answer.nonce.is_empty() && !answer.version.is_empty());
        let got = answer.get(&full_name(kind, "a"));
        assert_eq!(got.type_url.as_deref(), Some(kind.type_url()));
        assert_eq!(got.version.is_empty(), variant == Sotw);
    }
    // No nonce comes twice on a stream.
    let mut stream = world.delta();
    let mut nonces = std::collections::BTreeSet::new();
    for kind in Kind::ALL {
        stream.ask(kind, &[]);
        assert!(nonces.insert(stream.take(kind).nonce), "{kind}");
    }
}

/// Some clusters with names of a hundred bytes.
fn many_clusters(count: usize) -> String {
    let mut text = String::from("clusters:\n");
    for n in 0..count {
        writeln!(text, "- {{name: n{n:0>100}, type: STATIC, connect_timeout: 1s}}")
            .expect("texts take everything");
    }
    text
}

#[test]
fn rule_21_a_reconnect_with_fifty_thousand_names_is_taken_and_nothing_is_sent_again() {
    const COUNT: usize = 50_000;
    let mut world = World::new(&[("many.yaml", &many_clusters(COUNT))]);
    let mut stream = world.delta();
    stream.ask(Kind::Cluster, &[]);
    let first = stream.take(Kind::Cluster);
    assert_eq!(first.resources.len(), COUNT);
    let versions = first.versions();
    let kept: Vec<(&str, &str)> =
        versions.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
    world.bridge.restart();
    let client = Client::connect(world.bridge.address());
    for only in [None, Some(Kind::Cluster)] {
        let mut stream = client.open(Delta, only).unwrap();
        stream.resume(Kind::Cluster, &[], &kept);
        // Envoy waits for an answer to its first wildcard, even an empty one.
        let answer = stream.take(Kind::Cluster);
        assert_eq!(answer.says(), [""; 0]);
        stream.expect_silence();
    }
    // By name it is as many again.
    let names: Vec<&str> = versions.keys().map(String::as_str).collect();
    let mut stream = client.ads(Delta);
    stream.resume(Kind::Cluster, &names, &kept);
    stream.expect_silence();
    world.put("new.yaml", &fragment(&[(Kind::Cluster, "new", 1)]));
    let mut all = client.ads(Sotw);
    all.ask(Kind::Cluster, &[]);
    all.take_until(Kind::Cluster, "the new one", |answer| answer.says().contains(&"new".to_owned()));
    stream.expect_silence();
}

#[test]
fn rule_21_a_large_answer_to_a_client_that_is_no_envoy_goes_out_in_parts_below_4_mib() {
    let world = World::new(&[("many.yaml", &many_clusters(50_000))]);
    for only in [None, Some(Kind::Cluster)] {
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.node = Some(Node { id: "test".into(), user_agent_name: "gRPC Go".into(), ..Node::default() });
        stream.ask(Kind::Cluster, &[]);
        let mut seen = std::collections::BTreeSet::new();
        let mut parts = 0;
        while seen.len() < 50_000 {
            let part = stream.take(Kind::Cluster);
            assert!(part.size <= 4 * 1024 * 1024, "{} bytes", part.size);
            assert!(part.resources.iter().all(|got| seen.insert(got.name.clone())), "a name in two parts");
            parts += 1;
        }
        assert!(parts > 2, "{parts} parts");
        stream.expect_silence();
        // An Envoy takes it at once.
        let mut envoy = world.client.open(Delta, only).unwrap();
        envoy.ask(Kind::Cluster, &[]);
        assert_eq!(envoy.take(Kind::Cluster).resources.len(), 50_000);
    }
}

/// A cluster of this name with its endpoints and a route to it.
fn service(name: &str) -> String {
    format!(
        "clusters: [{{name: {name}, type: EDS, connect_timeout: 1s, \
         eds_cluster_config: {{eds_config: {{resource_api_version: V3, ads: {{}}}}}}}}]
endpoints: [{{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
         {{address: 127.0.0.1, port_value: 1}}}}}}}}]}}]}}]
routes: [{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [\
         {{match: {{prefix: /}}, route: {{cluster: {name}}}}}]}}]}}]
"
    )
}

#[test]
fn rule_22_to_24_a_renamed_cluster_is_made_before_the_route_and_broken_behind_it() {
    for variant in [Delta, Sotw] {
        let world = World::new(&[("s.yaml", &service("old"))]);
        let mut stream = world.client.ads(variant);
        stream.ask(Kind::Cluster, &[]);
        stream.take(Kind::Cluster);
        stream.ask(Kind::Endpoint, &["old"]);
        stream.take(Kind::Endpoint);
        stream.ask(Kind::Route, &["r"]);
        stream.take(Kind::Route);
        world.put("s.yaml", &service("new"));
        let made = stream.expect(Kind::Cluster);
        // In state of the world, what is to be removed is still there.
        assert_eq!(made.says(), if variant == Delta { vec!["new"] } else { vec!["new", "old"] });
        stream.expect_silence();
        stream.ack(&made);
        match variant {
            Delta => stream.ask(Kind::Endpoint, &["new"]),
            Sotw => stream.ask(Kind::Endpoint, &["old", "new"]),
        }
        let endpoints = stream.expect(Kind::Endpoint);
        assert_eq!(endpoints.says(), ["new"]);
        stream.expect_silence();
        stream.ack(&endpoints);
        let route = stream.expect(Kind::Route);
        stream.expect_silence();
        stream.ack(&route);
        let broken = stream.take(Kind::Cluster);
        assert_eq!(broken.says(), if variant == Delta { vec!["-old"] } else { vec!["new"] });
        if variant == Delta {
            assert_eq!(stream.take(Kind::Endpoint).says(), ["-old"]);
        }
        stream.expect_silence();
    }
}

/// A stream that holds the service `old`.
fn holding_old(world: &World, variant: Variant) -> Stream {
    let mut stream = world.client.ads(variant);
    for (kind, names) in [(Kind::Cluster, vec![]), (Kind::Endpoint, vec!["old"]), (Kind::Route, vec!["r"])] {
        stream.ask(kind, &names);
        stream.take(kind);
    }
    stream
}

#[test]
fn rule_23_a_route_waits_for_the_ack_of_its_cluster_and_for_the_time_that_names_take_to_resolve() {
    const WARM_UP: Duration = Duration::from_millis(700);
    let of_names = "clusters: [{name: new, type: STRICT_DNS, connect_timeout: 1s}]
routes: [{name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [\
                     {match: {prefix: /}, route: {cluster: new}}]}]}]
";
    for variant in [Delta, Sotw] {
        let world = World::with_flags(&[("s.yaml", &service("old"))], &["--warm-up", "700ms"]);
        let mut stream = holding_old(&world, variant);
        world.put("s.yaml", of_names);
        let made = stream.expect(Kind::Cluster);
        stream.expect_silence();
        let acknowledged = Instant::now();
        stream.ack(&made);
        stream.take(Kind::Route);
        assert!(acknowledged.elapsed() >= WARM_UP);
        stream.take(Kind::Cluster);
    }
}

#[test]
fn rule_23_endpoints_that_a_cluster_on_its_way_needs_are_given_although_both_have_gone() {
    for variant in [Delta, Sotw] {
        let mut world = World::new(&[("s.yaml", &service("old"))]);
        let mut stream = holding_old(&world, variant);
        world.put("s.yaml", &service("brief"));
        // An Envoy acknowledges it when it is warm, for which it needs the endpoints.
        let brief = stream.expect(Kind::Cluster);
        world.put("s.yaml", &service("new"));
        world.bridge.wait_for_line(0, "generation=3");
        stream.ask(Kind::Endpoint, &["old", "brief"]);
        let mut endpoints = stream.take(Kind::Endpoint).says();
        endpoints.retain(|name| name != "-old" && name != "old");
        assert_eq!(endpoints, ["brief"]);
        stream.expect_silence();
        stream.ack(&brief);
        let made = stream.take(Kind::Cluster);
        assert_eq!(made.says(), if variant == Delta { vec!["-brief", "new"] } else { vec!["new", "old"] });
    }
}

#[test]
fn rule_24_an_answer_that_does_not_come_is_waited_for_until_the_deadline_and_written_down() {
    for variant in [Delta, Sotw] {
        let flags = ["--ack-deadline", "1s"];
        let mut world = World::with_flags(&[("s.yaml", &service("old"))], &flags);
        let mut stream = world.client.ads(variant);
        let asked = Instant::now();
        stream.ask(Kind::Cluster, &[]);
        stream.expect(Kind::Cluster);
        stream.ask(Kind::Endpoint, &["old"]);
        stream.expect(Kind::Endpoint);
        stream.ask(Kind::Route, &["r"]);
        stream.take(Kind::Route);
        assert!(asked.elapsed() >= Duration::from_secs(1));
        // The next change goes out all the same, though the first was never answered.
        world.put("s.yaml", &service("new"));
        assert!(stream.expect(Kind::Cluster).says().contains(&"new".to_owned()));
        let line = world.bridge.wait_for_line(0, "a client has not answered");
        assert!(line.contains("WARN") && line.contains("kind=\"cluster\""), "{line}");
        let log = world.bridge.log();
        let lines = log.lines().filter(|line| line.contains("a client has not answered"));
        assert_eq!(lines.count(), 1, "a line for a client and minute");
    }
}

#[test]
fn rule_24_a_client_that_does_not_ask_for_a_type_holds_nothing_up() {
    let world = World::new(&[("s.yaml", &service("old"))]);
    for only in [None, Some(Kind::Route)] {
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(Kind::Route, &["r"]);
        stream.take(Kind::Route);
        world.put("s.yaml", &service("new"));
        assert_eq!(stream.take(Kind::Route).says(), ["r"]);
        world.put("s.yaml", &service("old"));
        assert_eq!(stream.take(Kind::Route).says(), ["r"]);
    }
}

#[test]
fn rule_22_hosts_on_a_stream_of_their_own_wait_for_the_clusters_of_the_stream_beside_it() {
    let host = |cluster: &str| {
        format!(
            "virtual_hosts: [{{name: rc/h, domains: [h.example], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]}}]\n\
             clusters: [{{name: {cluster}, type: STATIC}}]\n"
        )
    };
    let world = World::new(&[("h.yaml", &host("old"))]);
    let mut ads = world.delta();
    ads.ask(Kind::Cluster, &[]);
    ads.take(Kind::Cluster);
    let mut hosts = world.client.single(Delta, Kind::VirtualHost);
    hosts.ask(Kind::VirtualHost, &["rc/h.example"]);
    assert_eq!(hosts.take(Kind::VirtualHost).says(), ["rc/h"]);
    world.put("h.yaml", &host("new"));
    let clusters = ads.expect(Kind::Cluster);
    assert_eq!(clusters.says(), ["new"]);
    hosts.expect_silence();
    ads.ack(&clusters);
    let moved = hosts.expect(Kind::VirtualHost);
    assert_eq!(moved.says(), ["rc/h"]);
    ads.expect_silence();
    hosts.ack(&moved);
    assert_eq!(ads.take(Kind::Cluster).says(), ["-old"]);
}
