//! The streams of one client, and what they hold together.
//!
//! An aggregated stream is alone. A client that opens a stream for each type, or one for each
//! resource, does so over one connection: those streams share what is written here, so that what one
//! of them waits for another is seen, and the order that breaks nothing is kept across them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::holding::Holding;
use super::lingering::Lingering;
use super::phases::{Draining, RecentAcks};
use crate::resource::{Kind, Node};
use crate::snapshot::View;

/// Tells the streams of one client apart.
pub(crate) type StreamId = u64;

/// What the streams of one client share.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    shared: Mutex<Shared>,
    wake: watch::Sender<u64>,
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

/// What each stream holds of each type.
#[derive(Debug, Default)]
pub(crate) struct Holdings([Vec<(StreamId, Box<Holding>)>; Kind::COUNT]);

impl Holdings {
    /// What one stream holds of a type, if it has asked for it.
    pub fn get(&self, kind: Kind, stream: StreamId) -> Option<&Holding> {
        let (_, holding) = self.0[kind as usize].iter().find(|(id, _)| *id == stream)?;
        Some(holding)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, kind: Kind, stream: StreamId) -> Option<&mut Holding> {
        let (_, holding) = self.0[kind as usize].iter_mut().find(|(id, _)| *id == stream)?;
        Some(holding)
    }

    /// The same, beginning with nothing.
    pub fn get_or_start(&mut self, kind: Kind, stream: StreamId) -> &mut Holding {
        let list = &mut self.0[kind as usize];
        let at = list.iter().position(|(id, _)| *id == stream).unwrap_or_else(|| {
            list.push((stream, Box::default()));
            list.len() - 1
        });
        &mut list[at].1
    }

    /// What any stream holds of a type.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Holding> {
        self.0[kind as usize].iter().map(|(_, holding)| &**holding)
    }

    /// The same, to change it.
    pub fn of_mut(&mut self, kind: Kind) -> impl Iterator<Item = &mut Holding> {
        self.0[kind as usize].iter_mut().map(|(_, holding)| &mut **holding)
    }

    fn leave(&mut self, stream: StreamId) {
        for list in &mut self.0 {
            list.retain(|(id, _)| *id != stream);
        }
    }
}

impl Siblings {
    /// What is shared, for one step of one stream.
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in between is a bug of ours, but never one that makes the next step unsound.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the other streams that something they may wait for has happened.
    pub fn stir(&self) {
        self.wake.send_modify(|count| *count += 1);
    }

    /// Wakes when a stream of the same client has stirred.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    /// One of them has ended.
    pub fn leave(&self, stream: StreamId) {
        self.lock().holdings.leave(stream);
        self.stir();
    }
}

/// A connection, and the node that speaks on it, as text.
type Speaker = (Arc<str>, String);

/// All clients that have streams of single types.
#[derive(Debug, Default)]
pub(crate) struct Families(Mutex<HashMap<Speaker, Weak<Siblings>>>);

impl Families {
    /// The siblings of a stream from this connection, of this node.
    pub fn join(&self, connection: &Arc<str>, node: &Node) -> Arc<Siblings> {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // All that a node says of itself decides what it sees.
        let key = (connection.clone(), format!("{node:?}"));
        if let Some(family) = families.get(&key).and_then(Weak::upgrade) {
            return family;
        }
        families.retain(|_, family| family.strong_count() > 0);
        let family = Arc::new(Siblings::default());
        families.insert(key, Arc::downgrade(&family));
        family
    }
}
