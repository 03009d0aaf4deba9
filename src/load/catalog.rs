//! All items of all files, by kind and name: who names each, and what clashes; and where each stands.
//!
//! Files come in one by one, replacing what they held before; the catalog is persistent, so that a
//! copy to try a change on, and one to show to people, cost nothing. Rules that look across files
//! are asked only about the names that a change touched. Of an item that only moved, nothing is written
//! anew: places are looked up in the items of the file, when there is something to say.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use equivalent::{Comparable, Equivalent};
use imbl::{OrdMap, OrdSet};

use super::references::{Mentioned, mentioned};
use super::{Facts, Item, ListenAddress, Loaded};
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::resource::{Kind, Name, Resource, Selector, packed_map, packed_set, surely_meet};

/// Where an item stands.
#[derive(Clone, Debug)]
pub struct Home {
    /// The file, as people name it.
    pub file: Arc<str>,
    /// Who receives it.
    pub nodes: Option<Arc<Selector>>,
    facts: Option<Arc<Facts>>,
    resource: Arc<Resource>,
    /// Its number among the items of its file when it came; it is still near it.
    number: usize,
}

impl Home {
    /// What it names, in the order of the file.
    pub fn mentions(&self) -> impl Iterator<Item = Mentioned<'_>> {
        mentioned(&self.resource, self.facts.as_deref())
    }

    /// The endpoint assignments that it names.
    pub fn endpoints(&self) -> impl Iterator<Item = Key> {
        let named = self.mentions().filter(|mention| mention.kind == Kind::Endpoint);
        named.map(|mention| (Kind::Endpoint, mention.name.clone()))
    }

    /// The addresses that it opens, and where in it they stand.
    fn addresses(&self) -> &[(ListenAddress, Span)] {
        self.facts.as_ref().map_or(&[], |facts| facts.addresses())
    }
}

/// Where items of one name stand. Mostly it is one, which is in the table itself.
#[derive(Clone, Debug)]
enum Homes {
    One(Home),
    Several(Arc<[Home]>),
}

impl Homes {
    /// `None` if there are none.
    fn of(mut homes: Vec<Home>) -> Option<Homes> {
        match homes.len() {
            0 | 1 => homes.pop().map(Homes::One),
            _ => Some(Homes::Several(homes.into())),
        }
    }

    fn list(&self) -> &[Home] {
        match self {
            Homes::One(home) => std::slice::from_ref(home),
            Homes::Several(homes) => homes,
        }
    }

    /// The name of which all of them are; in the table they stand by it.
    fn name(&self) -> Option<(Kind, &Name)> {
        self.list().first().map(|home| (home.resource.kind(), home.resource.name()))
    }
}

impl Ord for Homes {
    fn cmp(&self, other: &Homes) -> Ordering {
        self.name().cmp(&other.name())
    }
}

impl PartialOrd for Homes {
    fn partial_cmp(&self, other: &Homes) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Homes {
    fn eq(&self, other: &Homes) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Homes {}

/// To look homes up by a name.
type ByName<'n> = (Kind, &'n str);

impl Equivalent<Homes> for ByName<'_> {
    fn equivalent(&self, homes: &Homes) -> bool {
        self.compare(homes).is_eq()
    }
}

impl Comparable<Homes> for ByName<'_> {
    fn compare(&self, homes: &Homes) -> Ordering {
        Some(*self).cmp(&homes.name().map(|(kind, name)| (kind, &**name)))
    }
}

/// The names of a kind and name pair in order.
pub type Key = (Kind, Name);

/// Where every item of every file stands. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By kind and name, which stand in the resources.
    homes: OrdSet<Homes>,
    /// The listeners that open an address.
    openers: OrdMap<ListenAddress, Arc<[Home]>>,
    /// What is named, whether it is there or not, and who names it; without [`is_its_own`].
    named_by: OrdSet<(Key, Key)>,
    /// What each file holds, in its order.
    files: OrdMap<Arc<str>, Arc<[Item]>>,
}

impl Catalog {
    /// Replaces what a file held; gives the names that it held or holds, without those of items that were
    /// taken over from the one to the other.
    pub fn replace(&mut self, file: &Arc<str>, old: Option<&Loaded>, new: Option<&Loaded>) -> BTreeSet<Key> {
        let (before, now) = (items(old), items(new));
        let (gone, come) = differing(before, now);
        let mut touched: BTreeSet<Key> = before[gone].iter().map(key_of).collect();
        for key in &touched {
            self.remove(file, key);
        }
        match new {
            Some(new) => self.files.insert(file.clone(), new.items.clone()),
            None => self.files.remove(file),
        };
        for number in come {
            touched.insert(self.insert(file, number, &now[number]));
        }
        touched
    }

    /// Takes no more room than it needs, after all was told of at once and in order.
    pub fn pack(&mut self) {
        self.homes = packed_set(&self.homes);
        self.openers = packed_map(&self.openers);
        self.named_by = packed_set(&self.named_by);
        self.files = packed_map(&self.files);
    }

    /// Where the items of this name stand.
    pub fn homes(&self, kind: Kind, name: &str) -> &[Home] {
        self.homes.get(&(kind, name)).map_or(&[], Homes::list)
    }

    /// The item that stands there.
    fn item(&self, home: &Home) -> Option<&Item> {
        let items = self.files.get(&home.file)?;
        let (before, behind) = items.split_at(home.number.min(items.len()));
        let (mut before, mut behind) = (before.iter().rev(), behind.iter());
        // Others came or went before it, mostly few.
        loop {
            let (one, other) = (behind.next(), before.next());
            one.or(other)?;
            let mut near = one.into_iter().chain(other);
            let found = near.find(|item| Arc::ptr_eq(&item.resource, &home.resource));
            if found.is_some() {
                return found;
            }
        }
    }

    /// Where an item's name stands in its file.
    pub fn name_span(&self, home: &Home) -> Span {
        self.item(home).map_or_else(Span::default, |item| item.name_span)
    }

    /// Where something of an item stands in its file.
    pub fn place(&self, home: &Home, inside: Span) -> Span {
        self.item(home).map_or_else(Span::default, |item| item.place(inside))
    }

    /// Where an item names something.
    pub fn place_of(&self, home: &Home, mention: Mentioned<'_>) -> Span {
        mention.span.map_or_else(|| self.name_span(home), |span| self.place(home, span))
    }

    /// In the order of files and places. The order in which files are told of must not matter for which one
    /// is "first".
    fn in_order<'h>(&self, homes: &'h [Home]) -> Vec<&'h Home> {
        let mut homes: Vec<&Home> = homes.iter().collect();
        if homes.len() > 1 {
            homes.sort_by_cached_key(|home| (home.file.clone(), self.item(home).map(|item| item.span)));
        }
        homes
    }

    /// The items that name this, whether it is there or not.
    pub fn named_by(&self, key: &Key) -> impl Iterator<Item = (Kind, &Name)> {
        let own = Some(&key.1).filter(|_| key.0 == Kind::Endpoint);
        let own = own.and_then(|name| self.homes.get(&(Kind::Cluster, &**name))).filter(|homes| {
            homes.list().iter().flat_map(Home::mentions).any(|to| (to.kind, to.name) == (key.0, &key.1))
        });
        let first = (key.clone(), (Kind::ALL[0], Name::default()));
        let others = self
            .named_by
            .range(first..)
            .take_while(move |(named, _)| named == key)
            .map(|(_, by)| (by.0, &by.1));
        own.and_then(Homes::name).into_iter().chain(others)
    }

    /// All names of a kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        let from: ByName<'_> = (kind, "");
        let homes = self.homes.range(from..).map_while(Homes::name);
        homes.take_while(move |(of, _)| *of == kind).map(|(_, name)| name)
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
            let homes = self.in_order(self.homes(key.0, &key.1));
            for (at, home) in homes.iter().enumerate().skip(1) {
                let first = homes[..at]
                    .iter()
                    .find(|first| surely_meet(first.nodes.as_deref(), home.nodes.as_deref()));
                findings.extend(first.map(|first| self.duplicate(key, first, home)));
            }
            for home in homes {
                findings.extend(
                    home.addresses().iter().flat_map(|(address, _)| self.openers_that_clash(address, key)),
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
        let openers = self.in_order(self.openers.get(address).map_or(&[] as &[Home], |openers| openers));
        let mut findings = Vec::new();
        for (at, again) in openers.iter().enumerate().skip(1) {
            let clash = openers[..at].iter().find(|first| {
                let (first_name, again_name) = (first.resource.name(), again.resource.name());
                first_name != again_name
                    && (first_name == name || again_name == name)
                    && surely_meet(first.nodes.as_deref(), again.nodes.as_deref())
            });
            findings.extend(clash.map(|first| self.same_address(address, first, again)));
        }
        findings
    }

    fn insert(&mut self, file: &Arc<str>, number: usize, item: &Item) -> Key {
        let key = key_of(item);
        let home = Home {
            file: file.clone(),
            nodes: item.nodes.clone(),
            facts: item.facts.clone(),
            resource: item.resource.clone(),
            number,
        };
        for (address, _) in item.addresses() {
            let known = self.openers.get(address).map_or(&[] as &[Home], |openers| openers);
            let openers = known.iter().chain([&home]).cloned().collect();
            self.openers.insert(address.clone(), openers);
        }
        for target in targets(&home).filter(|target| !is_its_own(target, &key)) {
            self.named_by.insert((target, key.clone()));
        }
        let homes = match self.homes.get(&by_name(&key)).cloned() {
            None => Homes::One(home),
            Some(known) => {
                self.homes.remove(&by_name(&key));
                Homes::Several(known.list().iter().cloned().chain([home]).collect())
            }
        };
        self.homes.insert(homes);
        key
    }

    fn remove(&mut self, file: &Arc<str>, key: &Key) {
        let Some(known) = self.homes.remove(&by_name(key)) else { return };
        let (gone, left): (Vec<Home>, Vec<Home>) =
            known.list().iter().cloned().partition(|home| home.file == *file);
        for home in &gone {
            home.addresses().iter().for_each(|(address, _)| self.close(home, address));
        }
        let still: HashSet<Key> = left.iter().flat_map(targets).collect();
        for target in gone.iter().flat_map(targets).filter(|target| !still.contains(target)) {
            self.named_by.remove(&(target, key.clone()));
        }
        if let Some(left) = Homes::of(left) {
            self.homes.insert(left);
        }
    }

    /// Forgets that a listener opens an address.
    fn close(&mut self, home: &Home, address: &ListenAddress) {
        let Some(known) = self.openers.get(address) else { return };
        let others = known.iter().filter(|opener| !Arc::ptr_eq(&opener.resource, &home.resource));
        let left: Vec<Home> = others.cloned().collect();
        if left.is_empty() {
            self.openers.remove(address);
        } else {
            self.openers.insert(address.clone(), left.into());
        }
    }

    fn duplicate(&self, (kind, name): &Key, first: &Home, again: &Home) -> Diagnostic {
        let message = format!("the {kind} {name:?} is defined twice for the same nodes");
        Diagnostic::new(Severity::Error, "duplicate-resource", again.file.clone(), message)
            .at(self.name_span(again), kind.fragment_key())
            .with_hint("rename one of them, or give them `nodes:` that no Envoy matches both of")
            .with_related(first.file.clone(), self.name_span(first), "first defined here")
    }

    fn same_address(&self, address: &ListenAddress, first: &Home, again: &Home) -> Diagnostic {
        let span = |opener: &Home| {
            let here = opener.addresses().iter().find(|(known, _)| known == address);
            here.map_or_else(Span::default, |(_, span)| self.place(opener, *span))
        };
        let names = (first.resource.name(), again.resource.name());
        let message = format!("the listeners `{}` and `{}` both open {address}", names.0, names.1);
        Diagnostic::new(Severity::Error, "duplicate-listen-address", again.file.clone(), message)
            .at(span(again), Kind::Listener.fragment_key())
            .with_hint("give them different ports, or `nodes:` that no Envoy matches both of")
            .with_related(first.file.clone(), span(first), "the first one is here")
    }
}

fn items(loaded: Option<&Loaded>) -> &[Item] {
    loaded.map_or(&[], |loaded| &loaded.items)
}

/// Where two looks at a file differ: all items but those at the beginning and at the end that the one took
/// over from the other. Only in a file without doubled names items are taken over, so no name of one that
/// differs is one of those too.
pub(crate) fn differing(old: &[Item], new: &[Item]) -> (Range<usize>, Range<usize>) {
    let is_same = |(a, b): &(&Item, &Item)| Arc::ptr_eq(&a.resource, &b.resource) && a.nodes == b.nodes;
    let before = old.iter().zip(new).take_while(is_same).count();
    let behind = old[before..].iter().rev().zip(new[before..].iter().rev()).take_while(is_same).count();
    (before..old.len() - behind, before..new.len() - behind)
}

fn targets(home: &Home) -> impl Iterator<Item = Key> {
    home.mentions().map(|mention| (mention.kind, mention.name.clone()))
}

/// Whether this is the endpoint assignment of this cluster's name, as most clusters have one: no table
/// need say who names it.
fn is_its_own(target: &Key, by: &Key) -> bool {
    target.0 == Kind::Endpoint && by.0 == Kind::Cluster && target.1 == by.1
}

fn by_name((kind, name): &Key) -> ByName<'_> {
    (*kind, name)
}

fn key_of(item: &Item) -> Key {
    (item.resource.kind(), item.resource.name().clone())
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
