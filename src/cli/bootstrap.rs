//! `bootstrap`: the few lines with which an Envoy finds this bridge.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::args::{ApiVariant, Bootstrap, EnvoyTls};
use super::settings::{Given, host_name};
use super::{Exit, output};
use crate::app::Address;
use crate::migrate::{ClientTls, Connection, Endpoint};

pub fn run(given: &Given, command: &Bootstrap) -> Result<Exit> {
    let address = match &command.xds {
        Some(address) => address.clone(),
        None => given.settings()?.first_listen(command.tls.ca.is_some())?,
    };
    let node_id = match &command.node_id {
        Some(id) => id.clone(),
        None => host_name().context("the host has no name to use: give --node-id")?,
    };
    output::document(&text(&node_id, command, &address))?;
    Ok(Exit::Done)
}

fn text(node_id: &str, command: &Bootstrap, address: &Address) -> String {
    let connection = Connection {
        incremental: matches!(command.api, ApiVariant::Delta),
        tls: tls(&command.tls),
        ..Connection::to(endpoint(address))
    };
    let (id, cluster, port) = (quoted(node_id), quoted(&command.node_cluster), command.admin_port);
    let note = match (address, &connection.tls) {
        (Address::Tcp(_), None) => {
            "# Plain TCP: secrets come this way only if Envoy runs as root or as the bridge's own user, or the bridge with\n\
             # --insecure. They always do by a unix socket (--xds unix:PATH) and by TLS (--ca FILE).\n"
        }
        _ => "",
    };
    let (dynamic, bridge) = (connection.dynamic_resources(), connection.cluster(2));
    format!(
        r#"# An Envoy that takes everything from xds-bridge at {address}.
{note}node:
  id: {id}
  cluster: {cluster}

admin:
  address:
    socket_address: {{ address: 127.0.0.1, port_value: {port} }}

{dynamic}
static_resources:
  clusters:
{bridge}"#
    )
}

/// An address as the workshop for bootstraps knows it.
pub fn endpoint(address: &Address) -> Endpoint {
    match address {
        Address::Tcp(ip) => Endpoint::Tcp(ip.ip().to_string(), ip.port()),
        // Envoy may be started elsewhere; without a current directory the path stays as it is.
        Address::Unix(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            Endpoint::Unix(path.display().to_string())
        }
    }
}

/// TLS to the bridge, if a CA is given.
pub fn tls(given: &EnvoyTls) -> Option<ClientTls> {
    let text = |path: &PathBuf| path.display().to_string();
    let identity = given.cert.as_ref().zip(given.key.as_ref());
    Some(ClientTls {
        ca: text(given.ca.as_ref()?),
        identity: identity.map(|(certificate, key)| (text(certificate), text(key))),
        server_name: given.server_name.clone(),
    })
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
        let tls = EnvoyTls {
            ca: Some("/c a".into()),
            cert: Some("/c#".into()),
            key: Some("/k".into()),
            server_name: matches!(api, ApiVariant::Sotw).then(|| "x: y".into()),
        };
        Bootstrap { node_id: None, node_cluster: "c\"#: {x}".into(), xds: None, tls, admin_port: 1, api }
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
