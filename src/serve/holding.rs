//! What a client holds, of one type on one stream.
//!
//! It is not a table of its own: the client holds what the session's view holds, except for the
//! *gap*, the names for which it holds something else or must be told again. A client that is up to
//! date has an empty gap, whatever the number of resources; what to send next follows from the gap
//! and the current view alone, so a slow client can miss versions but never content.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::first::First;
use super::subscription::Subscription;
use crate::resource::{Claim, Digest, Kind, Name, Resource};
use crate::snapshot::{Found, View};

/// Something that a client holds.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Its version.
    pub version: Digest,
    /// The resource itself; not known when the client brought it from an earlier stream.
    pub resource: Option<Arc<Resource>>,
}

/// What a client holds under a name, where that may differ from the view.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// This, or nothing.
    Known(Option<Kept>),
    /// It asked and must be told, whatever it holds.
    Asked(Option<Kept>),
    /// It refused this version. It may have applied it in part, and holds what it held before.
    Rejected { version: Option<Digest>, refused: Option<Arc<Resource>>, before: Option<Kept> },
}

impl Held {
    /// What the client holds, as far as is known.
    pub fn kept(&self) -> Option<&Kept> {
        match self {
            Held::Known(kept) | Held::Asked(kept) | Held::Rejected { before: kept, .. } => kept.as_ref(),
        }
    }
}

/// What is to be done about a name in the gap.
#[derive(Debug)]
pub(crate) enum Due<'a> {
    /// The client is up to date: the name leaves the gap.
    Settled,
    /// Nothing now, but the name stays: refused, or contested.
    Withheld,
    /// Send this.
    Send(&'a Arc<Resource>, Digest),
    /// Tell once more of what it holds, which stays although the view does not have it.
    Repeat(Arc<Resource>, Digest),
    /// Tell that it does not exist.
    Remove,
}

/// What was sent under a name and is not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What the client held before.
    pub before: Option<Kept>,
    /// The client had refused what it was sent before this.
    pub after_refusal: bool,
    /// The version sent; none is a removal.
    pub version: Option<Digest>,
    /// The resource sent: what the client holds if it takes it.
    pub resource: Option<Arc<Resource>>,
}

/// The response that waits for its ACK.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Shared with those that were sent the same.
    pub sent: Arc<BTreeMap<Name, Sent>>,
    pub at: Instant,
    /// When the first change that it tells of was seen.
    pub changed: Option<Instant>,
    /// That its answer is overdue was noted.
    pub overdue: bool,
    /// The answer that it is, as long as others may be sent the same.
    pub _first: Option<Arc<First>>,
}

impl InFlight {
    /// This was sent just now.
    pub fn new(sent: Arc<BTreeMap<Name, Sent>>, at: Instant) -> InFlight {
        InFlight { sent, at, changed: None, overdue: false, _first: None }
    }
}

/// One type on one stream.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    pub subscription: Subscription,
    pub gap: BTreeMap<Name, Held>,
    /// A first wildcard request is answered even with nothing: clients wait for it.
    pub answer_due: bool,
    pub in_flight: Option<InFlight>,
    /// When the first change that the client is to be told of was seen.
    pub changed: Option<Instant>,
    /// Nonce of the last response, also after its ACK.
    pub last_nonce: Option<String>,
    /// When the client is to be told next that what it holds goes on being valid.
    pub next_beat: Option<Instant>,
}

impl Holding {
    /// Whether the client has all that it asked for, and has said so: nearly always.
    pub fn is_at_rest(&self) -> bool {
        self.gap.is_empty() && !self.answer_due && self.in_flight.is_none() && self.changed.is_none()
    }

    /// The response that still waits for its answer. A client that stays silent past the deadline is
    /// taken to have it: nothing waits for it any longer.
    pub fn awaited(&self, now: Instant, deadline: Duration) -> Option<&InFlight> {
        self.in_flight.as_ref().filter(|in_flight| in_flight.at + deadline > now)
    }

    /// For how long an answer has not come that is overdue by now; told once.
    pub fn newly_overdue(&mut self, now: Instant, deadline: Duration) -> Option<Duration> {
        let in_flight = self.in_flight.as_mut().filter(|in_flight| in_flight.at + deadline <= now)?;
        let told = std::mem::replace(&mut in_flight.overdue, true);
        (!told).then(|| now.saturating_duration_since(in_flight.at))
    }

    /// What is to be done about `name`, held as `held`, given the current view.
    pub fn due<'a>(&self, view: &'a View, kind: Kind, name: &Name, held: &Held) -> Due<'a> {
        match view.find(kind, name) {
            Found::Contested => due_to_tell(view, kind, name, held),
            // A virtual host that was asked for by a domain which it has no more is none that the client asked for.
            Found::One(resource) if !self.subscription.covers_resource(resource) => {
                if self.covers_removed(kind, name, held) { Due::Remove } else { Due::Settled }
            }
            Found::One(resource) => due_to_send(view, resource, held),
            Found::Nothing => match held {
                Held::Known(None) => Due::Settled,
                // The host that has this alias is what answers.
                Held::Asked(None) if host_of(view, kind, name).is_some() => Due::Settled,
                _ if !self.covers_removed(kind, name, held) => Due::Settled,
                Held::Rejected { version: None, .. } => Due::Withheld,
                _ => Due::Remove,
            },
        }
    }

    /// A virtual host that was known by an alias is covered by the alias, also after it is gone. One that was brought
    /// from an earlier stream was known by some alias then.
    fn covers_removed(&self, kind: Kind, name: &Name, held: &Held) -> bool {
        self.subscription.covers(name)
            || held.kept().is_some_and(|kept| match &kept.resource {
                Some(resource) => self.subscription.covers_resource(resource),
                None => kind == Kind::VirtualHost,
            })
    }

    /// Puts everything that the view has into the gap, as not held, except what is there already.
    pub fn want_all(&mut self, view: &View, kind: Kind) {
        // What is still on its way from before may or may not be held: it must be told.
        let sent = self.in_flight.iter().flat_map(|in_flight| in_flight.sent.keys());
        for name in sent.cloned().collect::<Vec<_>>() {
            let kept = self.on_its_way(&name);
            self.gap.entry(name).or_insert(Held::Asked(kept));
        }
        for resource in view.iter(kind) {
            let named = self.subscription.contains(resource.name());
            // What was named before is held as the view has it, unless the gap says otherwise.
            if named || self.gap.contains_key(resource.name()) {
                continue;
            }
            self.gap.insert(resource.name().clone(), Held::Known(None));
        }
    }

    /// As if the client, which holds nothing, had just asked for all that it wants.
    pub fn ask_all(&mut self, view: Option<&View>, kind: Kind) {
        self.gap = BTreeMap::new();
        let names: Vec<Name> = self.subscription.names().cloned().collect();
        for name in &names {
            self.ask(view, kind, name, false);
        }
        self.answer_due = self.subscription.is_wildcard();
        if let Some(view) = view.filter(|_| self.answer_due) {
            self.want_all(view, kind);
        }
    }

    /// A name may differ between two views: if it was held, it enters the gap as it was held.
    pub fn enter(&mut self, old: &View, new: &View, kind: Kind, name: &Name) {
        if self.gap.contains_key(name) {
            self.changed = self.changed.or(new.snapshot().seen());
            return;
        }
        let covers = |resource: &&Arc<Resource>| self.subscription.covers_resource(resource);
        let before = old.get(kind, name).filter(covers);
        if before.is_some() || new.get(kind, name).filter(covers).is_some() {
            let kept = before.map(|r| Kept { version: old.version_of(r), resource: Some(r.clone()) });
            self.gap.insert(name.clone(), Held::Known(kept));
            self.changed = self.changed.or(new.snapshot().seen());
        }
    }

    /// What of these names was sent, or taken away, although the view has something else enters the gap as held.
    pub fn enter_as_sent(&mut self, names: Vec<Name>, sent: &BTreeMap<Name, Sent>) {
        for name in names {
            if let Some(Sent { version, resource, .. }) = sent.get(&name) {
                let kept = version.map(|version| Kept { version, resource: resource.clone() });
                self.gap.insert(name, Held::Known(kept));
            }
        }
    }

    /// What was refused is offered once more when something that it names has changed. Routes and
    /// endpoints are no reason for a refusal, but for being named before they come: they may change
    /// all day.
    pub fn offer_again(&mut self, old: &View, new: &View) {
        let may_help = |(kind, name): (Kind, &Name)| {
            let (before, now) = (old.get(kind, name), new.get(kind, name));
            let only_content = before.is_some() && matches!(kind, Kind::Route | Kind::Endpoint);
            before != now && !only_content
        };
        for held in self.gap.values_mut() {
            if let Held::Rejected { refused: Some(refused), before, .. } = held
                && refused.references().any(may_help)
            {
                *held = Held::Asked(before.take());
            }
        }
    }

    /// What was refused is offered once more when an address that it opens is free, or its key, and so is a listener that
    /// gave that up in the same response.
    pub fn offer_claims(&mut self, free: &HashSet<Claim>) {
        let is_free = |resource: &Resource| resource.claims().iter().any(|claim| free.contains(claim));
        for held in self.gap.values_mut() {
            if let Held::Rejected { refused: Some(refused), before, .. } = held {
                let old = before.as_ref().and_then(|kept| kept.resource.as_deref());
                let old = old.filter(|old| old.kind() == Kind::Listener);
                if is_free(refused) || old.is_some_and(is_free) {
                    *held = Held::Asked(before.take());
                }
            }
        }
    }

    /// Aliases that were asked for before anything was loaded: from now on, what has them is.
    pub fn resolve_aliases(&mut self, view: &View, kind: Kind) {
        let is_alias = |name: &&Name| host_of(view, kind, name).is_some();
        let aliases: Vec<Name> = self.gap.keys().filter(is_alias).cloned().collect();
        for alias in aliases {
            self.gap.remove(&alias);
            self.ask(Some(view), kind, &alias, false);
        }
    }

    /// The client asked for this name, or alias: it will be told, whatever it holds.
    pub fn ask(&mut self, view: Option<&View>, kind: Kind, name: &Name, already_covered: bool) {
        let host = view.and_then(|view| host_of(view, kind, name));
        let name = host.map_or(name, |host| host.name());
        let kept = match self.gap.remove(name) {
            Some(held) => held.kept().cloned(),
            None if already_covered => view.and_then(|view| kept_of(view, kind, name)),
            None => self.on_its_way(name),
        };
        self.gap.insert(name.clone(), Held::Asked(kept));
    }

    /// The client may have forgotten what it asked for and was sent: it is sent again, unless refused.
    pub fn repeat(&mut self, view: &View, kind: Kind, name: &Name) {
        let refused = matches!(self.gap.get(name), Some(Held::Rejected { .. }));
        if self.subscription.covers(name) && !refused {
            self.ask(Some(view), kind, name, true);
        }
    }

    /// Takes the ACK of the response in flight.
    pub fn acknowledge(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// What the client may hold by now, of what it was sent and has not answered.
    fn on_its_way(&self, name: &Name) -> Option<Kept> {
        let sent = self.in_flight.as_ref()?.sent.get(name)?;
        Some(Kept { version: sent.version?, resource: sent.resource.clone() })
    }

    /// Takes the NACK of the response in flight: its versions are not sent to this client again. The
    /// client applies the good resources of a refused response, so each may be held or not.
    pub fn reject(&mut self) -> Option<InFlight> {
        let in_flight = self.in_flight.take()?;
        for (name, sent) in &*in_flight.sent {
            // What the client has dropped meanwhile, it starts afresh with if it asks again.
            let resource = sent.resource.as_ref();
            let covered = resource.is_some_and(|resource| self.subscription.covers_resource(resource));
            if !covered && !self.subscription.covers(name) {
                continue;
            }
            // It dropped the name, and has asked for it anew since: it holds nothing, whatever it says of the removal.
            if sent.version.is_none() && matches!(self.gap.get(name), Some(Held::Asked(None))) {
                continue;
            }
            let rejected = Held::Rejected {
                version: sent.version,
                refused: sent.resource.clone(),
                before: sent.before.clone(),
            };
            self.gap.insert(name.clone(), rejected);
        }
        Some(in_flight)
    }
}

fn due_to_send<'a>(view: &View, resource: &'a Arc<Resource>, held: &Held) -> Due<'a> {
    let version = view.version_of(resource);
    match held {
        Held::Known(Some(kept)) if kept.version == version => Due::Settled,
        Held::Rejected { version: Some(refused), .. } if *refused == version => Due::Withheld,
        _ => Due::Send(resource, version),
    }
}

/// Of what is contested, nothing is served, and what the client holds of before stays. But a name that is asked
/// for is answered: a client may wait for it, an Envoy with its start.
fn due_to_tell<'a>(view: &'a View, kind: Kind, name: &Name, held: &Held) -> Due<'a> {
    match held {
        Held::Asked(None) => Due::Remove,
        Held::Asked(Some(Kept { version, resource })) => {
            // One that was brought from an earlier stream is known by its version, if it is one of those.
            let brought = || view.homonyms(kind, name).find(|found| view.version_of(found) == *version);
            let resource = resource.as_ref().or_else(brought);
            resource.map_or(Due::Withheld, |resource| Due::Repeat(resource.clone(), *version))
        }
        Held::Known(_) | Held::Rejected { .. } => Due::Withheld,
    }
}

/// The virtual host that is to be had under an alias.
pub(crate) fn host_of<'v>(view: &'v View, kind: Kind, alias: &str) -> Option<&'v Arc<Resource>> {
    let host = (kind == Kind::VirtualHost).then(|| view.by_alias(alias)).flatten()?;
    // A name of its own comes first.
    if matches!(view.find(kind, alias), Found::Nothing) { view.get(kind, host) } else { None }
}

/// What a client holds that is up to date with `view`.
pub(crate) fn kept_of(view: &View, kind: Kind, name: &Name) -> Option<Kept> {
    let resource = view.get(kind, name)?;
    Some(Kept { version: view.version_of(resource), resource: Some(resource.clone()) })
}
