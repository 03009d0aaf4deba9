//! The current snapshot: one lock-free swap, and a wake-up behind it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Snapshot;

/// Holds the current snapshot. Everything that must agree is in that one value.
#[derive(Debug)]
pub struct Store {
    current: ArcSwap<Snapshot>,
    wake: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        Store { current: ArcSwap::from_pointee(Snapshot::unloaded()), wake: watch::Sender::new(0) }
    }
}

impl Store {
    /// A store in which nothing is loaded yet.
    pub fn new() -> Store {
        Store::default()
    }

    /// The current snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes a snapshot the current one, then wakes those who wait: whoever is woken finds it.
    /// `watch` keeps only the latest generation, so a slow reader misses versions, never content.
    pub fn publish(&self, snapshot: Snapshot) {
        let generation = snapshot.generation();
        self.current.store(Arc::new(snapshot));
        self.wake.send_replace(generation);
    }

    /// Wakes with the generation of each snapshot from now on, missing some when slow.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }
}
