//! Rules 1 to 4: what a version is, and what it covers.

use std::collections::BTreeMap;

use super::*;
use crate::common::xds::Got;
use crate::common::{SOON, wait_until};

const ADS: &str = "{resource_api_version: V3, ads: {}}";

/// Everything that a new client is given in delta: type version, and versions by name.
fn versions(world: &World) -> BTreeMap<String, (String, BTreeMap<String, String>)> {
    let mut stream = Client::connect(world.bridge.address()).ads(Delta);
    let mut all = BTreeMap::new();
    for kind in Kind::ALL {
        stream.ask(kind, &[]);
        let answer = stream.take(kind);
        all.insert(kind.noun().to_owned(), (answer.version.clone(), answer.versions()));
    }
    all
}

#[test]
fn rule_01_the_same_resources_have_the_same_versions_after_a_restart_and_in_another_daemon() {
    let mut world = World::new(&[("all.yaml", &one_of_each("a", 1)), ("more.yaml", &one_of_each("b", 2))]);
    let before = versions(&world);
    assert!(before.values().all(|(_, names)| names.len() == 2), "{before:?}");
    world.bridge.restart();
    assert_eq!(versions(&world), before);
    // The other daemon has them in other files, in another order, written differently.
    let first: Vec<_> = Kind::ALL.into_iter().rev().map(|kind| (kind, "b", 2)).collect();
    let cluster =
        "# a comment\r\nclusters:\r\n  - \"connectTimeout\": '2s'\r\n    type: static\r\n    name: a\r\n";
    let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Cluster);
    let others: Vec<_> = others.map(|kind| (kind, "a", 1)).collect();
    let other = World::new(&[
        ("z/deep.yml", &fragment(&others)),
        ("00-first.yaml", &fragment(&first)),
        ("50-cluster.yaml", cluster),
    ]);
    assert_eq!(versions(&other), before);
    // State of the world tells the same version of the whole type.
    for kind in Kind::ALL {
        let mut stream = other.sotw();
        stream.ask(kind, &[]);
        assert_eq!(stream.take(kind).version, before[kind.noun()].0, "{kind}");
    }
}

#[test]
fn rule_02_maps_in_any_order_give_the_same_bytes_also_within_any() {
    let text = |forward: bool| {
        let order = |entries: [&str; 4]| {
            let mut entries = entries.to_vec();
            if !forward {
                entries.reverse();
            }
            entries.join(", ")
        };
        let metadata = order(["a: {x: 1}", "b: {y: [1, 2]}", "c: {}", "d: {z: {p: 1, q: 2}}"]);
        let fields = order(["k1: 1", "k2: 2", "k3: {a: b}", "k4: null"]);
        format!(
            "clusters:
- name: a
  metadata: {{filter_metadata: {{{metadata}}}}}
  typed_extension_protocol_options:
    some.options:
      '@type': type.googleapis.com/google.protobuf.Struct
      value: {{{fields}}}
"
        )
    };
    let bodies = [true, false].map(|forward| {
        let world = World::new(&[("a.yaml", &text(forward))]);
        let mut stream = world.delta();
        stream.ask(Kind::Cluster, &[]);
        stream.take(Kind::Cluster).get("a").clone()
    });
    assert!(bodies[0].body.len() > 100);
    assert_eq!(bodies[0], bodies[1]);
}

fn eds(timeout: u32) -> String {
    format!(
        "clusters: [{{name: c, type: EDS, connect_timeout: {timeout}s, eds_cluster_config: {{eds_config: {ADS}, \
         service_name: s}}}}]"
    )
}

#[test]
fn rule_03_a_changed_cluster_brings_its_endpoints_again_behind_it() {
    for variant in [Delta, Sotw] {
        let world = World::new(&[("c.yaml", &eds(1)), ("e.yaml", &fragment(&[(Kind::Endpoint, "s", 1)]))]);
        let mut stream = world.client.ads(variant);
        stream.ask(Kind::Cluster, &[]);
        stream.take(Kind::Cluster);
        stream.ask(Kind::Endpoint, &["s"]);
        let first = stream.take(Kind::Endpoint);
        world.put("c.yaml", &eds(2));
        assert_eq!(stream.take(Kind::Cluster).says(), ["c"]);
        let again = stream.take(Kind::Endpoint);
        assert_eq!(again.says(), ["s"]);
        assert_eq!(again.get("s").body, first.get("s").body);
        assert_ne!(again.version, first.version);
        stream.expect_silence();
        // Over the single service, too: there no cluster is seen before it.
        let mut single = world.client.single(variant, Kind::Endpoint);
        single.ask(Kind::Endpoint, &["s"]);
        single.take(Kind::Endpoint);
        world.put("c.yaml", &eds(3));
        assert_eq!(single.take(Kind::Endpoint).says(), ["s"]);
    }
}

#[test]
fn rule_03_a_changed_route_configuration_brings_its_virtual_hosts_again() {
    let hosts = fragment(&[(Kind::VirtualHost, "v", 1)]);
    let world = World::new(&[("r.yaml", &fragment(&[(Kind::Route, "rc", 1)])), ("v.yaml", &hosts)]);
    let mut stream = world.delta();
    stream.ask(Kind::Route, &["rc"]);
    stream.take(Kind::Route);
    stream.ask(Kind::VirtualHost, &["rc/n1.v.example"]);
    let first: Got = stream.take(Kind::VirtualHost).get("rc/v").clone();
    world.put("r.yaml", &fragment(&[(Kind::Route, "rc", 2)]));
    stream.take(Kind::Route);
    let again = stream.take(Kind::VirtualHost).get("rc/v").clone();
    assert_eq!(again.body, first.body);
    assert_ne!(again.version, first.version);
    stream.expect_silence();
}

#[test]
fn rule_04_the_version_of_a_type_follows_what_this_client_sees_and_nothing_else() {
    let mine = format!("nodes: [{{id: test}}]\n{}", fragment(&[(Kind::Cluster, "mine", 1)]));
    let world = World::new(&[("all.yaml", &one_of_each("a", 1)), ("mine.yaml", &mine)]);
    let version = |variant, id: &str, kind| {
        let mut stream = world.client.ads(variant);
        stream.node.as_mut().unwrap().id = id.into();
        stream.ask(kind, &[]);
        stream.take(kind).version
    };
    let first = version(Delta, "test", Kind::Cluster);
    assert_eq!(first, version(Sotw, "test", Kind::Cluster));
    assert_ne!(first, version(Delta, "other", Kind::Cluster));
    assert_eq!(version(Delta, "test", Kind::Listener), version(Delta, "other", Kind::Listener));
    let mut stream = world.delta();
    stream.ask(Kind::Cluster, &[]);
    stream.take(Kind::Cluster);
    world.put("all.yaml", &one_of_each("a", 2));
    assert_ne!(stream.take(Kind::Cluster).version, first);
    world.put("all.yaml", &one_of_each("a", 1));
    assert_eq!(stream.take(Kind::Cluster).version, first);
    // What only another node sees does not move it.
    let listeners = version(Delta, "other", Kind::Cluster);
    world.put("mine.yaml", &mine.replace("2s", "3s"));
    wait_until(SOON, "the change", || version(Delta, "test", Kind::Cluster) != first);
    assert_eq!(version(Delta, "other", Kind::Cluster), listeners);
}
