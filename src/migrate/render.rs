//! The way out: everything that one node receives, as one static configuration.
//!
//! Comes in: resources, the node, and the bootstrap that connects it to the bridge, if there is one.
//! Goes out: an `envoy.yaml` without the bridge. What is asked for over ADS is put where it is used;
//! what cannot be is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bootstrap::{BOOTSTRAP, CONFIG_SOURCE};
use super::json::bootstrap_json;
use super::message::{self, Malformed};
use super::numbers;
use super::report::{Remark, Report};
use super::shown::tree;
use super::tree::{Anchors, Child, Node};
use super::typed;
use super::{Document, ImportError, Source, read_source, write};
use crate::envoy_api::{Api, MessageType};
use crate::resource::{Kind, Resource};

const HTTP: &str = "envoy.extensions.filters.network.http_connection_manager.v3";
const ROUTE: &str = "envoy.config.route.v3.RouteConfiguration";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const SDS_SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig";

/// A static configuration, and what is to be said about it.
#[derive(Debug)]
pub struct Rendered {
    /// The configuration.
    pub text: String,
    /// What could not be made static.
    pub remarks: Vec<Remark>,
}

/// Why there is no static configuration.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The bootstrap cannot be read.
    #[error(transparent)]
    Bootstrap(#[from] ImportError),
    /// A resource cannot be read with this API.
    #[error("the {kind} `{name}` cannot be written: {source}")]
    Resource {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Why.
        source: Malformed,
    },
}

/// Renders the resources that one node receives.
///
/// # Errors
/// If the bootstrap cannot be read, or a resource is not of this API.
pub fn render<'r>(
    api: &Api,
    resources: impl IntoIterator<Item = &'r Resource>,
    bootstrap: Option<&Source>,
) -> Result<Rendered, RenderError> {
    let file = name_of(bootstrap);
    let mut report = Report::of(&file);
    let resources =
        read(api, resources, |kind, node| numbers::settle(api, kind.message(), node, &mut report))?;
    let document = assemble(api, resources, base(bootstrap)?, &mut report);
    note_unanswered(api, &document.root, &mut report);
    Ok(Rendered { text: written(&document, &file)?, remarks: report.finish() })
}

/// The same as JSON, in which free-form values keep all their numbers.
///
/// # Errors
/// As [`render`].
pub fn render_json<'r>(
    api: &Api,
    resources: impl IntoIterator<Item = &'r Resource>,
    bootstrap: Option<&Source>,
) -> Result<Rendered, RenderError> {
    let file = name_of(bootstrap);
    let mut report = Report::of(&file);
    let mut document = base(bootstrap)?;
    if bootstrap.is_some() {
        // Numbers mean in it what they mean in its file.
        document.root = tree(&bootstrap_json(api, &file, &written(&document, &file)?)?);
        (document.head, document.anchors) = (Vec::new(), Anchors::new());
    }
    let document = assemble(api, read(api, resources, |_, _| {})?, document, &mut report);
    note_unanswered(api, &document.root, &mut report);
    let json = bootstrap_json(api, &"render.json".into(), &written(&document, &file)?)?;
    Ok(Rendered { text: format!("{json:#}\n"), remarks: report.finish() })
}

fn name_of(bootstrap: Option<&Source>) -> Arc<str> {
    bootstrap.map_or_else(|| "render".into(), |source| source.name.clone())
}

/// The text of a document.
pub(super) fn written(document: &Document, file: &Arc<str>) -> Result<String, ImportError> {
    write::document(&document.head, &document.root, &document.anchors).ok_or_else(|| ImportError::Unusable {
        file: file.clone(),
        message: "its aliases expand without bound".to_owned(),
    })
}

/// Resources as trees, in their order.
pub(super) type Trees = Vec<((Kind, String), Node)>;

/// Resources as trees, each finished by `settle`.
pub(super) fn read<'r>(
    api: &Api,
    resources: impl IntoIterator<Item = &'r Resource>,
    mut settle: impl FnMut(Kind, &mut Node),
) -> Result<Trees, RenderError> {
    let read = resources.into_iter().map(|resource| {
        let (kind, name) = (resource.kind(), resource.name().to_string());
        let failed = |source| RenderError::Resource { kind, name: name.clone(), source };
        let ty = api.message(kind.message()).ok_or_else(|| failed(Malformed(kind.message().to_owned())))?;
        let mut node = message::decode(api, ty, resource.body()).map_err(failed)?;
        settle(kind, &mut node);
        Ok(((kind, name), node))
    });
    read.collect()
}

/// Puts resources into a bootstrap.
pub(super) fn assemble(api: &Api, resources: Trees, base: Document, report: &mut Report) -> Document {
    let order: Vec<(Kind, String)> = resources.iter().map(|(key, _)| key.clone()).collect();
    let all: BTreeMap<(Kind, String), Node> = resources.into_iter().collect();
    let mut inliner = Inliner { api, all, used: BTreeSet::new(), report };
    let mut lists: BTreeMap<&str, Vec<Child>> = BTreeMap::new();
    for (kind, name) in &order {
        let key = match kind {
            Kind::Listener | Kind::Cluster => kind.fragment_key(),
            _ => continue,
        };
        lists.entry(key).or_default().push(Child::item(inliner.finished(*kind, name)));
    }
    let used = std::mem::take(&mut inliner.used);
    let all = std::mem::take(&mut inliner.all);
    for (kind, name) in &order {
        match (kind, all.get(&(*kind, name.clone()))) {
            (Kind::Secret, Some(secret)) => {
                lists.entry("secrets").or_default().push(Child::item(secret.clone()));
            }
            (Kind::Listener | Kind::Cluster | Kind::Runtime, _) | (_, None) => {}
            _ if used.contains(&(*kind, name.clone())) => {}
            _ => report.decide(0, format!("the {kind} `{name}` is used by nothing here: left out")),
        }
    }
    let layers: Vec<&Node> =
        all.iter().filter(|((kind, _), _)| *kind == Kind::Runtime).map(|(_, node)| node).collect();
    let mut document = base;
    fill(&mut document.root, lists, &layers, report);
    drop_unanswered(&mut document.root, report);
    document
}

/// The bootstrap without its way to the bridge.
pub(super) fn base(source: Option<&Source>) -> Result<Document, ImportError> {
    let Some(source) = source else {
        let empty =
            Document { root: Node::map([]), head: Vec::new(), anchors: Default::default(), more: None };
        return Ok(empty);
    };
    let mut document = read_source(source)?;
    let dynamic = document.root.remove("dynamic_resources");
    let services = dynamic.as_ref().and_then(|entry| entry.value.at(&["ads_config", "grpc_services"]));
    let bridges: Vec<String> = services
        .map(Node::elements)
        .unwrap_or_default()
        .iter()
        .filter_map(|service| service.at(&["envoy_grpc", "cluster_name"])?.as_text())
        .map(str::to_owned)
        .collect();
    let resources = document.root.get_mut("static_resources");
    if let Some(clusters) = resources.and_then(|resources| resources.get_mut("clusters")?.edit()) {
        clusters.retain(|child| {
            let name = child.value.text_at("name").unwrap_or_default();
            !bridges.iter().any(|bridge| bridge == name)
        });
    }
    Ok(document)
}

/// Runtime layers that no fragment holds: without a server they would never come, and Envoy would not
/// start.
fn drop_unanswered(root: &mut Node, report: &mut Report) {
    let layers = root.get_mut("layered_runtime").and_then(|runtime| runtime.get_mut("layers"));
    let Some(layers) = layers.and_then(Node::edit) else { return };
    layers.retain(|layer| {
        let source = layer.value.at(&["rtds_layer", "rtds_config"]);
        let is_unanswered = source.is_some_and(is_ads);
        if is_unanswered {
            let name = layer.value.at(&["rtds_layer", "name"]).and_then(Node::as_text).unwrap_or_default();
            report.decide(
                layer.line,
                format!(
                    "the runtime layer `{name}` was asked for over ADS, and no fragment holds it: left out"
                ),
            );
        }
        !is_unanswered
    });
}

/// What still asks over ADS, where nobody answers now: each by its name and line.
fn note_unanswered(api: &Api, root: &Node, report: &mut Report) {
    let mut note = |line: u32, what: &str, part: Node| {
        let mut asks = None;
        typed::look(api, BOOTSTRAP, &part, &mut |ty, node| {
            if &*ty.name == CONFIG_SOURCE && is_ads(node) {
                asks.get_or_insert(node.line);
            }
        });
        let Some(at) = asks else { return };
        let message = format!(
            "{what} still asks over ADS, which is gone: Envoy has nobody to ask until what it asks for is written out"
        );
        report.decide(if at > 0 { at } else { line }, message);
    };
    for entry in root.entries() {
        if entry.key != "static_resources" {
            let part = Node::map([(&*entry.key, entry.value.clone())]);
            note(entry.line, &format!("`{}`", entry.key), part);
            continue;
        }
        for list in entry.value.entries() {
            for resource in list.value.elements() {
                let name = resource.text_at("name").unwrap_or("without a name");
                let only = Node::map([(&*list.key, Node::list([resource.clone()]))]);
                let what = format!("`{name}` of `{}`", list.key);
                note(resource.line, &what, Node::map([("static_resources", only)]));
            }
        }
    }
}

fn is_ads(source: &Node) -> bool {
    source.has("ads") || source.has("self")
}

fn fill(root: &mut Node, lists: BTreeMap<&str, Vec<Child>>, runtimes: &[&Node], report: &mut Report) {
    for runtime in runtimes {
        let name = runtime.text_at("name").unwrap_or_default().to_owned();
        let values = runtime.get("layer").cloned().unwrap_or_else(|| Node::map([]));
        let layered = root.map_at("layered_runtime");
        let asked = layered.get_mut("layers").map(Node::elements_mut).unwrap_or_default();
        let asks = |layer: &&mut Node| {
            let rtds = layer.at(&["rtds_layer", "name"]).and_then(Node::as_text);
            rtds == Some(&name)
        };
        match asked.into_iter().find(asks) {
            Some(layer) => {
                layer.remove("rtds_layer");
                layer.set("static_layer", values);
            }
            None => {
                let layer = Node::map([("name", Node::text(&name)), ("static_layer", values)]);
                layered.push_at("layers", Child::item(layer));
                report.changed(0, format!("the runtime `{name}` is a static layer now"));
            }
        }
    }
    let resources = root.map_at("static_resources");
    for (key, items) in lists {
        for item in items {
            resources.push_at(key, item);
        }
    }
    let empty: Vec<String> = resources
        .entries()
        .iter()
        .filter(|child| child.value.is_list() && child.value.children().is_empty())
        .map(|child| child.key.clone())
        .collect();
    for key in empty {
        resources.remove(&key);
    }
    if root.get("static_resources").is_some_and(|node| node.children().is_empty()) {
        root.remove("static_resources");
    }
}

/// Puts resources where they are asked for.
struct Inliner<'a> {
    api: &'a Api,
    all: BTreeMap<(Kind, String), Node>,
    used: BTreeSet<(Kind, String)>,
    report: &'a mut Report,
}

impl Inliner<'_> {
    /// A listener or cluster with everything that it asks for.
    fn finished(&mut self, kind: Kind, name: &str) -> Node {
        let Some(mut node) = self.all.get(&(kind, name.to_owned())).cloned() else { return Node::map([]) };
        let what = format!("{kind} `{name}`");
        let api = self.api;
        typed::walk(api, kind.message(), &mut node, &mut |ty, node| self.message(ty, node, &what));
        node
    }

    fn message(&mut self, ty: &MessageType, node: &mut Node, what: &str) {
        let name = &*ty.name;
        if name == CLUSTER {
            self.endpoints(node, what);
        } else if name == SDS_SECRET {
            self.secret(node, what);
        } else if name == ROUTE {
            self.virtual_hosts(node);
        } else if name.strip_prefix(HTTP) == Some(".HttpConnectionManager") {
            self.routes(node, what);
        } else if name.strip_prefix(HTTP) == Some(".ScopedRoutes") {
            self.scopes(node);
        } else if ty.field("config_discovery").is_some() {
            self.extension(node, what);
        }
    }

    /// A resource that is asked for by this name, if the source is ADS.
    fn asked(&mut self, kind: Kind, name: &str, source: Option<&Node>, what: &str) -> Option<Node> {
        let source = source?;
        if !source.has("ads") && !source.has("self") {
            return None;
        }
        let key = (kind, name.to_owned());
        let found = self.all.get(&key).cloned();
        match found {
            Some(_) => drop(self.used.insert(key)),
            None => {
                self.report
                    .decide(0, format!("{what} asks for the {kind} `{name}`, which no fragment holds"));
            }
        }
        found
    }

    fn endpoints(&mut self, node: &mut Node, what: &str) {
        let Some(eds) = node.get("eds_cluster_config").cloned() else { return };
        let name = node.text_at("name").unwrap_or_default();
        let name = eds.text_at("service_name").unwrap_or(name).to_owned();
        let Some(found) = self.asked(Kind::Endpoint, &name, eds.get("eds_config"), what) else { return };
        node.remove("eds_cluster_config");
        node.set("type", Node::text("STATIC"));
        node.set("load_assignment", found);
    }

    fn routes(&mut self, node: &mut Node, what: &str) {
        let Some(rds) = node.get("rds").cloned() else { return };
        let name = rds.text_at("route_config_name").unwrap_or_default().to_owned();
        if let Some(found) = self.asked(Kind::Route, &name, rds.get("config_source"), what) {
            node.set("rds", found);
            node.rename("rds", "route_config");
        }
    }

    fn secret(&mut self, node: &mut Node, what: &str) {
        let name = node.text_at("name").unwrap_or_default().to_owned();
        let source = node.get("sds_config").cloned();
        if self.asked(Kind::Secret, &name, source.as_ref(), what).is_some() {
            node.remove("sds_config");
        }
    }

    fn extension(&mut self, node: &mut Node, what: &str) {
        let Some(discovery) = node.get("config_discovery").cloned() else { return };
        let name = node.text_at("name").unwrap_or_default().to_owned();
        let source = discovery.get("config_source");
        let Some(found) = self.asked(Kind::ExtensionConfig, &name, source, what) else { return };
        if let Some(config) = found.get("typed_config") {
            node.set("config_discovery", config.clone());
            node.rename("config_discovery", "typed_config");
        }
    }

    /// All virtual hosts of this route configuration, which were asked for one by one.
    fn virtual_hosts(&mut self, node: &mut Node) {
        if !node.at(&["vhds", "config_source"]).is_some_and(is_ads) {
            return;
        }
        node.remove("vhds");
        let prefix = format!("{}/", node.text_at("name").unwrap_or_default());
        let hosts: Vec<(Kind, String)> = self
            .all
            .keys()
            .filter(|(kind, name)| *kind == Kind::VirtualHost && name.starts_with(&prefix))
            .cloned()
            .collect();
        for key in hosts {
            node.push_at("virtual_hosts", Child::item(self.all[&key].clone()));
            self.used.insert(key);
        }
    }

    /// All scopes, each with its route configuration.
    fn scopes(&mut self, node: &mut Node) {
        if !node.at(&["scoped_rds", "scoped_rds_config_source"]).is_some_and(is_ads) {
            return;
        }
        let keys: Vec<(Kind, String)> =
            self.all.keys().filter(|(kind, _)| *kind == Kind::ScopedRoute).cloned().collect();
        if keys.is_empty() {
            // Envoy refuses an empty list of scopes.
            return;
        }
        node.remove("scoped_rds");
        node.remove("rds_config_source");
        let mut scopes = Vec::new();
        for key in keys {
            let mut scope = self.all[&key].clone();
            let route = scope.text_at("route_configuration_name").unwrap_or_default().to_owned();
            let route_key = (Kind::Route, route.clone());
            match self.all.get(&route_key).cloned() {
                Some(config) => {
                    scope.remove("route_configuration_name");
                    scope.set("route_configuration", config);
                    self.used.insert(route_key);
                }
                None => self.report.decide(
                    0,
                    format!("a scope asks for the route configuration `{route}`, which no fragment holds"),
                ),
            }
            scopes.push(scope);
            self.used.insert(key);
        }
        let list = Node::map([("scoped_route_configurations", Node::list(scopes))]);
        node.set("scoped_route_configurations_list", list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn what_is_asked_for_over_ads_stands_where_it_is_used() {
        let api = Api::embedded().expect("linked");
        let text = r#"
listeners:
- name: l
  address: { socket_address: { address: 127.0.0.1, port_value: 1 } }
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: x
        rds: { route_config_name: r, config_source: { ads: {}, resource_api_version: V3 } }
        http_filters:
        - name: buffer
          config_discovery:
            config_source: { ads: {}, resource_api_version: V3 }
            type_urls: [type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer]
        - name: router
          typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
        common_tls_context:
          tls_certificate_sds_secret_configs:
          - { name: s, sds_config: { ads: {}, resource_api_version: V3 } }
clusters:
- name: c
  type: EDS
  eds_cluster_config: { eds_config: { ads: {}, resource_api_version: V3 } }
endpoints:
- cluster_name: c
  endpoints:
  - lb_endpoints: [{ endpoint: { address: { pipe: { path: /x } } } }]
routes:
- name: r
  vhds: { config_source: { ads: {}, resource_api_version: V3 } }
virtual_hosts:
- { name: r/v, domains: [v] }
extension_configs:
- name: buffer
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 9 }
secrets:
- { name: s, generic_secret: { secret: { inline_string: x } } }
runtimes:
- { name: rt, layer: { a.b: 1 } }
"#;
        let loaded = load::load_file(&api, &"x".into(), text.as_bytes());
        assert!(loaded.is_sound(), "{:?}", loaded.diagnostics);
        let resources = loaded.items.iter().map(|item| &*item.resource);
        let rendered = render(&api, resources, None).expect("rendered");
        assert!(!rendered.text.contains("ads:"), "{}", rendered.text);
        for part in
            ["route_config:", "name: r/v", "max_request_bytes: 9", "path: /x", "static_layer:", "secrets:"]
        {
            assert!(rendered.text.contains(part), "{part} is not in\n{}", rendered.text);
        }
        let found = crate::migrate::findings(&api, &"x".into(), &rendered.text);
        assert_eq!(found, [], "{}", rendered.text);
    }

    #[test]
    fn what_nobody_answers_any_more_is_left_out_or_told() {
        let api = Api::embedded().expect("linked");
        let text = r#"
dynamic_resources:
  ads_config: { api_type: DELTA_GRPC, grpc_services: [{ envoy_grpc: { cluster_name: bridge } }] }
layered_runtime:
  layers:
  - { name: kept, static_layer: { a: 1 } }
  - { name: r, rtds_layer: { name: r, rtds_config: { ads: {}, resource_api_version: V3 } } }
static_resources:
  clusters:
  - { name: bridge }
  - { name: local, type: EDS, eds_cluster_config: { eds_config: { ads: {} } } }
"#;
        let source = Source { name: "boot.yaml".into(), text: text.to_owned() };
        let rendered = render(&api, [], Some(&source)).expect("rendered");
        assert!(!rendered.text.contains("rtds_layer") && rendered.text.contains("name: kept"));
        let said: Vec<&str> = rendered.remarks.iter().map(|remark| &*remark.message).collect();
        assert!(said[0].starts_with("the runtime layer `r` was asked for over ADS"), "{said:?}");
        assert!(said[1].starts_with("`local` of `clusters` still asks over ADS"), "{said:?}");
        let lines: Vec<u32> = rendered.remarks.iter().map(|remark| remark.line).collect();
        assert_eq!(lines, [7, 11]);
    }
}
