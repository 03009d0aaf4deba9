//! What became of the fields that are gone, message by message.

mod http;
mod upstream;

use super::super::report::Report;
use super::super::tree::{Child, Node};

/// The rules, with the report that they write to.
pub(super) struct Rules<'r> {
    pub report: &'r mut Report,
}

const FORWARD_PROXY: &str = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig";

/// Fields that only got another name.
const RENAMED: &[(&str, &str, &str)] = &[
    ("envoy.config.route.v3.RouteAction", "host_rewrite", "host_rewrite_literal"),
    ("envoy.config.route.v3.RouteAction", "auto_host_rewrite_header", "host_rewrite_header"),
    ("envoy.config.cluster.v3.Cluster", "drain_connections_on_host_removal", "ignore_health_on_host_removal"),
    ("envoy.config.listener.v3.FilterChainMatch", "sni_domains", "server_names"),
    (FORWARD_PROXY, "host_rewrite", "host_rewrite_literal"),
    (FORWARD_PROXY, "auto_host_rewrite_header", "host_rewrite_header"),
];

/// Fields that said what is so now in any case, or that nobody reads.
const DROPPED: &[(&str, &str, &str)] = &[
    ("envoy.config.core.v3.Node", "build_version", "Envoy says its version itself"),
    ("envoy.extensions.filters.common.fault.v3.FaultDelay", "type", "a delay is always a fixed one"),
    (
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "use_alpha",
        "there is one version of that API only",
    ),
    (
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        "max_request_time",
        "Envoy stopped to time requests there in 2019",
    ),
];

/// Whether a message had a field, in years of which the API of today says nothing any more.
pub(super) fn was_field(ty: &str, key: &str) -> bool {
    RENAMED.iter().chain(DROPPED).any(|(message, field, _)| (*message, *field) == (ty, key))
}

impl Rules<'_> {
    /// Applies all rules for a message of this type.
    pub(super) fn message(&mut self, ty: &str, node: &mut Node) {
        for (message, from, to) in RENAMED {
            if *message == ty && node.has(from) {
                self.rename(node, from, to);
            }
        }
        for (message, field, why) in DROPPED {
            if *message == ty
                && let Some(entry) = node.discard(field)
            {
                self.report.changed(entry.line, format!("`{field}` removed: {why}"));
            }
        }
        let Some(short) = ty.strip_prefix("envoy.") else { return };
        match short {
            "config.bootstrap.v3.Bootstrap" => self.runtime(node),
            "config.cluster.v3.Cluster" => self.cluster(node),
            "config.cluster.v3.Cluster.RingHashLbConfig" => self.ring_hash(node),
            "config.core.v3.ApiConfigSource" => self.api_config_source(node),
            "config.core.v3.HealthCheck" => self.health_check(node),
            "config.core.v3.HealthCheck.HttpHealthCheck" => self.http_health_check(node),
            "config.endpoint.v3.ClusterLoadAssignment.Policy" => self.overprovisioning(node),
            "config.listener.v3.Listener" => self.listener(node),
            "config.listener.v3.FilterChainMatch" => self.filter_chain_match(node),
            "config.route.v3.RouteMatch" => self.route_match(node),
            "config.route.v3.Route" => self.route(node),
            "config.route.v3.RouteAction" => self.route_action(node),
            "config.route.v3.RouteAction.RequestMirrorPolicy" => self.mirror(node),
            "config.route.v3.HeaderMatcher" => self.header_matcher(node),
            "config.route.v3.QueryParameterMatcher" => self.value_and_regex(node),
            "config.route.v3.VirtualCluster" => self.virtual_cluster(node),
            "config.route.v3.CorsPolicy" | "extensions.filters.http.cors.v3.CorsPolicy" => self.cors(node),
            "type.matcher.v3.StringMatcher" => self.safe_regex(node, "regex", "safe_regex"),
            "config.trace.v3.ZipkinConfig" => self.zipkin(node),
            "config.ratelimit.v3.RateLimitServiceConfig" => self.rate_limit_service(node),
            "extensions.transport_sockets.tls.v3.CertificateValidationContext" => {
                self.subject_alt_names(node);
            }
            "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
                self.connection_manager(node);
            }
            "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing" => {
                self.tracing(node);
            }
            "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails" =>
            {
                self.client_certificate(node);
            }
            "extensions.filters.network.redis_proxy.v3.RedisProxy" => self.redis_proxy(node),
            "extensions.filters.network.redis_proxy.v3.RedisProxy.PrefixRoutes" => self.prefix_routes(node),
            "extensions.filters.common.fault.v3.FaultDelay"
            | "extensions.filters.common.fault.v3.FaultRateLimit"
            | "extensions.filters.http.fault.v3.FaultAbort" => self.fault(node),
            "extensions.filters.http.health_check.v3.HealthCheck" => self.health_check_filter(node),
            "config.rbac.v3.Principal.Authenticated" => self.authenticated(node),
            _ => {}
        }
    }

    /// Puts a value where another entry stood, with its comments.
    pub(super) fn put(&mut self, node: &mut Node, key: &str, value: Node, of: &Child) {
        let entry = Child::entry(key, value);
        let entry = Child { before: of.before.clone(), comment: of.comment.clone(), line: of.line, ..entry };
        if let Some(children) = node.edit() {
            children.push(entry);
        }
    }

    fn rename(&mut self, node: &mut Node, from: &str, to: &str) {
        let line = node.get(from).map_or(node.line, |node| node.line);
        self.report.changed(line, format!("`{from}` is `{to}` now"));
        node.rename(from, to);
    }

    /// `runtime` of a bootstrap: the layers that it stood for.
    fn runtime(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("runtime") else { return };
        self.report.changed(entry.line, "`runtime` is `layered_runtime` now");
        let old = &entry.value;
        let text = |key: &str| old.text_at(key).map(str::to_owned);
        let root = text("symlink_root");
        let disk = |name: &str, folder: Option<String>, by_cluster: bool| {
            let mut layer = Node::map([]);
            layer.set("symlink_root", Node::text(root.as_deref().unwrap_or_default()));
            if let Some(folder) = folder {
                layer.set("subdirectory", Node::text(&folder));
            }
            if by_cluster {
                layer.set("append_service_cluster", Node::plain("true"));
            }
            Child::item(Node::map([("name", Node::text(name)), ("disk_layer", layer)]))
        };
        let mut layers = Vec::new();
        if let Some(base) = old.get("base") {
            layers
                .push(Child::item(Node::map([("name", Node::text("base")), ("static_layer", base.clone())])));
        }
        if root.is_some() {
            layers.push(disk("root", text("subdirectory"), false));
            if let Some(folder) = text("override_subdirectory") {
                layers.push(disk("override", Some(folder), true));
            }
        }
        layers.push(Child::item(Node::map([("name", Node::text("admin")), ("admin_layer", Node::map([]))])));
        self.put(node, "layered_runtime", Node::map([("layers", Node::list_of(layers))]), &entry);
    }

    fn listener(&mut self, node: &mut Node) {
        let Some(old) = node.get("deprecated_v1").and_then(|old| old.get("bind_to_port")).cloned() else {
            return;
        };
        let Some(entry) = node.remove("deprecated_v1") else { return };
        self.report.changed(entry.line, "`deprecated_v1.bind_to_port` is `bind_to_port` now");
        self.put(node, "bind_to_port", old, &entry);
    }

    /// A listener within the Envoy had its own name as its address until 2022.
    pub(super) fn internal_listener(&mut self, node: &mut Node) {
        const NAME: [&str; 3] = ["address", "envoy_internal_address", "server_listener_name"];
        if node.has("internal_listener") {
            return;
        }
        let Some(name) = node.at(&NAME).and_then(Node::as_text).map(str::to_owned) else { return };
        if node.text_at("name").is_some_and(|own| own != name) {
            let message = format!(
                "an internal listener has no address: write `name: {name}` and `internal_listener: {{}}`"
            );
            return self.report.decide(node.line, message);
        }
        let line = node.get("address").map_or(node.line, |address| address.line);
        self.report.changed(line, "`envoy_internal_address` is `internal_listener: {}` now");
        node.rename("address", "internal_listener");
        let entry = node.edit().into_iter().flatten().find(|child| child.key == "internal_listener");
        if let Some(entry) = entry {
            comments_in(&entry.value, &mut entry.before);
            entry.value = Node::map([]);
        }
        if !node.has("name") {
            node.insert_behind("", Child::entry("name", Node::text(&name)));
        }
    }

    fn filter_chain_match(&mut self, node: &mut Node) {
        let is_all = |name: &&Node| name.as_text() == Some("*");
        if node.get("server_names").is_some_and(|names| names.elements().iter().any(is_all))
            && let Some(entry) = node.discard("server_names")
        {
            self.report.changed(entry.line, "`server_names` removed: the `*` in it stood for all");
        }
        if node.text_at("source_type").is_some_and(|text| text.eq_ignore_ascii_case("LOCAL")) {
            let source = node.get_mut("source_type").expect("it was looked at just now");
            self.report.changed(source.line, "`LOCAL` is `SAME_IP_OR_LOOPBACK` now");
            source.set_text("SAME_IP_OR_LOOPBACK");
        }
    }

    fn zipkin(&mut self, node: &mut Node) {
        let version = node.text_at("collector_endpoint_version").unwrap_or_default().to_ascii_uppercase();
        if !matches!(&*version, "" | "HTTP_JSON_V1" | "DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE") {
            return;
        }
        node.remove("collector_endpoint_version");
        node.set("collector_endpoint_version", Node::plain("HTTP_JSON"));
        let line = node.line;
        if let Some(endpoint) = node.get_mut("collector_endpoint")
            && let Some(new) = endpoint.as_text().map(|text| text.replace("/api/v1/", "/api/v2/"))
        {
            endpoint.set_text(&new);
        }
        self.report.decide(
            line,
            "Zipkin's v1 API is gone from Envoy: spans go to /api/v2/spans as HTTP_JSON, which the collector must take",
        );
    }

    fn rate_limit_service(&mut self, node: &mut Node) {
        if let Some(entry) = node.discard("use_data_plane_proto") {
            self.report
                .changed(entry.line, "`use_data_plane_proto` removed: there is one version of that API only");
        }
        if let Some(entry) = node.remove("cluster_name") {
            self.report.changed(entry.line, "`cluster_name` is a `grpc_service` now");
            let service = Node::map([("envoy_grpc", Node::map([("cluster_name", entry.value.clone())]))]);
            self.put(node, "grpc_service", service, &entry);
        }
    }

    fn subject_alt_names(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("verify_subject_alt_name") else { return };
        self.report.changed(entry.line, "`verify_subject_alt_name` is `match_subject_alt_names` now");
        for mut item in Node::items_of(entry) {
            item.value = Node::map([("exact", item.value)]);
            node.push_at("match_subject_alt_names", item);
        }
    }

    fn redis_proxy(&mut self, node: &mut Node) {
        let Some(entry) = node.discard("cluster") else { return };
        self.report.changed(entry.line, "`cluster` is `prefix_routes.catch_all_route` now");
        let route = Node::map([("cluster", entry.value)]);
        node.map_at("prefix_routes").set("catch_all_route", route);
    }

    fn prefix_routes(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("catch_all_cluster") else { return };
        self.report.changed(entry.line, "`catch_all_cluster` is `catch_all_route` now");
        self.put(node, "catch_all_route", Node::map([("cluster", entry.value.clone())]), &entry);
    }

    fn authenticated(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("name") else { return };
        self.report.changed(entry.line, "`name` is `principal_name` now");
        self.put(node, "principal_name", Node::map([("exact", entry.value.clone())]), &entry);
    }
}

/// All comments in a value that goes.
fn comments_in(node: &Node, lines: &mut Vec<String>) {
    for child in node.children() {
        lines.extend(child.before.iter().filter(|line| !line.is_empty()).cloned());
        lines.extend(child.comment.iter().map(|comment| comment.trim_start().to_owned()));
        comments_in(&child.value, lines);
    }
    lines.extend(node.tail.iter().cloned());
}

const RATE_LIMITS: [(&str, &str); 2] = [
    ("envoy.rate_limit", "envoy.filters.http.ratelimit"),
    ("envoy.ratelimit", "envoy.filters.network.ratelimit"),
];

/// Once one service served all filters; each of them names it now.
pub(super) fn share_rate_limit_service(root: &mut Node, report: &mut Report) {
    let Some(entry) = root.remove("rate_limit_service") else { return };
    report.changed(entry.line, "`rate_limit_service` of the bootstrap is in each rate limit filter now");
    give_service(root, &entry.value);
}

fn give_service(node: &mut Node, service: &Node) {
    let is_filter = node
        .text_at("name")
        .is_some_and(|name| RATE_LIMITS.iter().any(|(old, new)| name == *old || name == *new));
    if is_filter {
        for key in ["config", "typed_config"] {
            if let Some(config) = node.get_mut(key).filter(|config| config.is_map())
                && !config.has("rate_limit_service")
            {
                config.set("rate_limit_service", service.clone());
            }
        }
    }
    for child in node.children_mut() {
        give_service(&mut child.value, service);
    }
}
