//! All items of all files, by kind and name: where each stands, who names it, and what clashes.
//!
//! Files come in one by one, replacing what they held before; the catalog is persistent, so that a
//! copy to try a change on, and one to show to people, cost nothing. Rules that look across files
//! are asked only about the names that a change touched.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{Item, Loaded, Mention};
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::resource::{Kind, Name, Selector, surely_meet};

/// Where an item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The file, as people name it.
    pub file: Arc<str>,
    /// The whole item.
    pub span: Span,
    /// Its name's value.
    pub name_span: Span,
    /// Who receives it.
    pub nodes: Option<Arc<Selector>>,
    /// What it names, in the order of the file.
    pub mentions: Arc<[Mention]>,
}

/// The names of a kind and name pair in order.
pub type Key = (Kind, Name);

/// Where every item of every file stands. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    homes: OrdMap<Key, Arc<[Home]>>,
    /// Who names what, whether it is there or not.
    named_by: OrdMap<Key, OrdSet<Key>>,
}

impl Catalog {
    /// Replaces what a file held; gives the names that it held or holds.
    pub fn replace(&mut self, file: &Arc<str>, old: Option<&Loaded>, new: Option<&Loaded>) -> BTreeSet<Key> {
        let mut touched: BTreeSet<Key> = old.iter().flat_map(|loaded| &loaded.items).map(key_of).collect();
        for key in &touched {
            self.remove(file, key);
        }
        for item in new.iter().flat_map(|loaded| &loaded.items) {
            touched.insert(self.insert(file, item));
        }
        touched
    }

    /// Where the items of this name stand.
    pub fn homes(&self, kind: Kind, name: &Name) -> &[Home] {
        self.homes.get(&(kind, name.clone())).map_or(&[], |homes| homes)
    }

    /// The items that name this, whether it is there or not.
    pub fn named_by(&self, key: &Key) -> impl Iterator<Item = &Key> {
        self.named_by.get(key).into_iter().flatten()
    }

    /// All names of a kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        let first: Key = (kind, Arc::from(""));
        self.homes.range(first..).map_while(move |(key, _)| (key.0 == kind).then_some(&key.1))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.homes.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty()
    }

    /// Items of one name of which a node is known to receive more than one, among these names.
    pub fn clashes<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for key in keys {
            let homes = self.homes.get(key).map_or(&[] as &[Home], |homes| homes);
            for (at, home) in homes.iter().enumerate().skip(1) {
                let first = homes[..at]
                    .iter()
                    .find(|first| surely_meet(first.nodes.as_deref(), home.nodes.as_deref()));
                findings.extend(first.map(|first| duplicate(key, first, home)));
            }
        }
        findings
    }

    fn insert(&mut self, file: &Arc<str>, item: &Item) -> Key {
        let key = key_of(item);
        let home = Home {
            file: file.clone(),
            span: item.span,
            name_span: item.name_span,
            nodes: item.nodes.clone(),
            mentions: item.mentions.clone(),
        };
        for target in targets(&home) {
            self.named_by.entry(target).or_default().insert(key.clone());
        }
        let homes = match self.homes.get(&key) {
            None => [home].into(),
            Some(known) => {
                let mut homes = known.to_vec();
                homes.push(home);
                // The order in which files are told of must not matter for which one is "first".
                homes.sort_by(|a, b| (&a.file, a.span).cmp(&(&b.file, b.span)));
                homes.into()
            }
        };
        self.homes.insert(key.clone(), homes);
        key
    }

    fn remove(&mut self, file: &Arc<str>, key: &Key) {
        let Some(known) = self.homes.get(key) else { return };
        let (gone, left): (Vec<Home>, Vec<Home>) = known.iter().cloned().partition(|home| home.file == *file);
        let still: HashSet<Key> = left.iter().flat_map(targets).collect();
        for target in gone.iter().flat_map(targets).filter(|target| !still.contains(target)) {
            if let Some(users) = self.named_by.get_mut(&target) {
                users.remove(key);
                if users.is_empty() {
                    self.named_by.remove(&target);
                }
            }
        }
        if left.is_empty() {
            self.homes.remove(key);
        } else {
            self.homes.insert(key.clone(), left.into());
        }
    }
}

fn targets(home: &Home) -> impl Iterator<Item = Key> {
    home.mentions.iter().map(|mention| (mention.to.kind, mention.to.name.clone()))
}

fn key_of(item: &Item) -> Key {
    (item.resource.kind(), item.resource.name().clone())
}

fn duplicate((kind, name): &Key, first: &Home, again: &Home) -> Diagnostic {
    let message = format!("the {kind} {name:?} is defined twice for the same nodes");
    Diagnostic::new(Severity::Error, "duplicate-resource", again.file.clone(), message)
        .at(again.name_span, kind.fragment_key())
        .with_hint("rename one of them, or give them `nodes:` that no Envoy matches both of")
        .with_related(first.file.clone(), first.name_span, "first defined here")
}
