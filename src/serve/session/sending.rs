//! What a session sends: the next response of each type, in the order that breaks nothing, and heartbeats.
//!
//! Comes in: what the client holds, and the time. Goes out: one response, or when to look again. Keeps the
//! invariant that one response a type is in flight, and that nothing is sent that says nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::super::holding::{Holding, InFlight, Sent};
use super::super::journal::Event;
use super::super::phases::Dependencies;
use super::super::plan::{self, Plan, Step, take_steps};
use super::super::siblings::Shared;
use super::super::wire::{Item, Items, Response, Variant};
use super::super::{delta, draining, exchange, heartbeat, sotw};
use super::{ENVOY, Next, Rules, Session};
use crate::resource::{Digest, Kind, Name};
use crate::snapshot::View;

impl Session {
    /// The next response, if there is something to send now.
    pub fn next(&mut self, now: Instant) -> Next {
        if let Some(response) = self.next_foreign().or_else(|| self.next_ready(now)) {
            return Next { response: Some(response), wake_at: None };
        }
        self.quiet_until = self.quiet_until.filter(|until| *until > now);
        if self.quiet_until.is_some() {
            return Next { response: None, wake_at: self.quiet_until };
        }
        let siblings = self.siblings.clone();
        let mut shared = siblings.lock();
        let Some(view) = shared.view.clone() else { return Next::default() };
        shared.acks.forget_old(now, &self.rules.pace);
        shared.draining.forget_old(now);
        let mut wake_at: Option<Instant> = None;
        for kind in Kind::ALL {
            if shared.holdings.get(kind, self.id).is_none_or(Holding::is_at_rest) {
                continue;
            }
            let late = shared
                .holdings
                .get_mut(kind, self.id)
                .map(|mut h| h.newly_overdue(now, self.rules.pace.deadline));
            self.events.extend(late.flatten().map(|after| Event::Overdue { kind, after }));
            let plan = match shared.holdings.get(kind, self.id) {
                Some(holding) => plan::plan(
                    &dependencies(&shared, &view, &self.rules, now),
                    holding,
                    kind,
                    self.room(kind, holding),
                ),
                None => continue,
            };
            if let Some(at) = plan.wake_at {
                wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
            }
            let response = self.carry_out(&mut shared, &view, kind, plan, now);
            if response.is_some() {
                return Next { response, wake_at };
            }
        }
        let beat = self.beat(&mut shared, &view, now);
        let wake_at = [wake_at, beat.wake_at].into_iter().flatten().min();
        Next { response: beat.response, wake_at }
    }

    /// Tells a client that understands TTLs what goes on being valid, when it is time.
    fn beat(&mut self, shared: &mut Shared, view: &View, now: Instant) -> Next {
        let mut next = Next::default();
        if !self.supports_ttl() {
            return next;
        }
        for kind in Kind::ALL {
            let Some(mut holding) = shared.holdings.get_mut(kind, self.id) else { continue };
            let Some(at) = heartbeat::schedule(&mut holding, view, kind, now) else { continue };
            if holding.in_flight.is_some() {
                continue;
            }
            if at > now {
                next.wake_at = Some(next.wake_at.map_or(at, |known| known.min(at)));
                continue;
            }
            holding.next_beat = None;
            // Where absence deletes, a heartbeat cannot leave anything out: everything is sent again.
            let full_state = self.is_full_state(kind, &holding);
            let items = match full_state {
                true => sotw::content(view, kind, &holding, &[], true).items,
                false => heartbeat::items(&holding, view, kind),
            };
            let version = self.version(view, kind, &holding, &items);
            let mut response = self.response(kind.type_url().into(), version);
            holding.last_nonce = Some(response.nonce.clone());
            holding.in_flight = Some(InFlight::new(Arc::default(), now));
            response.items = items.into();
            next.response = Some(response);
            return next;
        }
        next
    }

    fn supports_ttl(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.supports_ttl())
    }

    fn next_foreign(&mut self) -> Option<Response> {
        let (url, answered) = self.foreign.iter_mut().find(|(_, answered)| !answered)?;
        *answered = true;
        let url = url.clone();
        Some(self.response(url, Digest::default()))
    }

    /// Puts in flight what everybody is answered who holds nothing and asks so, if that is known. It goes out
    /// with the next call of `next`.
    pub(super) fn answer_first(
        &mut self,
        view: Option<&View>,
        kind: Kind,
        holding: &mut Holding,
        now: Instant,
    ) -> bool {
        let wanted = &holding.subscription;
        // The version of a full state by names is that of these names alone.
        let is_of_names = self.is_full_state(kind, holding) && !wanted.is_wildcard();
        let is_alone = is_of_names || self.quiet_until.is_some() || self.ready.is_some();
        let Some(view) = view.filter(|_| !is_alone) else { return false };
        let room = self.room(kind, holding);
        let first = self.common.firsts.of(self.variant, (view, kind), wanted, room);
        let Some(first) = first else { return false };
        let mut response = self.response(kind.type_url().into(), view.type_version(kind));
        response.items = first.items();
        response.removed = first.removed().to_vec();
        holding.answer_due = false;
        holding.last_nonce = Some(response.nonce.clone());
        holding.in_flight =
            Some(InFlight { _first: Some(first.clone()), ..InFlight::new(first.sent(), now) });
        self.ready = Some(Box::new((kind, response)));
        true
    }

    /// An answer that has not gone out when the client asks for more becomes a part of that.
    pub(super) fn take_back(&mut self, shared: &mut Shared, kind: Kind) {
        if self.ready.take_if(|ready| ready.0 == kind).is_none() {
            return;
        }
        if let Some(mut holding) = shared.holdings.get_mut(kind, self.id) {
            holding.in_flight = None;
            holding.last_nonce = None;
            holding.ask_all(shared.view.as_ref(), kind);
        }
        if kind == Kind::Cluster {
            shared.lingering.clear();
        }
    }

    fn next_ready(&mut self, now: Instant) -> Option<Response> {
        let (kind, response) = *self.ready.take()?;
        if let Some(mut holding) = self.siblings.lock().holdings.get_mut(kind, self.id)
            && let Some(in_flight) = &mut holding.in_flight
        {
            // A client that does not read may have let some time pass.
            in_flight.at = now;
        }
        self.note_sent(kind, &response);
        Some(response)
    }

    fn note_sent(&mut self, kind: Kind, response: &Response) {
        self.events.push(Event::Sent {
            kind,
            version: response.version,
            items: response.items.len(),
            removed: response.removed.len(),
            bytes: response.encoded_len(),
        });
    }

    /// Makes the response of a plan, and puts it in flight; none if it would say nothing.
    fn carry_out(
        &mut self,
        shared: &mut Shared,
        view: &View,
        kind: Kind,
        plan: Plan,
        now: Instant,
    ) -> Option<Response> {
        let variant = self.variant;
        let mut holding = shared.holdings.get_mut(kind, self.id)?;
        for name in &plan.settled {
            holding.gap.remove(name);
        }
        // An answer that is due may be empty, but not as long as something of it only waits.
        let answer = holding.answer_due && plan.wake_at.is_none();
        if plan.steps.is_empty() && !answer {
            if plan.wake_at.is_none() && holding.in_flight.is_none() {
                holding.changed = None;
            }
            return None;
        }
        let full_state = self.is_full_state(kind, &holding);
        let mut content = match variant {
            Variant::Delta => delta::content(kind, &plan.steps),
            Variant::Sotw => sotw::content(view, kind, &holding, &plan.steps, full_state),
        };
        let telling = plan.steps.iter().any(|(_, step)| self.tells(step, full_state));
        let sent = take_steps(&mut holding, plan.steps);
        if !telling && !answer {
            return None;
        }
        holding.enter_as_sent(plan.as_it_was, &sent);
        if kind == Kind::ScopedRoute {
            exchange::order(&mut content.items, &sent);
        }
        let version = self.version(view, kind, &holding, &content.items);
        let mut response = self.response(kind.type_url().into(), version);
        holding.answer_due = false;
        holding.last_nonce = Some(response.nonce.clone());
        // What is left in the gap follows, and is as old.
        let changed = if holding.gap.is_empty() { holding.changed.take() } else { holding.changed };
        let sent = self.common.sent(sent);
        holding.in_flight = Some(InFlight { changed, ..InFlight::new(sent.clone(), now) });
        drop(holding);
        if !self.supports_ttl() {
            content.items.iter_mut().for_each(|item| item.ttl = None);
        }
        response.items = content.items.into();
        response.removed = content.removed;
        self.note_sent(kind, &response);
        self.follow_up(shared, view, kind, &sent, now);
        Some(response)
    }

    /// What others are to keep, or to be told again, once this is on its way.
    fn follow_up(
        &self,
        shared: &mut Shared,
        view: &View,
        kind: Kind,
        sent: &BTreeMap<Name, Sent>,
        now: Instant,
    ) {
        if kind == Kind::Listener && self.identity.as_ref().is_some_and(|client| client.agent == ENVOY) {
            let replaced = draining::replaced(&shared.holdings, view, sent);
            // Counted anew from the ACK.
            shared.draining.keep(replaced, now + self.rules.pace.deadline + self.rules.pace.drain);
        }
        for name in &self.starting_over(kind, sent) {
            let again = |holding: &mut Holding| holding.repeat(view, Kind::Endpoint, name);
            shared.holdings.change_of_name(Kind::Endpoint, name, again);
        }
    }

    /// Whether a step says anything. State of the world cannot say that a name does not exist, but by leaving
    /// what was held out of a full state.
    fn tells(&self, step: &Step, full_state: bool) -> bool {
        match step {
            Step::Send(..) => true,
            Step::Remove { held } => self.variant == Variant::Delta || (full_state && *held),
        }
    }

    /// Endpoints to be sent again: a cluster that goes and comes back faster than a list of names can tell
    /// starts without them, while the list still names them.
    fn starting_over(&self, kind: Kind, sent: &BTreeMap<Name, Sent>) -> Vec<Name> {
        if (self.variant, kind) != (Variant::Sotw, Kind::Cluster) {
            return Vec::new();
        }
        let fresh =
            sent.values().filter(|sent| sent.before.is_none()).filter_map(|sent| sent.resource.as_ref());
        fresh.flat_map(|cluster| cluster.references_to(Kind::Endpoint).cloned()).collect()
    }

    /// The version of the whole type; what is incremental has it for people only.
    fn version(&self, view: &View, kind: Kind, holding: &Holding, items: &[Item]) -> Digest {
        match self.variant {
            Variant::Delta => view.type_version(kind),
            Variant::Sotw => sotw::version(view, kind, holding, items, self.is_full_state(kind, holding)),
        }
    }

    fn response(&mut self, type_url: Arc<str>, version: Digest) -> Response {
        self.nonces += 1;
        Response {
            variant: self.variant,
            type_url,
            version,
            nonce: self.nonces.to_string(),
            items: Items::default(),
            removed: Vec::new(),
            server: self.rules.server.clone(),
        }
    }

    fn is_full_state(&self, kind: Kind, holding: &Holding) -> bool {
        self.variant == Variant::Sotw && sotw::is_full_state(kind, holding)
    }

    /// How large a response may be, in bytes. A full state cannot be parted.
    fn room(&self, kind: Kind, holding: &Holding) -> usize {
        match &self.identity {
            _ if self.is_full_state(kind, holding) => usize::MAX,
            // Nor can scopes that exchange their keys.
            _ if kind == Kind::ScopedRoute => usize::MAX,
            Some(identity) if identity.agent == ENVOY => self.rules.max_response_envoy,
            _ => self.rules.max_response,
        }
    }
}

fn dependencies<'a>(shared: &'a Shared, view: &'a View, rules: &'a Rules, now: Instant) -> Dependencies<'a> {
    Dependencies {
        view,
        holdings: &shared.holdings,
        acks: &shared.acks,
        draining: &shared.draining,
        lingering: &shared.lingering,
        pace: &rules.pace,
        now,
    }
}
