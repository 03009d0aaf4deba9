//! `render`: the way out, one static configuration for one kind of node.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::args::Render;
use super::bootstrap::in_format;
use super::gather::gather;
use super::settings::Given;
use super::{Exit, output};
use crate::migrate::{self, Source};
use crate::resource::{Node, Resource};

pub fn run(given: &Given, command: &Render) -> Result<Exit> {
    let settings = given.settings()?;
    let api = settings.api()?;
    let node = node(command)?;
    let looks = gather(&api, &settings, settings.dirs(&command.paths))?;
    let items = looks.iter().flat_map(|look| look.loaded.items.iter());
    let (mine, others): (Vec<_>, Vec<_>) =
        items.partition(|item| item.nodes.as_ref().is_none_or(|nodes| nodes.matches(&node)));
    let bootstrap = match &command.bootstrap {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(Source { name: Arc::from(path.display().to_string()), text })
        }
        None => None,
    };
    let resources: Vec<&Resource> = mine.iter().map(|item| &*item.resource).collect();
    let rendered = migrate::render(&api, resources, bootstrap.as_ref())?;
    output::document(&in_format(&api, command.format, "render", rendered.text)?)?;
    for remark in &rendered.remarks {
        output::error(&format!("{remark}\n"));
    }
    if !others.is_empty() {
        output::error(&format!("{} resources are for other nodes (see --node-id)\n", others.len()));
    }
    Ok(Exit::Done)
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
