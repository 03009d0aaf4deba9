//! What connections of before still use at an Envoy, although its listener was replaced.
//!
//! A listener that changes or goes is drained: its connections keep the routes, filters and clusters of before, and until
//! the new one is warm, all new connections do. An ACK says nothing of either. Comes in: listeners that are
//! replaced, with what the client holds of what they name. Goes out: until when a removal has to wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::holding::Sent;
use super::holdings::Holdings;
use super::phases::Gate;
use crate::resource::{Kind, Name, Resource};
use crate::snapshot::View;

/// Resources that are in use for some more time: what they name must not go.
#[derive(Debug, Default)]
pub(crate) struct Draining(Vec<(Instant, Arc<Resource>)>);

impl Draining {
    /// These are in use at least until then.
    pub fn keep(&mut self, resources: Vec<Arc<Resource>>, until: Instant) {
        for resource in resources {
            match self.0.iter_mut().find(|(_, known)| Arc::ptr_eq(known, &resource)) {
                Some((known, _)) => *known = until.max(*known),
                None => self.0.push((until, resource)),
            }
        }
    }

    /// The client has what replaces them: nothing is in use for longer than this.
    pub fn end_by(&mut self, until: Instant) {
        self.0.iter_mut().for_each(|(known, _)| *known = until.min(*known));
    }

    /// Forgets what is over.
    pub fn forget_old(&mut self, now: Instant) {
        if self.0.iter().any(|(until, _)| *until <= now) {
            self.0.retain(|(until, _)| *until > now);
            if self.0.is_empty() {
                self.0 = Vec::new();
            }
        }
    }

    /// Whether this may be removed.
    pub fn gate(&self, kind: Kind, name: &Name) -> Gate {
        if !matches!(kind, Kind::Cluster | Kind::ExtensionConfig) {
            return Gate::Open;
        }
        let users = self.0.iter().filter(|(_, user)| user.references_to(kind).any(|named| named == name));
        users.map(|(until, _)| *until).max().map_or(Gate::Open, Gate::Until)
    }
}

/// The listeners that a response replaces or removes, and what they name that names clusters itself, as the client
/// holds it.
pub(crate) fn replaced(holdings: &Holdings, view: &View, sent: &BTreeMap<Name, Sent>) -> Vec<Arc<Resource>> {
    let listeners = sent.values().filter_map(|sent| sent.before.as_ref()?.resource.clone());
    let mut found: Vec<Arc<Resource>> = listeners.collect();
    let mut at = 0;
    while let Some(user) = found.get(at).cloned() {
        for kind in [Kind::Route, Kind::ExtensionConfig] {
            for name in user.references_to(kind) {
                let held = held(holdings, view, kind, name);
                let new = held.filter(|held| !found.iter().any(|known| Arc::ptr_eq(known, held)));
                found.extend(new);
            }
        }
        at += 1;
    }
    found
}

fn held(holdings: &Holdings, view: &View, kind: Kind, name: &Name) -> Option<Arc<Resource>> {
    let in_gap = |holding: &super::holding::Holding| holding.gap.get(name)?.kept()?.resource.clone();
    holdings.of_name(kind, name).find_map(in_gap).or_else(|| view.get(kind, name).cloned())
}
