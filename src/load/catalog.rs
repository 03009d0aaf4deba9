//! All items of all files, by kind and name: where each stands, who names it, and what clashes.
//!
//! Files come in one by one, replacing what they held before; the catalog is persistent, so that a
//! copy to try a change on, and one to show to people, cost nothing. Rules that look across files
//! are asked only about the names that a change touched.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{Item, ListenAddress, Loaded, Mention};
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
    /// The addresses that it opens.
    pub addresses: Arc<[(ListenAddress, Span)]>,
}

/// A listener that opens an address.
#[derive(Clone, Debug)]
struct Opener {
    file: Arc<str>,
    /// Where the address stands.
    span: Span,
    name: Name,
    nodes: Option<Arc<Selector>>,
}

/// The names of a kind and name pair in order.
pub type Key = (Kind, Name);

/// Where every item of every file stands. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    homes: OrdMap<Key, Arc<[Home]>>,
    openers: OrdMap<ListenAddress, Arc<[Opener]>>,
    /// What is named, whether it is there or not, and who names it.
    named_by: OrdSet<(Key, Key)>,
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
        let first = (key.clone(), (Kind::ALL[0], Name::default()));
        self.named_by.range(first..).take_while(move |(named, _)| named == key).map(|(_, by)| by)
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
            for home in homes {
                findings.extend(
                    home.addresses.iter().flat_map(|(address, _)| self.openers_that_clash(address, key)),
                );
            }
        }
        // Two listeners that were both touched have been compared twice.
        findings.sort();
        findings.dedup();
        findings
    }

    /// Listeners that open the same address as a listener of this name, on the same node.
    fn openers_that_clash(&self, address: &ListenAddress, (_, name): &Key) -> Vec<Diagnostic> {
        let openers = self.openers.get(address).map_or(&[] as &[Opener], |openers| openers);
        let mut findings = Vec::new();
        for (at, again) in openers.iter().enumerate().skip(1) {
            let clash = openers[..at].iter().find(|first| {
                first.name != again.name
                    && (first.name == *name || again.name == *name)
                    && surely_meet(first.nodes.as_deref(), again.nodes.as_deref())
            });
            findings.extend(clash.map(|first| same_address(address, first, again)));
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
            addresses: item.addresses.clone(),
        };
        for (address, span) in &*item.addresses {
            self.open(file, item, address, *span);
        }
        for target in targets(&home) {
            self.named_by.insert((target, key.clone()));
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
        let Some(known) = self.homes.get(key).cloned() else { return };
        for home in known.iter().filter(|home| home.file == *file) {
            home.addresses.iter().for_each(|(address, _)| self.close(file, address));
        }
        let (gone, left): (Vec<Home>, Vec<Home>) = known.iter().cloned().partition(|home| home.file == *file);
        let still: HashSet<Key> = left.iter().flat_map(targets).collect();
        for target in gone.iter().flat_map(targets).filter(|target| !still.contains(target)) {
            self.named_by.remove(&(target, key.clone()));
        }
        if left.is_empty() {
            self.homes.remove(key);
        } else {
            self.homes.insert(key.clone(), left.into());
        }
    }

    fn open(&mut self, file: &Arc<str>, item: &Item, address: &ListenAddress, span: Span) {
        let name = item.resource.name().clone();
        let opener = Opener { file: file.clone(), span, name, nodes: item.nodes.clone() };
        let mut openers = self.openers.get(address).map_or_else(Vec::new, |known| known.to_vec());
        openers.push(opener);
        openers.sort_by(|a, b| (&a.file, a.span).cmp(&(&b.file, b.span)));
        self.openers.insert(address.clone(), openers.into());
    }

    /// Forgets what a file opens at an address.
    fn close(&mut self, file: &Arc<str>, address: &ListenAddress) {
        let Some(known) = self.openers.get(address) else { return };
        let left: Vec<Opener> = known.iter().filter(|opener| opener.file != *file).cloned().collect();
        if left.is_empty() {
            self.openers.remove(address);
        } else {
            self.openers.insert(address.clone(), left.into());
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

fn same_address(address: &ListenAddress, first: &Opener, again: &Opener) -> Diagnostic {
    let message = format!("the listeners `{}` and `{}` both open {address}", first.name, again.name);
    Diagnostic::new(Severity::Error, "duplicate-listen-address", again.file.clone(), message)
        .at(again.span, Kind::Listener.fragment_key())
        .with_hint("give them different ports, or `nodes:` that no Envoy matches both of")
        .with_related(first.file.clone(), first.span, "the first one is here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy_api::Api;
    use crate::load::load_file;

    fn loaded(file: &str, listeners: &[(&str, &str, u16)], nodes: &str) -> (Arc<str>, Loaded) {
        let items = listeners.iter().map(|(name, ip, port)| {
            format!(
                "- {{name: {name}, address: {{socket_address: {{address: \"{ip}\", port_value: {port}}}}}, \
                 filter_chains: [{{}}]}}\n"
            )
        });
        let text = format!("{nodes}\nlisteners:\n{}", items.collect::<String>());
        let file: Arc<str> = file.into();
        let api = Api::embedded().expect("the built-in API links");
        let loaded = load_file(&api, &file, text.as_bytes());
        assert!(loaded.is_sound(), "{:?}", loaded.diagnostics);
        (file, loaded)
    }

    /// Takes files one after another; the clashes that the last one brings.
    fn clashes(files: &[(Arc<str>, Loaded)]) -> Vec<String> {
        let mut catalog = Catalog::default();
        let mut touched = BTreeSet::new();
        for (file, loaded) in files {
            touched = catalog.replace(file, None, Some(loaded));
        }
        catalog.clashes(&touched).iter().map(|finding| format!("{} {}", finding.file, finding.code)).collect()
    }

    #[test]
    fn two_listeners_on_one_address_clash_across_files() {
        let a = || loaded("a", &[("x", "::1", 80)], "");
        assert_eq!(
            clashes(&[a(), loaded("b", &[("other", "0:0::1", 80)], "")]),
            ["b duplicate-listen-address"]
        );
        assert_eq!(clashes(&[loaded("b", &[("other", "::1", 80)], ""), a()]), ["b duplicate-listen-address"]);
        assert_eq!(
            clashes(&[loaded("a", &[("x", "::1", 80), ("other", "::1", 80)], "")]),
            ["a duplicate-listen-address"]
        );
    }

    #[test]
    fn other_ports_other_nodes_and_ports_that_the_system_chooses_do_not_clash() {
        let edge = "nodes: {id: edge}";
        let a = || loaded("a", &[("x", "0.0.0.0", 80)], edge);
        assert!(clashes(&[a(), loaded("b", &[("other", "0.0.0.0", 81)], edge)]).is_empty());
        assert!(clashes(&[a(), loaded("b", &[("other", "127.0.0.1", 80)], edge)]).is_empty());
        assert!(clashes(&[a(), loaded("b", &[("other", "0.0.0.0", 80)], "nodes: {id: core}")]).is_empty());
        let any_port = |file, name| loaded(file, &[(name, "0.0.0.0", 0)], "");
        assert!(clashes(&[any_port("a", "x"), any_port("b", "other")]).is_empty());
    }

    #[test]
    fn an_address_is_free_again_when_its_listener_is_gone() {
        let (a, before) = loaded("a", &[("x", "::1", 80)], "");
        let (_, after) = loaded("a", &[("x", "::1", 81)], "");
        let mut catalog = Catalog::default();
        catalog.replace(&a, None, Some(&before));
        catalog.replace(&a, Some(&before), Some(&after));
        let (b, other) = loaded("b", &[("other", "::1", 80)], "");
        let touched = catalog.replace(&b, None, Some(&other));
        assert!(catalog.clashes(&touched).is_empty());
    }
}
