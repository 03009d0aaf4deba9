//! What must stay in a bootstrap, and the minimal bootstrap that is left.
//!
//! A bootstrap holds more than listeners and clusters: what Envoy reads only from there stays, and so
//! do the clusters that this needs at the start, before anything has come over xDS.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::Connection;
use super::read;
use super::report::Report;
use super::tree::{Anchors, Child, Node};
use super::typed;
use crate::envoy_api::Api;

pub(super) const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const LISTENER: &str = "envoy.config.listener.v3.Listener";
pub(super) const CONFIG_SOURCE: &str = "envoy.config.core.v3.ConfigSource";
const SDS_SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig";

/// What of `static_resources` must stay in the bootstrap, by name, and why.
#[derive(Debug, Default)]
pub(super) struct Staying {
    pub clusters: BTreeMap<String, String>,
    pub secrets: BTreeSet<String>,
    /// What nothing defines, by the name, with the key that names it and its line.
    pub missing: BTreeMap<String, (String, u32)>,
}

/// Finds what must stay. `root` is the bootstrap without aliases.
pub(super) fn staying(api: &Api, root: &Node) -> Staying {
    let clusters = list(root, "clusters");
    let names: BTreeSet<&str> = clusters.iter().filter_map(|cluster| cluster.text_at("name")).collect();
    let mut needed: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = BTreeMap::new();
    let mut rest = root.clone();
    rest.remove("static_resources");
    rest.remove("node");
    // Its servers are replaced by the bridge.
    rest.remove("dynamic_resources");
    for entry in rest.entries() {
        let alone = Node::map([(&*entry.key, entry.value.clone())]);
        let why = format!("`{}` of the bootstrap uses it", entry.key);
        for name in cluster_names(api, BOOTSTRAP, &alone) {
            if !names.contains(&*name) {
                missing.entry(name.clone()).or_insert_with(|| (entry.key.clone(), entry.line));
            }
            needed.entry(name).or_insert_with(|| why.clone());
        }
    }
    for (ty, nodes) in [(LISTENER, list(root, "listeners")), (CLUSTER, clusters.clone())] {
        for node in nodes {
            for (name, why) in needed_by_resource(api, ty, node) {
                needed.entry(name).or_insert(why);
            }
        }
    }
    needed.retain(|name, _| names.contains(&**name));
    let mut staying = Staying { clusters: needed, secrets: BTreeSet::new(), missing };
    close_over(api, &clusters, &mut staying.clusters);
    staying.clusters.retain(|name, _| names.contains(&**name));
    staying.secrets = secrets_of(api, BOOTSTRAP, &rest);
    for cluster in clusters {
        if cluster.text_at("name").is_some_and(|name| staying.clusters.contains_key(name)) {
            staying.secrets.extend(secrets_of(api, CLUSTER, cluster));
        }
    }
    staying
}

/// The elements of a list of `static_resources`.
pub(super) fn list<'n>(root: &'n Node, key: &str) -> Vec<&'n Node> {
    root.at(&["static_resources", key]).map(Node::elements).unwrap_or_default()
}

/// Everything that looks like the name of a cluster.
pub(super) fn cluster_names(api: &Api, ty: &str, node: &Node) -> BTreeSet<String> {
    const FIELDS: [&str; 7] = [
        "cluster",
        "cluster_name",
        "cluster_names",
        "clusters",
        "collector_cluster",
        "local_cluster_name",
        "tcp_cluster_name",
    ];
    let mut names = BTreeSet::new();
    typed::look(api, ty, node, &mut |_, node| {
        for field in FIELDS {
            let texts = node.get(field).map(Node::elements).unwrap_or_default();
            names.extend(texts.into_iter().filter_map(Node::as_text).map(str::to_owned));
        }
    });
    names
}

/// The clusters that a resource can only use when they are static.
fn needed_by_resource(api: &Api, ty: &str, node: &Node) -> Vec<(String, String)> {
    let mut needed = Vec::new();
    typed::look(api, ty, node, &mut |ty, node| match &*ty.name {
        "envoy.config.core.v3.ApiConfigSource" => {
            let why =
                "an xDS server of its own is reached by it, which Envoy takes from static clusters only";
            needed.extend(cluster_names(api, &ty.name, node).into_iter().map(|name| (name, why.to_owned())));
        }
        "envoy.extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig"
        | "envoy.extensions.tracers.fluentd.v3.FluentdConfig" => {
            let why = "Fluentd is reached by it, which Envoy takes from static clusters only";
            needed.extend(node.text_at("cluster").map(|name| (name.to_owned(), why.to_owned())));
        }
        _ => {}
    });
    needed
}

/// A cluster that stays may be made of others: those stay, too.
fn close_over(api: &Api, clusters: &[&Node], staying: &mut BTreeMap<String, String>) {
    let mut open: Vec<String> = staying.keys().cloned().collect();
    while let Some(name) = open.pop() {
        let Some(cluster) = clusters.iter().find(|cluster| cluster.text_at("name") == Some(&name)) else {
            continue;
        };
        let mut inner = (*cluster).clone();
        inner.remove("name");
        inner.remove("load_assignment");
        for other in cluster_names(api, CLUSTER, &inner) {
            if !staying.contains_key(&other) {
                staying.insert(other.clone(), format!("the cluster `{name}`, which stays, uses it"));
                open.push(other);
            }
        }
    }
}

/// The secrets that are named without a source: those of the bootstrap.
fn secrets_of(api: &Api, ty: &str, node: &Node) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    typed::look(api, ty, node, &mut |ty, node| {
        if &*ty.name == SDS_SECRET && node.get("sds_config").is_none() {
            names.extend(node.text_at("name").map(str::to_owned));
        }
    });
    names
}

/// What the bootstrap is to hold besides what it has.
pub(super) struct Wanted<'a> {
    pub node_id: &'a str,
    pub node_cluster: &'a str,
    pub connection: &'a Connection,
    /// What came over xDS is imported, too.
    pub from_dump: bool,
}

/// Makes the minimal bootstrap of what is left in `root`; its lists hold only what stays.
pub(super) fn minimal(root: &mut Node, wanted: &Wanted<'_>, report: &mut Report) {
    identify(root, wanted, report);
    replace_dynamic(root, wanted, report);
    let cluster = snippet(&wanted.connection.cluster(0)).into_items();
    let empty = |node: &Node| node.children().is_empty() && node.tail.is_empty();
    if root.get("static_resources").is_none_or(|node| !node.is_map()) {
        root.remove("static_resources");
        root.set("static_resources", Node::map([]));
    }
    let resources = root.map_at("static_resources");
    for key in ["listeners", "secrets"] {
        if resources.has(key) && resources.get(key).is_none_or(empty) {
            resources.remove(key);
        }
    }
    for child in cluster {
        resources.push_at("clusters", child);
    }
}

/// A dynamic configuration needs a node with an id and a cluster.
fn identify(root: &mut Node, wanted: &Wanted<'_>, report: &mut Report) {
    let line = root.get("node").map_or(0, |node| node.line);
    if root.get("node").is_none_or(|node| !node.is_map()) {
        root.remove("node");
        root.insert_behind("", Child::entry("node", Node::map([])));
    }
    let node = root.map_at("node");
    for (key, value, flag) in
        [("cluster", wanted.node_cluster, "--service-cluster"), ("id", wanted.node_id, "--service-node")]
    {
        if node.text_at(key).is_none_or(str::is_empty) {
            node.remove(key);
            node.insert_behind("", Child::entry(key, Node::text(value)));
            report.changed(
                line,
                format!("the node had no {key}, which xDS needs: `{value}` (Envoy's {flag} says otherwise)"),
            );
        }
    }
}

fn replace_dynamic(root: &mut Node, wanted: &Wanted<'_>, report: &mut Report) {
    let made = snippet(&wanted.connection.dynamic_resources());
    let Some(made) = made.into_items_of_map().pop() else { return };
    let Some(old) = root.get("dynamic_resources").cloned() else {
        root.remove("dynamic_resources");
        let before = ["admin", "node"].into_iter().find(|key| root.has(key)).unwrap_or("");
        return root.insert_behind(before, made);
    };
    root.set("dynamic_resources", made.value);
    if wanted.from_dump {
        return report.changed(0, "`dynamic_resources` named another xDS server; now it names the bridge");
    }
    for (key, kind) in [("lds_config", "listeners"), ("cds_config", "clusters")] {
        let Some(source) = old.get(key) else { continue };
        let path = source.text_at("path").or_else(|| source.at(&["path_config_source", "path"])?.as_text());
        let message = match path {
            Some(path) => format!(
                "Envoy took {kind} from {path}; now they come from the bridge only: give that file as a further SOURCE"
            ),
            None => format!(
                "Envoy took {kind} from another xDS server; now they come from the bridge only: import that Envoy's /config_dump, too"
            ),
        };
        report.decide(source.line, message);
    }
    for (key, kind) in [("lds_resources_locator", "listeners"), ("cds_resources_locator", "clusters")] {
        if let Some(locator) = old.get(key) {
            let message =
                format!("Envoy took {kind} from where `{key}` says; now they come from the bridge only");
            report.decide(locator.line, message);
        }
    }
    if let Some(ads) = old.get("ads_config") {
        report.decide(
            ads.line,
            "the ADS server was another one: now the bridge answers everything that is asked for over `ads`",
        );
    }
}

/// Says which resources ask other xDS servers: their clusters may be nobody's now.
pub(super) fn note_other_servers(api: &Api, ty: &str, node: &Node, report: &mut Report) {
    for (name, _) in needed_by_resource(api, ty, node) {
        report.decide(
            node.line,
            format!("this needs the cluster `{name}`, which must be static: put it into the bootstrap"),
        );
    }
}

/// Says which resources ask other xDS servers, or asked the ADS server that is replaced.
pub(super) fn note_sources(api: &Api, ty: &str, node: &Node, report: &mut Report) {
    typed::look(api, ty, node, &mut |ty, node| {
        if &*ty.name == CONFIG_SOURCE && (node.get("ads").is_some() || node.get("self").is_some()) {
            report.decide(
                node.line,
                "this is asked for over ADS, so now from the bridge: a fragment must hold it",
            );
        }
    });
}

/// A text of ours as a tree.
pub(super) fn snippet(text: &str) -> Node {
    read::read(text).map_or_else(|_| Node::map([]), |document| document.root)
}

impl Node {
    /// The entries of a mapping, taken out.
    pub(super) fn into_items_of_map(mut self) -> Vec<Child> {
        self.edit().map(std::mem::take).unwrap_or_default()
    }
}

/// The anchors of a bootstrap go with it, where it names them.
pub(super) fn text(head: &[String], root: &Node, anchors: &Anchors) -> Option<String> {
    super::write::part(anchors, |writer| writer.document(head, root))
}
