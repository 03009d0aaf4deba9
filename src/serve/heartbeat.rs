//! Resources that are valid for a time only, and telling clients that they still are.
//!
//! A client that announces it gets the TTL with a resource, and then heartbeats: the resource's name
//! and version without its body, in time before it would expire (protocol rule 28).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::holding::Holding;
use super::wire::Item;
use crate::resource::{Kind, Resource};
use crate::snapshot::View;

/// Heartbeats come this many times within the shortest TTL: one may be late.
const BEATS_PER_TTL: u32 = 3;

/// However short a TTL is, heartbeats are not closer than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// When the next heartbeat of this type is due; nothing if the client holds nothing that expires.
pub(crate) fn schedule(holding: &mut Holding, view: &View, kind: Kind, now: Instant) -> Option<Instant> {
    let held = view.mortal(kind).filter(|resource| holding.subscription.covers_resource(resource));
    let Some(ttl) = held.filter_map(|resource| resource.ttl()).min() else {
        holding.next_beat = None;
        return None;
    };
    let latest = now + (ttl / BEATS_PER_TTL).max(SHORTEST);
    let next = holding.next_beat.map_or(latest, |known| known.min(latest));
    holding.next_beat = Some(next);
    Some(next)
}

/// What a heartbeat says: all that the client holds in its current version and that expires.
pub(crate) fn items(holding: &Holding, view: &View, kind: Kind) -> Vec<Item> {
    let current = view.mortal(kind).filter(|resource| {
        holding.subscription.covers_resource(resource) && !holding.gap.contains_key(resource.name())
    });
    let item = |resource: &Arc<Resource>| Item {
        name: resource.name().clone(),
        version: view.version_of(resource),
        resource: None,
        ttl: resource.ttl(),
    };
    current.map(item).collect()
}
