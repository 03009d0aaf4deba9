//! Resources to files: one concern a file, with a name that every file system takes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::tree::{Anchors, Child, Node};
use super::write::{self, Writer};
use crate::resource::Kind;

/// How resources are spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// A listener with its routes, a cluster with its endpoints.
    Concern,
    /// A file for each kind.
    Kind,
    /// A file for each resource.
    Resource,
    /// One file.
    None,
}

/// A resource on its way into a file.
#[derive(Debug)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its content with the comments above it.
    pub child: Child,
    /// The resource that it belongs to, if it is not one that stands for itself.
    pub owner: Option<(Kind, String)>,
    /// Which source's anchors it uses.
    pub source: usize,
}

/// A fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, in the directory of fragments.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Spreads resources over files; nothing if their aliases grow without bound.
pub fn split(items: &[Item], split: Split, anchors: &[Anchors]) -> Option<Vec<File>> {
    let mut groups: Vec<(String, Vec<&Item>)> = Vec::new();
    let mut known: BTreeMap<(usize, Kind, String), usize> = BTreeMap::new();
    let mut taken = Names::default();
    for item in items {
        let (kind, name) = match (&item.owner, split) {
            (Some((kind, name)), Split::Concern) => (*kind, name.clone()),
            (_, Split::Concern | Split::Resource) => (item.kind, item.name.clone()),
            (_, Split::Kind) => (item.kind, String::new()),
            (_, Split::None) => (Kind::Listener, String::new()),
        };
        // Anchors of two sources may have the same name.
        let key = (item.source, kind, name);
        let at = *known.entry(key).or_insert_with_key(|(_, kind, name)| {
            let stem = match split {
                Split::None => "envoy".to_owned(),
                Split::Kind => kind.fragment_key().replace('_', "-"),
                _ => format!("{}-{}", stem(*kind), safe(name)),
            };
            groups.push((unique_file(&stem, &mut taken), Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(item);
    }
    let file = |(name, mut items): (String, Vec<&Item>)| {
        items.sort_by_key(|item| position(item.kind));
        let empty = Anchors::new();
        let anchors = items.first().and_then(|item| anchors.get(item.source)).unwrap_or(&empty);
        Some(File { name: format!("{name}.yaml"), text: text(&items, anchors)? })
    };
    groups.into_iter().map(file).collect()
}

/// Where a kind stands in a file: as in a bootstrap, what people look for first.
fn position(kind: Kind) -> usize {
    const ORDER: [Kind; 4] = [Kind::Listener, Kind::Route, Kind::Cluster, Kind::Endpoint];
    ORDER.iter().position(|other| *other == kind).unwrap_or(ORDER.len() + kind as usize)
}

fn stem(kind: Kind) -> String {
    match kind {
        Kind::Endpoint => "endpoints".to_owned(),
        Kind::Route => "routes".to_owned(),
        _ => kind.noun().replace(' ', "-"),
    }
}

fn text(items: &[&Item], anchors: &Anchors) -> Option<String> {
    write::part(anchors, |writer| write_all(items, writer))
}

fn write_all(items: &[&Item], writer: &mut Writer<'_>) {
    let mut last = None;
    for item in items {
        if last != Some(item.kind) {
            if last.is_some() {
                writer.lines(&[String::new()]);
            }
            writer.lines(&[format!("{}:", item.kind.fragment_key())]);
        }
        let mut child = item.child.clone();
        if last != Some(item.kind) {
            let blanks = child.before.iter().take_while(|line| line.is_empty()).count();
            child.before.drain(..blanks);
        }
        writer.child(&child, 0, true);
        last = Some(item.kind);
    }
}

/// Longest part of a file name that comes from a resource.
const MAX_NAME: usize = 120;

/// A name that is one on every file system, and that the bridge does not ignore.
fn safe(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let safe: String = name.chars().take(MAX_NAME).map(|c| if is_safe(c) { c } else { '_' }).collect();
    let safe = safe.trim_matches('.');
    if safe.is_empty() { "unnamed".to_owned() } else { safe.to_owned() }
}

/// Gives names that are unique.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
    /// The last number that each name was given.
    numbers: HashMap<String, usize>,
}

impl Names {
    /// Takes a name that is there already.
    pub fn take(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// The name, or the name with the first number that makes it unique.
    pub fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        while !self.taken.insert(candidate.clone()) {
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            candidate = format!("{name}-{number}");
        }
        candidate
    }
}

/// As [`Names::unique`] for names that differ in capitals only, which some file systems take for one.
fn unique_file(stem: &str, taken: &mut Names) -> String {
    let low = stem.to_ascii_lowercase();
    let unique = taken.unique(&low);
    format!("{stem}{}", &unique[low.len()..])
}

/// A child without the comments above it, and these.
pub fn take_comments(node: &mut Node, key: &str) -> Vec<String> {
    let Some(child) = node.children_mut().iter_mut().find(|child| child.key == key) else {
        return Vec::new();
    };
    let mut lines = std::mem::take(&mut child.before);
    lines.extend(child.comment.take().map(|comment| comment.trim_start().to_owned()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_one_everywhere() {
        assert_eq!(safe("outbound|80||a.b"), "outbound_80__a.b");
        assert_eq!(safe("../../etc/x"), "_.._etc_x");
        assert_eq!(safe("..."), "unnamed");
        assert!(safe(&"ü".repeat(500)).len() <= MAX_NAME);
        let mut taken = Names::default();
        assert_eq!(unique_file("cluster-A", &mut taken), "cluster-A");
        assert_eq!(unique_file("cluster-a", &mut taken), "cluster-a-2");
    }
}
