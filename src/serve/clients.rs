//! The clients and what they run: who is connected, what each was sent, took and refused.
//!
//! Comes in: the events of all streams. Goes out: a copy for people at any time. Nothing here flows
//! back into what is served.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::histogram::Histogram;
use super::insight::Insight;
use super::journal::{Event, Journal, Stream};
use crate::resource::{Digest, Kind, Name};

/// Refusals that are kept of each type on a stream; older ones make room.
const MAX_REFUSALS: usize = 64;

/// Longest part of a client's message that is kept, in bytes.
const MAX_MESSAGE: usize = 4096;

/// The open streams, and totals over all that ever were. Passes every event on to the next journal.
pub struct Clients {
    open: Mutex<BTreeMap<u64, Arc<Mutex<StreamState>>>>,
    totals: [Totals; Kind::COUNT],
    events: AtomicU64,
    next: Arc<dyn Journal>,
}

/// One open stream.
#[derive(Clone, Debug)]
pub struct StreamState {
    /// Who is at the other end.
    pub stream: Stream,
    /// What it lacks, once it has asked for anything.
    pub insight: Option<Insight>,
    /// It asked for secrets, and gets none: another user, over plain TCP.
    pub secrets_withheld: bool,
    /// Since when it is open.
    pub since: Instant,
    /// What was asked for, by type.
    pub types: BTreeMap<Kind, TypeState>,
}

/// One type on a stream.
#[derive(Clone, Debug, Default)]
pub struct TypeState {
    /// Everything is wanted.
    pub wildcard: bool,
    /// How many names are wanted by name.
    pub names: usize,
    /// Type version of the last response, and when it went out.
    pub sent: Option<(Digest, Instant)>,
    /// Type version of the last response that was acknowledged, and when.
    pub acknowledged: Option<(Digest, Instant)>,
    /// Type version of the last response that was refused, and when.
    pub rejected: Option<(Digest, Instant)>,
    /// What the client refuses, until it takes another version.
    pub refusals: VecDeque<Refused>,
}

/// A resource that a client refuses.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its name.
    pub name: Name,
    /// The refused version; none is a refused removal.
    pub version: Option<Digest>,
    /// The client's words. They may quote configuration: redact before showing.
    pub message: Arc<str>,
    /// When.
    pub at: Instant,
}

/// Counts over all streams, of one type.
#[derive(Debug, Default)]
pub struct Totals {
    /// Responses sent.
    pub responses: AtomicU64,
    /// Resources in them.
    pub resources: AtomicU64,
    /// Removals in them.
    pub removals: AtomicU64,
    /// Bytes of them, without the frames around them.
    pub bytes: AtomicU64,
    /// Responses acknowledged.
    pub acks: AtomicU64,
    /// Responses refused.
    pub nacks: AtomicU64,
    /// Time from seeing a change to its ACK.
    pub change_to_ack: Histogram,
}

impl Clients {
    /// No clients yet; events go on to `next`.
    pub fn new(next: Arc<dyn Journal>) -> Clients {
        Clients { open: Mutex::default(), totals: Default::default(), events: AtomicU64::new(0), next }
    }

    /// All open streams as they are now, in the order in which they were opened.
    pub fn streams(&self) -> Vec<StreamState> {
        let open: Vec<_> = lock(&self.open).values().cloned().collect();
        open.iter().map(|state| lock(state).clone()).collect()
    }

    /// Counts what happened so far on all streams: another number means that something did.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// How many connections have streams.
    pub fn connections(&self) -> usize {
        let open: Vec<_> = lock(&self.open).values().cloned().collect();
        let peers: BTreeSet<Arc<str>> = open.iter().map(|state| lock(state).stream.peer.clone()).collect();
        peers.len()
    }

    /// Counts of one type over all streams that ever were.
    pub fn totals(&self, kind: Kind) -> &Totals {
        &self.totals[kind as usize]
    }

    fn state(&self, stream: &Stream) -> Arc<Mutex<StreamState>> {
        let fresh = || StreamState {
            stream: stream.clone(),
            insight: None,
            secrets_withheld: false,
            since: Instant::now(),
            types: BTreeMap::new(),
        };
        lock(&self.open).entry(stream.id).or_insert_with(|| Arc::new(Mutex::new(fresh()))).clone()
    }

    fn count(&self, event: &Event) {
        let add = |counter: &AtomicU64, number: u64| counter.fetch_add(number, Ordering::Relaxed);
        match event {
            Event::Sent { kind, items, removed, bytes, .. } => {
                let totals = self.totals(*kind);
                add(&totals.responses, 1);
                add(&totals.resources, *items as u64);
                add(&totals.removals, *removed as u64);
                add(&totals.bytes, *bytes as u64);
            }
            Event::Acknowledged { kind, since_change, .. } => {
                let totals = self.totals(*kind);
                add(&totals.acks, 1);
                if let Some(time) = since_change {
                    totals.change_to_ack.observe(*time);
                }
            }
            Event::Rejected(rejection) => {
                add(&self.totals(rejection.kind).nacks, 1);
            }
            _ => {}
        }
    }
}

impl Journal for Clients {
    fn note(&self, stream: &Stream, event: &Event) {
        self.count(event);
        if let Event::Closed(_) = event {
            lock(&self.open).remove(&stream.id);
        } else {
            lock(&self.state(stream)).note(event);
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        self.next.note(stream, event);
    }

    fn turned_away(&self, peer: &str, reason: &str) {
        self.next.turned_away(peer, reason);
    }
}

impl StreamState {
    fn note(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::Identified(identity) => self.stream.identity = Some(identity.clone()),
            Event::Started(insight) => self.insight = Some(insight.clone()),
            Event::Subscribed { kind, wildcard, names } => {
                let state = self.types.entry(*kind).or_default();
                (state.wildcard, state.names) = (*wildcard, *names);
            }
            Event::Sent { kind, version, .. } => {
                self.types.entry(*kind).or_default().sent = Some((*version, now));
            }
            Event::Acknowledged { kind, mended, .. } => {
                let state = self.types.entry(*kind).or_default();
                state.acknowledged = state.sent.map(|(version, _)| (version, now));
                state.refusals.retain(|refused| !mended.contains(&refused.name));
            }
            Event::Rejected(rejection) => {
                let state = self.types.entry(rejection.kind).or_default();
                state.rejected = state.sent.map(|(version, _)| (version, now));
                let message: Arc<str> = shortened(&rejection.message).into();
                for (name, version) in &rejection.names {
                    state.refusals.retain(|refused| refused.name != *name);
                    if state.refusals.len() == MAX_REFUSALS {
                        state.refusals.pop_front();
                    }
                    let (name, version, message) = (name.clone(), *version, message.clone());
                    state.refusals.push_back(Refused { name, version, message, at: now });
                }
            }
            Event::SecretsWithheld => self.secrets_withheld = true,
            Event::Opened
            | Event::Overdue { .. }
            | Event::UnknownType(_)
            | Event::Contested(..)
            | Event::Closed(_) => {}
        }
    }
}

fn shortened(message: &str) -> &str {
    let end = (0..=MAX_MESSAGE.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
    &message[..end.unwrap_or(0)]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is written here is for people; a panic elsewhere must not take it away.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::journal::Rejection;
    use crate::serve::wire::Variant;

    struct Nobody;

    impl Journal for Nobody {
        fn note(&self, _: &Stream, _: &Event) {}

        fn turned_away(&self, _: &str, _: &str) {}
    }

    #[test]
    fn a_refusal_is_kept_until_the_client_takes_another_version() {
        let clients = Clients::new(Arc::new(Nobody));
        let (peer, variant) = ("p".into(), Variant::Delta);
        let stream = Stream { id: 7, peer, credential: None, variant, only: None, identity: None };
        let kind = Kind::Cluster;
        let sent = |version| Event::Sent { kind, version: Digest(version), items: 1, removed: 0, bytes: 9 };
        clients.note(&stream, &Event::Opened);
        clients.note(&stream, &sent(1));
        let rejection =
            Rejection { kind, message: "é".repeat(9999), names: vec![("a".into(), Some(Digest(5)))] };
        clients.note(&stream, &Event::Rejected(rejection));
        let types = clients.streams()[0].types.clone();
        assert_eq!(types[&kind].refusals.len(), 1);
        assert!(types[&kind].refusals[0].message.len() <= MAX_MESSAGE);
        assert_eq!(types[&kind].acknowledged, None);
        clients.note(&stream, &sent(2));
        let (mended, time) = (vec!["a".into()], std::time::Duration::from_millis(1));
        clients.note(&stream, &Event::Acknowledged { kind, after: time, since_change: Some(time), mended });
        let state = &clients.streams()[0].types[&kind];
        assert!(state.refusals.is_empty());
        assert_eq!(state.acknowledged.map(|(version, _)| version), Some(Digest(2)));
        clients.note(&stream, &Event::Closed(None));
        assert!(clients.streams().is_empty());
        let totals = clients.totals(kind);
        let counts = [&totals.responses, &totals.resources, &totals.bytes, &totals.acks, &totals.nacks];
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [2, 2, 18, 1, 1]);
        assert_eq!(totals.change_to_ack.counted().count(), 1);
    }
}
