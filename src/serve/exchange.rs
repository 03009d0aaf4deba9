//! Scopes that take each other's keys in one change.
//!
//! An Envoy refuses all of a response in which a scope takes the key of one that has it still. It applies scopes one after
//! the other, and who lets go of a key behind the one that took it takes it away again: requests find no routes, and
//! nothing says so. Comes in: the steps of a response. Goes out: those that may go together, and the order of what
//! they send. Keeps the invariant that no key belongs to two scopes, behind each resource of a response.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::holding::{Held, Holding, Sent};
use super::plan::{Plan, Step};
use super::wire::Item;
use crate::resource::{Claim, Name, Resource};

/// Takes out of a plan what needs a key of which another does not let go now. Of those that exchange their keys in a
/// circle, one is taken away, and comes with the next response.
pub(crate) fn arrange(holding: &Holding, plan: &mut Plan) {
    let settled: BTreeSet<&Name> = plan.settled.iter().collect();
    let unsettled = holding.gap.iter().filter(|(name, _)| !settled.contains(name));
    let holders = Holders::of(unsettled.filter_map(|(name, held)| Some((name, held_before(held)?))));
    let takers = plan.steps.iter().filter_map(|(name, step)| match step {
        Step::Send(resource, _) => Some((name.clone(), holders.giver(name, resource)?.clone())),
        Step::Remove { .. } => None,
    });
    let givers: BTreeMap<Name, Name> = takers.collect();
    if givers.is_empty() {
        return;
    }
    let lets_go = |(name, step): &&(Name, Step)| match step {
        Step::Send(resource, _) => !holders.keeps(name, resource),
        Step::Remove { .. } => true,
    };
    let going: BTreeSet<Name> = plan.steps.iter().filter(lets_go).map(|(name, _)| name.clone()).collect();
    let mut fates: BTreeMap<&Name, bool> = BTreeMap::new();
    for taker in givers.keys() {
        let chain = Chain::from(taker, &givers, |name| fates.contains_key(name));
        let goes = match chain.end {
            End::Known(name) => fates.get(name).copied().unwrap_or_else(|| going.contains(name)),
            End::Circle(name) => {
                let step = plan.steps.iter_mut().find(|(step, _)| step == name);
                if let Some((_, step)) = step {
                    *step = Step::Remove { held: true };
                    plan.as_it_was.push(name.clone());
                }
                true
            }
        };
        fates.extend(chain.takers.into_iter().map(|name| (name, goes)));
    }
    plan.steps.retain(|(name, _)| fates.get(name) != Some(&false));
}

/// Puts who lets go of a key before who takes it, and what is new behind all: what a client brought from an earlier
/// stream may have had any key.
pub(crate) fn order(items: &mut [Item], sent: &BTreeMap<Name, Sent>) {
    let before =
        sent.iter().filter_map(|(name, sent)| Some((name, &**sent.before.as_ref()?.resource.as_ref()?)));
    let holders = Holders::of(before);
    let takers = sent.iter().filter_map(|(name, sent)| {
        let giver = holders.giver(name, sent.resource.as_ref()?)?;
        Some((name.clone(), giver.clone()))
    });
    let givers: BTreeMap<Name, Name> = takers.collect();
    let mut ranks: BTreeMap<&Name, usize> = BTreeMap::new();
    for taker in givers.keys() {
        let chain = Chain::from(taker, &givers, |name| ranks.contains_key(name));
        let (End::Known(end) | End::Circle(end)) = chain.end;
        let first = ranks.get(end).copied().unwrap_or_default() + 1;
        ranks.extend(chain.takers.into_iter().rev().zip(first..));
    }
    items.sort_by_key(|item| {
        let is_new = sent.get(&item.name).is_some_and(|sent| sent.before.is_none());
        (is_new, ranks.get(&item.name).copied())
    });
}

fn held_before(held: &Held) -> Option<&Resource> {
    held.kept()?.resource.as_deref()
}

/// Who has which key, at the client.
struct Holders<'a>(HashMap<Claim, &'a Name>);

impl<'a> Holders<'a> {
    fn of(held: impl Iterator<Item = (&'a Name, &'a Resource)>) -> Holders<'a> {
        Holders(held.flat_map(|(name, scope)| scope.claims().iter().map(move |key| (*key, name))).collect())
    }

    /// Who has the key that this is to have.
    fn giver(&self, name: &Name, scope: &Resource) -> Option<&'a Name> {
        let holder = scope.claims().iter().find_map(|key| self.0.get(key).copied())?;
        (holder != name).then_some(holder)
    }

    /// Whether it has the key before and after.
    fn keeps(&self, name: &Name, scope: &Resource) -> bool {
        scope.claims().iter().any(|key| self.0.get(key) == Some(&name))
    }
}

/// Those that each take the key of the next.
struct Chain<'a> {
    takers: Vec<&'a Name>,
    end: End<'a>,
}

enum End<'a> {
    /// It takes no key of another, or is known already.
    Known(&'a Name),
    /// It is one of the takers.
    Circle(&'a Name),
}

impl<'a> Chain<'a> {
    fn from(
        taker: &'a Name,
        givers: &'a BTreeMap<Name, Name>,
        is_known: impl Fn(&Name) -> bool,
    ) -> Chain<'a> {
        let (mut takers, mut seen, mut at) = (Vec::new(), BTreeSet::new(), taker);
        loop {
            if is_known(at) {
                return Chain { takers, end: End::Known(at) };
            }
            let Some(giver) = givers.get(at) else { return Chain { takers, end: End::Known(at) } };
            if !seen.insert(at) {
                return Chain { takers, end: End::Circle(at) };
            }
            takers.push(at);
            at = giver;
        }
    }
}
