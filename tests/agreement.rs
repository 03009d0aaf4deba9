//! What `check` says of values, beside what the oldest and the newest Envoy say of them.
//!
//! Each question is a small bootstrap with one part put in. Keeps the promise that a rule of ours is
//! one of Envoy's: it refuses what is refused here, and takes what is taken.

mod common;

use std::process::Command;
use std::sync::Arc;

use common::envoy::{VERSIONS, binary};
use xds_bridge::envoy_api::Api;
use xds_bridge::load::load_file;

/// A bootstrap with a listener, a route and a cluster, and what is put into them.
fn bootstrap(place: Place, part: &str) -> String {
    let put = |here: Place, usual: &str| if here == place { part.to_owned() } else { usual.to_owned() };
    let chain = format!(
        r#"filters:
      - name: h
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h
          {manager}
          route_config:
            name: r
            virtual_hosts: [{{ name: v, domains: ["*"], routes: [{{ match: {{ prefix: / }}, {route} }}] }}]
          http_filters:
          - {filter}
          - {{ name: r, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}"#,
        manager = put(Place::Manager, "codec_type: AUTO"),
        route = put(Place::Route, "route: { cluster: c }"),
        filter = put(
            Place::Filter,
            r#"{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors } }"#
        ),
    );
    format!(
        "node: {{ id: a, cluster: a }}\n{top}\nstatic_resources:\n  clusters:\n  - {{ name: c, {cluster} }}\n  listeners:\n  - name: l\n    {listener}\n    filter_chains:\n    - {chain_more}\n      {chain}\n",
        top = put(Place::Top, ""),
        cluster = put(Place::Cluster, "type: STATIC"),
        listener = put(Place::Listener, "address: { socket_address: { address: 127.0.0.1, port_value: 1 } }"),
        chain_more = put(Place::Chain, "name: chain"),
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    Cluster,
    Listener,
    Chain,
    Manager,
    Route,
    Filter,
}

/// Where, what, and whether it is taken.
const QUESTIONS: &[(Place, &str, bool)] = &[
    (Place::Cluster, "connect_timeout: 9223372035.999999999s", true),
    (Place::Cluster, "connect_timeout: 9223372036s", false),
    (Place::Cluster, "connect_timeout: { seconds: 1, nanos: 999999999 }", true),
    (Place::Cluster, "connect_timeout: { seconds: 1, nanos: 1000000000 }", false),
    (Place::Cluster, "connect_timeout: { seconds: 1, nanos: -1 }", false),
    (Place::Route, "direct_response: { status: 200, body: { inline_bytes: YQ } }", true),
    (Place::Route, "direct_response: { status: 200, body: { inline_bytes: YQ== } }", true),
    (Place::Route, "direct_response: { status: 200, body: { inline_bytes: YQ= } }", false),
    (Place::Route, "direct_response: { status: 200, body: { inline_bytes: YWI== } }", false),
    (Place::Route, "route: { cluster: c, request_mirror_policies: [{ cluster: c }] }", true),
    (Place::Route, "route: { cluster: c, request_mirror_policies: [{ cluster: '' }] }", false),
    (
        Place::Route,
        "route: { cluster: c, request_mirror_policies: [{ cluster: c, cluster_header: x }] }",
        false,
    ),
    (Place::Route, "route: { weighted_clusters: { clusters: [{ cluster_header: x, weight: 1 }] } }", true),
    (
        Place::Route,
        "route: { weighted_clusters: { clusters: [{ name: c, cluster_header: x, weight: 1 }] } }",
        false,
    ),
    (
        Place::Route,
        "route: { cluster: c, retry_policy: { retry_back_off: { base_interval: 2s, max_interval: 2s } } }",
        true,
    ),
    (
        Place::Route,
        "route: { cluster: c, retry_policy: { retry_back_off: { base_interval: 2s, max_interval: 1s } } }",
        false,
    ),
    (Place::Cluster, "outlier_detection: { base_ejection_time: 0.0019s, max_ejection_time: 0.0011s }", true),
    (Place::Cluster, "outlier_detection: { max_ejection_time: 30s }", true),
    (Place::Cluster, "outlier_detection: { max_ejection_time: 29s }", false),
    (Place::Cluster, "ring_hash_lb_config: { maximum_ring_size: 5 }", true),
    (Place::Cluster, "lb_policy: RING_HASH, ring_hash_lb_config: { maximum_ring_size: 1024 }", true),
    (Place::Cluster, "lb_policy: RING_HASH, ring_hash_lb_config: { maximum_ring_size: 1023 }", false),
    (Place::Cluster, "load_balancing_policy: {}", false),
    (
        Place::Cluster,
        "lb_subset_config: { subset_selectors: [{ keys: [a, b], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [b] }] }",
        true,
    ),
    (
        Place::Cluster,
        "lb_subset_config: { subset_selectors: [{ keys: [a, b], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [b, a] }] }",
        false,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /, retriable_statuses: [{ start: 100, end: 600 }] } }]",
        true,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /, retriable_statuses: [{ start: 200, end: 200 }] } }]",
        false,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /, expected_statuses: [{ start: 99, end: 200 }] } }]",
        false,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: { send: { text: 00fF } } }]",
        true,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: { send: { text: zz } } }]",
        false,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /, send: { text: 0a0b } } }]",
        false,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {} }, { timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {} }]",
        false,
    ),
    (
        Place::Cluster,
        "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}, name: a }, { timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}, name: a }]",
        false,
    ),
    (
        Place::Cluster,
        "type: STRICT_DNS, load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, named_port: http } } } }] }] }",
        true,
    ),
    (
        Place::Cluster,
        "type: STATIC, load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, named_port: http } } } }] }] }",
        false,
    ),
    (
        Place::Cluster,
        "http2_protocol_options: { custom_settings_parameters: [{ identifier: 100, value: 1 }, { identifier: 100, value: 1 }] }",
        true,
    ),
    (
        Place::Cluster,
        "http2_protocol_options: { custom_settings_parameters: [{ identifier: 100, value: 1 }, { identifier: 100, value: 2 }] }",
        false,
    ),
    (
        Place::Cluster,
        "http2_protocol_options: { max_concurrent_streams: 5, custom_settings_parameters: [{ identifier: 3, value: 5 }] }",
        false,
    ),
    (
        Place::Cluster,
        "transport_socket: { name: t, typed_config: { '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: { tls_params: { cipher_suites: ['HIGH:!3DES'] } } } }",
        true,
    ),
    (
        Place::Cluster,
        "transport_socket: { name: t, typed_config: { '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: { tls_params: { cipher_suites: [FOO] } } } }",
        false,
    ),
    (
        Place::Cluster,
        "transport_socket: { name: t, typed_config: { '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: { validation_context_sds_secret_config: { name: s } } } }",
        false,
    ),
    (Place::Chain, "filter_chain_match: { suffix_len: 0 }", false),
    (Place::Manager, "access_log: [{}]", false),
    (Place::Manager, "codec_type: HTTP3", false),
    (
        Place::Listener,
        "address: { socket_address: { protocol: UDP, address: 127.0.0.1, port_value: 1 } }\n    udp_listener_config: { quic_options: {} }",
        false,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': x/envoy.extensions.filters.http.cors.v3.Cors } }",
        true,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': /envoy.extensions.filters.http.cors.v3.Cors } }",
        false,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': type.googleapis.com/google.protobuf.Empty } }",
        false,
    ),
    (
        Place::Filter,
        "{ name: f, is_optional: true, typed_config: { '@type': type.googleapis.com/google.protobuf.Empty } }",
        true,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': type.googleapis.com/xds.type.v3.TypedStruct } }",
        false,
    ),
    (
        Place::Top,
        "dynamic_resources: { ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: c } }] } }",
        true,
    ),
    (
        Place::Top,
        "dynamic_resources: { ads_config: { api_type: GRPC, transport_api_version: V2, grpc_services: [{ envoy_grpc: { cluster_name: c } }] } }",
        false,
    ),
    (
        Place::Top,
        "hds_config: { api_type: GRPC, transport_api_version: V2, grpc_services: [{ envoy_grpc: { cluster_name: c } }] }",
        true,
    ),
    (
        Place::Top,
        "cluster_manager: { load_stats_config: { api_type: GRPC, transport_api_version: V2, grpc_services: [{ envoy_grpc: { cluster_name: c } }] } }",
        true,
    ),
    (
        Place::Top,
        "stats_sinks: [{ name: s, typed_config: { '@type': type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig, transport_api_version: V2, grpc_service: { envoy_grpc: { cluster_name: c } } } }]",
        false,
    ),
    (
        Place::Manager,
        "access_log: [{ name: e, typed_config: { '@type': type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig, common_config: { log_name: a, transport_api_version: V2, grpc_service: { envoy_grpc: { cluster_name: c } } } } }]",
        false,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, transport_api_version: V3, grpc_service: { envoy_grpc: { cluster_name: c } } } }",
        true,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, transport_api_version: V2, grpc_service: { envoy_grpc: { cluster_name: c } } } }",
        false,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, transport_api_version: V2, http_service: { server_uri: { uri: 'http://a', cluster: c, timeout: 1s } } } }",
        true,
    ),
    (
        Place::Top,
        "layered_runtime: { layers: [{ name: a, static_layer: {} }, { name: b, admin_layer: {} }] }",
        true,
    ),
    (
        Place::Top,
        "layered_runtime: { layers: [{ name: a, static_layer: {} }, { name: a, static_layer: {} }] }",
        false,
    ),
    (
        Place::Top,
        "layered_runtime: { layers: [{ name: a, admin_layer: {} }, { name: b, admin_layer: {} }] }",
        false,
    ),
    (
        Place::Top,
        "layered_runtime: { layers: [{ name: a, rtds_layer: { name: a, rtds_config: { ads: {} } } }] }",
        true,
    ),
    (Place::Top, "layered_runtime: { layers: [{ name: a, rtds_layer: { name: a } }] }", false),
    (Place::Listener, "address: { envoy_internal_address: { server_listener_name: l } }", false),
    (
        Place::Listener,
        "address: { socket_address: { address: 127.0.0.1, port_value: 1 } }\n    internal_listener: {}",
        false,
    ),
    (
        Place::Filter,
        "{ name: f, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit, domain: d, rate_limit_service: { transport_api_version: V2, grpc_service: { google_grpc: { target_uri: x, stat_prefix: x } } } } }",
        false,
    ),
    (
        Place::Route,
        "route: { cluster: c, rate_limits: [{ actions: [{ extension: { name: x, typed_config: { '@type': type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: x } } }] }] }",
        true,
    ),
    (
        Place::Route,
        "route: { cluster: c, rate_limits: [{ actions: [{ extension: { name: x, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors } } }] }] }",
        false,
    ),
    (Place::Top, "layered_runtime: { layers: [{ name: a, static_layer: { a: { b: c } } }] }", true),
    (Place::Top, "layered_runtime: { layers: [{ name: a, static_layer: { a: { b: [] } } }] }", false),
    (Place::Top, "layered_runtime: { layers: [{ name: a, static_layer: { a: ~ } }] }", false),
    (Place::Top, "watchdog: {}\nwatchdogs: {}", false),
    (Place::Top, "application_log_config: { log_format: { json_format: { M: '%j' } } }", true),
    (Place::Top, "application_log_config: { log_format: { json_format: { M: ['%%v'] } } }", false),
    (Place::Top, "admin: { address: { socket_address: { address: '::1', port_value: 1 } } }", true),
    (Place::Top, "admin: { address: { socket_address: { address: localhost, port_value: 1 } } }", false),
    (
        Place::Top,
        "stats_sinks: [{ name: s, typed_config: { '@type': type.googleapis.com/envoy.config.metrics.v3.StatsdSink, \
         address: { socket_address: { address: localhost, port_value: 1 } } } }]",
        false,
    ),
];

#[test]
fn what_is_refused_and_what_is_taken_here_is_so_by_the_oldest_and_the_newest_envoy() {
    let api = Api::embedded().expect("linked");
    let home = tempfile::tempdir().expect("writable");
    let file = home.path().join("envoy.yaml");
    let mut differing = Vec::new();
    for (place, part, is_taken) in QUESTIONS {
        let text = bootstrap(*place, part);
        std::fs::write(&file, &text).expect("writable");
        let name: Arc<str> = "envoy.yaml".into();
        let loaded = load_file(&api, &name, text.as_bytes());
        if loaded.is_sound() != *is_taken {
            differing.push(format!("here: {place:?} {part}\n{:?}", loaded.diagnostics));
        }
        for version in VERSIONS {
            let mut envoy = Command::new(binary(version));
            envoy.args(["--mode", "validate", "-l", "off", "-c"]).arg(&file);
            let output = envoy.output().expect("it was fetched");
            if output.status.success() != *is_taken {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                differing.push(format!("Envoy {version}: {place:?} {part}\n{said}"));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
