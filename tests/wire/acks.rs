//! Rules 12 to 15: ACK, NACK, nonce, node.

use super::*;

#[test]
fn rule_12_a_refused_version_is_not_sent_again_and_the_next_one_is() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    for (round, (variant, only, kind)) in everywhere().into_iter().enumerate() {
        // Names of each round's own, so that nothing of the last one is still on its way.
        let change = |name: &str, content| {
            world.put(
                &format!("{name}{round}.yaml"),
                &fragment(&[(kind, &format!("{name}{round}"), content)]),
            );
        };
        change("bad", 1);
        change("good", 1);
        let (bad, good) = (full_name(kind, &format!("bad{round}")), full_name(kind, &format!("good{round}")));
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[&bad, &good]);
        // Either file may come later than the stream.
        let mut seen = std::collections::BTreeSet::new();
        while !(seen.contains(&bad) && seen.contains(&good)) {
            seen.extend(stream.take(kind).resources.into_iter().map(|got| got.name));
        }
        change("bad", 66);
        let refused = stream.expect(kind);
        let refused_body = refused.get(&bad).body.clone();
        stream.nack(&refused, "Error adding: no such thing");
        // Nothing follows by itself, and the next change comes without what was refused.
        stream.expect_silence();
        change("good", 2);
        let next = stream.take(kind);
        assert!(next.resources.iter().any(|got| got.name == good), "{stream:?}");
        assert!(next.resources.iter().all(|got| got.body != refused_body), "{stream:?}: it came again");
        change("bad", 3);
        let mended = stream.take(kind);
        assert_ne!(mended.get(&bad).body, refused_body, "{stream:?}");
    }
}

#[test]
fn rule_12_a_refusal_is_written_down_with_its_place() {
    let mut world =
        World::new(&[("good.yaml", &one_of_each("a", 1)), ("bad.yaml", "\nclusters:\n- name: bad\n")]);
    let mut stream = world.delta();
    stream.ask(Kind::Cluster, &[]);
    let answer = stream.expect(Kind::Cluster);
    stream.nack(&answer, "Error adding/updating cluster(s) bad: it is bad");
    let line = world.bridge.wait_for_line(0, "it is bad");
    assert!(line.contains("bad.yaml:3"), "only what it names, with its place: {line}");
    assert!(line.contains("node=\"test\"") || line.contains("node=test"), "{line}");
}

#[test]
fn rule_12_what_was_refused_is_offered_once_more_when_what_it_names_has_come() {
    let listener = |cluster: &str| {
        format!(
            "listeners: [{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, \
             filter_chains: [{{filters: [{{name: tcp, typed_config: {{\
             '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, \
             stat_prefix: l, cluster: {cluster}}}}}]}}]}}]"
        )
    };
    for variant in [Delta, Sotw] {
        let world =
            World::new(&[("l.yaml", &listener("late")), ("c.yaml", &fragment(&[(Kind::Cluster, "c", 1)]))]);
        let mut stream = world.client.ads(variant);
        stream.ask(Kind::Cluster, &[]);
        stream.take(Kind::Cluster);
        stream.ask(Kind::Listener, &[]);
        let refused = stream.expect(Kind::Listener);
        stream.nack(&refused, "unknown cluster 'late'");
        world.put("other.yaml", &fragment(&[(Kind::Cluster, "other", 1)]));
        stream.take(Kind::Cluster);
        stream.expect_silence();
        world.put("late.yaml", &fragment(&[(Kind::Cluster, "late", 1)]));
        stream.take(Kind::Cluster);
        assert_eq!(stream.expect(Kind::Listener).says(), ["l"]);
        stream.expect_silence();
    }
}

#[test]
fn rule_13_sotw_ignores_a_request_with_a_stale_nonce() {
    let world = World::new(&[("e.yaml", &fragment(&[(Kind::Endpoint, "e", 1), (Kind::Endpoint, "f", 1)]))]);
    for only in [None, Some(Kind::Endpoint)] {
        let mut stream = world.client.open(Sotw, only).unwrap();
        stream.ask(Kind::Endpoint, &["e"]);
        let first = stream.take(Kind::Endpoint);
        world.put("e.yaml", &fragment(&[(Kind::Endpoint, "e", 2), (Kind::Endpoint, "f", 1)]));
        let second = stream.expect(Kind::Endpoint);
        ask_again(&mut stream, Kind::Endpoint, &first, &["e", "f"]);
        stream.expect_silence();
        ask_again(&mut stream, Kind::Endpoint, &second, &["e", "f"]);
        assert_eq!(stream.take(Kind::Endpoint).says(), ["f"]);
        world.put("e.yaml", &fragment(&[(Kind::Endpoint, "e", 1), (Kind::Endpoint, "f", 1)]));
        assert_eq!(stream.take(Kind::Endpoint).says(), ["e"]);
    }
}

#[test]
fn rule_13_delta_takes_the_names_of_a_request_with_a_stale_nonce_and_pairs_no_ack() {
    let world = World::new(&[("c.yaml", &fragment(&[(Kind::Cluster, "a", 1), (Kind::Cluster, "b", 1)]))]);
    for only in [None, Some(Kind::Cluster)] {
        let mut stream = world.client.open(Delta, only).unwrap();
        stream.ask(Kind::Cluster, &["a"]);
        let first = stream.expect(Kind::Cluster);
        let stale = Ask { subscribe: &["b"], nonce: "from another life", ..Ask::default() };
        stream.send(Kind::Cluster.type_url(), stale);
        // The first answer still waits for its ACK.
        stream.expect_silence();
        stream.ack(&first);
        assert_eq!(stream.take(Kind::Cluster).says(), ["b"]);
    }
}

#[test]
fn rule_13_a_nonce_of_an_earlier_stream_means_nothing_on_the_next() {
    let world = World::new(&[("c.yaml", &fragment(&[(Kind::Cluster, "a", 1)]))]);
    for variant in [Delta, Sotw] {
        let nonce = {
            let mut stream = world.client.ads(variant);
            stream.ask(Kind::Cluster, &[]);
            stream.take(Kind::Cluster).nonce
        };
        // A first request with one is a first request; a refusal in it refuses nothing.
        let mut stream = world.client.ads(variant);
        let ask = Ask { nonce: &nonce, error: Some("old"), version: "x", ..Ask::default() };
        stream.send(Kind::Cluster.type_url(), ask);
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"], "{variant:?}");
    }
}

#[test]
fn rule_13_absurd_nonces_pair_nothing_and_end_nothing() {
    let world = World::new(&[("c.yaml", &fragment(&[(Kind::Cluster, "a", 1)]))]);
    let long = "9".repeat(1 << 20);
    for variant in [Delta, Sotw] {
        let mut stream = world.client.ads(variant);
        stream.ask(Kind::Cluster, &[]);
        let first = stream.expect(Kind::Cluster);
        for nonce in ["-1", "18446744073709551616", "\u{0}", "٣", long.as_str()] {
            let ask = Ask { nonce, error: Some("no"), ..Ask::default() };
            stream.send(Kind::Cluster.type_url(), ask);
        }
        stream.ack(&first);
        world.put("c.yaml", &fragment(&[(Kind::Cluster, "a", 2)]));
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
        world.put("c.yaml", &fragment(&[(Kind::Cluster, "a", 1)]));
        assert_eq!(stream.take(Kind::Cluster).says(), ["a"]);
    }
}

#[test]
fn rule_14_changes_coalesce_while_an_answer_waits_for_its_ack() {
    let world = World::new(&[("all.yaml", &one_of_each("a", 1))]);
    for (round, (variant, only, kind)) in everywhere().into_iter().enumerate() {
        let (own, mark) = (format!("own{round}"), format!("mark{round}"));
        let put = |name: &str, content| {
            world.put(&format!("{name}.yaml"), &fragment(&[(kind, name, content)]));
        };
        put(&own, 1);
        let (own_name, mark_name) = (full_name(kind, &own), full_name(kind, &mark));
        let mut watcher = world.delta();
        watcher.ask(kind, &[&own_name]);
        let mut versions = vec![watcher.take_until(kind, "its own", |answer| !answer.resources.is_empty())];
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[&own_name, &mark_name]);
        let first = stream.expect(kind);
        for content in 2..6 {
            put(&own, content);
            versions.push(watcher.take(kind));
        }
        let bodies: Vec<&[u8]> =
            versions.iter().map(|answer| answer.get(&own_name).body.as_slice()).collect();
        stream.expect_silence();
        stream.ack(&first);
        put(&mark, 1);
        // The wake-up for the last version may be a moment behind that of the watcher.
        let mut own_seen = Vec::new();
        stream.take_until(kind, "the mark", |answer| {
            let body = answer.resources.iter().find(|got| got.name == own_name).map(|got| got.body.clone());
            own_seen.extend(body);
            answer.says().contains(&mark_name)
        });
        let between = own_seen.iter().filter(|body| bodies[..3].contains(&body.as_slice())).count();
        assert_eq!(between, 0, "{stream:?} was sent what it had slept over");
        assert_eq!(own_seen.last().map(Vec::as_slice), Some(bodies[4]), "{stream:?}");
    }
}

#[test]
fn rule_15_the_node_of_the_first_request_decides_for_the_whole_stream() {
    let mine = |content| format!("nodes: [{{id: test}}]\n{}", one_of_each("mine", content));
    let world = World::new(&[("all.yaml", &one_of_each("a", 1)), ("mine.yaml", &mine(1))]);
    for (variant, only, kind) in everywhere() {
        let (a, own) = (full_name(kind, "a"), full_name(kind, "mine"));
        let mut stream = world.client.open(variant, only).unwrap();
        stream.ask(kind, &[]);
        let first = stream.take(kind);
        assert_eq!(first.says(), [a.as_str(), own.as_str()], "{stream:?}");
        // The next requests carry none.
        world.put("mine.yaml", &mine(2));
        assert!(stream.take(kind).says().contains(&own), "{stream:?}");
        world.put("mine.yaml", &mine(1));
        stream.take(kind);
        // Without a node: what is for everyone. A node that comes later is too late.
        let mut nobody = world.client.open(variant, only).unwrap();
        let node = nobody.node.take();
        nobody.ask(kind, &[]);
        let first = nobody.take(kind);
        assert_eq!(first.says(), [a.as_str()], "{stream:?}");
        nobody.node = node;
        if variant == Delta {
            nobody.ask(kind, &[&own]);
            let expected = if kind == Kind::VirtualHost { "?rc/mine" } else { "-mine" };
            assert_eq!(nobody.take(kind).says(), [expected]);
        }
    }
}
