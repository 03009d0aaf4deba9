//! Fields that are gone from clusters, and from what they are made of: hosts, health checks, config
//! sources.

use super::super::super::tree::Node;
use super::Rules;

impl Rules<'_> {
    /// `Cluster`: hosts, and what depends on the kind of discovery.
    pub(super) fn cluster(&mut self, node: &mut Node) {
        if let Some(entry) = node.remove("hosts") {
            self.report.changed(entry.line, "`hosts` is `load_assignment` now");
            let name = node.text_at("name").unwrap_or_default().to_owned();
            let endpoints = entry.value.clone().into_items().into_iter().map(|mut item| {
                let address = std::mem::replace(&mut item.value, Node::map([]));
                item.value = Node::map([("endpoint", Node::map([("address", address)]))]);
                item
            });
            let locality = Node::map([("lb_endpoints", Node::list_of(endpoints.collect()))]);
            let assignment =
                Node::map([("cluster_name", Node::text(&name)), ("endpoints", Node::list([locality]))]);
            self.put(node, "load_assignment", assignment, &entry);
        }
        let policy = node.text_at("lb_policy").unwrap_or_default().to_ascii_uppercase();
        if policy == "ORIGINAL_DST_LB" {
            let policy = node.get_mut("lb_policy").expect("it was looked at just now");
            self.report.changed(policy.line, "`ORIGINAL_DST_LB` is `CLUSTER_PROVIDED` now");
            policy.set_text("CLUSTER_PROVIDED");
        }
        let checks = node.get("health_checks").map(Node::elements).unwrap_or_default();
        if checks.len() > 1 {
            self.report
                .decide(checks[1].line, "from Envoy 1.40 on each of several health checks needs a `name`");
        }
        if let Some(entry) = node.discard("features") {
            self.report.changed(entry.line, "`features` removed: Envoy has not read it since 2019");
        }
    }

    pub(super) fn ring_hash(&mut self, node: &mut Node) {
        if let Some(entry) = node.discard("deprecated_v1") {
            self.report.changed(
                entry.line,
                "`deprecated_v1` removed: the hash is always xxHash unless said otherwise",
            );
        }
    }

    /// `ApiConfigSource`: clusters by name are for REST.
    pub(super) fn api_config_source(&mut self, node: &mut Node) {
        if node.has("cluster_name") {
            self.rename(node, "cluster_name", "cluster_names");
        }
        let kind = node.text_at("api_type").unwrap_or_default().to_ascii_uppercase();
        if matches!(&*kind, "REST_LEGACY" | "UNSUPPORTED_REST_LEGACY") {
            self.report
                .decide(node.line, "the xDS server of the v1 API is asked over REST now: it must speak v3");
            node.set("api_type", Node::plain("REST"));
        }
        if matches!(&*kind, "GRPC" | "DELTA_GRPC") {
            let Some(entry) = node.remove("cluster_names") else { return };
            self.report.changed(entry.line, "`cluster_names` is `grpc_services` now");
            for mut item in Node::items_of(entry) {
                item.value = Node::map([("envoy_grpc", Node::map([("cluster_name", item.value)]))]);
                node.push_at("grpc_services", item);
            }
        }
    }

    /// `HealthCheck`: the one for Redis became an extension.
    pub(super) fn health_check(&mut self, node: &mut Node) {
        let Some(mut entry) = node.remove("redis_health_check") else { return };
        self.report.changed(entry.line, "`redis_health_check` is a `custom_health_check` now");
        let mut typed = Node::typed("envoy.extensions.health_checkers.redis.v3.Redis");
        super::super::append(&mut typed, &mut entry.value);
        let custom =
            Node::map([("name", Node::text("envoy.health_checkers.redis")), ("typed_config", typed)]);
        self.put(node, "custom_health_check", custom, &entry);
    }

    pub(super) fn http_health_check(&mut self, node: &mut Node) {
        if let Some(entry) = node.remove("service_name") {
            self.report.changed(entry.line, "`service_name` is `service_name_matcher` now");
            let value = Node::map([("prefix", entry.value.clone())]);
            self.put(node, "service_name_matcher", value, &entry);
        }
        if let Some(entry) = node.discard("use_http2") {
            self.report.changed(entry.line, "`use_http2` is `codec_client_type` now");
            if entry.value.as_text().is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                node.set("codec_client_type", Node::plain("HTTP2"));
            }
        }
    }

    /// A factor of 100 % is none.
    pub(super) fn overprovisioning(&mut self, node: &mut Node) {
        let Some(entry) = node.discard("disable_overprovisioning") else { return };
        self.report
            .changed(entry.line, "`disable_overprovisioning` is an `overprovisioning_factor` of 100 now");
        if entry.value.as_text().is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            node.remove("overprovisioning_factor");
            node.set("overprovisioning_factor", Node::plain("100"));
        }
    }
}
