//! The extensions of Envoy by name, old and new: which message configures them.
//!
//! Old configurations name an extension and give its body without a type; for those of 2017-2020 the
//! names are older, too. From Envoy's own lists of extensions and of names that it once replaced.

/// In which field an extension stands; some old names mean two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `listener_filters` of a listener.
    ListenerFilter,
    /// `filters` of a filter chain.
    NetworkFilter,
    /// `http_filters`.
    HttpFilter,
    /// Everything else; the names say what they are.
    Other,
}

impl Slot {
    /// The slot that a message with `name` and `typed_config` is.
    pub fn of(message: &str) -> Slot {
        match message {
            "envoy.config.listener.v3.ListenerFilter" => Slot::ListenerFilter,
            "envoy.config.listener.v3.Filter" | "envoy.config.cluster.v3.Filter" => Slot::NetworkFilter,
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter" => Slot::HttpFilter,
            _ => Slot::Other,
        }
    }
}

/// An extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its name today.
    pub name: String,
    /// The message that configures it, without `envoy.extensions.`, or a full name.
    message: &'static str,
    /// The message for a route, virtual host or cluster, if it has one of its own.
    per_route: Option<&'static str>,
    /// What to say about an extension that is gone, or not everywhere.
    pub fate: Fate,
}

/// Whether today's Envoys have an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They have.
    Alive,
    /// Only the builds with contributed extensions have.
    Contrib,
    /// It is gone since; this takes its place.
    Removed(&'static str, &'static str),
}

impl Extension {
    /// The full name of its message.
    pub fn message(&self) -> String {
        full(self.message)
    }

    /// The full name of its message for a route.
    pub fn per_route(&self) -> String {
        full(self.per_route.unwrap_or(self.message))
    }
}

fn full(message: &str) -> String {
    if message.starts_with("envoy.") || message.starts_with("google.") {
        message.to_owned()
    } else {
        format!("envoy.extensions.{message}")
    }
}

type Row = (&'static str, &'static str);

const LISTENER: &[Row] = &[
    ("http_inspector", "filters.listener.http_inspector.v3.HttpInspector"),
    ("local_ratelimit", "filters.listener.local_ratelimit.v3.LocalRateLimit"),
    ("original_dst", "filters.listener.original_dst.v3.OriginalDst"),
    ("original_src", "filters.listener.original_src.v3.OriginalSrc"),
    ("proxy_protocol", "filters.listener.proxy_protocol.v3.ProxyProtocol"),
    ("tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector"),
];

const NETWORK: &[Row] = &[
    ("client_ssl_auth", "filters.network.client_ssl_auth.v3.ClientSSLAuth"),
    ("connection_limit", "filters.network.connection_limit.v3.ConnectionLimit"),
    ("direct_response", "filters.network.direct_response.v3.Config"),
    ("dubbo_proxy", "filters.network.dubbo_proxy.v3.DubboProxy"),
    ("echo", "filters.network.echo.v3.Echo"),
    ("ext_authz", "filters.network.ext_authz.v3.ExtAuthz"),
    ("http_connection_manager", "filters.network.http_connection_manager.v3.HttpConnectionManager"),
    ("kafka_broker", "filters.network.kafka_broker.v3.KafkaBroker"),
    ("local_ratelimit", "filters.network.local_ratelimit.v3.LocalRateLimit"),
    ("mongo_proxy", "filters.network.mongo_proxy.v3.MongoProxy"),
    ("mysql_proxy", "filters.network.mysql_proxy.v3.MySQLProxy"),
    ("postgres_proxy", "filters.network.postgres_proxy.v3alpha.PostgresProxy"),
    ("ratelimit", "filters.network.ratelimit.v3.RateLimit"),
    ("rbac", "filters.network.rbac.v3.RBAC"),
    ("redis_proxy", "filters.network.redis_proxy.v3.RedisProxy"),
    ("rocketmq_proxy", "filters.network.rocketmq_proxy.v3.RocketmqProxy"),
    ("sni_cluster", "filters.network.sni_cluster.v3.SniCluster"),
    ("sni_dynamic_forward_proxy", "filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"),
    ("tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy"),
    ("thrift_proxy", "filters.network.thrift_proxy.v3.ThriftProxy"),
    ("wasm", "filters.network.wasm.v3.Wasm"),
    ("zookeeper_proxy", "filters.network.zookeeper_proxy.v3.ZooKeeperProxy"),
];

const HTTP: &[Row] = &[
    ("adaptive_concurrency", "filters.http.adaptive_concurrency.v3.AdaptiveConcurrency"),
    ("admission_control", "filters.http.admission_control.v3.AdmissionControl"),
    ("aws_lambda", "filters.http.aws_lambda.v3.Config"),
    ("aws_request_signing", "filters.http.aws_request_signing.v3.AwsRequestSigning"),
    ("bandwidth_limit", "filters.http.bandwidth_limit.v3.BandwidthLimit"),
    ("buffer", "filters.http.buffer.v3.Buffer"),
    ("cache", "filters.http.cache.v3.CacheConfig"),
    ("cdn_loop", "filters.http.cdn_loop.v3.CdnLoopConfig"),
    ("compressor", "filters.http.compressor.v3.Compressor"),
    ("cors", "filters.http.cors.v3.Cors"),
    ("csrf", "filters.http.csrf.v3.CsrfPolicy"),
    ("decompressor", "filters.http.decompressor.v3.Decompressor"),
    ("dynamic_forward_proxy", "filters.http.dynamic_forward_proxy.v3.FilterConfig"),
    ("dynamo", "filters.http.dynamo.v3.Dynamo"),
    ("ext_authz", "filters.http.ext_authz.v3.ExtAuthz"),
    ("ext_proc", "filters.http.ext_proc.v3.ExternalProcessor"),
    ("fault", "filters.http.fault.v3.HTTPFault"),
    ("grpc_http1_bridge", "filters.http.grpc_http1_bridge.v3.Config"),
    ("grpc_http1_reverse_bridge", "filters.http.grpc_http1_reverse_bridge.v3.FilterConfig"),
    ("grpc_json_transcoder", "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"),
    ("grpc_stats", "filters.http.grpc_stats.v3.FilterConfig"),
    ("grpc_web", "filters.http.grpc_web.v3.GrpcWeb"),
    ("gzip", "filters.http.compressor.v3.Compressor"),
    ("header_to_metadata", "filters.http.header_to_metadata.v3.Config"),
    ("health_check", "filters.http.health_check.v3.HealthCheck"),
    ("ip_tagging", "filters.http.ip_tagging.v3.IPTagging"),
    ("jwt_authn", "filters.http.jwt_authn.v3.JwtAuthentication"),
    ("local_ratelimit", "filters.http.local_ratelimit.v3.LocalRateLimit"),
    ("lua", "filters.http.lua.v3.Lua"),
    ("oauth2", "filters.http.oauth2.v3.OAuth2"),
    ("on_demand", "filters.http.on_demand.v3.OnDemand"),
    ("original_src", "filters.http.original_src.v3.OriginalSrc"),
    ("ratelimit", "filters.http.ratelimit.v3.RateLimit"),
    ("rbac", "filters.http.rbac.v3.RBAC"),
    ("router", "filters.http.router.v3.Router"),
    ("set_metadata", "filters.http.set_metadata.v3.Config"),
    ("squash", "envoy.extensions.filters.http.squash.v3.Squash"),
    ("tap", "filters.http.tap.v3.Tap"),
    ("wasm", "filters.http.wasm.v3.Wasm"),
];

/// Messages for the upstream side of a network filter.
const PROTOCOL_OPTIONS: &[Row] = &[
    ("redis_proxy", "filters.network.redis_proxy.v3.RedisProtocolOptions"),
    ("thrift_proxy", "filters.network.thrift_proxy.v3.ThriftProtocolOptions"),
];

/// Messages for routes that differ from the filter's own.
const PER_ROUTE: &[Row] = &[
    ("buffer", "filters.http.buffer.v3.BufferPerRoute"),
    ("cors", "filters.http.cors.v3.CorsPolicy"),
    ("compressor", "filters.http.compressor.v3.CompressorPerRoute"),
    ("dynamic_forward_proxy", "filters.http.dynamic_forward_proxy.v3.PerRouteConfig"),
    ("ext_authz", "filters.http.ext_authz.v3.ExtAuthzPerRoute"),
    ("ext_proc", "filters.http.ext_proc.v3.ExtProcPerRoute"),
    ("grpc_http1_reverse_bridge", "filters.http.grpc_http1_reverse_bridge.v3.FilterConfigPerRoute"),
    ("jwt_authn", "filters.http.jwt_authn.v3.PerRouteConfig"),
    ("lua", "filters.http.lua.v3.LuaPerRoute"),
    ("on_demand", "filters.http.on_demand.v3.PerRouteConfig"),
    ("ratelimit", "filters.http.ratelimit.v3.RateLimitPerRoute"),
    ("rbac", "filters.http.rbac.v3.RBACPerRoute"),
];

/// Everything that is no filter: all its names, the one of today first.
const OTHER: &[(&[&str], &str)] = &[
    (&["envoy.access_loggers.file", "envoy.file_access_log"], "access_loggers.file.v3.FileAccessLog"),
    (
        &["envoy.access_loggers.http_grpc", "envoy.http_grpc_access_log"],
        "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
    ),
    (
        &["envoy.access_loggers.tcp_grpc", "envoy.tcp_grpc_access_log"],
        "access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
    ),
    (&["envoy.access_loggers.stdout"], "access_loggers.stream.v3.StdoutAccessLog"),
    (&["envoy.access_loggers.stderr"], "access_loggers.stream.v3.StderrAccessLog"),
    (&["envoy.stat_sinks.statsd", "envoy.statsd"], "envoy.config.metrics.v3.StatsdSink"),
    (&["envoy.stat_sinks.dog_statsd", "envoy.dog_statsd"], "envoy.config.metrics.v3.DogStatsdSink"),
    (
        &["envoy.stat_sinks.metrics_service", "envoy.metrics_service"],
        "envoy.config.metrics.v3.MetricsServiceConfig",
    ),
    (&["envoy.stat_sinks.hystrix"], "envoy.config.metrics.v3.HystrixSink"),
    (&["envoy.tracers.zipkin", "envoy.zipkin"], "envoy.config.trace.v3.ZipkinConfig"),
    (&["envoy.tracers.datadog", "envoy.datadog"], "envoy.config.trace.v3.DatadogConfig"),
    (&["envoy.tracers.skywalking"], "envoy.config.trace.v3.SkyWalkingConfig"),
    (&["envoy.tracers.opentelemetry"], "envoy.config.trace.v3.OpenTelemetryConfig"),
    (&["envoy.tracers.xray"], "envoy.config.trace.v3.XRayConfig"),
    (&["envoy.tracers.lightstep", "envoy.lightstep"], "envoy.config.trace.v3.LightstepConfig"),
    (&["envoy.tracers.dynamic_ot", "envoy.dynamic.ot"], "envoy.config.trace.v3.DynamicOtConfig"),
    (&["envoy.tracers.opencensus", "envoy.opencensus"], "envoy.config.trace.v3.OpenCensusConfig"),
    (&["envoy.health_checkers.redis", "envoy.health_checks.redis"], "health_checkers.redis.v3.Redis"),
    (&["envoy.health_checkers.thrift"], "health_checkers.thrift.v3.Thrift"),
    (&["envoy.resource_monitors.fixed_heap"], "resource_monitors.fixed_heap.v3.FixedHeapConfig"),
    (
        &["envoy.resource_monitors.injected_resource"],
        "resource_monitors.injected_resource.v3.InjectedResourceConfig",
    ),
    (
        &["envoy.retry_priorities.previous_priorities"],
        "retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    ),
    (&["envoy.retry_host_predicates.previous_hosts"], "retry.host.previous_hosts.v3.PreviousHostsPredicate"),
    (
        &["envoy.retry_host_predicates.omit_canary_hosts"],
        "retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate",
    ),
    (&["envoy.clusters.aggregate"], "clusters.aggregate.v3.ClusterConfig"),
    (&["envoy.clusters.dynamic_forward_proxy"], "clusters.dynamic_forward_proxy.v3.ClusterConfig"),
    (&["envoy.clusters.redis"], "clusters.redis.v3.RedisClusterConfig"),
    (&["envoy.transport_sockets.alts", "alts"], "transport_sockets.alts.v3.Alts"),
    (&["envoy.transport_sockets.raw_buffer", "raw_buffer"], "transport_sockets.raw_buffer.v3.RawBuffer"),
    (&["envoy.transport_sockets.tap"], "transport_sockets.tap.v3.Tap"),
    (&["envoy.filters.thrift.router", "router"], "filters.network.thrift_proxy.router.v3.Router"),
    (
        &["envoy.filters.thrift.rate_limit", "rate_limit"],
        "filters.network.thrift_proxy.filters.ratelimit.v3.RateLimit",
    ),
    (&["envoy.filters.dubbo.router"], "filters.network.dubbo_proxy.router.v3.Router"),
    (&["envoy.grpc_credentials.aws_iam"], "envoy.config.grpc_credential.v3.AwsIamConfig"),
    (
        &["envoy.grpc_credentials.file_based_metadata"],
        "envoy.config.grpc_credential.v3.FileBasedMetadataConfig",
    ),
];

/// Names that did not only lose their middle.
const OLD: &[(Slot, &str, &str)] =
    &[(Slot::HttpFilter, "rate_limit", "ratelimit"), (Slot::HttpFilter, "http_dynamo_filter", "dynamo")];

/// The extension with this name, old or new, in this slot.
pub fn find(slot: Slot, name: &str) -> Option<Extension> {
    let (table, prefix): (&[Row], &str) = match slot {
        Slot::ListenerFilter => (LISTENER, "envoy.filters.listener."),
        Slot::NetworkFilter => (NETWORK, "envoy.filters.network."),
        Slot::HttpFilter => (HTTP, "envoy.filters.http."),
        Slot::Other => return other(name),
    };
    let short = name
        .strip_prefix(prefix)
        .or_else(|| name.strip_prefix("envoy.listener."))
        .or_else(|| name.strip_prefix("envoy."))?;
    let short = OLD.iter().find(|(at, old, _)| *at == slot && *old == short).map_or(short, |row| row.2);
    let (short, message) = table.iter().find(|(known, _)| *known == short)?;
    let elsewhere: &[Row] = match slot {
        Slot::HttpFilter => PER_ROUTE,
        Slot::NetworkFilter => PROTOCOL_OPTIONS,
        _ => &[],
    };
    let per_route = elsewhere.iter().find(|(known, _)| known == short);
    let fate = match (slot, *short) {
        (Slot::HttpFilter, "squash") => Fate::Removed("2025", "nothing of Envoy's own takes its place"),
        (Slot::HttpFilter, "dynamo")
        | (
            Slot::NetworkFilter,
            "client_ssl_auth" | "kafka_broker" | "mysql_proxy" | "postgres_proxy" | "rocketmq_proxy",
        ) => Fate::Contrib,
        _ => Fate::Alive,
    };
    // The gzip filter became one of the compressor's libraries.
    let today = if *short == "gzip" { "compressor" } else { short };
    Some(Extension { name: format!("{prefix}{today}"), message, per_route: per_route.map(|row| row.1), fate })
}

fn other(name: &str) -> Option<Extension> {
    let (names, message) = OTHER.iter().find(|(names, _)| names.contains(&name))?;
    let fate = match names[0] {
        "envoy.tracers.lightstep" => {
            Fate::Removed("2022", "`envoy.tracers.opentelemetry` sends to Lightstep's collectors")
        }
        "envoy.tracers.dynamic_ot" => Fate::Removed("2024", "use `envoy.tracers.opentelemetry`"),
        "envoy.tracers.opencensus" => Fate::Removed("2024", "use `envoy.tracers.opentelemetry`"),
        _ => Fate::Alive,
    };
    Some(Extension { name: names[0].to_owned(), message, per_route: None, fate })
}
