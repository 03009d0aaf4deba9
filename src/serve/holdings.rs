//! What the streams of one client hold, found by stream, by name, and by what is not settled yet.
//!
//! An Envoy that opens a stream for each resource has thousands of them on one connection. Comes in: changes
//! to one [`Holding`] at a time, through a guard. Goes out: those few that an event concerns. Keeps the
//! invariant that the indexes say what the holdings say whenever no guard is alive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use super::holding::Holding;
use super::siblings::StreamId;
use crate::resource::{Kind, Name};

/// A stream with more names than these is looked at for every name: those that have one each are many,
/// those that have many are few.
const FEW: usize = 8;

/// What each stream holds of each type.
#[derive(Debug, Default)]
pub(crate) struct Holdings([Table; Kind::COUNT]);

/// All streams, of one type.
#[derive(Debug, Default)]
struct Table {
    holdings: BTreeMap<StreamId, Box<Filed>>,
    index: Index,
}

/// A holding, and the names that it is found by.
#[derive(Debug, Default)]
struct Filed {
    holding: Holding,
    names: Vec<Name>,
}

#[derive(Debug, Default)]
struct Index {
    by_name: BTreeSet<(Name, StreamId)>,
    /// Those that may want any name.
    broad: BTreeSet<StreamId>,
    /// Those that have something to be told of, now or later.
    waiting: BTreeSet<StreamId>,
    /// Those whose client has not answered.
    in_flight: BTreeSet<StreamId>,
}

impl Holdings {
    /// What one stream holds of a type, if it has asked for it.
    pub fn get(&self, kind: Kind, stream: StreamId) -> Option<&Holding> {
        self.0[kind as usize].holdings.get(&stream).map(|filed| &filed.holding)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, kind: Kind, stream: StreamId) -> Option<Guard<'_>> {
        let Table { holdings, index } = &mut self.0[kind as usize];
        let filed = holdings.get_mut(&stream)?;
        Some(Guard { kind, stream, filed, index })
    }

    /// The same, beginning with nothing.
    pub fn get_or_start(&mut self, kind: Kind, stream: StreamId) -> Guard<'_> {
        let Table { holdings, index } = &mut self.0[kind as usize];
        let filed = holdings.entry(stream).or_default();
        Guard { kind, stream, filed, index }
    }

    /// Whether any stream has asked for it.
    pub fn any(&self, kind: Kind) -> bool {
        !self.0[kind as usize].holdings.is_empty()
    }

    /// Those that may want this name, and no others of those that have few names.
    pub fn of_name(&self, kind: Kind, name: &Name) -> impl Iterator<Item = &Holding> {
        let table = &self.0[kind as usize];
        table.index.of_name(name).filter_map(|id| Some(&table.holdings.get(&id)?.holding))
    }

    /// The streams that want this name, and perhaps others that want virtual hosts by an alias.
    pub fn wanting(&self, kind: Kind, name: &Name) -> impl Iterator<Item = StreamId> {
        let Table { holdings, index } = &self.0[kind as usize];
        let wants = move |id: &StreamId| {
            let wanted = holdings.get(id).map(|filed| &filed.holding.subscription);
            kind == Kind::VirtualHost || wanted.is_some_and(|wanted| wanted.covers(name))
        };
        index.of_name(name).filter(wants)
    }

    /// The same, to change them.
    pub fn change_of_name(&mut self, kind: Kind, name: &Name, change: impl FnMut(&mut Holding)) {
        let streams: Vec<StreamId> = self.0[kind as usize].index.of_name(name).collect();
        self.change(kind, streams, change);
    }

    /// Those that are not settled: something is to be sent, refused, or not answered yet.
    pub fn unsettled(&self, kind: Kind) -> impl Iterator<Item = &Holding> {
        let Table { holdings, index } = &self.0[kind as usize];
        let streams = index.waiting.union(&index.in_flight);
        streams.filter_map(|id| Some(&holdings.get(id)?.holding))
    }

    /// The streams that have something to be told of, now or later.
    pub fn waiting(&self, kind: Kind) -> impl Iterator<Item = StreamId> {
        self.0[kind as usize].index.waiting.iter().copied()
    }

    /// Those among them, to change them.
    pub fn change_waiting(&mut self, kind: Kind, change: impl FnMut(&mut Holding)) {
        let streams: Vec<StreamId> = self.waiting(kind).collect();
        self.change(kind, streams, change);
    }

    /// All of a type, to change them.
    pub fn change_all(&mut self, kind: Kind, change: impl FnMut(&mut Holding)) {
        let streams: Vec<StreamId> = self.0[kind as usize].holdings.keys().copied().collect();
        self.change(kind, streams, change);
    }

    fn change(&mut self, kind: Kind, streams: Vec<StreamId>, mut change: impl FnMut(&mut Holding)) {
        for stream in streams {
            if let Some(mut holding) = self.get_mut(kind, stream) {
                change(&mut holding);
            }
        }
    }

    /// A stream has ended; whether it held anything of the type.
    pub fn leave(&mut self, kind: Kind, stream: StreamId) -> bool {
        let Table { holdings, index } = &mut self.0[kind as usize];
        let Some(filed) = holdings.remove(&stream) else { return false };
        index.forget(stream, &filed.names);
        index.waiting.remove(&stream);
        index.in_flight.remove(&stream);
        true
    }
}

/// One holding to be changed; filed anew when this is dropped.
pub(crate) struct Guard<'a> {
    kind: Kind,
    stream: StreamId,
    filed: &'a mut Filed,
    index: &'a mut Index,
}

impl Deref for Guard<'_> {
    type Target = Holding;

    fn deref(&self) -> &Holding {
        &self.filed.holding
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Holding {
        &mut self.filed.holding
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.index.file(self.kind, self.stream, self.filed);
    }
}

impl Index {
    fn of_name(&self, name: &Name) -> impl Iterator<Item = StreamId> {
        let range = (name.clone(), StreamId::MIN)..=(name.clone(), StreamId::MAX);
        self.broad.iter().copied().chain(self.by_name.range(range).map(|(_, id)| *id))
    }

    fn file(&mut self, kind: Kind, stream: StreamId, filed: &mut Filed) {
        let Filed { holding, names } = filed;
        if holding.gap.is_empty() {
            // An emptied tree keeps its last node, and of thousands of streams nearly all are up to date.
            holding.gap = BTreeMap::new();
        }
        let wanted = &holding.subscription;
        // A virtual host may be wanted by an alias.
        let is_broad = wanted.is_wildcard() || wanted.named() > FEW || kind == Kind::VirtualHost;
        if is_broad {
            if self.broad.insert(stream) {
                self.forget_names(stream, names);
                *names = Vec::new();
            }
        } else if wanted.named() != names.len() || !names.iter().all(|name| wanted.contains(name)) {
            self.forget(stream, names);
            *names = wanted.names().cloned().collect();
            self.by_name.extend(names.iter().map(|name| (name.clone(), stream)));
        } else {
            self.broad.remove(&stream);
        }
        set(&mut self.waiting, stream, !holding.gap.is_empty() || holding.answer_due);
        set(&mut self.in_flight, stream, holding.in_flight.is_some());
    }

    fn forget(&mut self, stream: StreamId, names: &[Name]) {
        self.broad.remove(&stream);
        self.forget_names(stream, names);
    }

    fn forget_names(&mut self, stream: StreamId, names: &[Name]) {
        for name in names {
            self.by_name.remove(&(name.clone(), stream));
        }
    }
}

fn set(streams: &mut BTreeSet<StreamId>, stream: StreamId, is_in: bool) {
    if is_in {
        streams.insert(stream);
    } else if streams.remove(&stream) && streams.is_empty() {
        *streams = BTreeSet::new();
    }
}
