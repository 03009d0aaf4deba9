//! A look into one stream, for people: what its client does not have yet, and what it refuses.
//!
//! Comes in: a snapshot. Goes out: names. The stream is locked while its gap is read, which is empty
//! for a client that is up to date and read in part only where it is large; nothing is changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use super::holding::{Due, Held, Holding};
use super::siblings::{Siblings, StreamId};
use super::wire::Identity;
use crate::resource::{Kind, Name};
use crate::snapshot::{Found, Snapshot, View};

/// Names of a gap that are looked at; of what is beyond, only the number is told.
const MAX_LOOKED_AT: usize = 4096;

/// Names that are told of each sort.
const MAX_NAMES: usize = 16;

/// Looks into one stream, as long as it is open.
#[derive(Clone, Debug)]
pub struct Insight {
    siblings: Weak<Siblings>,
    id: StreamId,
    identity: Option<Arc<Identity>>,
}

/// What a client lacks, of one type on one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacking {
    /// How many it does not hold in the newest version, or has not acknowledged yet.
    pub behind: usize,
    /// The first of them.
    pub names: Vec<Name>,
    /// What it refuses in the newest version.
    pub refused: BTreeSet<Name>,
    /// What it is not sent because several audiences of it have their own.
    pub contested: Vec<Name>,
    /// What it asks for by name and what does not exist for it, as far as that is no usual question.
    pub missing: Vec<Name>,
    /// An answer of the client is awaited, or the stream has not looked at the newest yet.
    pub is_pending: bool,
}

impl Lacking {
    fn add(&mut self, name: &Name) {
        self.behind += 1;
        if self.names.len() < MAX_NAMES {
            self.names.push(name.clone());
        }
    }
}

impl Insight {
    pub(crate) fn new(siblings: &Arc<Siblings>, id: StreamId, identity: Option<Arc<Identity>>) -> Insight {
        Insight { siblings: Arc::downgrade(siblings), id, identity }
    }

    /// What the client lacks of a snapshot, by type that it asked for.
    pub fn lacking(&self, snapshot: &Arc<Snapshot>) -> Vec<(Kind, Lacking)> {
        let Some(siblings) = self.siblings.upgrade() else { return Vec::new() };
        let node = self.identity.as_ref().map(|identity| &identity.node);
        // The comparison with what the stream has not even looked at yet needs no lock.
        let seen = siblings.lock().view.clone();
        let (newest, ahead) = match &seen {
            Some(view) if view.snapshot().generation() >= snapshot.generation() => {
                (view.clone(), BTreeSet::new())
            }
            Some(view) => {
                let newest = view.of(snapshot.clone(), node);
                let ahead = newest.changed_since(view);
                (newest, ahead)
            }
            None => (View::new(snapshot.clone(), node), BTreeSet::new()),
        };
        let contested: Vec<(Kind, &Name)> = newest.contested().take(MAX_LOOKED_AT).collect();
        let shared = siblings.lock();
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let Some(holding) = shared.holdings.get(kind, self.id) else { continue };
            let mut lacking = within(holding, &newest, kind);
            lacking.missing = missing(holding, &newest, kind);
            // What it never held is in no gap: it is not sent all the same.
            for (_, name) in contested.iter().filter(|(of, _)| *of == kind) {
                let is_wanted = holding.subscription.covers(name) && !lacking.contested.contains(name);
                if is_wanted && lacking.contested.len() < MAX_NAMES {
                    lacking.contested.push((*name).clone());
                }
            }
            for (_, name) in ahead.iter().filter(|(of, _)| *of == kind) {
                let covered = |view: &View| {
                    view.get(kind, name).is_some_and(|found| holding.subscription.covers_resource(found))
                };
                if !holding.gap.contains_key(name) && (covered(&newest) || seen.as_ref().is_some_and(covered))
                {
                    lacking.add(name);
                    lacking.is_pending = true;
                }
            }
            if seen.is_none() && lacking.behind == 0 {
                // The stream has not looked at anything yet: it lacks all that it asked for.
                let wanted = if holding.subscription.is_wildcard() { newest.count(kind) } else { 0 };
                lacking.behind = wanted.max(holding.subscription.named());
                lacking.is_pending = true;
            }
            all.push((kind, lacking));
        }
        all
    }
}

/// What is lacking of what the stream has looked at.
fn within(holding: &Holding, view: &View, kind: Kind) -> Lacking {
    let mut lacking = Lacking::default();
    for (name, held) in holding.gap.iter().take(MAX_LOOKED_AT) {
        match (holding.due(view, kind, name, held), held) {
            (Due::Settled, _) => {}
            (Due::Send(..) | Due::Remove, _) => lacking.add(name),
            (Due::Withheld | Due::Repeat(..), _) if view.is_contested(kind, name) => {
                lacking.contested.extend((lacking.contested.len() < MAX_NAMES).then(|| name.clone()));
            }
            (Due::Withheld, Held::Rejected { .. }) => {
                lacking.refused.insert(name.clone());
            }
            (Due::Withheld | Due::Repeat(..), _) => {}
        }
    }
    lacking.behind += holding.gap.len().saturating_sub(MAX_LOOKED_AT);
    lacking.is_pending = holding.in_flight.is_some();
    let sent = holding.in_flight.as_ref().map(|in_flight| &in_flight.sent);
    for name in sent.iter().flat_map(|sent| sent.keys()).take(MAX_LOOKED_AT) {
        if !holding.gap.contains_key(name) {
            lacking.add(name);
        }
    }
    lacking.behind += sent.map_or(0, |sent| sent.len().saturating_sub(MAX_LOOKED_AT));
    lacking
}

/// Names that the client waits for in vain. Virtual hosts are asked for by whatever requests name, and a client
/// before the first load waits for everything.
fn missing(holding: &Holding, view: &View, kind: Kind) -> Vec<Name> {
    if kind == Kind::VirtualHost || !view.snapshot().is_loaded() {
        return Vec::new();
    }
    let names = holding.subscription.names().take(MAX_LOOKED_AT);
    let mut missing: Vec<Name> = names
        .filter(|name| matches!(view.find(kind, name), Found::Nothing))
        .take(MAX_NAMES)
        .cloned()
        .collect();
    missing.sort();
    missing
}
