//! The state-of-the-world variant: what its requests do to a subscription, and what its responses carry.

use super::common::Common;
use super::holding::{Holding, Kept};
use super::plan::{Content, Step};
use super::session::Refusal;
use super::subscription::read;
use super::wire::{Item, NameList};
use crate::resource::{Digest, Kind, Name, Resource};
use crate::snapshot::View;
use std::collections::HashSet;
use std::sync::Arc;

/// The first request for a type: what it asks for.
pub(crate) fn start(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    names: &NameList,
    common: &Common,
) -> Result<(), Refusal> {
    if !holding.subscription.start_alike(names, &common.names) {
        holding.subscription.replace(read(names, view, kind)?);
    }
    Ok(())
}

/// A request's list replaces the subscription; what is new in it is answered.
pub(crate) fn replace(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    names: &NameList,
) -> Result<(), Refusal> {
    if holding.subscription.is_of(names) {
        // Each ACK says again what is wanted.
        return Ok(());
    }
    let names = read(names, view, kind)?;
    let was_wildcard = holding.subscription.is_wildcard();
    let (added, newly_wild) = holding.subscription.replace(names);
    for name in &added {
        holding.ask(view, kind, name, was_wildcard);
    }
    if newly_wild {
        holding.answer_due = true;
        if let Some(view) = view {
            holding.want_all(view, kind);
        }
    }
    let subscription = &holding.subscription;
    holding.gap.retain(|name, _| subscription.covers(name));
    Ok(())
}

/// Whether absence deletes: then each response carries everything (protocol rule 17).
pub(crate) fn is_full_state(kind: Kind, holding: &Holding) -> bool {
    match kind {
        Kind::Listener | Kind::Cluster => true,
        Kind::ScopedRoute => holding.subscription.is_wildcard(),
        _ => false,
    }
}

/// What a response carries: what the steps send and, for full-state types, all that the client is to
/// go on holding, in the version that it holds where a newer one must still wait.
pub(crate) fn content(
    view: &View,
    kind: Kind,
    holding: &Holding,
    steps: &[(Name, Step)],
    full_state: bool,
) -> Content {
    let stepped: HashSet<&Name> = steps.iter().map(|(name, _)| name).collect();
    let mut content = Content::default();
    let mut push = |name: &Name, version: Digest, resource: &Arc<Resource>| {
        let ttl = resource.ttl();
        content.items.push(Item { name: name.clone(), version, resource: Some(resource.clone()), ttl });
    };
    for (name, step) in steps {
        if let Step::Send(resource, version) = step {
            push(name, *version, resource);
        }
    }
    if full_state {
        for (name, held) in &holding.gap {
            let kept = held.kept().filter(|_| !stepped.contains(name));
            if let Some(Kept { version, resource: Some(resource) }) = kept {
                push(name, *version, resource);
            }
        }
        let mut push_current = |resource: &Arc<Resource>| {
            let name = resource.name();
            if !stepped.contains(name) && !holding.gap.contains_key(name) {
                push(name, view.version_of(resource), resource);
            }
        };
        if holding.subscription.is_wildcard() {
            view.iter(kind).for_each(push_current);
        } else {
            let named = holding.subscription.names();
            named.filter_map(|name| view.get(kind, name)).for_each(&mut push_current);
        }
        content.items.sort_by(|a, b| a.name.cmp(&b.name));
    }
    content
}

/// The `version_info` of a response, once its steps have left the gap: of what the client holds when it takes it
/// (protocol rule 4). That is what it sees, but for what it goes on with, or still has to wait for.
pub(crate) fn version(
    view: &View,
    kind: Kind,
    holding: &Holding,
    items: &[Item],
    full_state: bool,
) -> Digest {
    let is_of_names = full_state && !holding.subscription.is_wildcard();
    if is_of_names {
        // These are few, perhaps of many.
        return View::version_of_all(items.iter().map(|item| (&item.name, item.version)));
    }
    let others = holding.gap.iter().filter_map(|(name, held)| {
        let kept = held.kept().map(|kept| kept.version);
        (kept != view.version(kind, name)).then_some((name, kept))
    });
    view.type_version_but(kind, others)
}
