//! The way from an Envoy to its bridge, as it stands in a bootstrap.
//!
//! Comes in: where the bridge listens. Goes out: the text of `dynamic_resources` and of the one
//! cluster that every bootstrap needs. The commands `bootstrap` and `import` write the same.

use std::fmt::{self, Write};

/// The cluster by which Envoy reaches the bridge; it stands in the bootstrap, never in a fragment.
pub const CLUSTER: &str = "xds_bridge";

/// How an Envoy reaches its bridge.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where the bridge listens.
    pub endpoint: Endpoint,
    /// Only what changed is sent, or everything each time.
    pub incremental: bool,
    /// What the cluster of the bridge is named.
    pub cluster: String,
    /// TLS, if the bridge speaks it there.
    pub tls: Option<ClientTls>,
}

/// How an Envoy proves who it is, and what it believes. Paths are those on the Envoy's machine.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// CA certificates by which the bridge is judged.
    pub ca: String,
    /// Certificate and key of the Envoy.
    pub identity: Option<(String, String)>,
    /// The name that the bridge's certificate must have; else the host that is connected to.
    pub server_name: Option<String>,
}

/// Where the bridge listens.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(String, u16),
    /// The name of a host, which Envoy resolves, and a port.
    Named(String, u16),
    /// The path of a unix socket.
    Unix(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(ip, port) if ip.contains(':') => write!(f, "[{ip}]:{port}"),
            Endpoint::Tcp(host, port) | Endpoint::Named(host, port) => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Connection {
    /// Incremental xDS from there.
    pub fn to(endpoint: Endpoint) -> Connection {
        Connection { endpoint, incremental: true, cluster: CLUSTER.to_owned(), tls: None }
    }

    /// `dynamic_resources:` with everything below it.
    pub fn dynamic_resources(&self) -> String {
        let (api, variant) = match self.incremental {
            true => ("DELTA_GRPC", "only what changed is sent"),
            false => ("GRPC", "state of the world"),
        };
        let cluster = &self.cluster;
        format!(
            r#"dynamic_resources:
  ads_config:
    api_type: {api}  # {variant}
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services:
    - envoy_grpc:
        cluster_name: {cluster}
        # After a restart of the bridge, connect again at once and not only after half a minute.
        retry_policy:
          retry_back_off: {{ base_interval: 0.1s, max_interval: 2s }}
  cds_config: {{ resource_api_version: V3, ads: {{}} }}
  lds_config: {{ resource_api_version: V3, ads: {{}} }}
"#
        )
    }

    /// The cluster of the bridge as an element of `static_resources.clusters`, so far to the right.
    pub fn cluster(&self, indentation: usize) -> String {
        let endpoint = match &self.endpoint {
            Endpoint::Tcp(host, port) | Endpoint::Named(host, port) => {
                format!("socket_address: {{ address: {}, port_value: {port} }}", quoted(host))
            }
            Endpoint::Unix(path) => format!("pipe: {{ path: {} }}", quoted(path)),
        };
        let discovery = match &self.endpoint {
            // A bridge that listens on one family only is found under a name that has both.
            Endpoint::Named(..) => "STRICT_DNS\n  dns_lookup_family: ALL",
            Endpoint::Tcp(..) | Endpoint::Unix(_) => "STATIC",
        };
        let cluster = &self.cluster;
        let tls = self.transport_socket();
        let text = format!(
            r#"- name: {cluster}
  type: {discovery}
  connect_timeout: 1s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          # Finds a bridge that is gone without a word.
          connection_keepalive: {{ interval: 30s, timeout: 5s }}
  load_assignment:
    cluster_name: {cluster}
    endpoints:
    - lb_endpoints:
      - endpoint:
          address:
            {endpoint}
{tls}"#
        );
        let mut indented = String::new();
        for line in text.lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(indented, "{:indentation$}{line}", "");
        }
        indented
    }
}

impl Connection {
    fn transport_socket(&self) -> String {
        let Some(tls) = &self.tls else { return String::new() };
        let ca = quoted(&tls.ca);
        let (san_type, name) = match (&tls.server_name, &self.endpoint) {
            (_, Endpoint::Unix(_)) => return String::new(),
            (Some(name), _) => ("DNS", quoted(name)),
            // The dot that ends a full name is none of the certificate's.
            (None, Endpoint::Named(name, _)) => ("DNS", quoted(name.trim_end_matches('.'))),
            (None, Endpoint::Tcp(ip, _)) => ("IP_ADDRESS", quoted(ip)),
        };
        let sni = if san_type == "DNS" { format!("      sni: {name}\n") } else { String::new() };
        let identity = tls.identity.as_ref().map_or(String::new(), |(certificate, key)| {
            let (certificate, key) = (quoted(certificate), quoted(key));
            format!(
                r#"        # Read at the start; an SDS file in its place (tls_certificate_sds_secret_configs) follows renewals.
        tls_certificates:
        - certificate_chain: {{ filename: {certificate} }}
          private_key: {{ filename: {key} }}
"#
            )
        });
        format!(
            r#"  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{sni}      common_tls_context:
        alpn_protocols: [h2]
{identity}        validation_context:
          trusted_ca: {{ filename: {ca} }}
          match_typed_subject_alt_names:
          - {{ san_type: {san_type}, matcher: {{ exact: {name} }} }}
"#
        )
    }
}

/// A JSON string is a YAML string, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
