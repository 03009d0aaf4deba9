//! `--dynamic`: inline routes become RDS, inline endpoints EDS, files of certificates SDS.
//!
//! Each of them can then change without touching the listener or cluster that it belongs to. What
//! Envoy would not take that way stays inline, and is told.

use core::net::IpAddr;
use std::collections::{BTreeSet, HashMap};

use super::Source;
use super::dump::over_ads;
use super::placeholders;
use super::report::Report;
use super::split::{Item, Names};
use super::take::Taken;
use super::tree::{Child, Node};
use super::typed;
use crate::envoy_api::Api;
use crate::resource::Kind;

const CONNECTION_MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const COMMON_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext";
const SDS_SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig";

/// Unfolds all items; what comes out of them follows them.
pub(super) fn unfold(api: &Api, taken: &mut Taken, remarks: &mut Report, sources: &[Source]) {
    let mut unfold = Unfold::new(&taken.items);
    let mut all = Vec::new();
    for mut item in std::mem::take(&mut taken.items) {
        let mut report = Report::of(&sources[item.source].name);
        let mut more = Vec::new();
        if matches!(item.kind, Kind::Listener | Kind::Cluster) {
            unfold.item(api, &mut item, &mut more, &mut report);
        }
        all.push(item);
        all.append(&mut more);
        remarks.append(report);
    }
    taken.items = all;
}

struct Unfold {
    routes: Names,
    secrets: Names,
    /// The names of secrets by what is in them: one certificate of many listeners is one secret.
    known: HashMap<String, String>,
    /// Secrets that are served.
    served: BTreeSet<String>,
}

impl Unfold {
    fn new(items: &[Item]) -> Unfold {
        let mut unfold = Unfold {
            routes: Names::default(),
            secrets: Names::default(),
            known: HashMap::new(),
            served: BTreeSet::new(),
        };
        for item in items {
            match item.kind {
                Kind::Route => unfold.routes.take(&item.name),
                Kind::Secret => {
                    unfold.secrets.take(&item.name);
                    unfold.served.insert(item.name.clone());
                }
                _ => {}
            }
        }
        unfold
    }

    fn item(&mut self, api: &Api, item: &mut Item, more: &mut Vec<Item>, report: &mut Report) {
        let owner = (item.kind, item.name.clone());
        let source = item.source;
        let made = |kind: Kind, name: &str, mut child: Child| {
            child.comment = None;
            let owner = (kind != Kind::Secret).then(|| owner.clone());
            Item { kind, name: name.to_owned(), child, owner, source }
        };
        if item.kind == Kind::Cluster
            && let Some(child) = endpoints(&mut item.child.value, &item.name, report)
        {
            more.push(made(Kind::Endpoint, &item.name, child));
        }
        let listener = item.name.clone();
        typed::walk(api, item.kind.message(), &mut item.child.value, &mut |ty, node| match &*ty.name {
            CONNECTION_MANAGER => {
                if let Some((name, child)) = self.routes(node, &listener, report) {
                    more.push(made(Kind::Route, &name, child));
                }
            }
            COMMON_TLS => {
                for (name, child) in self.certificates(node, report) {
                    more.push(made(Kind::Secret, &name, child));
                }
            }
            SDS_SECRET => {
                let name = node.text_at("name").filter(|name| self.served.contains(*name)).map(str::to_owned);
                if let (Some(name), None) = (name, node.get("sds_config")) {
                    node.remove("sds_config");
                    node.set("sds_config", over_ads());
                    report.changed(node.line, format!("the secret `{name}` is asked for over ADS now"));
                }
            }
            _ => {}
        });
    }

    /// An inline route configuration becomes one of its own.
    fn routes(&mut self, node: &mut Node, listener: &str, report: &mut Report) -> Option<(String, Child)> {
        node.get("route_config").filter(|config| config.is_map())?;
        let entry = node.remove("route_config")?;
        let mut child = Child { line: entry.line, ..Child::item(entry.value) };
        let given = child.value.text_at("name").filter(|name| !name.is_empty()).map(str::to_owned);
        let name = self.routes.unique(given.as_deref().unwrap_or(listener));
        if given.as_deref() != Some(&name) {
            child.value.remove("name");
            child.value.insert_behind("", Child::entry("name", Node::text(&name)));
            let why = match given {
                Some(given) => format!("another one is named `{given}`, too"),
                None => "it had no name".to_owned(),
            };
            report.changed(entry.line, format!("route configuration named `{name}`: {why}"));
        }
        report.changed(entry.line, format!("the route configuration `{name}` comes by RDS now"));
        let rds = Node::map([("route_config_name", Node::text(&name)), ("config_source", over_ads())]);
        let rds = Child { before: entry.before, comment: entry.comment, ..Child::entry("rds", rds) };
        node.insert_behind("stat_prefix", rds);
        Some((name, child))
    }

    /// Certificates from files become secrets with the files' contents.
    fn certificates(&mut self, node: &mut Node, report: &mut Report) -> Vec<(String, Child)> {
        let mut made = Vec::new();
        let mut keep = Vec::new();
        let certificates = node.remove("tls_certificates");
        for item in certificates.map(Node::items_of).unwrap_or_default() {
            let stem = item.value.at(&["certificate_chain", "filename"]).and_then(Node::as_text).map(stem);
            match (movable(&item.value), stem) {
                (Ok(value), Some(stem)) => {
                    let (name, child) = self.secret("tls_certificate", value, &stem, item.line);
                    made.extend(child.map(|child| (name.clone(), child)));
                    report.changed(
                        item.line,
                        format!("this certificate is the secret `{name}` now, and follows its files"),
                    );
                    let asked =
                        Child { before: item.before, comment: item.comment, ..Child::item(asked(&name)) };
                    node.push_at("tls_certificate_sds_secret_configs", asked);
                }
                (why, _) => {
                    if let Err(Some(why)) = why {
                        report.stayed(item.line, format!("a certificate stays inline: {why}"));
                    }
                    keep.push(item);
                }
            }
        }
        if !keep.is_empty() {
            node.set("tls_certificates", Node::list_of(keep));
        }
        let Some(validation) = node.get("validation_context").cloned() else { return made };
        let stem = validation.at(&["trusted_ca", "filename"]).and_then(Node::as_text).map(stem);
        let line = validation.line;
        match (movable(&validation), stem) {
            (Ok(value), Some(stem)) => {
                let (name, child) = self.secret("validation_context", value, &stem, line);
                made.extend(child.map(|child| (name.clone(), child)));
                report.changed(
                    line,
                    format!("this validation context is the secret `{name}` now, and follows its files"),
                );
                node.rename("validation_context", "validation_context_sds_secret_config");
                node.set("validation_context_sds_secret_config", asked(&name));
            }
            (Err(Some(why)), _) => report.stayed(line, format!("a validation context stays inline: {why}")),
            _ => {}
        }
        made
    }

    /// A secret with this content: its name, and the secret unless there is one already.
    fn secret(&mut self, key: &str, value: Node, stem: &str, line: u32) -> (String, Option<Child>) {
        let same = super::write::document(&[], &Node::map([(key, value.clone())]), &Default::default());
        let same = same.unwrap_or_default();
        if let Some(name) = self.known.get(&same) {
            return (name.clone(), None);
        }
        let name = self.secrets.unique(stem);
        self.known.insert(same, name.clone());
        self.served.insert(name.clone());
        let secret = Node::map([("name", Node::text(&name)), (key, value)]);
        (name, Some(Child { line, ..Child::item(secret) }))
    }
}

fn asked(name: &str) -> Node {
    Node::map([("name", Node::text(name)), ("sds_config", over_ads())])
}

/// What a file is called without folder and ending.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(file);
    stem.to_owned()
}

/// The same with the content of each file in place of its name; why not, if that cannot be, or
/// nothing if there is no file in it.
fn movable(node: &Node) -> Result<Node, Option<String>> {
    let mut node = node.clone();
    let mut files = 0;
    to_files(&mut node, &mut files)?;
    if files == 0 { Err(None) } else { Ok(node) }
}

fn to_files(node: &mut Node, files: &mut usize) -> Result<(), Option<String>> {
    if node.has("watched_directory") {
        return Err(Some("its `watched_directory` is for Envoy itself".to_owned()));
    }
    if let Some(path) = node.text_at("filename").map(str::to_owned) {
        if !path.starts_with('/') {
            return Err(Some(format!("the path {path} is relative to where Envoy runs")));
        }
        if placeholders::has_any(&path) {
            return Err(Some(format!("the path {path} is only known later")));
        }
        node.rename("filename", "inline_string");
        if let Some(value) = node.get_mut("inline_string") {
            value.set_text(&path);
            value.props.tag = Some("!file".to_owned());
        }
        *files += 1;
    }
    for child in node.children_mut() {
        to_files(&mut child.value, files)?;
    }
    Ok(())
}

/// The inline endpoints of a cluster of fixed addresses.
fn endpoints(cluster: &mut Node, name: &str, report: &mut Report) -> Option<Child> {
    let kind = cluster.text_at("type").unwrap_or("STATIC").to_ascii_uppercase();
    let assignment = cluster.get("load_assignment").filter(|node| node.is_map())?;
    let line = assignment.line;
    if !matches!(&*kind, "STATIC" | "0") || cluster.has("cluster_type") {
        report.stayed(
            line,
            format!("the endpoints of `{name}` stay inline: EDS takes addresses, not names to resolve"),
        );
        return None;
    }
    if let Some(why) = immovable(assignment) {
        report.stayed(line, format!("the endpoints of `{name}` stay inline: {why}"));
        return None;
    }
    let entry = cluster.remove("load_assignment")?;
    let mut child = Child { line: entry.line, before: entry.before, ..Child::item(entry.value) };
    if child.value.text_at("cluster_name") != Some(name) {
        child.value.remove("cluster_name");
        child.value.insert_behind("", Child::entry("cluster_name", Node::text(name)));
    }
    report.changed(line, format!("the endpoints of `{name}` come by EDS now"));
    if cluster.has("type") {
        cluster.set("type", Node::plain("EDS"));
    } else {
        cluster.insert_behind("name", Child::entry("type", Node::plain("EDS")));
    }
    let eds = Node::map([("eds_config", over_ads())]);
    cluster.insert_behind("type", Child::entry("eds_cluster_config", eds));
    Some(child)
}

/// Why these endpoints cannot come by EDS.
fn immovable(assignment: &Node) -> Option<String> {
    let mut endpoints = 0;
    for locality in assignment.get("endpoints").map(Node::elements).unwrap_or_default() {
        for endpoint in locality.get("lb_endpoints").map(Node::elements).unwrap_or_default() {
            endpoints += 1;
            let address = endpoint.at(&["endpoint", "address"]);
            if address.is_some_and(|address| address.get("pipe").is_some()) {
                continue;
            }
            let host = address.and_then(|address| address.at(&["socket_address", "address"])?.as_text());
            match host {
                None => return Some("an endpoint is no IP address or pipe".to_owned()),
                Some(host) if host.parse::<IpAddr>().is_err() => {
                    return Some(format!("`{host}` is no IP address"));
                }
                Some(_) => {}
            }
        }
    }
    (endpoints == 0).then(|| "there are none".to_owned())
}
