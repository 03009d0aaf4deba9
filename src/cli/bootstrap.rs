//! `bootstrap`: the few lines with which an Envoy finds this bridge.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::args::{ApiVariant, Bootstrap, DocumentFormat, EnvoyTls};
use super::settings::{Given, host_name};
use super::{Exit, output};
use crate::app::Address;
use crate::envoy_api::Api;
use crate::migrate::{self, ClientTls, Connection, Endpoint};

pub fn run(given: &Given, command: &Bootstrap) -> Result<Exit> {
    let bridge = match &command.xds {
        Some(endpoint) => endpoint.clone(),
        None => endpoint(&given.settings()?.first_listen(command.tls.ca.is_some())?),
    };
    let node_id = match &command.node_id {
        Some(id) => id.clone(),
        None => host_name().context("the host has no name to use: give --node-id")?,
    };
    if node_id.is_empty() || command.node_cluster.is_empty() {
        bail!(
            "an Envoy needs a `node.id` and a `node.cluster` that are not empty (--node-id, --node-cluster)"
        );
    }
    let text = text(&node_id, command, &bridge);
    // It is of ours alone: what the settings say of the API of others does not matter.
    output::document(&in_format(&Api::embedded()?, command.format, text)?)?;
    Ok(Exit::Done)
}

/// The text of a bootstrap as it is to be printed.
fn in_format(api: &Api, format: DocumentFormat, text: String) -> Result<String> {
    Ok(match format {
        DocumentFormat::Human => text,
        DocumentFormat::Json => {
            format!("{:#}\n", migrate::bootstrap_json(api, &Arc::from("bootstrap"), &text)?)
        }
    })
}

fn text(node_id: &str, command: &Bootstrap, address: &Endpoint) -> String {
    let connection = Connection {
        incremental: matches!(command.api, ApiVariant::Delta),
        tls: tls(&command.tls),
        ..Connection::to(address.clone())
    };
    let (id, cluster, port) = (quoted(node_id), quoted(&command.node_cluster), command.admin_port);
    let note = match (address, &connection.tls) {
        (Endpoint::Tcp(..) | Endpoint::Named(..), None) => {
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

/// What stands behind `--xds`: an address as one listens on it, or the name of a host, which Envoy resolves.
pub fn xds(text: &str) -> Result<Endpoint, String> {
    let named = || {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        // As `unix:1` is a path.
        let is_name = host != "unix" && is_host_name(host);
        is_name.then(|| Endpoint::Named(host.to_owned(), port))
    };
    // A name goes first: certificates may hold it, `localhost` too.
    let endpoint = named().or_else(|| text.parse().ok().map(|address| endpoint(&address)));
    endpoint.ok_or_else(|| format!("{text:?} is no address: write IP:PORT, HOST:PORT or unix:PATH"))
}

/// Whether it can be the name of a host; what ends in a number would be an IP address that is none.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len()) && label.chars().all(is_inside) && !label.starts_with('-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_number = |label: &str| label.chars().all(|c| c.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(is_label) && !text.rsplit('.').next().is_some_and(is_number)
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

    fn command(api: ApiVariant) -> Bootstrap {
        let tls = EnvoyTls {
            ca: Some("/c a".into()),
            cert: Some("/c#".into()),
            key: Some("/k".into()),
            server_name: matches!(api, ApiVariant::Sotw).then(|| "x: y".into()),
        };
        Bootstrap {
            node_id: None,
            node_cluster: "c\"#: {x}".into(),
            xds: None,
            tls,
            admin_port: 1,
            api,
            format: DocumentFormat::Json,
        }
    }

    #[test]
    fn a_bridge_is_named_by_address_or_by_a_host_that_can_be_resolved() {
        for good in
            ["1.2.3.4:5", "[::1]:5", "localhost:5", "bridge:18000", "a.b-c.d_e.example:1", "1and1.example:9"]
        {
            assert_eq!(xds(good).expect(good).to_string(), good);
        }
        assert!(matches!(xds("unix:18000"), Ok(Endpoint::Unix(_))));
        for bad in [
            "",
            "5",
            "bridge",
            "bridge:",
            "bridge:0",
            "bridge:x",
            ":5",
            "a b:5",
            "-a:5",
            "1.2.3:5",
            "1.2.3.999:5",
            "::1:5",
            "a/b:5",
            "a..b:5",
            "unix:",
        ] {
            assert!(xds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_is_an_envoy_bootstrap_whatever_the_names() {
        let api = Api::embedded().expect("the shipped set is whole");
        let file: Arc<str> = "bootstrap.yaml".into();
        for variant in [ApiVariant::Delta, ApiVariant::Sotw] {
            for address in ["127.0.0.1:18000", "[::1]:1", "unix:/run/x y.sock", "xds-1.example_x.:1"] {
                let text = text("a: b\n- c", &command(variant), &xds(address).expect("an address"));
                let name = "envoy.config.bootstrap.v3.Bootstrap";
                let (_, findings) = crate::load::load_message(&api, name, &file, text.as_bytes());
                assert_eq!(findings, [], "{text}");
                let json = in_format(&api, DocumentFormat::Json, text.clone()).expect("a message");
                serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
                let of = |text: &str| crate::load::load_message(&api, name, &file, text.as_bytes());
                assert_eq!(of(&json), of(&text), "{json}");
            }
        }
    }
}
