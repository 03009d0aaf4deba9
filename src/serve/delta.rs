//! The incremental variant: what its requests do to a subscription, and what its responses carry.

use std::collections::{BTreeSet, HashMap};

use super::holding::{Held, Holding, Kept};
use super::plan::{Content, Step};
use super::subscription::{WILDCARD, intern};
use super::wire::Item;
use crate::resource::{Digest, Kind, Name};
use crate::snapshot::View;

/// The first request for a type: what it brings from an earlier stream is not sent again where it
/// is equal, and told where it is gone (protocol rule 7).
pub(crate) fn start(
    holding: &mut Holding,
    view: Option<&View>,
    kind: Kind,
    subscribe: Vec<String>,
    mut initial: HashMap<String, String>,
) {
    holding.subscription.start_delta(subscribe.is_empty());
    let names: Vec<Name> = subscribe.into_iter().map(|name| intern(view, kind, name)).collect();
    for name in &names {
        holding.subscription.subscribe(name);
    }
    if view.is_some_and(|view| is_up_to_date(holding, view, kind, &initial)) {
        // Nearly all clients that come again.
        holding.answer_due = holding.subscription.is_wildcard();
        return;
    }
    for name in names.into_iter().filter(|name| **name != *WILDCARD) {
        let held = match initial.remove(&*name) {
            Some(version) => Held::Known(Some(brought(&version))),
            None => Held::Asked(None),
        };
        holding.gap.insert(name, held);
    }
    if holding.subscription.is_wildcard() {
        holding.answer_due = true;
        if let Some(view) = view {
            // Equal ones, nearly all of them at a reconnect, never enter the gap.
            for resource in view.iter(kind) {
                let held = match initial.remove(&**resource.name()) {
                    Some(version) if parse(&version) == view.version_of(resource) => continue,
                    Some(version) => Some(brought(&version)),
                    None => None,
                };
                holding.gap.entry(resource.name().clone()).or_insert(Held::Known(held));
            }
        }
        let gone =
            initial.into_iter().map(|(name, version)| (name.into(), Held::Known(Some(brought(&version)))));
        holding.gap.extend(gone);
    }
}

/// Whether the client brings all that it asks for, as it is, and nothing else.
fn is_up_to_date(holding: &Holding, view: &View, kind: Kind, initial: &HashMap<String, String>) -> bool {
    let (wildcard, named) = (holding.subscription.is_wildcard(), holding.subscription.named());
    let asked = match (wildcard, named) {
        (true, 0) => view.count(kind),
        (true, _) => return false,
        (false, named) => named,
    };
    let is_equal = |name: &str, version: &str| {
        holding.subscription.covers(name) && view.version(kind, name) == Some(parse(version))
    };
    initial.len() == asked && initial.iter().all(|(name, version)| is_equal(name, version))
}

/// A later request: each name given is answered, also one that the client is thought to hold.
pub(crate) fn change(holding: &mut Holding, view: Option<&View>, kind: Kind, subscribe: Vec<String>) {
    for name in subscribe {
        let name = intern(view, kind, name);
        let covered = holding.subscription.covers(&name);
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
}

/// Dropped names are silent from now on, unless the wildcard still covers them: then they are
/// answered, since the client may have forgotten what it held (protocol rules 9 and 10).
pub(crate) fn drop(holding: &mut Holding, view: Option<&View>, kind: Kind, unsubscribe: Vec<String>) {
    for name in unsubscribe {
        let name = intern(view, kind, name);
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
}

/// What a response says of each step.
pub(crate) fn content(view: &View, kind: Kind, steps: &[(Name, Step)]) -> Content {
    let mut content = Content::default();
    let mut told: BTreeSet<&Name> =
        steps.iter().filter(|(_, step)| step.sends()).map(|(name, _)| name).collect();
    for (name, step) in steps {
        match step {
            Step::Send(resource, version) => content.items.push(Item {
                name: name.clone(),
                version: *version,
                ttl: resource.ttl(),
                resource: Some(resource.clone()),
            }),
            Step::Remove { held } if kind == Kind::VirtualHost && !held => match view.by_alias(name) {
                Some(host) => {
                    let resource = view.get(kind, host).filter(|_| told.insert(host));
                    content.items.extend(resource.map(|resource| Item {
                        name: host.clone(),
                        version: view.version_of(resource),
                        ttl: resource.ttl(),
                        resource: Some(resource.clone()),
                    }));
                }
                // A request waits for this host at the client: only a resource without a body ends that.
                None => content.items.push(Item {
                    name: name.clone(),
                    version: Digest::default(),
                    resource: None,
                    ttl: None,
                }),
            },
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
