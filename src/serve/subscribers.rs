//! All clients that have streams, and which of them are woken for a new snapshot: those whom it concerns.
//!
//! Comes in: each client at its first request, each snapshot when it is the current one. Goes out: wake-ups. A
//! client that is not woken is like one that is slow: what it holds is told against an older snapshot, and
//! that is still true. So that nobody holds an old one for ever, all are woken now and then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::fingerprint::Fingerprint;
use super::siblings::Siblings;
use crate::resource::{Kind, Name, Node};
use crate::snapshot::{Audience, Snapshot, View};

/// With more changes than these, each client is left to find out by itself.
const MANY: usize = 256;

/// One snapshot in so many wakes everybody: this bounds what old ones are held.
const REFRESH: u64 = 64;

/// A connection, and the node that speaks on it: all that a node says of itself decides what it sees.
type Speaker = (u64, Fingerprint);

fn speaker(connection: u64, node: &Node) -> Speaker {
    (connection, Fingerprint::of(format!("{node:?}").as_bytes()))
}

/// All clients that have streams.
#[derive(Debug)]
pub(crate) struct Subscribers {
    open: Mutex<Open>,
    /// The snapshot that was announced last.
    last: Mutex<Arc<Snapshot>>,
}

/// Clients that had streams when it was last looked.
#[derive(Debug, Default)]
struct Open {
    /// Those that have one stream for everything.
    alone: Vec<Weak<Siblings>>,
    /// Those that have streams of single types.
    families: HashMap<Speaker, Weak<Siblings>>,
    /// The newest stream for everything of each: what else comes from there belongs to it.
    heads: HashMap<Speaker, Weak<Siblings>>,
}

/// What is new in a snapshot for those who belong to the same audiences.
pub(crate) struct News<'s> {
    old: &'s Arc<Snapshot>,
    new: &'s Arc<Snapshot>,
    is_for_all: bool,
    names: BTreeMap<Arc<[Audience]>, BTreeSet<(Kind, Name)>>,
}

impl Subscribers {
    /// No clients yet; the next snapshot follows this one.
    pub fn new(current: Arc<Snapshot>) -> Subscribers {
        Subscribers { open: Mutex::default(), last: Mutex::new(current) }
    }

    /// One more client has a stream for everything, from this connection, of this node if it says which.
    pub fn enter(&self, client: &Arc<Siblings>, connection: u64, node: Option<&Node>) {
        let Open { alone, heads, .. } = &mut *lock(&self.open);
        if let Some(node) = node {
            if heads.len() == heads.capacity() {
                heads.retain(|_, client| client.strong_count() > 0);
            }
            heads.insert(speaker(connection, node), Arc::downgrade(client));
        }
        // Now and then: looking at all of them for each would be quadratic.
        if alone.len() == alone.capacity() {
            alone.retain(|client| client.strong_count() > 0);
        }
        alone.push(Arc::downgrade(client));
    }

    /// The siblings of a stream of a single type from this connection, of this node. An Envoy asks for virtual hosts
    /// on such a stream beside one for everything.
    pub fn family(&self, connection: u64, node: &Node) -> Arc<Siblings> {
        let Open { families, heads, .. } = &mut *lock(&self.open);
        let key = speaker(connection, node);
        let known = [&*heads, &*families].into_iter().find_map(|all| all.get(&key).and_then(Weak::upgrade));
        if let Some(family) = known {
            return family;
        }
        if families.len() == families.capacity() {
            families.retain(|_, family| family.strong_count() > 0);
        }
        let family = Arc::new(Siblings::default());
        families.insert(key, Arc::downgrade(&family));
        family
    }

    /// Wakes those whom a snapshot concerns. Whoever comes to be one of them from now on finds it in the store.
    pub fn announce(&self, snapshot: &Arc<Snapshot>) {
        let last = std::mem::replace(&mut *lock(&self.last), snapshot.clone());
        let mut news = News::between(&last, snapshot);
        for client in self.clients() {
            client.hear(&mut news);
        }
    }

    fn clients(&self) -> Vec<Arc<Siblings>> {
        let Open { alone, families, .. } = &*lock(&self.open);
        alone.iter().chain(families.values()).filter_map(Weak::upgrade).collect()
    }
}

impl<'s> News<'s> {
    fn between(old: &'s Arc<Snapshot>, new: &'s Arc<Snapshot>) -> News<'s> {
        let is_next = old.is_loaded() && new.generation() == old.generation() + 1;
        let is_small = new.changes().len() <= MANY && new.has_audiences_of(old);
        let is_for_all = !is_next || !is_small || new.generation().is_multiple_of(REFRESH);
        News { old, new, is_for_all, names: BTreeMap::new() }
    }

    /// The names whose version may have changed for a client with this view; `None` if it is to look by itself.
    pub fn of(&mut self, view: &View) -> Option<&BTreeSet<(Kind, Name)>> {
        if self.is_for_all || !view.snapshot().has_audiences_of(self.new) {
            return None;
        }
        let names = self.names.entry(view.audiences().clone());
        let at = |snapshot: &Arc<Snapshot>| view.of(snapshot.clone(), None);
        Some(names.or_insert_with(|| at(self.new).changed_since(&at(self.old))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole entries are put in and taken out.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
