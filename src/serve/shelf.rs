//! Values that many streams have alike, kept once, for as long as one of them has it.
//!
//! Clients of one fleet ask for the same names, are sent the same resources and wait for the same ACKs.
//! Whoever made such a value takes the one that is there instead, if it is the same. Nothing is trusted
//! to a fingerprint alone: values are compared. Nothing is kept that nobody uses.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::quality::RandomState;

/// The values that are in use, by fingerprint.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    values: Mutex<HashMap<u64, Weak<T>>>,
    hasher: RandomState,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { values: Mutex::default(), hasher: RandomState::default() }
    }
}

impl<T> Shelf<T> {
    /// A fingerprint that clients cannot choose.
    pub fn fingerprint(&self, of: impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }

    /// The value with this fingerprint, if it is there and the wanted one.
    pub fn find(&self, fingerprint: u64, is_wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let known = self.lock().get(&fingerprint).and_then(Weak::upgrade);
        known.filter(|known| is_wanted(known))
    }

    /// Puts a value here that was not found. Two streams may do so at the same time; each is right.
    pub fn put(&self, fingerprint: u64, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut values = self.lock();
        if values.len() == values.capacity() {
            values.retain(|_, value| value.strong_count() > 0);
        }
        values.insert(fingerprint, Arc::downgrade(&value));
        value
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Weak<T>>> {
        // Only whole entries are put in and taken out.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().values().filter(|value| value.strong_count() > 0).count()
    }
}
