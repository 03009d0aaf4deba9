//! What of one type is to be sent to one stream now: the steps of a response.
//!
//! Comes in: what the client holds, and what everything waits for. Goes out: a [`Plan`]; nothing is
//! changed yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::exchange;
use super::holding::{Due, Held, Holding, Sent};
use super::phases::{Dependencies, Gate};
use super::removals::StillUsed;
use super::wire::Item;
use crate::resource::{Digest, Kind, Name, Resource};

/// What of one type is to be sent to one stream now. A response holds `room` bytes.
pub(crate) fn plan(dependencies: &Dependencies<'_>, holding: &Holding, kind: Kind, room: usize) -> Plan {
    let mut plan = Plan::default();
    let Dependencies { view, pace, now, .. } = *dependencies;
    if holding.gap.is_empty() && !holding.answer_due {
        return plan;
    }
    if let Some(in_flight) = holding.awaited(now, pace.deadline) {
        plan.wait_until(in_flight.at + pace.deadline);
        return plan;
    }
    let mut used: Option<StillUsed> = None;
    let mut size = 0;
    for (name, held) in &holding.gap {
        let due = holding.due(view, kind, name, held);
        let Some((gate, step)) = weigh(dependencies, holding, (kind, name), held, &due, &mut used) else {
            plan.settled.extend(matches!(due, Due::Settled).then(|| name.clone()));
            continue;
        };
        match gate {
            Gate::Open => {}
            // An event opens it, which may be that the deadline of another type has passed.
            Gate::Waiting => {
                plan.wait_until(now + pace.deadline);
                continue;
            }
            Gate::Until(at) => {
                plan.wait_until(at);
                continue;
            }
            Gate::Refused => continue,
        }
        size += step.size(name);
        if size > room && !plan.steps.is_empty() {
            break;
        }
        if !is_of_now(&due, &step) {
            plan.as_it_was.push(name.clone());
        }
        plan.steps.push((name.clone(), step));
    }
    if kind == Kind::ScopedRoute {
        exchange::arrange(holding, &mut plan);
    }
    plan
}

/// What to say of one name, and whether it may be said now.
fn weigh(
    dependencies: &Dependencies<'_>,
    holding: &Holding,
    (kind, name): (Kind, &Name),
    held: &Held,
    due: &Due<'_>,
    used: &mut Option<StillUsed>,
) -> Option<(Gate, Step)> {
    let lingering = || {
        let covered = holding.subscription.covers(name);
        let (resource, version) = dependencies.lingering.find(kind, name, held).filter(|_| covered)?;
        Some((Gate::Open, Step::Send(resource.clone(), *version)))
    };
    match due {
        Due::Settled => lingering(),
        Due::Withheld => None,
        Due::Repeat(resource, version) => Some((Gate::Open, Step::Send(resource.clone(), *version))),
        Due::Send(resource, version) => {
            let gate = dependencies.gate_to_send(resource, held);
            let instead = if gate == Gate::Waiting { lingering() } else { None };
            Some(instead.unwrap_or_else(|| (gate, Step::Send(Arc::clone(resource), *version))))
        }
        Due::Remove => Some(lingering().unwrap_or_else(|| {
            if held.kept().is_none() {
                return (Gate::Open, Step::Remove { held: false });
            }
            let used = used.get_or_insert_with(|| dependencies.still_used(kind));
            let gate = used.gate(name).and(dependencies.draining.gate(kind, name));
            (gate, Step::Remove { held: true })
        })),
    }
}

/// Whether a step leads to what the view has.
fn is_of_now(due: &Due<'_>, step: &Step) -> bool {
    match (due, step) {
        (Due::Send(_, now), Step::Send(_, sent)) => now == sent,
        (_, Step::Send(..)) => false,
        (_, Step::Remove { .. }) => true,
    }
}

/// What is to be sent of one type.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub steps: Vec<(Name, Step)>,
    /// Those among them that do not lead to what the view has.
    pub as_it_was: Vec<Name>,
    /// Names of the gap that need nothing any more.
    pub settled: Vec<Name>,
    /// Something may go out at this time by itself.
    pub wake_at: Option<Instant>,
}

impl Plan {
    fn wait_until(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// What a response says of one name.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is this, in this version.
    Send(Arc<Resource>, Digest),
    /// It does not exist (any more); `held` if the client held something under it.
    Remove { held: bool },
}

impl Step {
    /// About how many bytes it takes in a response.
    fn size(&self, name: &Name) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD
            + name.len()
            + match self {
                Step::Send(resource, _) => resource.element_len(),
                Step::Remove { .. } => 0,
            }
    }
}

/// What a response carries.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub items: Vec<Item>,
    pub removed: Vec<Name>,
}

/// The names leave the gap; what the client held under them is kept for a NACK.
pub(crate) fn take_steps(holding: &mut Holding, steps: Vec<(Name, Step)>) -> BTreeMap<Name, Sent> {
    // Steps are names of the gap, in its order. When all of it goes, as at a first answer, nothing is looked up.
    let mut all = (steps.len() == holding.gap.len()).then(|| std::mem::take(&mut holding.gap).into_values());
    let sent = |(name, step): (Name, Step)| {
        let held = all.as_mut().map_or_else(|| holding.gap.remove(&name), Iterator::next);
        let after_refusal = matches!(held, Some(Held::Rejected { .. }));
        let before = held.and_then(|held| held.kept().cloned());
        let (resource, version) = match step {
            Step::Send(resource, version) => (Some(resource), Some(version)),
            Step::Remove { .. } => (None, None),
        };
        (name, Sent { before, after_refusal, version, resource })
    };
    steps.into_iter().map(sent).collect()
}
