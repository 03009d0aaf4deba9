//! Virtual hosts on demand: real Envoys ask for the host of a request when the request comes, and the
//! request waits for the answer (protocol rules 3 and 11).

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::bridge::Bridge;
use common::envoy::{Envoy, VERSIONS};
use common::files;
use common::fragments::http_listener;
use common::upstream::Upstream;
use common::{SOON, free_port, wait_until};
use tempfile::TempDir;

const ADS: &str = "{resource_api_version: V3, ads: {}}";

/// For virtual hosts, Envoy takes nothing else: "only 'DELTA_GRPC' is supported as an api_type".
const DELTA: &str = "{resource_api_version: V3, api_config_source: {api_type: DELTA_GRPC, \
     transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds_bridge}}]}}";

fn listener(port: u16) -> String {
    let routes = format!("rds: {{route_config_name: rc, config_source: {ADS}}}");
    let on_demand = "- name: on_demand
          typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand}";
    http_listener("front", port, &routes, on_demand)
}

fn routes(content: u32) -> String {
    format!(
        "routes: [{{name: rc, max_direct_response_body_size_bytes: {}, vhds: {{config_source: {DELTA}}}}}]",
        content + 4096
    )
}

fn host(domain: &str, answer: &str) -> String {
    named_host(domain, domain, answer)
}

/// A host that is not named by its domains.
fn named_host(name: &str, domains: &str, answer: &str) -> String {
    format!(
        "virtual_hosts: [{{name: rc/{name}, domains: [{domains}], routes: [{{match: {{prefix: /}}, \
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

/// Fragments with one host, a bridge that serves them, and an Envoy that asks for hosts when a request does.
struct World {
    dir: TempDir,
    port: u16,
    envoy: Envoy,
    _bridge: Bridge,
}

impl World {
    fn start(version: &str, answer: &str) -> World {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        let port = free_port();
        for (name, text) in [
            ("listener.yaml", listener(port)),
            ("routes.yaml", routes(1)),
            ("a.yaml", host("a.example", answer)),
        ] {
            files::put(dir.path(), name, &text);
        }
        let bridge = Bridge::serve(dir.path());
        let envoy = Envoy::start_ready(version, &bridge.bootstrap("edge-1", "edge"));
        World { dir, port, envoy, _bridge: bridge }
    }

    fn put(&self, name: &str, text: &str) {
        files::put(self.dir.path(), name, text);
    }

    /// Status and body of a GET for this host.
    fn get(&self, host: &str) -> Option<(u16, String)> {
        get(self.port, host)
    }

    fn status(&self, host: &str) -> Option<u16> {
        self.get(host).map(|(status, _)| status)
    }
}

#[test]
fn rule_11_a_host_is_found_when_a_request_asks_for_it_and_an_unknown_one_hangs_nobody() {
    for version in VERSIONS {
        let world = World::start(version, "first");
        let answer = |status, body: &str| Some((status, body.to_owned()));
        assert_eq!(world.get("a.example"), answer(200, "first"), "Envoy {version}");
        let start = Instant::now();
        assert_eq!(world.status("nobody.example"), Some(404), "Envoy {version}");
        assert!(start.elapsed() < Duration::from_secs(5), "it hung for {:?}", start.elapsed());
        // One that comes later is found, also after it was asked for in vain.
        for domain in ["b.example", "nobody.example"] {
            world.put(&format!("{domain}.yaml"), &host(domain, "later"));
            wait_until(SOON, "the new host", || world.get(domain) == answer(200, "later"));
        }
        // A change of a host, and the end of one.
        world.put("a.yaml", &host("a.example", "second"));
        wait_until(SOON, "the changed host", || world.get("a.example") == answer(200, "second"));
        world.put("b.example.yaml", "x-nothing: {}\n");
        wait_until(SOON, "the host to go", || world.status("b.example") == Some(404));
    }
}

#[test]
fn rule_11_a_domain_is_followed_from_host_to_host() {
    for version in VERSIONS {
        let world = World::start(version, "first");
        let answer = |status, body: &str| Some((status, body.to_owned()));
        world.put("shop.yaml", &named_host("shop", "m.example, n.example", "shop"));
        wait_until(SOON, "the host", || world.get("m.example") == answer(200, "shop"));
        // In one change, and then without a new home.
        let moved = [named_host("shop", "n.example", "less"), named_host("other", "m.example", "other")];
        let moved = moved.map(|text| text.replace("virtual_hosts: [", "").replace("}]}]", "}]}"));
        world.put("shop.yaml", &format!("virtual_hosts: [{}]", moved.join(", ")));
        wait_until(SOON, "the domain at its new host", || world.get("m.example") == answer(200, "other"));
        assert_eq!(world.get("n.example"), answer(200, "less"), "Envoy {version}");
        world.put("shop.yaml", &named_host("shop", "n.example", "alone"));
        wait_until(SOON, "the domain to go", || world.status("m.example") == Some(404));
        assert_eq!(world.get("n.example"), answer(200, "alone"), "Envoy {version}");
        assert_eq!(world.get("a.example"), answer(200, "first"), "Envoy {version}");
    }
}

/// A host that leads to a cluster of this name, which resolves one.
fn service(cluster: &str, upstream: &Upstream) -> String {
    let port = upstream.port();
    format!(
        "virtual_hosts: [{{name: rc/m.example, domains: [m.example], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]}}]
clusters: [{{name: {cluster}, type: STRICT_DNS, dns_lookup_family: V4_ONLY, load_assignment: {{cluster_name: {cluster}, \
         endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: localhost, port_value: {port}}}}}}}}}]}}]}}}}]"
    )
}

#[test]
fn rule_22_a_host_goes_from_cluster_to_cluster_and_drops_nothing() {
    let upstream = Upstream::start("here");
    for version in VERSIONS {
        let world = World::start(version, "first");
        world.put("service.yaml", &service("c0", &upstream));
        wait_until(SOON, "the host", || world.status("m.example") == Some(200));
        for number in 1..6 {
            let (old, new) = (format!("c{}", number - 1), format!("c{number}"));
            world.put("service.yaml", &service(&new, &upstream));
            wait_until(SOON, "the cluster to be another", || {
                assert_eq!(world.status("m.example"), Some(200), "{new}, Envoy {version}");
                let clusters = world.envoy.clusters();
                clusters.contains(&new) && !clusters.contains(&old)
            });
            assert_eq!(world.status("m.example"), Some(200), "{new}, Envoy {version}");
        }
    }
}

#[test]
fn rule_03_hosts_are_there_again_after_their_route_configuration_has_changed() {
    for version in VERSIONS {
        let world = World::start(version, "here");
        assert_eq!(world.status("a.example"), Some(200));
        for content in 2..12 {
            world.put("routes.yaml", &routes(content));
            let reloads = || world.envoy.stat("http.front.rds.rc.config_reload");
            wait_until(SOON, "the routes to change", || reloads() >= u64::from(content));
            wait_until(SOON, "the host to be there again", || world.status("a.example") == Some(200));
        }
    }
}
