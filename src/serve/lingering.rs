//! What a cluster on its way to the client needs, although the snapshot has moved on.
//!
//! An Envoy on an aggregated stream does not acknowledge clusters before all of them are warm, and a
//! cluster is not warm without its endpoints and secrets. If those have gone in the meantime, or wait for
//! the next version of the cluster, the client would wait for them and the server for the client: until
//! Envoy gives up after 15 seconds (`initial_fetch_timeout`), with every other change behind it. So what a
//! cluster in flight names can still be had as it was, until the client answers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::holding::Held;
use super::holdings::Holdings;
use crate::resource::{Digest, Kind, Name, Resource};
use crate::snapshot::View;

/// Resources as they were when the cluster in flight was sent, with their versions.
#[derive(Debug, Default)]
pub(crate) struct Lingering(HashMap<(Kind, Name), (Arc<Resource>, Digest)>);

impl Lingering {
    /// From one view to the next: keeps of what changes or goes that which a cluster in flight names.
    pub fn keep(&mut self, holdings: &Holdings, old: &View, changed: &BTreeSet<(Kind, Name)>) {
        let mut needs =
            changed.iter().filter(|(kind, _)| matches!(kind, Kind::Endpoint | Kind::Secret)).peekable();
        if needs.peek().is_none() {
            return;
        }
        let in_flight = holdings.unsettled(Kind::Cluster).filter_map(|clusters| clusters.in_flight.as_ref());
        let sent =
            in_flight.flat_map(|in_flight| in_flight.sent.values()).filter_map(|s| s.resource.as_ref());
        let named: HashSet<(Kind, &Name)> = sent.flat_map(|cluster| cluster.references()).collect();
        for (kind, name) in needs.filter(|(kind, name)| named.contains(&(*kind, name))) {
            if let Some(resource) = old.get(*kind, name) {
                let was = || (resource.clone(), old.version_of(resource));
                self.0.entry((*kind, name.clone())).or_insert_with(was);
            }
        }
    }

    /// Whether there is nothing of the kind, as nearly always.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The clusters were answered.
    pub fn clear(&mut self) {
        self.0 = HashMap::new();
    }

    /// What may be sent under a name in place of what the view has, unless the client has it, or refused it.
    pub fn find(&self, kind: Kind, name: &Name, held: &Held) -> Option<&(Arc<Resource>, Digest)> {
        if self.is_empty() {
            return None;
        }
        let known = match held {
            Held::Rejected { version, .. } => *version,
            Held::Known(kept) => kept.as_ref().map(|kept| kept.version),
            Held::Asked(_) => None,
        };
        self.0.get(&(kind, name.clone())).filter(|(_, version)| known != Some(*version))
    }
}
