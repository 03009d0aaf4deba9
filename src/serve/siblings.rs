//! The streams of one client, and what they hold together.
//!
//! An aggregated stream is alone. A client that opens a stream for each type, or one for each
//! resource, does so over one connection: those streams share what is written here, so that what one
//! of them waits for another is seen, and the order that breaks nothing is kept across them. Of thousands,
//! an event wakes only those that wait for something of its type.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::holdings::Holdings;
use super::lingering::Lingering;
use super::phases::{Draining, RecentAcks, may_wait_for};
use crate::resource::{Kind, Node};
use crate::snapshot::View;

/// Tells the streams of one client apart.
pub(crate) type StreamId = u64;

/// What the streams of one client share.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    shared: Mutex<Shared>,
    wakers: Mutex<HashMap<StreamId, Waker>>,
}

/// The view that they all are at, and what each of them holds.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub view: Option<View>,
    pub holdings: Holdings,
    pub acks: RecentAcks,
    pub draining: Draining,
    pub lingering: Lingering,
    last_stream: StreamId,
}

impl Shared {
    /// A number for one more stream.
    pub fn enter(&mut self) -> StreamId {
        self.last_stream += 1;
        self.last_stream
    }
}

impl Siblings {
    /// What is shared, for one step of one stream.
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in between is a bug of ours, but never one that makes the next step unsound.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the other streams that wait for something which an event of this type may have brought.
    pub fn stir(&self, holdings: &Holdings, by: StreamId, kind: Kind) {
        for waiter in Kind::ALL.into_iter().filter(|waiter| may_wait_for(*waiter, kind)) {
            let mut others = holdings.waiting(waiter).filter(|id| *id != by).peekable();
            if others.peek().is_some() {
                let wakers = self.wakers();
                others.filter_map(|id| wakers.get(&id)).for_each(Waker::wake_by_ref);
            }
        }
    }

    /// This is to be woken when another stream stirs what this one waits for. To be called before looking
    /// whether there is something to send, so that nothing is missed in between.
    pub fn listen(&self, stream: StreamId, waker: &Waker) {
        match self.wakers().entry(stream) {
            Entry::Occupied(mut known) => known.get_mut().clone_from(waker),
            Entry::Vacant(place) => {
                place.insert(waker.clone());
            }
        }
    }

    /// One of them has ended.
    pub fn leave(&self, stream: StreamId) {
        // Dropped behind both locks.
        let _waker = self.wakers().remove(&stream);
        let mut shared = self.lock();
        for kind in Kind::ALL {
            if shared.holdings.leave(kind, stream) {
                self.stir(&shared.holdings, stream, kind);
            }
        }
    }

    fn wakers(&self) -> MutexGuard<'_, HashMap<StreamId, Waker>> {
        // Only whole entries are put in and taken out.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, and the node that speaks on it, as text.
type Speaker = (u64, String);

/// All clients that have streams of single types.
#[derive(Debug, Default)]
pub(crate) struct Families(Mutex<HashMap<Speaker, Weak<Siblings>>>);

impl Families {
    /// The siblings of a stream from this connection, of this node.
    pub fn join(&self, connection: u64, node: &Node) -> Arc<Siblings> {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // All that a node says of itself decides what it sees.
        let key = (connection, format!("{node:?}"));
        if let Some(family) = families.get(&key).and_then(Weak::upgrade) {
            return family;
        }
        // Now and then: looking at all of them for each would be quadratic.
        if families.len() == families.capacity() {
            families.retain(|_, family| family.strong_count() > 0);
        }
        let family = Arc::new(Siblings::default());
        families.insert(key, Arc::downgrade(&family));
        family
    }
}
