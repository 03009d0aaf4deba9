//! The streams of one client, and what they hold together.
//!
//! An aggregated stream is alone. A client that opens a stream for each type, or one for each
//! resource, does so over one connection: those streams share what is written here, so that what one
//! of them waits for another is seen, and the order that breaks nothing is kept across them. Of thousands,
//! an event wakes only those that wait for something of its type.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::draining::Draining;
use super::holdings::Holdings;
use super::lingering::Lingering;
use super::phases::{RecentAcks, may_wait_for};
use super::subscribers::News;
use crate::resource::{Digest, Kind, Name};
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
    /// Listeners that were offered once more since the last ACK, for an address that became free in the response
    /// that was refused.
    pub offered_again: BTreeSet<(Name, Option<Digest>)>,
    last_stream: StreamId,
}

impl Shared {
    /// A number for one more stream.
    pub fn enter(&mut self) -> StreamId {
        self.last_stream += 1;
        self.last_stream
    }

    /// The streams that are to look at a new snapshot; `None` if all are.
    fn concerned_by(&self, news: &mut News<'_>) -> Option<BTreeSet<StreamId>> {
        let names = news.of(self.view.as_ref()?)?;
        let waiting = Kind::ALL.into_iter().flat_map(|kind| self.holdings.waiting(kind));
        let wanting = names.iter().flat_map(|(kind, name)| self.holdings.wanting(*kind, name));
        Some(waiting.chain(wanting).collect())
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

    /// Wakes the streams that a new snapshot concerns, and those that wait for something.
    pub fn hear(&self, news: &mut News<'_>) {
        // A stream that is at work may be asking for just what is new.
        let shared = self.shared.try_lock().ok();
        let concerned = shared.as_ref().and_then(|shared| shared.concerned_by(news));
        let wakers = self.wakers();
        match concerned {
            Some(streams) => streams.iter().filter_map(|id| wakers.get(id)).for_each(Waker::wake_by_ref),
            None => wakers.values().for_each(Waker::wake_by_ref),
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
