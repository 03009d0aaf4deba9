//! Where in Envoy's API an extension stands, and which types can stand there.
//!
//! The descriptors do not say it: a field that takes an extension takes any message. Envoy itself
//! does: `extensions.txt` is what it told of itself, and the places are those that the API's own
//! documentation gives a category. Invariant: a type that is not in the list is not judged, so what
//! a newer or a contrib Envoy adds is never refused for it.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Categories, names and types, as Envoy lists them.
static LIST: &str = include_str!("extensions.txt");

/// What stands in the list.
struct Known {
    /// The categories of each type.
    categories: HashMap<&'static str, Vec<&'static str>>,
    /// The type of each name, in its category.
    types: HashMap<(&'static str, &'static str), &'static str>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let mut known = Known { categories: HashMap::new(), types: HashMap::new() };
    let mut category = "";
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if !line.starts_with(' ') {
            category = first;
            continue;
        }
        let types: Vec<&'static str> = words.collect();
        for ty in &types {
            known.categories.entry(ty).or_default().push(category);
        }
        // What configures one route is no answer to what the extension is configured by.
        let mut main = types.iter().filter(|ty| !ty.ends_with("PerRoute") && !ty.ends_with("Override"));
        if let (Some(ty), None) = (main.next(), main.next()) {
            known.types.insert((category, first), ty);
        }
    }
    known
});

/// The categories of an extension's type, if it is a known one.
pub fn categories_of(type_name: &str) -> &'static [&'static str] {
    KNOWN.categories.get(type_name).map_or(&[], Vec::as_slice)
}

/// The types of the extensions of these categories, sorted.
pub fn types_in(categories: &[&str]) -> Vec<&'static str> {
    let is_in = |known: &Vec<&str>| known.iter().any(|category| categories.contains(category));
    let types = KNOWN.categories.iter().filter(|(_, known)| is_in(known)).map(|(ty, _)| *ty);
    let mut types: Vec<&'static str> = types.collect();
    types.sort_unstable();
    types
}

/// The type that configures the extension of this name, also of one of the names that Envoy had for
/// it before 2020 (`envoy.router`).
pub fn type_of_name(categories: &[&'static str], name: &str) -> Option<&'static str> {
    categories.iter().find_map(|category| {
        let get = |name: &str| KNOWN.types.get(&(*category, name) as &(&str, &str)).copied();
        let rest = name.strip_prefix("envoy.")?;
        get(name).or_else(|| get(&format!("{category}.{}", old_name(rest))))
    })
}

/// What was renamed beyond the category's name that stands before it now.
fn old_name(name: &str) -> &str {
    match name {
        "file_access_log" => "file",
        "http_grpc_access_log" => "http_grpc",
        "tcp_grpc_access_log" => "tcp_grpc",
        "rate_limit" => "ratelimit",
        other => other,
    }
}

/// The categories that can stand in a field of a message type; none if the field is no such place.
pub(super) fn of_field(message: &str, field: &str) -> &'static [&'static str] {
    let message = message.strip_prefix("envoy.").unwrap_or(message);
    let place = PLACES.iter().find(|(place, name, _)| *name == field && *place == message);
    place.map_or(&[], |(_, _, categories)| categories)
}

/// Message type (without `envoy.`), field, categories.
const PLACES: [(&str, &str, &[&str]); 81] = [
    ("config.accesslog.v3.AccessLog", "typed_config", &["envoy.access_loggers"]),
    ("config.accesslog.v3.AccessLogFilter", "extension_filter", &["envoy.access_loggers.extension_filters"]),
    ("config.cluster.v3.Cluster", "transport_socket", &["envoy.transport_sockets.upstream"]),
    ("config.cluster.v3.Cluster", "typed_dns_resolver_config", &["envoy.network.dns_resolver"]),
    ("config.cluster.v3.Cluster", "upstream_config", &["envoy.upstreams"]),
    ("config.cluster.v3.Cluster.CustomClusterType", "typed_config", &["envoy.clusters"]),
    (
        "config.cluster.v3.Cluster.TransportSocketMatch",
        "transport_socket",
        &["envoy.transport_sockets.upstream"],
    ),
    (
        "config.cluster.v3.Filter",
        "typed_config",
        &["envoy.filters.network", "envoy.filters.upstream_network"],
    ),
    (
        "config.cluster.v3.LoadBalancingPolicy.Policy",
        "typed_extension_config",
        &["envoy.load_balancing_policies"],
    ),
    ("config.cluster.v3.QueuingPolicies", "pending_rq_policy", &["envoy.queue_policy"]),
    ("config.common.key_value.v3.KeyValueStoreConfig", "config", &["envoy.common.key_value"]),
    ("config.core.v3.ApiConfigSource", "config_validators", &["envoy.config.validators"]),
    ("config.core.v3.BindConfig", "local_address_selector", &["envoy.upstream.local_address_selector"]),
    ("config.core.v3.HealthCheck.CustomHealthCheck", "typed_config", &["envoy.health_checkers"]),
    (
        "config.core.v3.Http1ProtocolOptions.HeaderKeyFormat",
        "stateful_formatter",
        &["envoy.http.stateful_header_formatters"],
    ),
    ("config.core.v3.HttpService", "formatters", &["envoy.formatter"]),
    ("config.core.v3.QuicProtocolOptions", "client_packet_writer", &["envoy.quic.client_packet_writer"]),
    ("config.core.v3.SubstitutionFormatString", "formatters", &["envoy.formatter"]),
    (
        "config.listener.v3.Filter",
        "typed_config",
        &["envoy.filters.network", "envoy.filters.upstream_network"],
    ),
    ("config.listener.v3.FilterChain", "transport_socket", &["envoy.transport_sockets.downstream"]),
    (
        "config.listener.v3.ListenerFilter",
        "typed_config",
        &["envoy.filters.listener", "envoy.filters.udp_listener", "envoy.filters.quic_listener"],
    ),
    (
        "config.listener.v3.QuicProtocolOptions",
        "connection_debug_visitor_config",
        &["envoy.quic.connection_debug_visitor"],
    ),
    (
        "config.listener.v3.QuicProtocolOptions",
        "connection_id_generator_config",
        &["envoy.quic.connection_id_generator"],
    ),
    ("config.listener.v3.QuicProtocolOptions", "crypto_stream_config", &["envoy.quic.server.crypto_stream"]),
    ("config.listener.v3.QuicProtocolOptions", "proof_source_config", &["envoy.quic.proof_source"]),
    (
        "config.listener.v3.QuicProtocolOptions",
        "server_preferred_address_config",
        &["envoy.quic.server_preferred_address"],
    ),
    ("config.listener.v3.UdpListenerConfig", "udp_packet_packet_writer_config", &["envoy.udp_packet_writer"]),
    ("config.metrics.v3.StatsSink", "typed_config", &["envoy.stats_sinks"]),
    ("config.overload.v3.ResourceMonitor", "typed_config", &["envoy.resource_monitors"]),
    ("config.rbac.v3.Permission", "matcher", &["envoy.rbac.matchers"]),
    ("config.rbac.v3.Permission", "uri_template", &["envoy.path.match"]),
    ("config.rbac.v3.Principal", "custom", &["envoy.rbac.principals"]),
    (
        "config.rbac.v3.RBAC.AuditLoggingOptions.AuditLoggerConfig",
        "audit_logger",
        &["envoy.rbac.audit_loggers"],
    ),
    ("config.route.v3.ClusterSpecifierPlugin", "extension", &["envoy.router.cluster_specifier_plugin"]),
    ("config.route.v3.InternalRedirectPolicy", "predicates", &["envoy.internal_redirect_predicates"]),
    // What matchers read from a request gives a descriptor, too.
    (
        "config.route.v3.RateLimit.Action",
        "extension",
        &["envoy.rate_limit_descriptors", "envoy.matching.http.input", "envoy.matching.common_inputs"],
    ),
    ("config.route.v3.RetryPolicy.RetryHostPredicate", "typed_config", &["envoy.retry_host_predicates"]),
    ("config.route.v3.RetryPolicy.RetryPriority", "typed_config", &["envoy.retry_priorities"]),
    ("config.route.v3.RouteAction", "early_data_policy", &["envoy.route.early_data_policy"]),
    ("config.route.v3.RouteAction", "path_rewrite_policy", &["envoy.path.rewrite"]),
    ("config.route.v3.RouteMatch", "path_match_policy", &["envoy.path.match"]),
    ("config.trace.v3.OpenTelemetryConfig", "exporter", &["envoy.tracers.opentelemetry.exporters"]),
    (
        "config.trace.v3.OpenTelemetryConfig",
        "resource_detectors",
        &["envoy.tracers.opentelemetry.resource_detectors"],
    ),
    ("config.trace.v3.OpenTelemetryConfig", "sampler", &["envoy.tracers.opentelemetry.samplers"]),
    ("config.trace.v3.Tracing.Http", "typed_config", &["envoy.tracers"]),
    ("extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig", "formatters", &["envoy.formatter"]),
    (
        "extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        "formatters",
        &["envoy.formatter"],
    ),
    (
        "extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        "resource_detectors",
        &["envoy.tracers.opentelemetry.resource_detectors"],
    ),
    (
        "extensions.bootstrap.reverse_tunnel.downstream_socket_interface.v3.DownstreamReverseConnectionSocketInterface.HttpHandshakeConfig",
        "formatters",
        &["envoy.formatter"],
    ),
    (
        "extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig",
        "typed_dns_resolver_config",
        &["envoy.network.dns_resolver"],
    ),
    (
        "extensions.filters.http.ai_protocol_manager.v3.AiProtocolManager",
        "filters",
        &["envoy.http.ai_filters"],
    ),
    (
        "extensions.filters.http.aws_eventstream_parser.v3.AwsEventstreamParser.ProcessingRules",
        "content_parser",
        &["envoy.content_parsers"],
    ),
    ("extensions.filters.http.cache.v3.CacheConfig", "typed_config", &["envoy.http.cache"]),
    ("extensions.filters.http.cache_v2.v3.CacheV2Config", "typed_config", &["envoy.http.cache_v2"]),
    (
        "extensions.filters.http.composite.v3.ExecuteFilterAction",
        "typed_config",
        &["envoy.filters.http", "envoy.filters.http.upstream"],
    ),
    (
        "extensions.filters.http.compressor.v3.Compressor",
        "compressor_library",
        &["envoy.compression.compressor"],
    ),
    (
        "extensions.filters.http.credential_injector.v3.CredentialInjector",
        "credential",
        &["envoy.http.injected_credentials"],
    ),
    (
        "extensions.filters.http.decompressor.v3.Decompressor",
        "decompressor_library",
        &["envoy.compression.decompressor"],
    ),
    (
        "extensions.filters.http.filter_chain.v3.FilterChain",
        "filters",
        &["envoy.filters.http", "envoy.filters.http.upstream"],
    ),
    ("extensions.filters.http.geoip.v3.Geoip", "provider", &["envoy.geoip_providers"]),
    (
        "extensions.filters.http.sse_to_metadata.v3.SseToMetadata.ProcessingRules",
        "content_parser",
        &["envoy.content_parsers"],
    ),
    (
        "extensions.filters.http.stateful_session.v3.StatefulSession",
        "session_state",
        &["envoy.http.stateful_session"],
    ),
    (
        "extensions.filters.network.generic_proxy.v3.GenericProxy",
        "codec_config",
        &["envoy.generic_proxy.codecs"],
    ),
    ("extensions.filters.network.generic_proxy.v3.GenericProxy", "filters", &["envoy.generic_proxy.filters"]),
    ("extensions.filters.network.geoip.v3.Geoip", "provider", &["envoy.geoip_providers"]),
    (
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "early_header_mutation_extensions",
        &["envoy.http.early_header_mutation"],
    ),
    (
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "original_ip_detection_extensions",
        &["envoy.http.original_ip_detection"],
    ),
    (
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "typed_header_validation_config",
        &["envoy.http.header_validators"],
    ),
    (
        "extensions.filters.network.http_connection_manager.v3.HttpFilter",
        "typed_config",
        &["envoy.filters.http", "envoy.filters.http.upstream"],
    ),
    (
        "extensions.filters.network.http_connection_manager.v3.RequestIDExtension",
        "typed_config",
        &["envoy.request_id"],
    ),
    ("extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig", "formatters", &["envoy.formatter"]),
    (
        "extensions.filters.network.thrift_proxy.v3.ThriftFilter",
        "typed_config",
        &["envoy.thrift_proxy.filters"],
    ),
    (
        "extensions.filters.udp.dns_filter.v3.DnsFilterConfig.ClientContextConfig",
        "typed_dns_resolver_config",
        &["envoy.network.dns_resolver"],
    ),
    (
        "extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.SessionFilter",
        "typed_config",
        &["envoy.filters.udp.session"],
    ),
    (
        "extensions.stat_sinks.open_telemetry.v3.SinkConfig",
        "resource_detectors",
        &["envoy.tracers.opentelemetry.resource_detectors"],
    ),
    (
        "extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig",
        "wrapped_sampler",
        &["envoy.tracers.opentelemetry.samplers"],
    ),
    (
        "extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config",
        "certificate_mapper",
        &["envoy.tls.certificate_mappers"],
    ),
    (
        "extensions.transport_sockets.tls.v3.CertificateValidationContext",
        "custom_validator_config",
        &["envoy.tls.cert_validator"],
    ),
    (
        "extensions.transport_sockets.tls.v3.CommonTlsContext",
        "custom_tls_certificate_selector",
        &["envoy.tls.certificate_selectors"],
    ),
    (
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        "header_validation_config",
        &["envoy.http.header_validators"],
    ),
    ("type.matcher.v3.StringMatcher", "custom", &["envoy.string_matcher"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy_api::Api;

    #[test]
    fn every_place_is_a_field_of_the_api() {
        let api = Api::embedded().expect("the shipped set is whole");
        let unknown: Vec<_> = PLACES
            .iter()
            // Envoy tells of it, and no API that is built in has it.
            .filter(|(message, ..)| *message != "config.cluster.v3.QueuingPolicies")
            .filter(|(message, field, _)| {
                api.message(&format!("envoy.{message}")).is_none_or(|ty| ty.field(field).is_none())
            })
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
