//! Makes a persistent table take no more room than what is in it.
//!
//! Comes in: a table that was filled in order, as at a start. Goes out: the same table in full nodes. One that
//! grows at its end leaves each node half full behind; what is then put between fills them up.

use imbl::{OrdMap, OrdSet};

/// The same map in full nodes.
pub fn packed_map<K: Ord + Clone, V: Clone>(map: &OrdMap<K, V>) -> OrdMap<K, V> {
    let mut packed = OrdMap::new();
    for first in [0, 1] {
        let every_second = map.iter().skip(first).step_by(2);
        every_second.for_each(|(key, value)| drop(packed.insert(key.clone(), value.clone())));
    }
    packed
}

/// The same set in full nodes.
pub fn packed_set<K: Ord + Clone>(set: &OrdSet<K>) -> OrdSet<K> {
    let mut packed = OrdSet::new();
    for first in [0, 1] {
        set.iter().skip(first).step_by(2).for_each(|key| drop(packed.insert(key.clone())));
    }
    packed
}
