//! The daemon and real Envoys, the oldest and the newest that we support.
//!
//! Each test holds one promise of the whole: fragments in a folder, the daemon, an Envoy started
//! with our bootstrap, requests through it to real upstreams.

mod common;

use common::envoy::{Envoy, VERSIONS};
use common::http::{self, Load};
use common::upstream::Upstream;
use common::{SOON, dump, free_port, wait_until};

/// The static bootstrap of a proxy that sends everything to one upstream.
fn static_bootstrap(listener: u16, upstream: u16) -> String {
    format!(
        r#"
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listener} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config:
            name: local
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: one }} }}] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: one
    load_assignment:
      cluster_name: one
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }}
"#
    )
}

/// The harness itself: without this, a failure below would not tell whose it is.
#[test]
fn a_static_envoy_reaches_an_upstream() {
    for version in VERSIONS {
        let upstream = Upstream::start("one");
        let port = free_port();
        let envoy = Envoy::start_ready(version, &static_bootstrap(port, upstream.port()));
        let response = http::get(port, "/").expect("the listener answers");
        assert_eq!((response.status, response.body.as_str()), (200, "one"));
        let load = Load::start(port, "/", 4);
        wait_until(SOON, "some hundred answers", || load.requests() > 500);
        let tally = load.stop();
        assert_eq!(tally.failures(), 0, "{tally:?}");
        assert_eq!(tally.bodies["one"] + 1, upstream.requests());
        assert_eq!(envoy.stat("listener_manager.total_listeners_active"), 1);
        assert_eq!((envoy.listeners(), envoy.clusters()), (vec!["front".into()], vec!["one".into()]));
        let running = dump::running(&envoy.config_dump(), &[]);
        let sections: Vec<&str> = running.keys().map(|(section, _)| *section).collect();
        assert_eq!(sections, ["clusters", "endpoints", "listeners", "routes"]);
    }
}
