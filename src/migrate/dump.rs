//! A running Envoy's `/config_dump`: its bootstrap, and what came over xDS from another server.

mod endpoints;

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

/// Where a cluster says who is asked for its endpoints.
const EDS_SOURCE: [&str; 2] = ["eds_cluster_config", "eds_config"];

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
    let part_of = |name: &str| {
        parts
            .iter()
            .find(|part| part.text_at("@type").is_some_and(|url| url.rsplit('.').next() == Some(name)))
    };
    let mut root = part_of("BootstrapConfigDump")?.get("bootstrap").filter(|root| root.is_map())?.clone();
    let has_cds = root.at(&["dynamic_resources", "cds_config"]).is_some();
    let mut items = Vec::new();
    for (dump, list, path, kind) in PLACES {
        let Some(part) = part_of(dump) else { continue };
        let key = list.replace("dynamic_active", "dynamic_warming");
        if part.get(&key).is_some_and(|warming| key != list && !warming.children().is_empty()) {
            report.decide(part.line, format!("some {} were still warming: left out", kind.fragment_key()));
        }
        let is_versioned = part.text_at("version_info").is_some_and(|version| !version.is_empty());
        for entry in part.get(list).map(Node::elements).unwrap_or_default() {
            // Nobody sent what has no version among what has, or where nobody is asked.
            let is_made = kind == Kind::Cluster && !entry.has("version_info") && (is_versioned || !has_cds);
            for resource in entry.at(path).map(Node::elements).unwrap_or_default() {
                let item = item(kind, resource, source);
                if is_made {
                    let name = &item.name;
                    report.changed(entry.line, format!("cluster `{name}` left out: Envoy makes it itself"));
                } else {
                    items.push(item);
                }
            }
        }
    }
    root.remove("@type");
    if let Some(node) = root.get_mut("node") {
        for key in OF_ENVOY {
            node.remove(key);
        }
    }
    endpoints::keep_asked_for(&root, part_of("EndpointsConfigDump").copied(), &mut items, source, report);
    redirect(api, &mut items, report);
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
            let Some((kind, name, path)) = reference(ty, node) else { return };
            let line = node.line;
            let found = path.iter().try_fold(&mut *node, |node, key| node.get_mut(key));
            let Some(source) = found else { return };
            if is_ads(source) {
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

/// Whether a config source is the ADS stream.
fn is_ads(source: &Node) -> bool {
    source.has("ads") || source.has("self")
}

/// What a message asks for by a config source, and the way to the source.
fn reference(ty: &MessageType, node: &Node) -> Option<(Kind, String, &'static [&'static str])> {
    let text = |key: &str| node.text_at(key).map(str::to_owned);
    Some(match &*ty.name {
        "envoy.extensions.filters.network.http_connection_manager.v3.Rds" => {
            (Kind::Route, text("route_config_name")?, &["config_source"])
        }
        "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig" => {
            node.get("sds_config")?;
            (Kind::Secret, text("name")?, &["sds_config"])
        }
        "envoy.config.cluster.v3.Cluster" => {
            node.at(&EDS_SOURCE)?;
            (Kind::Endpoint, endpoints::asked_by(node)?, &EDS_SOURCE)
        }
        _ => return None,
    })
}

/// A config source that is the stream to the bridge.
pub(super) fn over_ads() -> Node {
    bootstrap::snippet("{ resource_api_version: V3, ads: {} }")
}

/// The lines of a text that was made from a dump where a secret is missing, from 1.
pub(super) fn redacted(text: &str) -> impl Iterator<Item = usize> {
    let is_redacted = |line: &str| REDACTED.iter().any(|shown| line.contains(shown));
    text.lines().enumerate().filter(move |(_, line)| is_redacted(line)).map(|(at, _)| at + 1)
}
