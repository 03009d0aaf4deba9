//! Chains of filters: exactly the last one must end the chain.

use super::super::decode::Decoder;
use super::super::suggest;
use super::super::yaml::Node;
use super::{child, elements, is_true, type_of};
use crate::diagnostic::{Severity, Span};

/// A kind of chain, with what is known of its filters.
struct Chain {
    /// The field that holds the filters.
    field: &'static str,
    /// Before the name of a filter's package.
    prefix: &'static str,
    /// Filters (package and type) that end a chain.
    terminal: &'static [&'static str],
    /// Packages whose filters surely do not.
    passing: &'static [&'static str],
    /// What is usually missing.
    usual: &'static str,
}

/// HTTP filters of a listener.
const HTTP: Chain = Chain {
    field: "http_filters",
    prefix: "envoy.extensions.filters.http.",
    terminal: &["router.v3.Router", "mcp_router.v3.McpRouter"],
    passing: &[
        "adaptive_concurrency",
        "admission_control",
        "alternate_protocols_cache",
        "api_key_auth",
        "aws_lambda",
        "aws_request_signing",
        "bandwidth_limit",
        "basic_auth",
        "buffer",
        "cache",
        "cdn_loop",
        "composite",
        "compressor",
        "connect_grpc_bridge",
        "cors",
        "credential_injector",
        "csrf",
        "custom_response",
        "decompressor",
        "dynamic_forward_proxy",
        "ext_authz",
        "ext_proc",
        "fault",
        "file_server",
        "file_system_buffer",
        "gcp_authn",
        "geoip",
        "grpc_field_extraction",
        "grpc_http1_bridge",
        "grpc_http1_reverse_bridge",
        "grpc_json_reverse_transcoder",
        "grpc_json_transcoder",
        "grpc_stats",
        "grpc_web",
        "header_mutation",
        "header_to_metadata",
        "health_check",
        "ip_tagging",
        "json_to_metadata",
        "jwt_authn",
        "kill_request",
        "local_ratelimit",
        "lua",
        "oauth2",
        "on_demand",
        "original_src",
        "rate_limit_quota",
        "ratelimit",
        "rbac",
        "set_filter_state",
        "set_metadata",
        "stateful_session",
        "tap",
        "wasm",
    ],
    usual: "envoy.extensions.filters.http.router.v3.Router",
};

/// HTTP filters towards a cluster.
const UPSTREAM: Chain = Chain {
    terminal: &["upstream_codec.v3.UpstreamCodec"],
    usual: "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
    ..HTTP
};

/// The same, as the router's own field.
const ROUTER_UPSTREAM: Chain = Chain { field: "upstream_http_filters", ..UPSTREAM };

/// Network filters.
const NETWORK: Chain = Chain {
    field: "filters",
    prefix: "envoy.extensions.filters.network.",
    terminal: &[
        "direct_response.v3.Config",
        "dubbo_proxy.v3.DubboProxy",
        "echo.v3.Echo",
        "generic_proxy.v3.GenericProxy",
        "http_connection_manager.v3.HttpConnectionManager",
        "redis_proxy.v3.RedisProxy",
        "reverse_tunnel.v3.ReverseTunnel",
        "tcp_proxy.v3.TcpProxy",
        "thrift_proxy.v3.ThriftProxy",
    ],
    passing: &[
        "connection_limit",
        "ext_authz",
        "local_ratelimit",
        "mongo_proxy",
        "ratelimit",
        "rbac",
        "set_filter_state",
        "sni_cluster",
        "sni_dynamic_forward_proxy",
        "zookeeper_proxy",
    ],
    usual: "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
};

impl Decoder<'_> {
    pub(super) fn lint_http_filters(&mut self, node: &Node<'_>) {
        if elements(node, HTTP.field).is_empty() {
            let message = "there are no `http_filters`: nothing answers the requests";
            let span = self.findings.head(node.span);
            self.findings.add(Severity::Warning, "filter-chain-end", span, message).hint =
                Some(format!("add at least the router, {}", HTTP.usual));
            return;
        }
        self.lint_chain(&HTTP, node);
    }

    pub(super) fn lint_upstream_filters(&mut self, node: &Node<'_>) {
        let chain = if child(node, ROUTER_UPSTREAM.field).is_some() { &ROUTER_UPSTREAM } else { &UPSTREAM };
        self.lint_chain(chain, node);
    }

    pub(super) fn lint_network_filters(&mut self, node: &Node<'_>) {
        self.lint_chain(&NETWORK, node);
    }

    fn lint_chain(&mut self, chain: &Chain, node: &Node<'_>) {
        let filters = elements(node, chain.field);
        let Some(last) = filters.len().checked_sub(1) else { return };
        for (index, filter) in filters.iter().enumerate() {
            let Some(any) = child(filter, "typed_config") else { continue };
            let Some(name) = type_of(any).and_then(|name| name.strip_prefix(chain.prefix)) else { continue };
            let ends = chain.terminal.contains(&name);
            let package = name.split('.').next().unwrap_or_default();
            let span = self.place_of_filter(filter);
            if ends && index < last {
                let message = format!("{} must be the last filter: it never hands on", suggest::short(name));
                self.chain_end(chain, index, span, message, "move it behind all others");
            } else if ends && is_true(child(filter, "disabled")) {
                let message = "the last filter, which ends the chain, cannot be disabled".to_owned();
                self.chain_end(chain, index, span, message, "remove `disabled`");
            } else if index == last && chain.passing.contains(&package) {
                let message = format!("the last filter is {}, which only hands on", suggest::short(name));
                self.chain_end(
                    chain,
                    index,
                    span,
                    message,
                    &format!("end the chain with such as {}", chain.usual),
                );
            }
        }
    }

    fn place_of_filter(&self, filter: &Node<'_>) -> Span {
        child(filter, "name").map_or_else(|| self.findings.head(filter.span), |name| name.span)
    }

    fn chain_end(&mut self, chain: &Chain, index: usize, span: Span, message: String, hint: &str) {
        let place = format!("{}[{index}]", chain.field);
        self.findings.add_under(&place, Severity::Error, "filter-chain-end", span, message).hint =
            Some(hint.to_owned());
    }
}
