//! What is served, as one immutable value.
//!
//! A [`Snapshot`] holds all resources, grouped by who may receive them; a [`View`] is what one node
//! sees of it; a [`Builder`] makes the next snapshot from the last by edits; a [`Store`] holds the
//! current one behind a single lock-free swap. Tables are persistent: the next snapshot shares all
//! that did not change with the last, so both building one and finding out what differs cost as
//! much as the change, not as much as the configuration.
//!
//! Knows nothing of YAML, places in files, clients or gRPC.

mod build;
mod diff;
mod store;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;
use std::time::Instant;

use imbl::{OrdMap, OrdSet};

use crate::resource::{Digest, Kind, Name, Resource, Selector, packed_map, packed_set};

pub use build::{Builder, Edit};
pub use diff::{Change, Changes, Fate, Tally};
pub use store::Store;
pub use view::{Found, View};

/// Who receives a group of resources: the nodes that match the selector, or every node.
pub type Audience = Option<Arc<Selector>>;

/// All resources at one moment. Cloning is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u64,
    groups: OrdMap<Audience, Arc<Group>>,
    /// Changes whenever the set of audiences does, so that a node's matches are found out only then.
    audiences: Arc<[Audience]>,
    /// Names that stand in more than one group, and in which.
    contested: OrdMap<(Kind, Name), Arc<[Audience]>>,
    /// From the snapshot before; empty in the first, of which everything is new.
    changes: Arc<Changes>,
    seen: Option<Instant>,
}

/// The resources of one audience.
#[derive(Clone, Debug, Default)]
struct Group {
    tables: [Table; Kind::COUNT],
    /// Endpoint assignments with the clusters that use them, where the two have different names.
    users: OrdSet<(Name, Name)>,
    /// Names of virtual hosts by each of their aliases.
    aliases: OrdMap<Name, Name>,
}

/// The resources of one audience and kind.
#[derive(Clone, Debug, Default)]
struct Table {
    by_name: OrdMap<Name, Arc<Resource>>,
    /// Names of those that are valid for a time only.
    mortal: OrdSet<Name>,
    /// Sum over the entries of name and content: changes by what changes, in any order.
    sum: u128,
}

impl Snapshot {
    /// The snapshot before anything was loaded. Nothing may be answered from it.
    pub fn unloaded() -> Snapshot {
        Snapshot {
            generation: 0,
            groups: OrdMap::new(),
            audiences: Arc::from([]),
            contested: OrdMap::new(),
            changes: Arc::default(),
            seen: None,
        }
    }

    /// The same snapshot, made of a change that was seen at this time.
    #[must_use]
    pub fn seen_at(mut self, seen: Instant) -> Snapshot {
        self.seen = Some(seen);
        self
    }

    /// When the change was seen of which it is made. For people only, who want to know how long a change
    /// takes.
    pub fn seen(&self) -> Option<Instant> {
        self.seen
    }

    /// Counts the snapshots of this process from 1; 0 means that nothing was loaded yet. For people
    /// and for ordering only: versions that clients see are made of content.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a first complete load has happened.
    pub fn is_loaded(&self) -> bool {
        self.generation > 0
    }

    /// What became of the names since the snapshot before this one, some of them shown.
    pub fn tally(&self, shown: usize) -> Tally {
        if self.generation == 1 { self.tally_of_all(shown) } else { self.changes.tally(shown) }
    }

    /// What changed from the snapshot before this one. Of the first, of which everything is new, nothing is
    /// listed.
    pub fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// Whether it has the very audiences of another: then a node belongs to the same of both.
    pub fn has_audiences_of(&self, other: &Snapshot) -> bool {
        Arc::ptr_eq(&self.audiences, &other.audiences)
    }

    /// How many resources of a kind there are, over all audiences.
    pub fn count(&self, kind: Kind) -> usize {
        self.groups.values().map(|group| group.table(kind).by_name.len()).sum()
    }

    /// Every resource of a kind with its audience, by audience and name.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = (&Audience, &Arc<Resource>)> {
        self.groups.iter().flat_map(move |(audience, group)| {
            group.table(kind).by_name.values().map(move |resource| (audience, resource))
        })
    }
}

impl Group {
    fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind as usize]
    }

    /// The clusters that take their endpoints from an assignment, in order.
    fn users_of(&self, assignment: &str) -> impl Iterator<Item = &Name> {
        let own = self.table(Kind::Cluster).by_name.get_key_value(assignment);
        let own =
            own.filter(|(name, cluster)| cluster.references_to(Kind::Endpoint).any(|used| used == *name));
        let own = own.map(|(name, _)| name);
        // Rarely there are others; only then a key is made to look for them.
        let first = (!self.users.is_empty()).then(|| (Name::from(assignment), Name::from("")));
        let others = first.into_iter().flat_map(|first| self.users.range(first..));
        let others = others.take_while(move |(used, _)| **used == *assignment).map(|(_, name)| name);
        let (before, behind): (Vec<_>, Vec<_>) = others.partition(|name| own.is_some_and(|own| *name < own));
        before.into_iter().chain(own).chain(behind)
    }

    /// The same in no more room than it needs, after all was put at once and in order.
    fn packed(&self) -> Group {
        let packed = |table: &Table| Table {
            by_name: packed_map(&table.by_name),
            mortal: packed_set(&table.mortal),
            sum: table.sum,
        };
        Group {
            tables: self.tables.each_ref().map(packed),
            users: packed_set(&self.users),
            aliases: packed_map(&self.aliases),
        }
    }

    fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.by_name.is_empty())
    }

    fn put(&mut self, resource: &Arc<Resource>) -> Option<Arc<Resource>> {
        let (kind, name) = (resource.kind(), resource.name());
        let old = self.remove(kind, name);
        let table = &mut self.tables[kind as usize];
        table.sum = table.sum.wrapping_add(entry(name, resource.digest()));
        table.by_name.insert(name.clone(), resource.clone());
        if resource.ttl().is_some() {
            table.mortal.insert(name.clone());
        }
        for used in resource.references_to(Kind::Endpoint).filter(|used| *used != name) {
            self.users.insert((used.clone(), name.clone()));
        }
        for alias in resource.aliases() {
            self.aliases.insert(alias.clone(), name.clone());
        }
        old
    }

    fn remove(&mut self, kind: Kind, name: &Name) -> Option<Arc<Resource>> {
        let table = &mut self.tables[kind as usize];
        let old = table.by_name.remove(name)?;
        table.sum = table.sum.wrapping_sub(entry(name, old.digest()));
        table.mortal.remove(name);
        for used in old.references_to(Kind::Endpoint).filter(|used| *used != name) {
            self.users.remove(&(used.clone(), name.clone()));
        }
        for alias in old.aliases() {
            if self.aliases.get(alias) == Some(name) {
                self.aliases.remove(alias);
            }
        }
        Some(old)
    }
}

/// What a name with this version adds to the sum of its table.
fn entry(name: &Name, version: Digest) -> u128 {
    Digest::of([name.as_bytes(), &version.0.to_le_bytes()]).0
}
