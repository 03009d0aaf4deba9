//! Parts that Envoy asks for, and its API's constraints do not: found by what Envoy said to real and
//! made-up configurations.
//!
//! Comes in: a message. Goes out: `missing-part` where something must stand, `misplaced-part` where
//! something cannot, and the like.

use std::collections::HashMap;

use super::super::decode::Decoder;
use super::super::suggest;
use super::super::yaml::Node;
use super::{child, elements, entry, is_true, is_value, text, type_of};
use crate::diagnostic::{Severity, Span};

const WASTED: &str = "remove it";

impl Decoder<'_> {
    pub(super) fn missing_part(&mut self, span: Span, message: &str, hint: &str) {
        let severity = self.findings.severity_of_types();
        self.findings.add(severity, "missing-part", span, message).hint = Some(hint.to_owned());
    }

    pub(super) fn misplaced_part(&mut self, place: &str, span: Span, message: &str, hint: &str) {
        self.findings.add_under(place, Severity::Error, "misplaced-part", span, message).hint =
            Some(hint.to_owned());
    }

    /// A listener opens an address, and over UDP it has no connections to filter.
    pub(super) fn lint_listener_parts(&mut self, node: &Node<'_>) {
        let is_udp = is_value(
            child(node, "address")
                .and_then(|it| child(it, "socket_address"))
                .and_then(|it| child(it, "protocol")),
            "UDP",
            1,
        );
        let is_quic =
            child(node, "udp_listener_config").is_some_and(|it| child(it, "quic_options").is_some());
        self.lint_codecs(node, is_udp && is_quic);
        let place = child(node, "name").map_or_else(|| self.findings.head(node.span), |name| name.span);
        if child(node, "address").is_none() {
            if node.entries().is_some()
                && child(node, "internal_listener").is_none()
                && child(node, "api_listener").is_none()
            {
                let hint = "add `address: { socket_address: { address: 0.0.0.0, port_value: … } }`";
                let empty = node.entries().into_iter().flatten().find(|entry| entry.key == "address");
                let place = empty.map_or(place, |entry| entry.key_span);
                self.missing_part(place, "this listener has no `address`", hint);
            }
            return;
        }
        self.lint_internal_addresses(node);
        if let Some(chains) = entry(node, "filter_chains")
            && is_udp
            && !is_quic
            && !chains.value.elements().is_empty()
        {
            let message = "a listener of UDP without QUIC has no connections, so no `filter_chains`";
            let hint = "put what takes datagrams under `listener_filters`, or add `udp_listener_config: { quic_options: {} }`";
            self.misplaced_part("filter_chains", chains.key_span, message, hint);
        }
    }

    /// A listener within the Envoy says so, and has no address.
    fn lint_internal_addresses(&mut self, node: &Node<'_>) {
        if let (Some(address), Some(_)) = (entry(node, "address"), child(node, "internal_listener")) {
            let message = "`address` and `internal_listener` exclude each other";
            return self.misplaced_part("address", address.key_span, message, "remove one of them");
        }
        let more = elements(node, "additional_addresses").iter().enumerate();
        let more =
            more.map(|(at, more)| (format!("additional_addresses[{at}].address"), child(more, "address")));
        let all = [("address".to_owned(), child(node, "address"))].into_iter().chain(more);
        for (place, address) in all {
            let Some(internal) = address.and_then(|it| entry(it, "envoy_internal_address")) else { continue };
            let message = "an internal listener has no address: what connects to it gives its name";
            let hint = "write `internal_listener: {}` instead of `address`";
            let place = format!("{place}.envoy_internal_address");
            self.misplaced_part(&place, internal.key_span, message, hint);
        }
    }

    /// HTTP/3 is what QUIC carries, and nothing else is; and QUIC is never without TLS.
    fn lint_codecs(&mut self, listener: &Node<'_>, is_quic: bool) {
        let chains = elements(listener, "filter_chains").iter().enumerate();
        let chains = chains.map(|(at, chain)| (format!("filter_chains[{at}]"), chain));
        let default = child(listener, "default_filter_chain");
        let default = default.map(|chain| ("default_filter_chain".to_owned(), chain));
        for (place, chain) in chains.chain(default).filter(|(_, chain)| chain.entries().is_some()) {
            if is_quic && child(chain, "transport_socket").is_none() {
                let span = self.findings.head(chain.span);
                let hint = "add `transport_socket` with QuicDownstreamTransport";
                let before = self.findings.enter(&place);
                self.missing_part(span, "QUIC has TLS always, and here is no `transport_socket`", hint);
                self.findings.back(before);
            }
            for (at, filter) in elements(chain, "filters").iter().enumerate() {
                let Some(manager) = child(filter, "typed_config").filter(|any| is_manager(any)) else {
                    continue;
                };
                let codec = entry(manager, "codec_type");
                let is_http3 = is_value(codec.map(|codec| &codec.value), "HTTP3", 3);
                let span = codec.map_or_else(|| self.findings.head(manager.span), |codec| codec.value.span);
                let place = format!("{place}.filters[{at}].typed_config.codec_type");
                if is_http3 && !is_quic {
                    let message = "HTTP/3 is spoken over QUIC only, and this listener does not";
                    let hint = "remove it; HTTP/3 needs a listener of its own, on UDP with `quic_options`";
                    self.misplaced_part(&place, span, message, hint);
                } else if is_quic && !is_http3 {
                    let hint = "write `codec_type: HTTP3`";
                    self.misplaced_part(&place, span, "over QUIC only HTTP/3 is spoken", hint);
                }
            }
        }
    }

    /// Upgrades are told apart by their names, in any case.
    pub(super) fn lint_upgrades(&mut self, node: &Node<'_>) {
        let mut first: HashMap<String, Span> = HashMap::new();
        for (index, upgrade) in elements(node, "upgrade_configs").iter().enumerate() {
            let Some(kind) = child(upgrade, "upgrade_type") else { continue };
            let Some(name) = kind.text().map(str::to_ascii_lowercase) else { continue };
            let place = format!("upgrade_configs[{index}]");
            if let Some(config) = entry(upgrade, "connect_config")
                && name != "connect"
                && name.strip_prefix("connect-") != Some("udp")
            {
                let message = "only an upgrade of type CONNECT has a `connect_config`";
                self.misplaced_part(&place, config.key_span, message, WASTED);
            }
            if let Some(before) = first.get(&name).copied() {
                let related = self.findings.here(before, "the first one is here");
                let message = "this type of upgrade stands here a second time";
                let finding =
                    self.findings.add_under(&place, Severity::Error, "duplicate-upgrade", kind.span, message);
                finding.hint = Some("remove one of them".to_owned());
                finding.related.push(related);
            } else {
                first.insert(name, kind.span);
            }
        }
    }

    /// Settings of the HTTP connection manager that exclude each other, and where routes come from.
    pub(super) fn lint_connection_manager(&mut self, node: &Node<'_>) {
        if is_true(child(node, "strip_matching_host_port"))
            && let Some(any) = entry(node, "strip_any_host_port").filter(|it| is_true(Some(&it.value)))
        {
            let message = "only one of `strip_any_host_port` and `strip_matching_host_port` may be given";
            self.misplaced_part("strip_any_host_port", any.key_span, message, "remove one of them");
        }
        if !elements(node, "original_ip_detection_extensions").is_empty()
            && let Some(hops) = entry(node, "xff_num_trusted_hops")
            && super::number(&hops.value).is_some_and(|hops| hops > 0)
        {
            let message = "`xff_num_trusted_hops` and `original_ip_detection_extensions` exclude each other";
            self.misplaced_part("xff_num_trusted_hops", hops.key_span, message, "remove one of them");
        }
        if let Some(rds) = entry(node, "rds")
            && rds.value.entries().is_some()
            && child(&rds.value, "config_source").is_none()
            && text(&rds.value, "route_config_name").is_some_and(|name| !name.starts_with("xdstp:"))
        {
            let message = "`rds` does not say where the routes come from";
            let hint = "add `config_source: { ads: {}, resource_api_version: V3 }`";
            self.missing_part(rds.key_span, message, hint);
        }
    }

    /// A source that is asked by calls needs somebody to call.
    pub(super) fn lint_api_source(&mut self, node: &Node<'_>) {
        let kind = child(node, "api_type");
        let called = [("REST", 1), ("GRPC", 2), ("DELTA_GRPC", 3)];
        if called.iter().any(|(name, number)| is_value(kind, name, *number))
            && elements(node, "grpc_services").is_empty()
            && elements(node, "cluster_names").is_empty()
        {
            let span = kind.map_or(node.span, |kind| kind.span);
            let hint = "add `grpc_services: [{ envoy_grpc: { cluster_name: … } }]`";
            self.missing_part(span, "this source names no `grpc_services` to ask", hint);
        }
    }

    /// A filter that calls a service over gRPC or HTTP: exactly one of them.
    pub(super) fn lint_one_service(&mut self, node: &Node<'_>) {
        let given = ["grpc_service", "http_service"].into_iter().filter_map(|field| entry(node, field));
        let given: Vec<Span> = given.map(|entry| entry.key_span).collect();
        match given[..] {
            [] => {
                let span = self.findings.head(node.span);
                let hint = "add `grpc_service: { envoy_grpc: { cluster_name: … } }`";
                self.missing_part(span, "neither `grpc_service` nor `http_service` is given", hint);
            }
            [_] => {}
            [_, second, ..] => {
                let message = "only one of `grpc_service` and `http_service` may be given";
                self.misplaced_part("", second, message, "remove one of them");
            }
        }
    }

    /// A Redis proxy sends somewhere.
    pub(super) fn lint_redis(&mut self, node: &Node<'_>) {
        let routes = child(node, "prefix_routes");
        let is_routed = routes
            .is_some_and(|it| !elements(it, "routes").is_empty() || child(it, "catch_all_route").is_some());
        if node.entries().is_some() && !is_routed {
            let span = self.findings.head(node.span);
            let hint = "add `prefix_routes: { catch_all_route: { cluster: … } }`";
            self.missing_part(span, "this Redis proxy has no `prefix_routes`, so no cluster", hint);
        }
    }

    /// An authorization service's prefix is a path.
    pub(super) fn lint_path_prefix(&mut self, node: &Node<'_>) {
        let Some(prefix) = child(node, "path_prefix") else { return };
        if prefix.text().is_some_and(|text| !text.is_empty() && !text.starts_with('/')) {
            let message = "`path_prefix` must begin with `/`";
            self.findings.add_under("path_prefix", Severity::Error, "misplaced-part", prefix.span, message);
        }
    }

    /// The providers that the rules of JWT authentication require must be among its own.
    pub(super) fn lint_providers(&mut self, node: &Node<'_>) {
        let providers = child(node, "providers").and_then(Node::entries).unwrap_or_default();
        let known: Vec<&str> = providers.iter().map(|entry| &*entry.key).collect();
        let mut open: Vec<&Node<'_>> =
            elements(node, "rules").iter().filter_map(|rule| child(rule, "requires")).collect();
        let named = child(node, "requirement_map").and_then(Node::entries).unwrap_or_default();
        open.extend(named.iter().map(|entry| &entry.value));
        while let Some(requirement) = open.pop() {
            for all in ["requires_any", "requires_all"] {
                open.extend(
                    child(requirement, all).map(|it| elements(it, "requirements")).unwrap_or_default(),
                );
            }
            let nested = child(requirement, "provider_and_audiences");
            let name = child(requirement, "provider_name")
                .or_else(|| nested.and_then(|nested| child(nested, "provider_name")));
            let Some(name) = name else { continue };
            let Some(wanted) = name.text().filter(|wanted| !known.contains(wanted)) else { continue };
            let message = format!("{} is none of the `providers`", self.findings.quote(wanted));
            let near = suggest::nearest(wanted, known.iter().copied());
            self.findings.add_under("rules", Severity::Error, "unknown-provider", name.span, message).hint =
                Some(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to `providers`".to_owned(),
                });
        }
    }

    /// Times that Envoy takes only if they are not negative, although no constraint says so.
    pub(super) fn lint_times(&mut self, node: &Node<'_>, fields: &[&str]) {
        for field in fields {
            let Some(time) = child(node, field).filter(|it| it.text().is_some_and(is_negative)) else {
                continue;
            };
            let message = format!("`{field}` must not be negative");
            self.findings.add_under(field, Severity::Error, "bad-duration", time.span, message);
        }
    }

    /// Ways to balance that exclude each other.
    fn lint_balancing(&mut self, node: &Node<'_>) {
        let policy = child(node, "lb_policy");
        let is_given = child(node, "load_balancing_policy").is_some();
        let rival = match () {
            () if is_given => "`load_balancing_policy`",
            () if is_value(policy, "CLUSTER_PROVIDED", 6) => "`lb_policy: CLUSTER_PROVIDED`",
            () if is_value(policy, "RING_HASH", 2) => {
                if let Some(ring) = child(node, "ring_hash_lb_config") {
                    self.lint_ring(ring, "ring_hash_lb_config.");
                }
                return;
            }
            () => return,
        };
        if let Some(subsets) = entry(node, "lb_subset_config") {
            let message = format!("{rival} stands beside it, and only one of them is possible");
            self.misplaced_part("lb_subset_config", subsets.key_span, &message, "remove one of them");
        }
    }

    /// What a cluster's kind of discovery, its way to balance and its health checks need of it.
    pub(super) fn lint_cluster_parts(&mut self, node: &Node<'_>) {
        self.lint_balancing(node);
        let custom = child(node, "cluster_type").and_then(|it| child(it, "typed_config"));
        let provides = [
            "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        ];
        let policy = child(node, "lb_policy");
        let place = policy.or(child(node, "name")).map_or(self.findings.head(node.span), |node| node.span);
        if custom.and_then(type_of).is_some_and(|name| provides.contains(&name))
            && !is_value(policy, "CLUSTER_PROVIDED", 6)
            && child(node, "load_balancing_policy").is_none()
        {
            let message = "a cluster of this type needs `lb_policy: CLUSTER_PROVIDED`";
            self.findings.add_under("lb_policy", Severity::Error, "bad-cluster", place, message);
        }
        self.lint_health_check_names(node);
        for (index, check) in elements(node, "health_checks").iter().enumerate() {
            let Some(grpc) = entry(check, "grpc_health_check") else { continue };
            if !speaks_http2(node) {
                let place = format!("health_checks[{index}].grpc_health_check");
                let message = "health checks by gRPC need HTTP/2, which this cluster does not speak";
                let hint = "add HttpProtocolOptions with `explicit_http_config: { http2_protocol_options: {} }` to \
                            `typed_extension_protocol_options`";
                self.findings
                    .add_under(&place, Severity::Error, "bad-cluster", grpc.key_span, message)
                    .hint = Some(hint.to_owned());
            }
        }
    }

    /// Several health checks are told apart by their names; one needs none.
    fn lint_health_check_names(&mut self, node: &Node<'_>) {
        let checks = elements(node, "health_checks");
        if checks.len() < 2 {
            return;
        }
        for (index, check) in checks.iter().enumerate() {
            let of = |check| text(check, "name").filter(|name| !name.is_empty());
            let before = self.findings.enter("health_checks");
            let inside = self.findings.enter_index(index);
            match of(check) {
                None => {
                    let span =
                        child(check, "name").map_or_else(|| self.findings.head(check.span), |name| name.span);
                    let message = "a cluster with several health checks needs a `name` in each of them";
                    self.missing_part(
                        span,
                        message,
                        "before 1.40, Envoy takes no more than one health check in a cluster",
                    );
                }
                Some(name) if checks[..index].iter().any(|other| of(other) == Some(name)) => {
                    let span = child(check, "name").map_or(check.span, |name| name.span);
                    let message =
                        format!("a health check before has the name {}, too", self.findings.quote(name));
                    self.misplaced_part("name", span, &message, "give each a name of its own");
                }
                Some(_) => {}
            }
            self.findings.back(inside);
            self.findings.back(before);
        }
    }
}

/// Whether this configures an HTTP connection manager, with its fields at hand.
fn is_manager(any: &Node<'_>) -> bool {
    const MANAGER: &str =
        "/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    any.get(&["@type"]).and_then(Node::text).is_some_and(|url| url.ends_with(MANAGER))
}

/// Whether a time is less than nothing.
fn is_negative(text: &str) -> bool {
    text.starts_with('-') && text.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// Whether a cluster may speak HTTP/2; what is not understood here may.
fn speaks_http2(cluster: &Node<'_>) -> bool {
    let options = child(cluster, "typed_extension_protocol_options").and_then(Node::entries);
    let Some(options) = options.filter(|options| !options.is_empty()) else {
        return child(cluster, "http2_protocol_options").is_some();
    };
    options.iter().any(|entry| {
        let way = |name: &str| child(&entry.value, name);
        if let Some(explicit) = way("explicit_http_config") {
            return child(explicit, "http_protocol_options").is_none();
        }
        way("use_downstream_protocol_config")
            .is_none_or(|downstream| child(downstream, "http2_protocol_options").is_some())
    })
}
