//! What Envoy checks beyond its API's constraints, and what it takes but surely was not meant.
//!
//! Comes in: each message as it stands in the file, after its fields were read. Goes out: findings.
//! Keeps the invariant that an error is only what Envoy (all versions that are supported) refuses;
//! what it takes is a warning at most. What is wrong in itself (a text where a list should be) has
//! been said when it was read, and is passed over here.

mod bootstraps;
mod clusters;
mod extensions;
mod filters;
mod formats;
mod listeners;
mod needs;
mod pairs;
mod re2;
mod routes;
mod runtime;
mod tls;

use super::decode::Decoder;
use super::scalar::{self, Typed, typed};
use super::yaml::{Entry, Node};
use crate::envoy_api::MessageType;

use clusters::is_ip;
pub(super) use listeners::listen_addresses;
pub use listeners::{ListenAddress, Protocol};

impl Decoder<'_> {
    /// Looks at a message of which all fields have been read.
    pub(super) fn lint(&mut self, ty: &MessageType, node: &Node<'_>) {
        let Some(rest) = ty.name.strip_prefix("envoy.") else { return };
        // A part that seems to be missing may just be misspelt, which has been said.
        let entries = node.entries().unwrap_or_default();
        if entries.iter().all(|entry| entry.key == "@type" || ty.field(&entry.key).is_some()) {
            self.lint_parts(rest, node);
        }
        match rest {
            "config.route.v3.RouteConfiguration" => {
                self.lint_domains(elements(node, "virtual_hosts"));
                self.lint_bodies(node);
                self.lint_headers(node);
            }
            "config.route.v3.VirtualHost" => {
                self.lint_virtual_host(node);
                self.lint_headers(node);
            }
            "config.route.v3.Route" | "config.route.v3.WeightedCluster.ClusterWeight" => {
                self.lint_headers(node);
            }
            "config.route.v3.RouteAction" => {
                self.lint_rewrites(node);
                self.lint_upgrades(node);
                self.lint_times(node, &["timeout", "idle_timeout"]);
            }
            "config.route.v3.RouteAction.MaxStreamDuration" => {
                let fields = ["max_stream_duration", "grpc_timeout_header_max", "grpc_timeout_header_offset"];
                self.lint_times(node, &fields);
            }
            "config.route.v3.RetryPolicy" => {
                self.lint_times(node, &["per_try_timeout", "per_try_idle_timeout"]);
            }
            "config.route.v3.WeightedCluster" => self.lint_weights(node),
            "config.core.v3.ApiConfigSource" => {
                self.lint_transport_version(node);
                for (at, service) in elements(node, "grpc_services").iter().enumerate() {
                    if let Some(grpc) = child(service, "envoy_grpc") {
                        self.lint_retries(&format!("grpc_services[{at}].envoy_grpc."), grpc);
                    }
                }
            }
            "config.ratelimit.v3.RateLimitServiceConfig"
            | "config.metrics.v3.MetricsServiceConfig"
            | "extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig"
            | "extensions.filters.http.ext_authz.v3.ExtAuthz"
            | "extensions.filters.network.ext_authz.v3.ExtAuthz"
                if child(node, "grpc_service").is_some() =>
            {
                self.lint_transport_version(node);
            }
            "config.bootstrap.v3.LayeredRuntime" => self.lint_layers(node),
            "config.bootstrap.v3.Admin" => {
                if let Some(address) = child(node, "address") {
                    self.lint_fixed(
                        address,
                        "the admin interface opens an address of this machine, such as 127.0.0.1",
                    );
                }
            }
            "config.metrics.v3.StatsdSink" | "config.metrics.v3.DogStatsdSink" => {
                if let Some(address) = child(node, "address") {
                    self.lint_fixed(
                        address,
                        "Envoy resolves no name of a statistics server: give its address",
                    );
                }
            }
            "config.bootstrap.v3.RuntimeLayer" => self.lint_runtime(node, "static_layer"),
            "service.runtime.v3.Runtime" => self.lint_runtime(node, "layer"),
            "config.bootstrap.v3.Bootstrap" => self.lint_watchdogs(entries.iter()),
            "config.bootstrap.v3.Bootstrap.ApplicationLogConfig.LogFormat" => self.lint_json_log(node),
            "config.core.v3.HttpProtocolOptions" => {
                self.lint_times(node, &["idle_timeout", "max_connection_duration", "max_stream_duration"]);
            }
            "config.core.v3.CidrRange" => self.lint_range(node),
            "config.core.v3.SubstitutionFormatString" => {
                self.lint_formats(node, &["text_format", "text_format_source", "json_format"]);
            }
            "extensions.access_loggers.file.v3.FileAccessLog" => {
                self.lint_formats(node, &["format", "json_format", "typed_json_format"]);
            }
            "config.core.v3.HealthCheck.HttpHealthCheck" => {
                self.lint_statuses(node, "expected_statuses");
                self.lint_statuses(node, "retriable_statuses");
                self.lint_check_request(node);
            }
            "config.core.v3.HealthCheck.Payload" => self.lint_hex(node, "text"),
            "config.core.v3.Http2ProtocolOptions" => self.lint_settings(node),
            "config.cluster.v3.OutlierDetection" => {
                self.lint_order(node, "", ("base_ejection_time", "max_ejection_time"), "30s");
            }
            "extensions.clusters.dns.v3.DnsCluster.RefreshRate"
            | "config.route.v3.RetryPolicy.RetryBackOff" => {
                self.lint_back_off("", node);
            }
            "config.core.v3.RemoteDataSource" | "extensions.filters.http.jwt_authn.v3.RemoteJwks" => {
                self.lint_retries("", node);
            }
            "extensions.filters.network.tcp_proxy.v3.TcpProxy" => {
                self.lint_back_off_in("", node, "backoff_options");
            }
            "extensions.load_balancing_policies.ring_hash.v3.RingHash" => self.lint_ring(node, ""),
            "config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector"
            | "extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector" => {
                self.lint_subset(node);
            }
            "config.listener.v3.FilterChainMatch" => {
                self.lint_unimplemented(node, &["address_suffix", "suffix_len"]);
            }
            "type.v3.FractionalPercent" => self.lint_percent(node),
            "type.matcher.v3.RegexMatcher" => self.lint_regex(node),
            "config.cluster.v3.Cluster" => {
                self.lint_cluster(node);
                self.lint_cluster_parts(node);
            }
            "config.listener.v3.Listener" => {
                self.lint_listener(node);
                self.lint_times(node, &["listener_filters_timeout"]);
            }
            "config.listener.v3.FilterChain" => self.lint_network_filters(node),
            "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
                self.lint_http_filters(node);
                self.lint_upgrades(node);
                self.lint_connection_manager(node);
                self.lint_times(node, &["stream_idle_timeout", "request_timeout", "drain_timeout"]);
            }
            "extensions.filters.http.ext_authz.v3.HttpService" => self.lint_path_prefix(node),
            "extensions.filters.http.jwt_authn.v3.JwtAuthentication" => self.lint_providers(node),
            "extensions.transport_sockets.tls.v3.UpstreamTlsContext" => self.lint_client_certificate(node),
            "extensions.transport_sockets.tls.v3.TlsParameters" => self.lint_ciphers(node),
            "extensions.upstreams.http.v3.HttpProtocolOptions"
            | "extensions.filters.http.router.v3.Router" => self.lint_upstream_filters(node),
            _ => {}
        }
    }

    /// Looks at what must stand in a message.
    fn lint_parts(&mut self, name: &str, node: &Node<'_>) {
        match name {
            "config.cluster.v3.LoadBalancingPolicy" => self.lint_policies(node),
            "config.route.v3.RouteAction.RequestMirrorPolicy" => {
                self.lint_one_text(node, ["cluster", "cluster_header"]);
            }
            "config.route.v3.WeightedCluster.ClusterWeight" => {
                self.lint_one_text(node, ["name", "cluster_header"]);
            }
            "config.core.v3.ApiConfigSource" => self.lint_api_source(node),
            "config.listener.v3.Listener" => self.lint_listener_parts(node),
            "extensions.filters.http.ext_proc.v3.ExternalProcessor" => self.lint_one_service(node),
            "extensions.filters.network.redis_proxy.v3.RedisProxy" => self.lint_redis(node),
            "extensions.transport_sockets.tls.v3.CommonTlsContext" => self.lint_trust(node),
            "extensions.transport_sockets.tls.v3.DownstreamTlsContext" => self.lint_server_certificate(node),
            "extensions.transport_sockets.tls.v3.TlsCertificate" => self.lint_certificate_pair(node),
            _ => {}
        }
    }
}

impl Decoder<'_> {
    /// A range of addresses.
    fn lint_range(&mut self, node: &Node<'_>) {
        if let Some(prefix) =
            child(node, "address_prefix").filter(|it| it.text().is_some_and(|it| !is_ip(it)))
        {
            self.not_an_ip("address_prefix", prefix, "a range begins with an address, such as 10.0.0.0");
        }
    }
}

/// The value of a field, in either spelling; null counts as absent.
fn child<'n, 't>(node: &'n Node<'t>, field: &str) -> Option<&'n Node<'t>> {
    entry(node, field).map(|entry| &entry.value)
}

/// A field with its key.
fn entry<'n, 't>(node: &'n Node<'t>, field: &str) -> Option<&'n Entry<'t>> {
    let entry = node.entries()?.iter().find(|entry| is_spelling_of(&entry.key, field))?;
    (!entry.value.is_null()).then_some(entry)
}

/// Whether a key is a field's name: as it is, or in camel case.
fn is_spelling_of(key: &str, field: &str) -> bool {
    let mut left = key.bytes();
    let mut is_upper = false;
    let is_camel_case = field.bytes().all(|byte| {
        if byte == b'_' {
            is_upper = true;
            return true;
        }
        let expected = if is_upper { byte.to_ascii_uppercase() } else { byte };
        is_upper = false;
        left.next() == Some(expected)
    });
    key == field || is_camel_case && left.next().is_none()
}

/// The elements of a list field.
fn elements<'n, 't>(node: &'n Node<'t>, field: &str) -> &'n [Node<'t>] {
    child(node, field).map(Node::elements).unwrap_or_default()
}

/// A text.
fn text<'n>(node: &'n Node<'_>, field: &str) -> Option<&'n str> {
    child(node, field)?.text()
}

/// A whole number, in a wrapper or not, however it is written.
fn number(node: &Node<'_>) -> Option<u64> {
    let node = child(node, "value").unwrap_or(node);
    match typed(node)? {
        Typed::Number(number) => u64::try_from(number).ok(),
        Typed::Text(text) => scalar::unsigned(&text).ok(),
        Typed::Null | Typed::Bool(_) => None,
    }
}

/// A boolean, in a wrapper or not, however it is written.
fn is_true(node: Option<&Node<'_>>) -> bool {
    let Some(node) = node else { return false };
    match typed(child(node, "value").unwrap_or(node)) {
        Some(Typed::Bool(value)) => value,
        Some(Typed::Text(text)) => scalar::quoted_bool(&text) == Some(true),
        _ => false,
    }
}

/// Whether an enum has this value, by name in any case or by number.
fn is_value(node: Option<&Node<'_>>, name: &str, number: u64) -> bool {
    node.is_some_and(|node| {
        node.text().is_some_and(|text| text.eq_ignore_ascii_case(name)) || self::number(node) == Some(number)
    })
}

/// The type that an `Any` says to be, without its host; of a `TypedStruct`, the one in it, which may be
/// none.
fn type_of<'n>(any: &'n Node<'_>) -> Option<&'n str> {
    let (_, name) = any.get(&["@type"])?.text()?.rsplit_once('/')?;
    match name {
        "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct" => {
            Some(text(any, "type_url").unwrap_or_default().rsplit('/').next().unwrap_or_default())
        }
        name => Some(name).filter(|name| !name.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_in_both_spellings_and_no_other() {
        for (key, is_one) in [
            ("virtual_hosts", true),
            ("virtualHosts", true),
            ("virtualhosts", false),
            ("virtualHost", false),
            ("virtualHostsX", false),
            ("VirtualHosts", false),
            ("", false),
        ] {
            assert_eq!(is_spelling_of(key, "virtual_hosts"), is_one, "{key}");
        }
    }
}
