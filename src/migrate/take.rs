//! A source taken apart: which of its resources the bridge is to serve, and what stays in Envoy's
//! bootstrap.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::bootstrap::{self, BOOTSTRAP, Staying, Wanted};
use super::read::Document;
use super::report::Report;
use super::split::{Item, Names, take_comments};
use super::tree::{Anchors, Child, Node};
use super::typed;
use super::v2::{self, Era};
use super::{ALIAS_BUDGET, Connection, ImportError, Options, Source, dump, foreign, numbers};
use crate::envoy_api::Api;
use crate::load::{self, naming};
use crate::resource::Kind;

/// What stands in a list of resources.
const ANY: &str = "google.protobuf.Any";

/// All that was taken from the sources.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What the bridge serves, in the order of the sources.
    pub items: Vec<Item>,
    /// What is left for Envoy.
    pub bootstrap: Option<Base>,
    /// The anchors of each source.
    pub anchors: Vec<Anchors>,
    /// Which sources are dumps.
    pub dumps: BTreeSet<usize>,
    /// The clusters that stay in the bootstrap.
    pub external: Vec<String>,
}

/// A bootstrap without what was taken from it.
#[derive(Debug)]
pub(super) struct Base {
    pub source: usize,
    pub head: Vec<String>,
    pub root: Node,
}

/// What kind of file a source is.
enum Shape {
    Bootstrap,
    Xds,
    Dump,
}

impl Taken {
    /// Takes a source apart.
    pub fn source(
        &mut self,
        api: &Api,
        at: usize,
        file: &Arc<str>,
        mut document: Document,
        options: &Options,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        refuse_v1(file, &document.root)?;
        let unusable =
            |message: &str| ImportError::Unusable { file: file.clone(), message: message.to_owned() };
        if document.root.has("apiVersion") && document.root.has("kind") {
            return Err(unusable(
                "this is a manifest for Kubernetes: put the configuration that is in it into a file of its own",
            ));
        }
        let Some(shape) = shape(api, &document.root) else {
            return Err(unusable(
                "this is no Envoy bootstrap, no filesystem-xDS file (`resources:`) and no config dump (`configs:`)",
            ));
        };
        if options.dynamic && document.root.holds_alias() {
            expand(file, &mut document, report)?;
        }
        let mut from_dump = false;
        if let Shape::Dump = shape {
            let (root, items) = dump::take(api, &document.root, at, report).ok_or_else(|| {
                unusable("this config dump holds no bootstrap: take the whole /config_dump")
            })?;
            document.root = root;
            self.items.extend(items);
            self.dumps.insert(at);
            from_dump = true;
        }
        upgrade(api, file, &mut document, report)?;
        if from_dump || load::is_json(file) {
            settle_numbers(api, &mut document.root, report);
            for item in self.items.iter_mut().filter(|item| item.source == at) {
                numbers::settle(api, item.kind.message(), &mut item.child.value, report);
            }
        }
        match shape {
            Shape::Xds => self.xds(api, at, &mut document.root, report),
            Shape::Bootstrap | Shape::Dump => {
                if self.bootstrap.is_some() {
                    return Err(unusable("a second bootstrap: import the Envoys one by one"));
                }
                let root = expanded(file, &document)?;
                self.bootstrap(api, at, &mut document.root, &root, options, report, from_dump);
                self.bootstrap =
                    Some(Base { source: at, head: std::mem::take(&mut document.head), root: document.root });
            }
        }
        self.anchors.push(document.anchors);
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one call, and each is a thing of its own")]
    fn bootstrap(
        &mut self,
        api: &Api,
        at: usize,
        root: &mut Node,
        full: &Node,
        options: &Options,
        report: &mut Report,
        from_dump: bool,
    ) {
        let staying = bootstrap::staying(api, full);
        let had_ads = full.at(&["dynamic_resources", "ads_config"]).is_some();
        let mut names = Names::default();
        for kind in [Kind::Listener, Kind::Cluster, Kind::Secret] {
            let Some(resources) = root.get_mut("static_resources") else { break };
            // Names are looked up where aliases are written out; the order is the same.
            let plain: Vec<Node> = bootstrap::list(full, kind.fragment_key()).into_iter().cloned().collect();
            for node in &plain {
                if let Some(name) = node.text_at("name").filter(|_| kind == Kind::Listener) {
                    names.take(name);
                }
            }
            let comments = take_comments(resources, kind.fragment_key());
            let Some(list) = resources.get_mut(kind.fragment_key()) else { continue };
            let line = list.line;
            let items = std::mem::replace(list, Node::list([])).into_items();
            list.line = line;
            let mut kept = Vec::new();
            for (index, (mut child, plain)) in items.into_iter().zip(&plain).enumerate() {
                if index == 0 {
                    child.before.splice(0..0, comments.iter().cloned());
                }
                if stays(kind, plain, &staying, options, child.line, report) {
                    kept.push(child);
                    continue;
                }
                if had_ads && !from_dump {
                    bootstrap::note_sources(api, kind.message(), plain, report);
                }
                let name = self.name(kind, &mut child, plain, &mut names, report);
                self.items.push(Item { kind, name, child, owner: None, source: at });
            }
            *list = Node::list_of(kept);
        }
        let connection = connection(full, options);
        let wanted = Wanted {
            node_id: &options.node_id,
            node_cluster: &options.node_cluster,
            connection: &connection,
            from_dump,
        };
        for (name, (key, line)) in &staying.missing {
            let message = format!("`{key}` names the cluster `{name}`, which no static resource defines");
            report.decide(*line, message);
        }
        bootstrap::minimal(root, &wanted, report);
        self.note_external(api, &staying, at, report);
        self.external = staying.clusters.into_keys().collect();
    }

    /// The name of a resource; a listener without one is given the one that `serve` would give it.
    fn name(
        &self,
        kind: Kind,
        child: &mut Child,
        plain: &Node,
        names: &mut Names,
        report: &mut Report,
    ) -> String {
        if let Some(name) = plain.text_at("name").filter(|name| !name.is_empty()) {
            return name.to_owned();
        }
        if kind != Kind::Listener {
            report.decide(child.line, format!("this {} has no name: give it one", kind.noun()));
            return "unnamed".to_owned();
        }
        let base = naming::of_listener(&plain.to_load()).unwrap_or_else(|| "listener".to_owned());
        let name = names.unique(&base);
        child.value.remove("name");
        child.value.insert_behind("", Child::entry("name", Node::text(&name)));
        report.changed(
            child.line,
            format!(
                "this listener had no name, and over LDS it would be a new one each time: named `{name}`"
            ),
        );
        name
    }

    /// The items of a filesystem-xDS file.
    fn xds(&mut self, api: &Api, at: usize, root: &mut Node, report: &mut Report) {
        let comments = take_comments(root, "resources");
        let Some(list) = root.remove("resources") else { return };
        for child in root.entries() {
            report.changed(child.line, format!("`{}` of the file's envelope is not needed", child.key));
        }
        for (index, mut child) in list.value.into_items().into_iter().enumerate() {
            if index == 0 {
                child.before.splice(0..0, comments.iter().cloned());
            }
            if let Some(inner) = child.value.remove("resource") {
                child.value = inner.value;
            }
            let ty = child.value.text_at("@type").map(|url| typed::type_of(url).to_owned());
            let Some(kind) = ty.as_deref().and_then(Kind::from_message) else {
                let ty = ty.unwrap_or_else(|| "without @type".to_owned());
                report
                    .decide(child.line, format!("a resource {ty} is none that the bridge serves: left out"));
                continue;
            };
            child.value.remove("@type");
            bootstrap::note_other_servers(api, kind.message(), &child.value, report);
            let name = child.value.text_at(kind.name_field()).unwrap_or("unnamed").to_owned();
            self.items.push(Item { kind, name, child, owner: None, source: at });
        }
    }

    /// Clusters that stay and that fragments use must be told to the bridge.
    fn note_external(&self, api: &Api, staying: &Staying, at: usize, report: &mut Report) {
        let items = self.items.iter().filter(|item| item.source == at);
        let used =
            items.flat_map(|item| bootstrap::cluster_names(api, item.kind.message(), &item.child.value));
        let used: BTreeSet<String> = used.filter(|name| staying.clusters.contains_key(name)).collect();
        if !used.is_empty() {
            let names = used.into_iter().collect::<Vec<_>>().join(", ");
            report.decide(
                0,
                format!("fragments use clusters that stay in the bootstrap; name them in the settings: `external_clusters: [{names}]`"),
            );
        }
    }

    /// Two resources of one kind and name cannot both be served.
    pub fn check_duplicates(&self, sources: &[Source], remarks: &mut Report) {
        let mut first: HashMap<(Kind, &str), (usize, u32)> = HashMap::new();
        for item in &self.items {
            match first.get(&(item.kind, &*item.name)) {
                None => {
                    first.insert((item.kind, &item.name), (item.source, item.child.line));
                }
                Some((source, line)) => {
                    let other = &sources[*source].name;
                    let mut report = Report::of(&sources[item.source].name);
                    report.decide(
                        item.child.line,
                        format!(
                            "a second {} named `{}`, as in {other}:{line}: rename or remove one of them",
                            item.kind.noun(),
                            item.name
                        ),
                    );
                    remarks.append(report);
                }
            }
        }
    }
}

/// The way to the bridge, by a cluster whose name is free.
fn connection(full: &Node, options: &Options) -> Connection {
    let mut connection = options.connection.clone();
    let mut clusters = bootstrap::list(full, "clusters").into_iter();
    if clusters.any(|cluster| cluster.text_at("name") == Some(&connection.cluster)) {
        connection.cluster.push_str("_ads");
    }
    connection
}

/// Whether a static resource stays in the bootstrap; says why.
fn stays(
    kind: Kind,
    plain: &Node,
    staying: &Staying,
    options: &Options,
    line: u32,
    report: &mut Report,
) -> bool {
    let name = plain.text_at("name").unwrap_or_default();
    match kind {
        Kind::Cluster => {
            let Some(why) = staying.clusters.get(name) else { return false };
            report.stayed(line, format!("cluster `{name}`: {why}"));
            true
        }
        Kind::Listener => {
            let is_api = plain.has("api_listener");
            if is_api {
                report.stayed(
                    line,
                    format!("listener `{name}`: Envoy takes an `api_listener` from its bootstrap only"),
                );
            }
            is_api
        }
        _ => {
            let why = if staying.secrets.contains(name) {
                "the bootstrap, or a cluster that stays in it, uses it"
            } else if !options.dynamic {
                "what names it has no `sds_config`; --dynamic moves both"
            } else {
                return false;
            };
            report.stayed(line, format!("secret `{name}`: {why}"));
            true
        }
    }
}

fn shape(api: &Api, root: &Node) -> Option<Shape> {
    if is_dump(root) {
        return Some(Shape::Dump);
    }
    if root.get("resources").is_some() {
        return Some(Shape::Xds);
    }
    let bootstrap = api.message(BOOTSTRAP)?;
    let is_field =
        |child: &Child| bootstrap.field(&child.key).is_some() || api.was_field(BOOTSTRAP, &child.key);
    root.entries().iter().any(is_field).then_some(Shape::Bootstrap)
}

/// Whether this is what a running Envoy says of itself.
pub(super) fn is_dump(root: &Node) -> bool {
    root.get("configs").is_some_and(Node::is_list)
}

/// Writes the numbers in a file, a bootstrap or one of filesystem xDS, as YAML has them.
pub(super) fn settle_numbers(api: &Api, root: &mut Node, report: &mut Report) {
    let Some(list) = root.get_mut("resources") else { return numbers::settle(api, BOOTSTRAP, root, report) };
    for node in list.elements_mut() {
        numbers::settle(api, ANY, node, report);
    }
}

/// The first API's files look alike, but nothing in them means the same.
pub(super) fn refuse_v1(file: &Arc<str>, root: &Node) -> Result<(), ImportError> {
    if !v2::is_v1(root) {
        return Ok(());
    }
    Err(ImportError::Unusable {
        file: file.clone(),
        message: "this is a configuration of the v1 API (2016-2017), whose addresses are URLs: \
                  Envoy 1.8's `config_dump` of it is v2, which can be imported"
            .to_owned(),
    })
}

/// Brings a document to v3, in place.
pub(super) fn upgrade(
    api: &Api,
    file: &Arc<str>,
    document: &mut Document,
    report: &mut Report,
) -> Result<(), ImportError> {
    // Refuses what expands without bound.
    expanded(file, document)?;
    let is_xds = document.root.get("resources").is_some();
    let era = era(api, file, document);
    if era == Era::V2 && document.root.holds_alias() {
        expand(file, document, report)?;
    }
    if !is_xds {
        v2::upgrade(api, BOOTSTRAP, &mut document.root, era, report);
        foreign::note(api, BOOTSTRAP, &document.root, report);
        return Ok(());
    }
    let Some(list) = document.root.get_mut("resources") else { return Ok(()) };
    for node in list.elements_mut() {
        v2::upgrade(api, ANY, node, era, report);
        foreign::note(api, ANY, node, report);
    }
    Ok(())
}

/// For which API a document was written; today's if it cannot be told.
pub(super) fn era(api: &Api, file: &Arc<str>, document: &Document) -> Era {
    let Ok(full) = expanded(file, document) else { return Era::V3 };
    let eras: Vec<Era> = match full.get("resources") {
        Some(_) => resources(&full).into_iter().map(|node| era_of_resource(api, node)).collect(),
        None => vec![v2::era(api, BOOTSTRAP, &full)],
    };
    if eras.contains(&Era::V2) { Era::V2 } else { Era::V3 }
}

fn resources(root: &Node) -> Vec<&Node> {
    root.get("resources").map(Node::elements).unwrap_or_default()
}

fn era_of_resource(api: &Api, node: &Node) -> Era {
    let inner = node.text_at("@type").map(typed::type_of).unwrap_or_default();
    if v2::is_old_type(api, inner) { Era::V2 } else { v2::era(api, ANY, node) }
}

/// The root with every alias written out.
fn expanded(file: &Arc<str>, document: &Document) -> Result<Node, ImportError> {
    let mut budget = ALIAS_BUDGET;
    document.root.expanded(&document.anchors, &mut budget).ok_or_else(|| ImportError::Unusable {
        file: file.clone(),
        message: format!("its aliases expand to more than {ALIAS_BUDGET} values"),
    })
}

/// Writes every alias out for good.
fn expand(file: &Arc<str>, document: &mut Document, report: &mut Report) -> Result<(), ImportError> {
    document.root = expanded(file, document)?;
    report.changed(0, "aliases are written out, because what they stand for changes");
    Ok(())
}
