//! A running Envoy's `/config_dump`: its bootstrap, and what came over xDS from another server.

use std::collections::BTreeSet;

use super::bootstrap;
use super::report::Report;
use super::split::Item;
use super::tree::{Child, Node};
use super::typed;
use crate::envoy_api::{Api, MessageType};
use crate::resource::Kind;

/// Where a kind of dynamic resource stands in its part of a dump: the part, the path of lists, and
/// the resource in an entry.
const PLACES: [(&str, &str, &[&str], Kind); 7] = [
    ("ListenersConfigDump", "dynamic_listeners", &["active_state", "listener"], Kind::Listener),
    ("ClustersConfigDump", "dynamic_active_clusters", &["cluster"], Kind::Cluster),
    ("RoutesConfigDump", "dynamic_route_configs", &["route_config"], Kind::Route),
    ("EndpointsConfigDump", "dynamic_endpoint_configs", &["endpoint_config"], Kind::Endpoint),
    ("SecretsConfigDump", "dynamic_active_secrets", &["secret"], Kind::Secret),
    ("EcdsConfigDump", "ecds_filters", &["ecds_filter"], Kind::ExtensionConfig),
    ("ScopedRoutesConfigDump", "dynamic_scoped_route_configs", &["scoped_route_configs"], Kind::ScopedRoute),
];

/// What Envoy itself writes into its node; nobody configured it.
const OF_ENVOY: [&str; 6] = [
    "user_agent_name",
    "user_agent_version",
    "user_agent_build_version",
    "extensions",
    "client_features",
    "dynamic_parameters",
];

/// What Envoy shows in place of a secret: as text, and in base64.
const REDACTED: [&str; 2] = ["[redacted]", "W3JlZGFjdGVkXQ=="];

/// The bootstrap and the dynamic resources of a dump; nothing if there is no bootstrap in it.
pub(super) fn take(api: &Api, root: &Node, source: usize, report: &mut Report) -> Option<(Node, Vec<Item>)> {
    let parts = root.get("configs").map(Node::elements).unwrap_or_default();
    let mut found = None;
    let mut items = Vec::new();
    for part in parts {
        let name = part.text_at("@type").and_then(|url| url.rsplit('.').next()).unwrap_or_default();
        if name == "BootstrapConfigDump" {
            found = part.get("bootstrap").cloned();
        }
        for (dump, list, path, kind) in PLACES {
            if dump != name {
                continue;
            }
            let key = list.replace("dynamic_active", "dynamic_warming");
            if part.get(&key).is_some_and(|warming| key != list && !warming.children().is_empty()) {
                report
                    .decide(part.line, format!("some {} were still warming: left out", kind.fragment_key()));
            }
            for entry in part.get(list).map(Node::elements).unwrap_or_default() {
                for resource in entry.at(path).map(Node::elements).unwrap_or_default() {
                    items.push(item(kind, resource, source));
                }
            }
        }
    }
    let mut root = found?;
    root.remove("@type");
    if let Some(node) = root.get_mut("node") {
        for key in OF_ENVOY {
            node.remove(key);
        }
    }
    redirect(api, &mut items, report);
    for item in &items {
        note_redacted(&item.child.value, item, report);
    }
    Some((root, items))
}

fn item(kind: Kind, resource: &Node, source: usize) -> Item {
    let mut value = resource.clone();
    value.remove("@type");
    let name = value.text_at(kind.name_field()).unwrap_or("unnamed").to_owned();
    Item { kind, name, child: Child::item(value), owner: None, source }
}

/// What was asked for at another server and is here now is asked for at the bridge.
fn redirect(api: &Api, items: &mut [Item], report: &mut Report) {
    let known: BTreeSet<(Kind, String)> = items.iter().map(|item| (item.kind, item.name.clone())).collect();
    for item in items {
        let ty = item.kind.message();
        typed::walk(api, ty, &mut item.child.value, &mut |ty, node| {
            let Some((kind, name, key)) = reference(ty, node) else { return };
            let line = node.line;
            let Some(source) = node.get_mut(key) else { return };
            if source.has("ads") || source.has("self") {
                if !known.contains(&(kind, name.clone())) {
                    let hint = match kind {
                        Kind::Endpoint => " (ask for /config_dump?include_eds)",
                        _ => "",
                    };
                    report.decide(line, format!("the {} `{name}` is not in the dump{hint}", kind.noun()));
                }
                return;
            }
            if known.contains(&(kind, name.clone())) {
                *source = over_ads();
                report.changed(line, format!("the {} `{name}` is asked for over ADS now", kind.noun()));
            } else {
                report.decide(
                    line,
                    format!("the {} `{name}` comes from elsewhere: it was left so", kind.noun()),
                );
            }
        });
    }
}

/// What a message asks for by a config source, and the source's key.
pub(super) fn reference(ty: &MessageType, node: &Node) -> Option<(Kind, String, &'static str)> {
    let text = |key: &str| node.text_at(key).map(str::to_owned);
    Some(match &*ty.name {
        "envoy.extensions.filters.network.http_connection_manager.v3.Rds" => {
            (Kind::Route, text("route_config_name")?, "config_source")
        }
        "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig" => {
            node.get("sds_config")?;
            (Kind::Secret, text("name")?, "sds_config")
        }
        "envoy.config.cluster.v3.Cluster.EdsClusterConfig" => {
            node.get("eds_config")?;
            (Kind::Endpoint, text("service_name")?, "eds_config")
        }
        _ => return None,
    })
}

/// A config source that is the stream to the bridge.
pub(super) fn over_ads() -> Node {
    bootstrap::snippet("{ resource_api_version: V3, ads: {} }")
}

fn note_redacted(node: &Node, item: &Item, report: &mut Report) {
    if node.as_text().is_some_and(|text| REDACTED.contains(&text)) {
        let message = format!(
            "Envoy does not tell secrets: write the real value into {} `{}`",
            item.kind.noun(),
            item.name
        );
        report.decide(node.line, message);
    }
    for child in node.children() {
        note_redacted(&child.value, item, report);
    }
}
