//! `bootstrap`: the few lines with which an Envoy finds this bridge.

use anyhow::{Context, Result};

use super::args::{ApiVariant, Bootstrap, Common};
use super::settings::{File, host_name};
use super::{Exit, output};
use crate::app::Address;

/// The cluster by which Envoy reaches the bridge; it stands in the bootstrap, never in a fragment.
pub const CLUSTER: &str = "xds_bridge";

pub fn run(common: &Common, command: &Bootstrap) -> Result<Exit> {
    let address = match &command.xds {
        Some(address) => address.clone(),
        None => File::read(common)?
            .listen(&[])?
            .into_iter()
            .next()
            .context("`listen` in the settings is empty")?,
    };
    let node_id = match &command.node_id {
        Some(id) => id.clone(),
        None => host_name().context("the host has no name to use: give --node-id")?,
    };
    output::print(&text(&node_id, command, &address));
    Ok(Exit::Done)
}

fn text(node_id: &str, command: &Bootstrap, address: &Address) -> String {
    let (api, variant) = match command.api {
        ApiVariant::Delta => ("DELTA_GRPC", "only what changed is sent"),
        ApiVariant::Sotw => ("GRPC", "state of the world"),
    };
    let endpoint = match address {
        Address::Tcp(ip) => {
            format!(
                "socket_address: {{ address: {}, port_value: {} }}",
                quoted(&ip.ip().to_string()),
                ip.port()
            )
        }
        Address::Unix(path) => format!("pipe: {{ path: {} }}", quoted(&path.display().to_string())),
    };
    let (id, cluster, port) = (quoted(node_id), quoted(&command.node_cluster), command.admin_port);
    format!(
        r#"# An Envoy that takes everything from xds-bridge at {address}.
node:
  id: {id}
  cluster: {cluster}

admin:
  address:
    socket_address: {{ address: 127.0.0.1, port_value: {port} }}

dynamic_resources:
  ads_config:
    api_type: {api}  # {variant}
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services:
    - envoy_grpc:
        cluster_name: {CLUSTER}
        # After a restart of the bridge, connect again at once and not only after half a minute.
        retry_policy:
          retry_back_off: {{ base_interval: 0.1s, max_interval: 2s }}
  cds_config: {{ resource_api_version: V3, ads: {{}} }}
  lds_config: {{ resource_api_version: V3, ads: {{}} }}

static_resources:
  clusters:
  - name: {CLUSTER}
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            # Finds a bridge that is gone without a word.
            connection_keepalive: {{ interval: 30s, timeout: 5s }}
    load_assignment:
      cluster_name: {CLUSTER}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              {endpoint}
"#
    )
}

/// A JSON string is a YAML string, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn command(api: ApiVariant) -> Bootstrap {
        Bootstrap { node_id: None, node_cluster: "c\"#: {x}".into(), xds: None, admin_port: 1, api }
    }

    #[test]
    fn what_is_printed_is_an_envoy_bootstrap_whatever_the_names() {
        let api = crate::envoy_api::Api::embedded().expect("the shipped set is whole");
        let file: Arc<str> = "bootstrap.yaml".into();
        for variant in [ApiVariant::Delta, ApiVariant::Sotw] {
            for address in ["127.0.0.1:18000", "[::1]:1", "unix:/run/x y.sock"] {
                let text = text("a: b\n- c", &command(variant), &address.parse().expect("an address"));
                let name = "envoy.config.bootstrap.v3.Bootstrap";
                let (_, findings) = crate::load::load_message(&api, name, &file, text.as_bytes());
                assert_eq!(findings, [], "{text}");
            }
        }
    }
}
