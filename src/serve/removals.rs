//! Make before break, the other half: what must not be removed yet, within one client.
//!
//! Comes in: what the client holds and is about to be told ([`Dependencies`]). Goes out: whether a name may go. Keeps the
//! invariant that nothing goes that the client still holds something of that names it, and that an address is not
//! left before another listener takes it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::holding::{Due, Held, Holding, Kept};
use super::phases::{Dependencies, Gate};
use crate::resource::{Claim, Kind, Name, Resource};

impl Dependencies<'_> {
    /// What of one kind is still named by something that the client holds and that is about to go.
    pub fn still_used(&self, kind: Kind) -> StillUsed {
        // Perhaps the one that takes the address of one that goes: they go and come in one response then.
        let one_comes =
            kind == Kind::Listener && self.holdings.unsettled(kind).any(|it| self.has_to_come(it, kind));
        let mut used = StillUsed { unknown: one_comes, ..StillUsed::default() };
        if kind == Kind::Listener {
            self.note_addresses(&mut used);
        }
        let mut leaving = Vec::new();
        for user in users_of(kind) {
            for holding in self.holdings.unsettled(*user) {
                self.note_used(&mut used, &mut leaving, holding, *user, kind);
            }
        }
        // Clusters that name clusters and are to go themselves need those as long as they stay. They may
        // go together, also where they name each other.
        let stays =
            |used: &StillUsed, name| used.gate(name).and(self.draining.gate(kind, name)) != Gate::Open;
        while let Some(at) = leaving.iter().position(|(name, _)| stays(&used, name)) {
            let (_, resource) = leaving.swap_remove(at);
            used.waiting.extend(resource.references_to(kind).cloned());
        }
        used
    }

    /// A listener stays as long as the one that is to take its address stands refused.
    fn note_addresses(&self, used: &mut StillUsed) {
        for holding in self.holdings.unsettled(Kind::Listener) {
            let mut wanted: HashSet<&Claim> = HashSet::new();
            let mut leaving = Vec::new();
            for (name, held) in &holding.gap {
                match holding.due(self.view, Kind::Listener, name, held) {
                    Due::Send(resource, _) if self.gate_to_send(resource, held) == Gate::Refused => {
                        wanted.extend(resource.claims());
                    }
                    Due::Remove => leaving.extend(held.kept().and_then(|kept| kept.resource.as_ref())),
                    _ => {}
                }
            }
            let stays = |listener: &&Arc<Resource>| listener.claims().iter().any(|it| wanted.contains(it));
            used.refused.extend(leaving.into_iter().filter(stays).map(|listener| listener.name().clone()));
        }
    }

    /// Whether something waits that the client has not had before, and that will go out.
    fn has_to_come(&self, holding: &Holding, kind: Kind) -> bool {
        holding.gap.iter().filter(|(_, held)| held.kept().is_none()).any(|(name, held)| {
            match holding.due(self.view, kind, name, held) {
                Due::Send(resource, _) => {
                    matches!(self.gate_to_send(resource, held), Gate::Waiting | Gate::Until(_))
                }
                _ => false,
            }
        })
    }

    fn note_used<'a>(
        &self,
        used: &mut StillUsed,
        leaving: &mut Vec<(&'a Name, &'a Resource)>,
        holding: &'a Holding,
        user: Kind,
        kind: Kind,
    ) {
        if let Some(in_flight) = holding.awaited(self.now, self.pace.deadline) {
            for sent in in_flight.sent.values() {
                used.note(sent.before.as_ref(), user, kind, false);
                used.waiting.extend(sent.resource.iter().flat_map(|r| r.references_to(kind).cloned()));
            }
        }
        for (name, held) in &holding.gap {
            let refused = matches!(held, Held::Rejected { .. });
            match holding.due(self.view, user, name, held) {
                Due::Settled => {}
                Due::Remove if user == kind => {
                    let resource = held.kept().and_then(|kept| kept.resource.as_deref());
                    let names_some = |r: &&Resource| r.references_to(kind).next().is_some();
                    leaving.extend(resource.filter(names_some).map(|resource| (name, resource)));
                }
                _ => used.note(held.kept(), user, kind, refused),
            }
        }
    }
}

/// Which kinds may name a resource of this kind, so that its removal waits for theirs.
pub(crate) fn users_of(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Cluster => &[
            Kind::Listener,
            Kind::Route,
            Kind::ScopedRoute,
            Kind::VirtualHost,
            Kind::ExtensionConfig,
            Kind::Cluster,
        ],
        Kind::Endpoint => &[Kind::Cluster],
        Kind::Route => &[Kind::Listener, Kind::ScopedRoute],
        Kind::Secret => &[Kind::Listener, Kind::Cluster, Kind::ExtensionConfig],
        Kind::ExtensionConfig => &[Kind::Listener, Kind::Route, Kind::VirtualHost],
        Kind::Listener | Kind::Runtime | Kind::ScopedRoute | Kind::VirtualHost => &[],
    }
}

/// Names that must not be removed yet.
#[derive(Debug, Default)]
pub(crate) struct StillUsed {
    waiting: BTreeSet<Name>,
    refused: BTreeSet<Name>,
    /// Something is about to change of which it is not known what it names.
    unknown: bool,
}

impl StillUsed {
    fn note(&mut self, kept: Option<&Kept>, user: Kind, kind: Kind, refused: bool) {
        match kept.map(|kept| &kept.resource) {
            None => {}
            // Clusters that name clusters are rare; an unknown one must not hold all the others.
            Some(None) => self.unknown |= user != kind,
            Some(Some(resource)) => {
                let set = if refused { &mut self.refused } else { &mut self.waiting };
                set.extend(resource.references_to(kind).cloned());
            }
        }
    }

    /// Whether `name` may be removed now.
    pub fn gate(&self, name: &Name) -> Gate {
        if self.refused.contains(name) {
            Gate::Refused
        } else if self.unknown || self.waiting.contains(name) {
            Gate::Waiting
        } else {
            Gate::Open
        }
    }
}
