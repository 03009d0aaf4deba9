//! Two bridges over the same files behind one list of endpoints, and a real Envoy that goes from the one
//! to the other.
//!
//! Versions are made of content alone, so replicas are interchangeable: what an Envoy has from the one,
//! the other does not send again.

mod common;

use std::path::Path;

use common::bridge::{Address, Bridge};
use common::envoy::{Envoy, NEWEST};
use common::files::put;
use common::upstream::Upstream;
use common::{SOON, dump, free_port, http, wait_until};

/// A listener with its own route configuration and an EDS cluster, all named `name`.
fn fragment(name: &str, port: u16, upstream: u16) -> String {
    format!(
        r#"
listeners:
- name: {name}
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: {name}
        rds: {{ route_config_name: {name}, config_source: {{ ads: {{}}, resource_api_version: V3 }} }}
        http_filters:
        - name: envoy.filters.http.router
          typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
routes:
- name: {name}
  virtual_hosts:
  - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: {name} }} }}] }}
clusters:
- name: {name}
  type: EDS
  connect_timeout: 1s
  eds_cluster_config: {{ eds_config: {{ ads: {{}}, resource_api_version: V3 }} }}
endpoints:
- cluster_name: {name}
  endpoints:
  - lb_endpoints:
    - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }}
"#
    )
}

fn replica(dir: &Path) -> (Bridge, u16) {
    let port = free_port();
    (Bridge::serve_on(dir, Address::Tcp(port)), port)
}

/// The bootstrap for the one bridge, with the other beside it in the list of endpoints.
fn bootstrap_for_both(one: &Bridge, one_port: u16, other_port: u16) -> String {
    let text = one.bootstrap("edge-1", "edge");
    let mut bootstrap: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let clusters = bootstrap["static_resources"]["clusters"].as_sequence_mut().expect("clusters");
    let lists =
        clusters.iter_mut().map(|cluster| &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]);
    let port_of = |endpoint: &serde_yaml::Value| {
        endpoint["endpoint"]["address"]["socket_address"]["port_value"].as_u64()
    };
    let mut lists = lists.filter_map(|list| list.as_sequence_mut());
    let list = lists.find(|list| port_of(&list[0]) == Some(one_port.into())).expect("the bridge's cluster");
    let mut other = list[0].clone();
    other["endpoint"]["address"]["socket_address"]["port_value"] = other_port.into();
    list.push(other);
    serde_yaml::to_string(&bootstrap).expect("a bootstrap")
}

fn is_connected_to(bridge: &Bridge) -> bool {
    bridge.log().contains("a client connected")
}

#[test]
fn an_envoy_that_goes_to_another_replica_is_sent_nothing_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start("one");
    let port = free_port();
    put(dir.path(), "edge.yaml", &fragment("edge", port, upstream.port()));
    let (one, one_port) = replica(dir.path());
    let (other, other_port) = replica(dir.path());
    let envoy = Envoy::start_ready(NEWEST, &bootstrap_for_both(&one, one_port, other_port));
    wait_until(SOON, "the first request", || {
        http::get(port, "/").is_ok_and(|response| response.body == "one")
    });
    let (mut used, spare) = if is_connected_to(&one) { (one, other) } else { (other, one) };
    assert!(is_connected_to(&used) && !is_connected_to(&spare), "it has one stream, to one of them");
    let before = dump::receipts(&envoy.config_dump());
    let from = envoy.log_size();
    used.kill();
    wait_until(SOON, "Envoy to go to the other", || is_connected_to(&spare));
    // A change of each kind: what comes shows that all before it has passed.
    let mark = free_port();
    put(dir.path(), "mark.yaml", &fragment("mark", mark, upstream.port()));
    wait_until(SOON, "the mark", || http::get(mark, "/").is_ok_and(|response| response.body == "one"));
    let received = envoy.received(from);
    let is_new = |line: &String| line.contains("with 1 resources added, 0 removed");
    assert!(received.len() == 4 && received.iter().all(is_new), "{received:#?}");
    let after = dump::receipts(&envoy.config_dump());
    for (name, receipt) in before {
        assert_eq!(after.get(&name), Some(&receipt), "{name:?}");
    }
}
