//! `render`: the way out, one static configuration for one kind of node.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::args::{DocumentFormat, Render};
use super::gather::gather;
use super::settings::Given;
use super::{Exit, output};
use crate::app::Look;
use crate::diagnostic::Position;
use crate::load::Item;
use crate::migrate::{self, Source};
use crate::resource::{Kind, Name, Node, Resource};

pub fn run(given: &Given, command: &Render) -> Result<Exit> {
    let settings = given.settings()?;
    let api = settings.api()?;
    let node = node(command)?;
    let looks = gather(&api, &settings, settings.dirs(&command.paths))?;
    let items = looks.iter().flat_map(|look| look.loaded.items.iter().map(move |item| (look, item)));
    let (mine, others): (Vec<_>, Vec<_>) =
        items.partition(|(_, item)| item.nodes.as_ref().is_none_or(|nodes| nodes.matches(&node)));
    let (mine, contested) = apart(mine);
    let bootstrap = match &command.bootstrap {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(Source { name: Arc::from(path.display().to_string()), text })
        }
        None => None,
    };
    let resources: Vec<&Resource> = mine.iter().map(|(_, item)| &*item.resource).collect();
    let rendered = match command.format {
        DocumentFormat::Human => migrate::render(&api, resources, bootstrap.as_ref())?,
        DocumentFormat::Json => migrate::render_json(&api, resources, bootstrap.as_ref())?,
    };
    output::document(&rendered.text)?;
    for remark in &rendered.remarks {
        output::error(&format!("{remark}\n"));
    }
    if !others.is_empty() {
        output::error(&format!("{} resources are for other nodes (see --node-id)\n", others.len()));
    }
    for homes in contested.values() {
        output::error(&told(homes));
    }
    Ok(if contested.is_empty() { Exit::Done } else { Exit::Findings })
}

/// A resource with the file in which it stands.
type Part<'a> = (&'a Arc<Look>, &'a Item);

/// Names under which there are several, and those.
type Contested<'a> = BTreeMap<(Kind, Name), Vec<Part<'a>>>;

/// What stands under a name of its own, and what does not: of that a node is sent nothing.
fn apart(all: Vec<Part<'_>>) -> (Vec<Part<'_>>, Contested<'_>) {
    let key = |(_, item): &Part<'_>| (item.resource.kind(), item.resource.name().clone());
    let mut homes = Contested::new();
    for part in &all {
        homes.entry(key(part)).or_default().push(*part);
    }
    homes.retain(|_, homes| homes.len() > 1);
    let once = all.into_iter().filter(|part| !homes.contains_key(&key(part))).collect();
    (once, homes)
}

/// Where the resources stand that have one name.
fn told(homes: &[Part<'_>]) -> String {
    let place = |(look, item): &Part<'_>| {
        let text = look.text().unwrap_or_default();
        format!("{}:{}", look.path, Position::of(&text, item.name_span.start))
    };
    let places: Vec<String> = homes.iter().map(place).collect();
    let of =
        homes.first().map(|(_, item)| format!("{} `{}`", item.resource.kind().noun(), item.resource.name()));
    format!(
        "error: the {} is left out: this node matches the `nodes:` of more than one: {}\n",
        of.unwrap_or_default(),
        places.join(", ")
    )
}

/// The node that the flags describe.
fn node(command: &Render) -> Result<Node> {
    let mut locality = command.node_locality.split('/').map(str::to_owned);
    let mut part = || locality.next().unwrap_or_default();
    Ok(Node {
        id: command.node_id.clone(),
        cluster: command.node_cluster.clone(),
        region: part(),
        zone: part(),
        sub_zone: part(),
        metadata: serde_json::from_str(&command.node_metadata)
            .context("--node-metadata is no JSON object")?,
    })
}
