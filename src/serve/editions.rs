//! Fingerprints of all that is to be had of one kind, to hold against all that a client brings.
//!
//! Envoys that come again bring ten thousand names and versions each, nearly always just those that are served.
//! Comes in: a view, and what a client brings. Goes out: whether that is all, and all is equal. Fingerprints are made
//! once for a snapshot and those who see the same of it, not for each client. Since they are made of what is
//! served, a client that found another list with the same one would deceive nobody but itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use super::fingerprint::Fingerprint;
use super::names::Shared;
use super::subscription::Subscription;
use super::wire::Versions;
use crate::resource::{Kind, Name, Resource};
use crate::snapshot::{Audience, View};

/// What is kept of one snapshot, of each sort. Where nearly every node sees or asks for something else, nothing is
/// shared.
const MAX_KEPT: usize = 16;

/// An edition is worth it for those who bring at least one in so many of its names.
const SHARE: usize = 64;

/// What there is of one kind, as one node sees it.
#[derive(Debug)]
struct Edition {
    /// Of each name with its version.
    each: HashMap<Name, Fingerprint, RandomState>,
    all: Fingerprint,
    /// Of lists of names that many ask for alike; none where a name is not there.
    lists: Mutex<BTreeMap<Fingerprint, Option<Fingerprint>>>,
}

/// The editions of the newest snapshot that somebody asked for.
#[derive(Debug, Default)]
pub(crate) struct Editions(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    generation: u64,
    editions: BTreeMap<(Kind, Arc<[Audience]>), Arc<Edition>>,
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
            && self.of(view, kind).is_some_and(|edition| edition.of(wanted) == Some(brought.fingerprint()))
    }

    fn of(&self, view: &View, kind: Kind) -> Option<Arc<Edition>> {
        // Only whole entries are put in. Whoever comes meanwhile waits for what it would else make as well.
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = view.snapshot().generation();
        if newest.generation < generation {
            *newest = Newest { generation, editions: BTreeMap::new() };
        }
        let key = (kind, view.audiences().clone());
        if newest.generation > generation {
            return None;
        }
        if newest.editions.len() >= MAX_KEPT && !newest.editions.contains_key(&key) {
            return None;
        }
        Some(newest.editions.entry(key).or_insert_with(|| Arc::new(Edition::new(view, kind))).clone())
    }
}

impl Edition {
    fn new(view: &View, kind: Kind) -> Edition {
        let mut entry = Vec::new();
        let of_one = |resource: &Arc<Resource>| {
            entry.clear();
            Versions::put(resource.name(), &view.version_of(resource).to_string(), &mut entry);
            (resource.name().clone(), Fingerprint::of(&entry))
        };
        let each: HashMap<_, _, _> = view.iter(kind).map(of_one).collect();
        Edition { all: each.values().copied().sum(), each, lists: Mutex::default() }
    }

    /// What somebody brings who holds all of this; none where a name is not there.
    fn of(&self, wanted: &Subscription) -> Option<Fingerprint> {
        match wanted.shared() {
            _ if wanted.is_wildcard() => Some(self.all),
            Some(list) => self.of_list(list),
            None => self.of_names(wanted.names()),
        }
    }

    fn of_list(&self, list: &Shared) -> Option<Fingerprint> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lists.get(&list.fingerprint()) {
            return *known;
        }
        let made = self.of_names(list.names());
        if lists.len() < MAX_KEPT {
            lists.insert(list.fingerprint(), made);
        }
        made
    }

    fn of_names<'n>(&self, names: impl Iterator<Item = &'n Name>) -> Option<Fingerprint> {
        names.map(|name| self.each.get(name).copied()).sum()
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
    fn an_edition_is_made_once_for_a_snapshot_and_those_of_old_snapshots_go() {
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

    #[test]
    fn a_list_that_many_ask_for_is_summed_up_once_and_there_are_not_too_many_of_them() {
        let (view, editions) = (view(), Editions::default());
        let edition = editions.of(&view, Kind::Cluster).expect("there is room");
        let kept = || edition.lists.lock().expect("nobody broke it").len();
        for _ in 0..2 {
            let wanted = named(0..50);
            assert!(wanted.shared().is_some());
            assert_eq!(edition.of(&wanted), Some(brought(&view, 0..50).fingerprint()));
            assert_eq!(kept(), 1);
        }
        assert_eq!(edition.of(&named(60..140)), None, "names that are not there");
        for len in 40..90 {
            assert_eq!(edition.of(&named(0..len)), Some(brought(&view, 0..len).fingerprint()));
        }
        assert_eq!(kept(), MAX_KEPT);
    }
}
