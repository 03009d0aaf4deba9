//! Sets of names that many clients ask for alike, kept once.
//!
//! Envoys of one fleet ask for the same ten thousand endpoint assignments. A [`NameSet`] is a reference
//! to a set that all who ask alike share, and the few names by which it differs from that. So what a stream
//! costs does not grow with the number of names.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::fingerprint::Fingerprint;
use super::shelf::Shelf;
use super::wire::NameList;
use crate::resource::Name;

/// So many names of its own a set may have, besides a share of the shared ones: to build a shared set
/// costs as much as it has names, and must not come with each new one.
const FEW: usize = 32;

/// One in so many of the shared names.
const SHARE: usize = 64;

/// A set that is shared, and its fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    names: HashSet<Name, RandomState>,
    fingerprint: Fingerprint,
}

impl Shared {
    /// Each name.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// Of all names.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// The sets that are in use.
pub(crate) type Pool = Shelf<Shared>;

/// A set of names.
#[derive(Debug, Default)]
pub(crate) struct NameSet {
    shared: Arc<Shared>,
    /// Names that are in it and not in the shared set.
    more: HashSet<Name>,
    /// Names of the shared set that are not in it.
    less: HashSet<Name>,
}

impl NameSet {
    /// The set that others have who asked for just this, if it is a shared one.
    pub fn alike(list: &NameList, pool: &Pool) -> Option<NameSet> {
        if list.len() <= FEW {
            return None;
        }
        // A list with a name twice has another fingerprint than a set.
        let is_same = |known: &Shared| {
            known.names.len() == list.len()
                && known.fingerprint == list.fingerprint()
                && list.iter().all(|name| name.is_ok_and(|name| known.names.contains(name)))
        };
        let shared = pool.find(list.fingerprint().short(), is_same)?;
        Some(NameSet { shared, ..NameSet::default() })
    }

    /// Whether it is shared and has just the names of this list. What a client sends with each ACK is told by its
    /// fingerprint alone: who could forge one would deceive itself.
    pub fn is_of(&self, list: &NameList) -> bool {
        let is_same =
            |known: &Arc<Shared>| known.names.len() == list.len() && known.fingerprint == list.fingerprint();
        self.shared().is_some_and(is_same)
    }

    /// The set that is shared, if it is this one.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        (self.more.is_empty() && self.less.is_empty()).then_some(&self.shared)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.shared.names.len() + self.more.len() - self.less.len()
    }

    /// Whether this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.more.contains(name) || (self.shared.names.contains(name) && !self.less.contains(name))
    }

    /// Adds a name.
    pub fn insert(&mut self, name: &Name) {
        if !self.less.remove(name) && !self.shared.names.contains(name) {
            self.more.insert(name.clone());
        }
    }

    /// Drops a name.
    pub fn remove(&mut self, name: &Name) {
        if !self.more.remove(name) && self.shared.names.contains(name) {
            self.less.insert(name.clone());
        }
    }

    /// Becomes this list; gives the names that are new.
    pub fn replace(&mut self, list: Vec<Name>) -> Vec<Name> {
        let new: HashSet<Name> = list.into_iter().collect();
        let added: Vec<Name> = new.iter().filter(|name| !self.contains(name)).cloned().collect();
        if added.is_empty() && new.len() == self.len() {
            return added;
        }
        let less = self.shared.names.iter().filter(|name| !new.contains(*name)).cloned().collect();
        self.more = new.into_iter().filter(|name| !self.shared.names.contains(name)).collect();
        self.less = less;
        added
    }

    /// Shares what can be shared, if it has more than a few names of its own.
    pub fn share(&mut self, pool: &Pool) {
        let own = self.more.len() + self.less.len();
        if own > FEW + self.shared.names.len() / SHARE {
            self.shared = self.find(pool);
            (self.more, self.less) = Default::default();
        }
    }

    /// The shared set with just these names.
    fn find(&self, pool: &Pool) -> Arc<Shared> {
        let sum = |names: &HashSet<Name>| -> Fingerprint {
            names.iter().map(|name| Fingerprint::of(name.as_bytes())).sum()
        };
        let fingerprint = self.shared.fingerprint + sum(&self.more) - sum(&self.less);
        let is_same = |known: &Shared| {
            known.names.len() == self.len()
                && known.fingerprint == fingerprint
                && self.iter().all(|name| known.names.contains(name))
        };
        let made = || Shared { names: self.iter().cloned().collect(), fingerprint };
        let short = fingerprint.short();
        pool.find(short, is_same).unwrap_or_else(|| pool.put(short, made()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Name> {
        self.shared.names.iter().filter(|name| !self.less.contains(*name)).chain(&self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(range: std::ops::Range<u32>) -> Vec<Name> {
        range.map(|number| number.to_string().into()).collect()
    }

    #[test]
    fn those_who_ask_alike_share_one_set_in_whatever_order_they_ask() {
        let pool = Pool::default();
        let (mut one, mut other) = (NameSet::default(), NameSet::default());
        names(0..1000).iter().for_each(|name| one.insert(name));
        one.share(&pool);
        names(500..1000).iter().rev().for_each(|name| other.insert(name));
        other.share(&pool);
        names(0..500).iter().for_each(|name| other.insert(name));
        other.share(&pool);
        assert!(Arc::ptr_eq(&one.shared, &other.shared));
        assert!(one.more.is_empty() && other.more.is_empty() && other.less.is_empty());
    }

    #[test]
    fn a_list_that_others_have_is_found_and_no_other_list() {
        let pool = Pool::default();
        let mut set = NameSet::default();
        names(0..1000).iter().for_each(|name| set.insert(name));
        set.share(&pool);
        let alike = |list: &[Name]| NameSet::alike(&list.iter().collect(), &pool);
        let is_of = |list: &[Name]| set.is_of(&list.iter().collect());
        let mut list = names(0..1000);
        list.reverse();
        assert!(is_of(&list) && alike(&list).is_some_and(|found| Arc::ptr_eq(&found.shared, &set.shared)));
        list[7] = "another".into();
        assert!(!is_of(&list) && alike(&list).is_none());
        list[7] = list[8].clone();
        assert!(!is_of(&list) && alike(&list).is_none(), "a name twice");
        assert!(!is_of(&list[..999]) && alike(&list[..999]).is_none());
    }

    #[test]
    fn one_more_name_is_one_name_of_its_own() {
        let pool = Pool::default();
        let mut set = NameSet::default();
        names(0..1000).iter().for_each(|name| set.insert(name));
        set.share(&pool);
        let shared = set.shared.clone();
        set.insert(&"new".into());
        set.remove(&"7".into());
        set.share(&pool);
        assert!(Arc::ptr_eq(&set.shared, &shared));
        assert_eq!((set.more.len(), set.less.len(), set.len()), (1, 1, 1000));
    }

    #[test]
    fn a_set_that_nobody_has_any_more_is_forgotten() {
        let pool = Pool::default();
        let mut set = NameSet::default();
        for start in 0..9 {
            set.replace(names(start * 1000..(start + 1) * 1000));
            set.share(&pool);
        }
        assert_eq!(pool.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_is_a_set_however_it_is_shared(
            steps in proptest::collection::vec((0u8..4, 0u32..300, 1u32..120), 1..30),
        ) {
            let pool = Pool::default();
            let (mut set, mut model) = (NameSet::default(), HashSet::new());
            for (step, start, len) in steps {
                let list = names(start..start + len);
                match step {
                    0 => for name in &list { set.insert(name); model.insert(name.clone()); },
                    1 => for name in &list { set.remove(name); model.remove(name); },
                    2 => {
                        let mut added = set.replace(list.clone());
                        let list: HashSet<Name> = list.into_iter().collect();
                        let mut expected: Vec<Name> = list.difference(&model).cloned().collect();
                        added.sort();
                        expected.sort();
                        prop_assert_eq!(added, expected);
                        model = list;
                    }
                    _ => set.share(&pool),
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert!(names(0..420).iter().all(|name| set.contains(name) == model.contains(name)));
            }
        }
    }
}
