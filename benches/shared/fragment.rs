//! The text of fragments: clusters with their endpoints, and one listener with its routes.

use std::fmt::Write;
use std::ops::Range;

/// A fragment with these clusters and their endpoints; what a cluster's endpoints are follows from how
/// often they were changed.
pub fn text(range: Range<usize>, generation: impl Fn(usize) -> u16) -> String {
    let mut text = String::from("clusters:\n");
    for cluster in range.clone() {
        let _ = write!(
            text,
            "- name: {name}\n  type: EDS\n  connect_timeout: 1s\n  lb_policy: LEAST_REQUEST\n  \
             eds_cluster_config:\n    eds_config: {{ads: {{}}, resource_api_version: V3}}\n  \
             circuit_breakers:\n    thresholds:\n    - max_connections: 1024\n      max_requests: 4096\n",
            name = name(cluster)
        );
    }
    text.push_str("endpoints:\n");
    for cluster in range {
        let _ =
            write!(text, "- cluster_name: {name}\n  endpoints:\n  - lb_endpoints:\n", name = name(cluster));
        for host in 0..2 {
            let (a, b) = (cluster / 250, cluster % 250);
            let port = 8000 + generation(cluster) % 50_000 + host;
            let _ = writeln!(
                text,
                "    - endpoint: {{address: {{socket_address: {{address: 10.{}.{}.{b}, port_value: {port}}}}}}}",
                a / 250,
                a % 250,
            );
        }
    }
    text
}

/// The name of a cluster and of its endpoints.
pub fn name(cluster: usize) -> String {
    format!("service-{cluster:06}")
}

/// The name of the one route configuration.
pub const ROUTES: &str = "edge";

/// The listener and its routes.
pub const EDGE: &str = "\
listeners:
- name: edge
  address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: edge
        rds: {route_config_name: edge, config_source: {ads: {}, resource_api_version: V3}}
        http_filters:
        - name: envoy.filters.http.router
          typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
routes:
- name: edge
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - {match: {prefix: /}, route: {cluster: service-000000}}
";
