//! What changed between two snapshots.
//!
//! A snapshot carries the list of changes from its predecessor, made while it was built and shared
//! by all who need it; between any other two it is found by comparing the tables, which passes over
//! what they share. The first snapshot carries none: the list would be as long as the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Audience, Group, Snapshot, Table};
use crate::resource::{Kind, Name, Resource};

/// One resource of one audience that differs. At least one of `old` and `new` is there.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who receives it.
    pub audience: Audience,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// What it was; absent when it was added.
    pub old: Option<Arc<Resource>>,
    /// What it is; absent when it was removed.
    pub new: Option<Arc<Resource>>,
}

/// The differences between two snapshots.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub(super) list: Vec<Change>,
}

/// What became of a name, audiences aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was not there before.
    Added,
    /// It was there before with another content or another audience.
    Changed,
    /// It is not there any more.
    Removed,
}

/// How many names have which fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Names that were not there before.
    pub added: usize,
    /// Names with another content or another audience.
    pub changed: usize,
    /// Names that are not there any more.
    pub removed: usize,
    /// The first of them, by kind and name.
    pub shown: Vec<(Fate, Kind, Name)>,
}

impl Changes {
    /// Each difference.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.list.iter()
    }

    /// How many differences there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What became of each name, some of them shown. A resource that moved to another audience counts as
    /// changed.
    pub(super) fn tally(&self, shown: usize) -> Tally {
        let mut fates = BTreeMap::new();
        for change in &self.list {
            let fate = match (&change.old, &change.new) {
                (None, _) => Fate::Added,
                (_, None) => Fate::Removed,
                _ => Fate::Changed,
            };
            fates
                .entry((change.kind, &change.name))
                .and_modify(|known| {
                    if *known != fate {
                        *known = Fate::Changed;
                    }
                })
                .or_insert(fate);
        }
        let count = |fate| fates.values().filter(|known| **known == fate).count();
        Tally {
            added: count(Fate::Added),
            changed: count(Fate::Changed),
            removed: count(Fate::Removed),
            shown: fates
                .iter()
                .take(shown)
                .map(|((kind, name), fate)| (*fate, *kind, (*name).clone()))
                .collect(),
        }
    }
}

impl Tally {
    /// How many names there are, shown or not.
    pub fn total(&self) -> usize {
        self.added + self.changed + self.removed
    }
}

impl Snapshot {
    /// The differences from an `older` snapshot to this one.
    pub fn diff(&self, older: &Snapshot) -> Arc<Changes> {
        if older.is_loaded() && self.generation == older.generation + 1 {
            return self.changes.clone();
        }
        let mut list = Vec::new();
        let nothing = Arc::new(Group::default());
        for (audience, group) in &self.groups {
            diff_groups(audience, older.groups.get(audience).unwrap_or(&nothing), group, &mut list);
        }
        for (audience, group) in &older.groups {
            if !self.groups.contains_key(audience) {
                diff_groups(audience, group, &nothing, &mut list);
            }
        }
        Arc::new(Changes { list })
    }
}

impl Snapshot {
    /// The tally where everything is new.
    pub(super) fn tally_of_all(&self, shown: usize) -> Tally {
        let all: usize = Kind::ALL.into_iter().map(|kind| self.count(kind)).sum();
        let again: usize = self.contested.values().map(|homes| homes.len() - 1).sum();
        let mut list = Vec::new();
        for kind in Kind::ALL {
            let names = self.groups.values().flat_map(|group| group.table(kind).by_name.keys().take(shown));
            let names: BTreeSet<&Name> = names.collect();
            list.extend(names.into_iter().map(|name| (Fate::Added, kind, name.clone())));
        }
        list.truncate(shown);
        Tally { added: all - again, shown: list, ..Tally::default() }
    }
}

fn diff_groups(audience: &Audience, old: &Arc<Group>, new: &Arc<Group>, list: &mut Vec<Change>) {
    if Arc::ptr_eq(old, new) {
        return;
    }
    for kind in Kind::ALL {
        for (name, old, new) in diff_tables(old.table(kind), new.table(kind)) {
            list.push(Change {
                audience: audience.clone(),
                kind,
                name: name.clone(),
                old: old.cloned(),
                new: new.cloned(),
            });
        }
    }
}

type Difference<'a> = (&'a Name, Option<&'a Arc<Resource>>, Option<&'a Arc<Resource>>);

fn diff_tables<'a>(old: &'a Table, new: &'a Table) -> impl Iterator<Item = Difference<'a>> {
    use imbl::ordmap::DiffItem;
    old.by_name.diff(&new.by_name).map(|item| match item {
        DiffItem::Add(name, new) => (name, None, Some(new)),
        DiffItem::Remove(name, old) => (name, Some(old), None),
        DiffItem::Update { old: (_, old), new: (name, new) } => (name, Some(old), Some(new)),
    })
}
