//! The kinds of nodes that fragments are for: one node of each, made up, and what it receives.
//!
//! Comes in: all parts with their `nodes:`. Goes out: nodes, each with its parts, no two with the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::Part;
use crate::resource::{Kind, Name, Node, NodePattern};

/// One node of each kind; there is always the one that no `nodes:` names, if it receives anything.
pub fn kinds_of_nodes<'a>(all: &[Part<'a>]) -> Vec<(Node, Vec<Part<'a>>)> {
    let patterns: BTreeSet<&NodePattern> =
        all.iter().filter_map(|part| part.item.nodes.as_deref()).flat_map(|nodes| &nodes.0).collect();
    let nodes = patterns.into_iter().map(such_as).chain([Node::default()]);
    let mut known: HashSet<Vec<*const crate::load::Item>> = HashSet::new();
    let mut kinds = Vec::new();
    for node in nodes {
        let parts = received(all, &node);
        let ids = parts.iter().map(Part::id).collect();
        if !parts.is_empty() && known.insert(ids) {
            kinds.push((node, parts));
        }
    }
    kinds
}

/// What a node receives: of contested names nothing.
fn received<'a>(all: &[Part<'a>], node: &Node) -> Vec<Part<'a>> {
    let mine: Vec<Part<'a>> = all
        .iter()
        .filter(|part| part.item.nodes.as_ref().is_none_or(|nodes| nodes.matches(node)))
        .copied()
        .collect();
    let mut times: BTreeMap<(Kind, &Name), usize> = BTreeMap::new();
    for part in &mine {
        *times.entry((part.kind(), part.item.resource.name())).or_default() += 1;
    }
    let times: BTreeMap<(Kind, Name), usize> =
        times.into_iter().map(|((kind, name), count)| ((kind, name.clone()), count)).collect();
    let once = |part: &Part<'a>| times.get(&(part.kind(), part.item.resource.name().clone())) == Some(&1);
    mine.into_iter().filter(once).collect()
}

/// A node that this pattern matches.
fn such_as(pattern: &NodePattern) -> Node {
    let text = |glob: &Option<String>| {
        glob.as_deref().map(|glob| glob.replace('*', "").replace('?', "x")).unwrap_or_default()
    };
    let mut metadata = BTreeMap::new();
    for (path, glob) in &pattern.metadata {
        let Some((first, inner)) = path.split_first() else { continue };
        let mut at: &mut Value = metadata.entry(first.clone()).or_insert(Value::Null);
        for key in inner {
            if !at.is_object() {
                *at = Value::Object(serde_json::Map::new());
            }
            at = &mut at[key];
        }
        *at = Value::String(text(&Some(glob.clone())));
    }
    let NodePattern { id, cluster, region, zone, sub_zone, .. } = pattern;
    Node {
        id: text(id),
        cluster: text(cluster),
        region: text(region),
        zone: text(zone),
        sub_zone: text(sub_zone),
        metadata,
    }
}
