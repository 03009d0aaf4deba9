//! What a resource names: the clusters, routes, endpoints and secrets that it needs.
//!
//! Comes in: messages as they are decoded. Goes out: [`Mention`]s. Only names that this bridge
//! could serve count: an RDS or SDS name counts when its source is `ads`, `self` or a gRPC stream of
//! its own, not a file. Where the API names a cluster is a table, made by going through all its string
//! fields; names that are only compared with (`HTTPFault.upstream_cluster`), made up (statistics) or
//! meant for another machine are not in it.

use super::Facts;
use super::yaml::Node;
use crate::diagnostic::Span;
use crate::envoy_api::{FieldType, MessageType};
use crate::resource::{Kind, Name, Reference, Resource};

/// A resource that an item names, and where, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mention {
    /// The value that names it; counted from the beginning of the item, once the item is read.
    pub span: Span,
    /// What is named.
    pub to: Reference,
    /// Whether requests fail without it. Else something beside them does: a check, a log, a trace.
    pub carries_traffic: bool,
    /// Whether another server may have it: then nobody misses it here, but if it is here it is meant.
    pub elsewhere: bool,
}

/// A resource that an item names, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mentioned<'a> {
    /// What kind of resource is named.
    pub kind: Kind,
    /// Its name.
    pub name: &'a Name,
    /// The value that names it, counted from the beginning of the item; `None`: the item's own name.
    pub span: Option<Span>,
    /// Whether requests fail without it. Else something beside them does: a check, a log, a trace.
    pub carries_traffic: bool,
    /// Whether another server may have it: then nobody misses it here, but if it is here it is meant.
    pub elsewhere: bool,
}

/// What an item names, in the order of the file. That a cluster names the endpoints of its own name, by its
/// name, is not kept: nearly all do.
pub(super) fn mentioned<'a>(
    resource: &'a Resource,
    facts: Option<&'a Facts>,
) -> impl Iterator<Item = Mentioned<'a>> {
    let kept = facts.map_or(&[] as &[Mention], |facts| &facts.mentions);
    let own = (kept.is_empty() && resource.names_own_endpoints()).then(|| Mentioned {
        kind: Kind::Endpoint,
        name: resource.name(),
        span: None,
        carries_traffic: true,
        elsewhere: false,
    });
    own.into_iter().chain(kept.iter().map(|mention| Mentioned {
        kind: mention.to.kind,
        name: &mention.to.name,
        span: Some(mention.span),
        carries_traffic: mention.carries_traffic,
        elsewhere: mention.elsewhere,
    }))
}

impl Mention {
    /// Whether this is what [`mentioned`] tells of a cluster of which nothing is kept.
    pub(super) fn is_own(&self, name: &Name, name_span: Span) -> bool {
        let Mention { span, to, carries_traffic, elsewhere } = self;
        *span == name_span && to.kind == Kind::Endpoint && to.name == *name && *carries_traffic && !elsewhere
    }

    /// A mention by the text of a node; an empty text names nothing.
    pub(super) fn of(node: &Node<'_>, kind: Kind, carries_traffic: bool) -> Option<Mention> {
        let name = node.text().filter(|text| !text.is_empty())?;
        let to = Reference { kind, name: name.into() };
        Some(Mention { span: node.span, to, carries_traffic, elsewhere: false })
    }

    /// The same, of something that comes from this source.
    fn from_source(node: &Node<'_>, kind: Kind, carries_traffic: bool, source: Source) -> Option<Mention> {
        let mention = Mention::of(node, kind, carries_traffic)?;
        Some(Mention { elsewhere: source == Source::SomeServer, ..mention })
    }
}

/// What the text in a field refers to, wherever it stands.
pub(super) fn of_field(ty: &MessageType, field: &FieldType) -> Option<Kind> {
    match &*field.name {
        "cluster"
        | "cluster_name"
        | "clusters"
        | "cluster_names"
        | "collector_cluster"
        | "default_cluster"
        | "override_upstream_cluster"
        | "name"
        | "route_configuration_name" => table(&ty.name, &field.name),
        _ => None,
    }
}

fn table(message: &str, field: &str) -> Option<Kind> {
    const CONFIG: &str = "envoy.config.";
    const EXTENSIONS: &str = "envoy.extensions.";
    let named = if let Some(rest) = message.strip_prefix(CONFIG) {
        match (rest, field) {
            ("route.v3.ScopedRouteConfiguration", "route_configuration_name") => return Some(Kind::Route),
            ("core.v3.ApiConfigSource", "cluster_names")
            | ("core.v3.GrpcService.EnvoyGrpc", "cluster_name")
            | ("core.v3.HttpUri", "cluster")
            | ("route.v3.RouteAction", "cluster")
            | ("route.v3.RouteAction.RequestMirrorPolicy", "cluster")
            | ("route.v3.WeightedCluster.ClusterWeight", "name") => true,
            ("trace.v3.DatadogConfig" | "trace.v3.LightstepConfig" | "trace.v3.ZipkinConfig", field) => {
                field == "collector_cluster"
            }
            _ => false,
        }
    } else if let Some(rest) = message.strip_prefix(EXTENSIONS) {
        extension(rest, field)
    } else {
        matches!(
            (message, field),
            (
                "envoy.data.dns.v3.DnsTable.DnsServiceTarget" | "envoy.data.dns.v3.DnsTable.DnsEndpoint",
                "cluster_name"
            )
        )
    };
    named.then_some(Kind::Cluster)
}

/// Whether a field of an extension, named without `envoy.extensions.`, names a cluster.
fn extension(message: &str, field: &str) -> bool {
    match field {
        "cluster" => matches!(
            message,
            "access_loggers.fluentd.v3.FluentdAccessLogConfig"
                | "clusters.mcp_multicluster.v3.ClusterConfig.McpCluster"
                | "filters.http.gcp_authn.v3.GcpAuthnFilterConfig"
                | "filters.http.mcp_router.v3.McpRouter.McpCluster"
                | "filters.network.thrift_proxy.v3.RouteAction"
                | "filters.network.thrift_proxy.v3.RouteAction.RequestMirrorPolicy"
                | "filters.network.dubbo_proxy.v3.RouteAction"
                | "filters.network.generic_proxy.action.v3.RouteAction"
                | "filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route"
                | "filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route.RequestMirrorPolicy"
                | "filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes.Route.ReadCommandPolicy"
                | "filters.network.tcp_proxy.v3.TcpProxy"
                | "filters.udp.udp_proxy.v3.Route"
                | "filters.udp.udp_proxy.v3.UdpProxyConfig"
                | "router.cluster_specifiers.matcher.v3.ClusterAction"
                | "tracers.fluentd.v3.FluentdConfig"
        ),
        "name" => matches!(
            message,
            "clusters.composite.v3.ClusterConfig.ClusterEntry"
                | "filters.network.thrift_proxy.v3.WeightedCluster.ClusterWeight"
                | "filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight"
        ),
        "clusters" => message == "clusters.aggregate.v3.ClusterConfig",
        "default_cluster" => message == "router.cluster_specifiers.lua.v3.LuaConfig",
        "override_upstream_cluster" => message == "filters.http.cache_v2.v3.CacheV2Config",
        _ => false,
    }
}

/// Whether the names in a message are where requests go. Without an authorization service, a tracer or
/// a member of an aggregate, requests may still be answered.
pub(super) fn carries_traffic(message: &str) -> bool {
    const PROXIES: [&str; 6] = [
        "envoy.config.route.v3.RouteAction",
        "envoy.config.route.v3.WeightedCluster",
        "envoy.extensions.filters.network.",
        "envoy.extensions.filters.udp.",
        "envoy.extensions.filters.http.mcp_router.",
        "envoy.extensions.router.cluster_specifiers.",
    ];
    PROXIES.iter().any(|proxy| message.starts_with(proxy))
}

/// What a message refers to as a whole, where that depends on more than one of its fields.
pub(super) fn of_message(ty: &MessageType, node: &Node<'_>) -> Option<Mention> {
    match &*ty.name {
        "envoy.config.cluster.v3.Cluster" => {
            let (name, source) = endpoints_of(node)?;
            Mention::from_source(name, Kind::Endpoint, true, source)
        }
        "envoy.extensions.filters.network.http_connection_manager.v3.Rds" => {
            let source = source_of(node.get(&["config_source", "configSource"]))?;
            let name = node.get(&["route_config_name", "routeConfigName"])?;
            Mention::from_source(name, Kind::Route, true, source)
        }
        "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig" => {
            let source = source_of(node.get(&["sds_config", "sdsConfig"]))?;
            Mention::from_source(node.get(&["name"])?, Kind::Secret, false, source)
        }
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
        | "envoy.config.listener.v3.Filter"
        | "envoy.config.listener.v3.ListenerFilter" => {
            let discovery = node.get(&["config_discovery", "configDiscovery"])?;
            let source = source_of(discovery.get(&["config_source", "configSource"]))?;
            Mention::from_source(node.get(&["name"])?, Kind::ExtensionConfig, false, source)
        }
        _ => None,
    }
}

/// The name of the assignment of an EDS cluster.
fn endpoints_of<'n, 't>(cluster: &'n Node<'t>) -> Option<(&'n Node<'t>, Source)> {
    let discovery = cluster.get(&["type"])?.text()?;
    if !(discovery.eq_ignore_ascii_case("EDS") || discovery == "3") {
        return None;
    }
    let eds = cluster.get(&["eds_cluster_config", "edsClusterConfig"])?;
    let source = source_of(eds.get(&["eds_config", "edsConfig"]))?;
    let own = eds
        .get(&["service_name", "serviceName"])
        .filter(|name| name.text().is_some_and(|text| !text.is_empty()));
    Some((own.or_else(|| cluster.get(&["name"]))?, source))
}

/// Where something comes from, as far as it may be this bridge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The stream on which its user came.
    SameStream,
    /// A stream of its own, to this bridge or to another server: the fragment does not say.
    SomeServer,
}

fn source_of(source: Option<&Node<'_>>) -> Option<Source> {
    let source = source?;
    if source.get(&["ads", "self"]).is_some() {
        return Some(Source::SameStream);
    }
    let api = source.get(&["api_config_source", "apiConfigSource"])?;
    api.get(&["grpc_services", "grpcServices"]).map(|_| Source::SomeServer)
}
