//! All versions that a node is to have of one kind, to hold against all that a client brings.
//!
//! Envoys that come again bring ten thousand names and versions each, nearly always just those that are served.
//! Comes in: a view, and what a client brings. Goes out: whether that is all, and all is equal. A table is made
//! once for a snapshot and those who see the same of it, not for each client.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use super::subscription::Subscription;
use super::wire::Versions;
use crate::resource::{Kind, Name, Resource};
use crate::snapshot::{Audience, View};

/// Tables that are kept of one snapshot. Where nearly every node sees something else, nothing is shared.
const MAX_TABLES: usize = 16;

/// A table is worth it for those who bring at least one in so many of its names.
const SHARE: usize = 64;

/// A version as clients write it.
type Text = [u8; 32];

/// What there is of one kind, as one node sees it: name → its number, and its version.
#[derive(Debug)]
struct Edition(HashMap<Name, (usize, Text), RandomState>);

/// The tables of the newest snapshot that somebody asked for.
#[derive(Debug, Default)]
pub(crate) struct Editions(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    generation: u64,
    tables: BTreeMap<(Kind, Arc<[Audience]>), Arc<Edition>>,
}

impl Editions {
    /// Whether a client that brings this holds all that it asks for, as it is, and nothing else. `false` also
    /// where that is not worth finding out here.
    pub fn is_held(&self, view: &View, kind: Kind, wanted: &Subscription, brought: &Versions) -> bool {
        let asked = match (wanted.is_wildcard(), wanted.named()) {
            (true, 0) => view.count(kind),
            (true, _) => return false,
            (false, named) => named,
        };
        brought.len() == asked
            && brought.len() >= view.count(kind) / SHARE
            && self.of(view, kind).is_some_and(|edition| edition.is_held(wanted, brought))
    }

    fn of(&self, view: &View, kind: Kind) -> Option<Arc<Edition>> {
        // Only whole entries are put in. Whoever comes meanwhile waits for what it would else make as well.
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = view.snapshot().generation();
        if newest.generation < generation {
            *newest = Newest { generation, tables: BTreeMap::new() };
        }
        let key = (kind, view.audiences().clone());
        if newest.generation > generation {
            return None;
        }
        if newest.tables.len() >= MAX_TABLES && !newest.tables.contains_key(&key) {
            return None;
        }
        Some(newest.tables.entry(key).or_insert_with(|| Arc::new(Edition::of(view, kind))).clone())
    }
}

impl Edition {
    fn of(view: &View, kind: Kind) -> Edition {
        let entry = |(at, resource): (usize, &Arc<Resource>)| {
            let version = view.version_of(resource).to_string();
            Some((resource.name().clone(), (at, version.into_bytes().try_into().ok()?)))
        };
        Edition(view.iter(kind).enumerate().filter_map(entry).collect())
    }

    fn is_held(&self, wanted: &Subscription, brought: &Versions) -> bool {
        let mut seen = vec![false; self.0.len()];
        brought.raw().all(|entry| {
            let Ok((name, version)) = entry else { return false };
            let Ok(name) = std::str::from_utf8(name) else { return false };
            let Some((at, current)) = self.0.get(name) else { return false };
            // Of a name that is there twice, the last version counts: that is not for here.
            let is_twice = std::mem::replace(&mut seen[*at], true);
            !is_twice && version == current && wanted.covers(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::names::Pool;
    use crate::serve::wire::NameList;
    use crate::snapshot::{Builder, Edit};

    fn view() -> View {
        let put = |n: u8| Edit::Put(None, Arc::new(Resource::new(Kind::Cluster, format!("c{n}"), &[n])));
        let snapshot = Builder::new().apply((0..100).map(put)).expect("the first");
        View::new(Arc::new(snapshot), None)
    }

    fn brought(view: &View, numbers: impl IntoIterator<Item = u8>) -> Versions {
        let version = |name: &str| view.version(Kind::Cluster, name).expect("it is there").to_string();
        numbers.into_iter().map(|n| format!("c{n}")).map(|name| (name.clone(), version(&name))).collect()
    }

    fn named(numbers: impl IntoIterator<Item = u8>) -> Subscription {
        let names: NameList = numbers.into_iter().map(|n| format!("c{n}")).collect();
        let mut subscription = Subscription::default();
        for name in names.iter() {
            subscription.subscribe(&name.expect("a text").into());
        }
        subscription.share(&Pool::default());
        subscription
    }

    #[test]
    fn only_those_who_bring_all_that_they_ask_for_and_nothing_else_hold_it() {
        let (view, editions) = (view(), Editions::default());
        let holds = |wanted: &Subscription, brought: &Versions| {
            editions.is_held(&view, Kind::Cluster, wanted, brought)
        };
        let mut wildcard = Subscription::default();
        wildcard.start_delta(true);
        assert!(holds(&wildcard, &brought(&view, 0..100)));
        assert!(holds(&wildcard, &brought(&view, (0..100).rev())));
        assert!(!holds(&wildcard, &brought(&view, 0..99)), "one is missing");
        assert!(!holds(&wildcard, &brought(&view, (0..99).chain([0]))), "one is there twice");
        assert!(holds(&named(0..50), &brought(&view, 0..50)));
        assert!(!holds(&named(0..50), &brought(&view, 1..51)), "another one");
        assert!(!holds(&named(0..50), &brought(&view, (0..49).chain([0]))), "one is there twice");
        let other = brought(&view, 0..100)
            .iter()
            .map(Result::unwrap)
            .map(|(n, v)| (n, v.replace('a', "b")))
            .collect();
        assert!(!holds(&wildcard, &other), "another version");
    }

    #[test]
    fn a_table_is_made_once_for_a_snapshot_and_those_of_old_snapshots_go() {
        let (view, editions) = (view(), Editions::default());
        let first = editions.of(&view, Kind::Cluster).expect("there is room");
        let again = editions.of(&view.clone(), Kind::Cluster).expect("it is there");
        assert!(Arc::ptr_eq(&first, &again));
        drop(again);
        let mut builder = Builder::new();
        builder.apply([]);
        let next = builder.apply([Edit::Put(None, Arc::new(Resource::new(Kind::Cluster, "c", &[])))]);
        let next = View::new(Arc::new(next.expect("a change")), None);
        editions.of(&next, Kind::Cluster).expect("there is room");
        assert!(editions.of(&view, Kind::Cluster).is_none(), "a stream that is behind makes none");
        assert_eq!(Arc::strong_count(&first), 1);
    }
}
