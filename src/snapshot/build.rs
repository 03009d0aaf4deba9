//! The next snapshot from the last one, by edits.
//!
//! A [`Builder`] owns what is needed only for building: for whom each name stands. Its snapshots are
//! immutable and share what the edits did not touch.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Audience, Change, Changes, Group, Snapshot};
use crate::resource::{Kind, Name, Resource};

/// One step from a snapshot to the next.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Add a resource for an audience, or replace the one of that kind and name.
    Put(Audience, Arc<Resource>),
    /// Take a resource away from an audience.
    Remove(Audience, Kind, Name),
}

/// Makes snapshots one after the other; there is one for a [`super::Store`].
#[derive(Debug)]
pub struct Builder {
    current: Snapshot,
    /// The audiences of a name but everyone, whose table tells by itself.
    homes: HashMap<(Kind, Name), Vec<Audience>>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder { current: Snapshot::unloaded(), homes: HashMap::new() }
    }
}

impl Builder {
    /// A builder whose first snapshot follows the unloaded one.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The snapshot that was built last.
    pub fn current(&self) -> &Snapshot {
        &self.current
    }

    /// Applies the edits, in their order. Gives nothing when they change nothing, except the first
    /// time: even an empty first load is a snapshot, since clients wait for it.
    pub fn apply(&mut self, edits: impl IntoIterator<Item = Edit>) -> Option<Snapshot> {
        let mut next = self.current.clone();
        let is_first = !self.current.is_loaded();
        let mut list = Vec::new();
        let mut differs = false;
        for edit in edits {
            let Some(change) = self.apply_one(&mut next, edit) else { continue };
            differs = true;
            self.update_contested(&mut next, change.kind, &change.name);
            if !is_first {
                list.push(change);
            }
        }
        if !differs && !is_first {
            return None;
        }
        if is_first {
            for (audience, group) in std::mem::take(&mut next.groups) {
                next.groups.insert(audience, Arc::new(group.packed()));
            }
        }
        if !next.groups.keys().eq(next.audiences.iter()) {
            next.audiences = next.groups.keys().cloned().collect();
        }
        next.generation += 1;
        next.changes = Arc::new(Changes { list });
        self.current = next.clone();
        Some(next)
    }

    fn apply_one(&mut self, next: &mut Snapshot, edit: Edit) -> Option<Change> {
        match edit {
            Edit::Put(audience, resource) => {
                let (kind, name) = (resource.kind(), resource.name().clone());
                let known = next.groups.get(&audience).and_then(|g| g.table(kind).by_name.get(&name));
                if known.is_some_and(|known| **known == *resource) {
                    return None;
                }
                let old = Arc::make_mut(next.groups.entry(audience.clone()).or_default()).put(&resource);
                if old.is_none() && audience.is_some() {
                    self.homes.entry((kind, name.clone())).or_default().push(audience.clone());
                }
                Some(Change { audience, kind, name, old, new: Some(resource) })
            }
            Edit::Remove(audience, kind, name) => {
                let group: &mut Arc<Group> = next.groups.get_mut(&audience)?;
                let old = Arc::make_mut(group).remove(kind, &name)?;
                if group.is_empty() {
                    next.groups.remove(&audience);
                }
                let key = (kind, name.clone());
                if let Some(homes) = self.homes.get_mut(&key) {
                    homes.retain(|home| *home != audience);
                    if homes.is_empty() {
                        self.homes.remove(&key);
                    }
                }
                Some(Change { audience, kind, name, old: Some(old), new: None })
            }
        }
    }

    fn update_contested(&self, next: &mut Snapshot, kind: Kind, name: &Name) {
        if self.homes.is_empty() && next.contested.is_empty() {
            return;
        }
        let key = (kind, name.clone());
        let everyone = next.groups.get(&None).filter(|group| group.table(kind).by_name.contains_key(name));
        let restricted = self.homes.get(&key).into_iter().flatten().cloned();
        let homes: Vec<Audience> = everyone.map(|_| None).into_iter().chain(restricted).collect();
        if homes.len() > 1 {
            next.contested.insert(key, homes.into());
        } else {
            next.contested.remove(&key);
        }
    }
}
