//! The incremental variant: what its requests do to a subscription, and what its responses carry.

use std::collections::HashMap;

use super::common::Common;
use super::holding::{Held, Holding, Kept, host_of};
use super::plan::{Content, Step};
use super::session::Refusal;
use super::subscription::{WILDCARD, read};
use super::wire::{Item, NameList, Versions};
use crate::resource::{Digest, Kind, Name};
use crate::snapshot::View;

/// The first request for a type: what it asks for.
pub(crate) fn start(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    subscribe: &NameList,
    common: &Common,
) -> Result<(), Refusal> {
    holding.subscription.start_delta(subscribe.is_empty());
    if !holding.subscription.start_alike(subscribe, &common.names) {
        for name in read(subscribe, view, kind)? {
            holding.subscription.subscribe(&name);
        }
    }
    holding.answer_due = holding.subscription.is_wildcard();
    Ok(())
}

/// What it brings from an earlier stream is not sent again where it is equal, and told where it is gone
/// (protocol rule 7).
pub(crate) fn compare(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    initial: &Versions,
    common: &Common,
) -> Result<(), Refusal> {
    let wanted = &holding.subscription;
    if !initial.is_empty() && view.is_some_and(|view| common.editions.is_held(view, kind, wanted, initial)) {
        // Nearly all clients that come again.
        return Ok(());
    }
    let mut initial = initial.iter().collect::<Result<HashMap<_, _>, _>>()?;
    let asked = wanted.names().map(|name| {
        let host = view.and_then(|view| host_of(view, kind, name));
        let name = host.map_or(name, |host| host.name());
        // Several aliases may be of one host.
        let version =
            if kind == Kind::VirtualHost { initial.get(&**name).copied() } else { initial.remove(&**name) };
        let brought = version.map(brought);
        (name.clone(), brought.map_or(Held::Asked(None), |kept| Held::Known(Some(kept))))
    });
    holding.gap = asked.collect();
    if kind == Kind::VirtualHost {
        initial.retain(|name, _| !holding.gap.contains_key(*name));
    }
    if !wanted.is_wildcard() {
        if kind == Kind::VirtualHost {
            // Hosts that it has by aliases, which are another's now, or nobody's.
            let others = initial.into_iter();
            holding
                .gap
                .extend(others.map(|(name, version)| (name.into(), Held::Known(Some(brought(version))))));
        }
        return Ok(());
    }
    if let Some(view) = view {
        // Equal ones, nearly all of them at a reconnect, never enter the gap.
        let differing = view.iter(kind).filter_map(|resource| {
            let held = match initial.remove(&**resource.name()) {
                Some(version) if parse(version) == view.version_of(resource) => return None,
                Some(version) => Some(brought(version)),
                None => None,
            };
            Some((resource.name().clone(), Held::Known(held)))
        });
        if holding.gap.is_empty() {
            // A tree of what is in order already is made in one go.
            holding.gap = differing.collect();
        } else {
            for (name, held) in differing {
                holding.gap.entry(name).or_insert(held);
            }
        }
    }
    let gone = initial.into_iter().map(|(name, version)| (name.into(), Held::Known(Some(brought(version)))));
    holding.gap.extend(gone);
    Ok(())
}

/// A later request: each name given is answered, also one that the client is thought to hold.
pub(crate) fn change(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    subscribe: &NameList,
) -> Result<(), Refusal> {
    for name in read(subscribe, view, kind)? {
        let host = view.and_then(|view| host_of(view, kind, &name));
        let covered = match host {
            Some(host) => holding.subscription.covers_resource(host),
            None => holding.subscription.covers(&name),
        };
        if holding.subscription.subscribe(&name) {
            holding.answer_due = true;
            if let Some(view) = view {
                holding.want_all(view, kind);
            }
        }
        if &*name != WILDCARD {
            holding.ask(view, kind, &name, covered);
        }
    }
    Ok(())
}

/// Dropped names are silent from now on, unless the wildcard still covers them: then they are
/// answered, since the client may have forgotten what it held (protocol rules 9 and 10).
pub(crate) fn drop(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    unsubscribe: &NameList,
) -> Result<(), Refusal> {
    for name in read(unsubscribe, view, kind)? {
        let was_named = holding.subscription.contains(&name);
        holding.subscription.unsubscribe(&name);
        if &*name == WILDCARD {
            let subscription = &holding.subscription;
            holding.gap.retain(|name, _| subscription.covers(name));
        } else if holding.subscription.is_wildcard() {
            if was_named {
                holding.ask(view, kind, &name, true);
            }
        } else {
            holding.gap.remove(&name);
        }
    }
    Ok(())
}

/// What a response says of each step.
pub(crate) fn content(kind: Kind, steps: &[(Name, Step)]) -> Content {
    let mut content = Content::default();
    for (name, step) in steps {
        match step {
            Step::Send(resource, version) => content.items.push(Item {
                name: name.clone(),
                version: *version,
                ttl: resource.ttl(),
                resource: Some(resource.clone()),
            }),
            // A request waits for this host at the client: only a resource without a body ends that.
            Step::Remove { held: false } if kind == Kind::VirtualHost => content.items.push(Item {
                name: name.clone(),
                version: Digest::default(),
                resource: None,
                ttl: None,
            }),
            Step::Remove { .. } => content.removed.push(name.clone()),
        }
    }
    content
}

fn brought(version: &str) -> Kept {
    Kept { version: parse(version), resource: None }
}

/// A version that is none of ours equals none of ours.
fn parse(version: &str) -> Digest {
    let digits = Some(version).filter(|version| version.len() == 32);
    Digest(digits.and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or_default())
}
