//! Virtual hosts on demand: real Envoys ask for the host of a request when the request comes, and the
//! request waits for the answer (protocol rules 3 and 11).

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::bridge::Bridge;
use common::envoy::{Envoy, VERSIONS};
use common::files;
use common::{SOON, free_port, wait_until};

const ADS: &str = "{resource_api_version: V3, ads: {}}";

/// For virtual hosts, Envoy takes nothing else: "only 'DELTA_GRPC' is supported as an api_type".
const DELTA: &str = "{resource_api_version: V3, api_config_source: {api_type: DELTA_GRPC, \
     transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds_bridge}}]}}";

fn listener(port: u16) -> String {
    format!(
        "listeners:
- name: front
  address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
  filter_chains:
  - filters:
    - name: http
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: front
        rds: {{route_config_name: rc, config_source: {ADS}}}
        http_filters:
        - name: on_demand
          typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand}}
        - name: router
          typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"
    )
}

fn routes(content: u32) -> String {
    format!(
        "routes: [{{name: rc, max_direct_response_body_size_bytes: {}, vhds: {{config_source: {DELTA}}}}}]",
        content + 4096
    )
}

fn host(domain: &str, answer: &str) -> String {
    format!(
        "virtual_hosts: [{{name: rc/{domain}, domains: [{domain}], routes: [{{match: {{prefix: /}}, \
         direct_response: {{status: 200, body: {{inline_string: {answer}}}}}}}]}}]"
    )
}

/// Status and body of a GET for this host.
fn get(port: u16, host: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").ok()?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next()?.ok()?.split(' ').nth(1)?.parse().ok()?;
    let body = lines.map_while(Result::ok).skip_while(|line| !line.is_empty()).skip(1);
    Some((status, body.collect::<Vec<_>>().join("\n")))
}

#[test]
fn rule_11_a_host_is_found_when_a_request_asks_for_it_and_an_unknown_one_hangs_nobody() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let put = |name: &str, text: &str| files::put(dir.path(), name, text);
        put("listener.yaml", &listener(port));
        put("routes.yaml", &routes(1));
        put("a.yaml", &host("a.example", "first"));
        let bridge = Bridge::serve(dir.path());
        let _envoy = Envoy::start_ready(version, &bridge.bootstrap("edge-1", "edge"));
        let answer = |status, body: &str| Some((status, body.to_owned()));
        assert_eq!(get(port, "a.example"), answer(200, "first"), "Envoy {version}");
        let start = Instant::now();
        assert_eq!(get(port, "nobody.example").map(|(status, _)| status), Some(404), "Envoy {version}");
        assert!(start.elapsed() < Duration::from_secs(5), "it hung for {:?}", start.elapsed());
        // One that comes later is found, also after it was asked for in vain.
        for domain in ["b.example", "nobody.example"] {
            put(&format!("{domain}.yaml"), &host(domain, "later"));
            wait_until(SOON, "the new host", || get(port, domain) == answer(200, "later"));
        }
        // A change of a host, and the end of one.
        put("a.yaml", &host("a.example", "second"));
        wait_until(SOON, "the changed host", || get(port, "a.example") == answer(200, "second"));
        put("b.example.yaml", "x-nothing: {}\n");
        wait_until(SOON, "the host to go", || get(port, "b.example").map(|(status, _)| status) == Some(404));
    }
}

#[test]
fn rule_03_hosts_are_there_again_after_their_route_configuration_has_changed() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let put = |name: &str, text: &str| files::put(dir.path(), name, text);
        put("listener.yaml", &listener(port));
        put("routes.yaml", &routes(1));
        put("a.yaml", &host("a.example", "here"));
        let bridge = Bridge::serve(dir.path());
        let envoy = Envoy::start_ready(version, &bridge.bootstrap("edge-1", "edge"));
        assert_eq!(get(port, "a.example").map(|(status, _)| status), Some(200));
        for content in 2..12 {
            put("routes.yaml", &routes(content));
            let reloads = || envoy.stat("http.front.rds.rc.config_reload");
            wait_until(SOON, "the routes to change", || reloads() >= u64::from(content));
            wait_until(SOON, "the host to be there again", || {
                get(port, "a.example").map(|(status, _)| status) == Some(200)
            });
        }
    }
}
