//! The current snapshot: one lock-free swap, and a wake-up behind it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Snapshot;

/// Holds the current snapshot. Everything that must agree is in that one value.
pub struct Store {
    current: ArcSwap<Snapshot>,
    wake: watch::Sender<u64>,
    announce: Mutex<Vec<Announce>>,
}

/// Wakes those whom a snapshot concerns.
type Announce = Box<dyn Fn(&Arc<Snapshot>) + Send>;

impl Default for Store {
    fn default() -> Self {
        let current = ArcSwap::from_pointee(Snapshot::unloaded());
        Store { current, wake: watch::Sender::new(0), announce: Mutex::default() }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("current", &self.current).finish_non_exhaustive()
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
    pub fn publish(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.current.store(snapshot.clone());
        self.wake.send_replace(snapshot.generation());
        for announce in &*self.announce() {
            announce(&snapshot);
        }
    }

    /// Wakes with the generation of each snapshot from now on, missing some when slow: only the latest is
    /// kept, so a slow reader misses versions, never content.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    /// Calls this with each snapshot from now on, one after the other, when it is the current one.
    pub fn on_publish(&self, announce: impl Fn(&Arc<Snapshot>) + Send + 'static) {
        self.announce().push(Box::new(announce));
    }

    fn announce(&self) -> std::sync::MutexGuard<'_, Vec<Announce>> {
        // Only whole entries are put in.
        self.announce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
