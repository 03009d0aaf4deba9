//! Two fragments that define one name for the same Envoy: a real one starts without it, goes on with what it
//! had, and takes the one that is left in the end.

mod common;

use common::bridge::Bridge;
use common::envoy::{Envoy, VERSIONS};
use common::fragments::http_listener;
use common::upstream::Upstream;
use common::{SOON, files, free_port, http, wait_until};

/// An Envoy that is never told of these endpoints would wait for them for ever, and not start.
const PATIENT: &str = "{resource_api_version: V3, ads: {}, initial_fetch_timeout: 0s}";

fn front(port: u16) -> String {
    let routes = "route_config: {name: local, virtual_hosts: [{name: all, domains: ['*'], routes: \
                  [{match: {prefix: /}, route: {cluster: c}}]}]}";
    let listener = http_listener("front", port, routes, "");
    format!("{listener}clusters: [{{name: c, type: EDS, eds_cluster_config: {{eds_config: {PATIENT}}}}}]\n")
}

fn endpoints(nodes: &str, upstream: &Upstream) -> String {
    let port = upstream.port();
    format!(
        "nodes: [{{id: '{nodes}'}}]
endpoints: [{{cluster_name: c, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
{{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}]
"
    )
}

#[test]
fn rule_07_an_envoy_starts_without_what_is_contested_and_has_it_when_that_is_settled() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    for version in VERSIONS {
        let dir = tempfile::tempdir().expect("a folder for temporary files");
        let port = free_port();
        files::put(dir.path(), "front.yaml", &front(port));
        files::put(dir.path(), "one.yaml", &endpoints("edge-*", &one));
        files::put(dir.path(), "two.yaml", &endpoints("*-1", &two));
        let mut bridge = Bridge::serve(dir.path());
        let _envoy = Envoy::start_ready(version, &bridge.bootstrap("edge-1", "edge"));
        let status = || http::get(port, "/").map(|response| response.status).ok();
        let body = || http::get(port, "/").map(|response| response.body).unwrap_or_default();
        wait_until(SOON, "the listener to answer that there is nowhere to go", || status() == Some(503));
        files::put(dir.path(), "two.yaml", "x-nothing: {}\n");
        wait_until(SOON, "the endpoints that are left", || body() == "one");
        // Contested anew: what is there goes on being used.
        let from = bridge.log().len();
        files::put(dir.path(), "two.yaml", &endpoints("*-1", &two));
        bridge.wait_for_line(from, "receives none");
        assert_eq!(body(), "one", "Envoy {version}");
        files::put(dir.path(), "one.yaml", "x-nothing: {}\n");
        wait_until(SOON, "the other ones", || body() == "two");
    }
}
