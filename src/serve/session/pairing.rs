//! How a session pairs a request with the response that it answers: ACK or NACK.
//!
//! Comes in: nonce and error of a request. Goes out: what the client holds from now on, and an event for the
//! record. Keeps the invariant that a NACK is known by its error, and that an old nonce pairs nothing.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use super::super::holding::{InFlight, Sent};
use super::super::journal::{Event, Rejection};
use super::super::siblings::Shared;
use super::Session;
use crate::resource::{Claim, Kind};

impl Session {
    /// Pairs a nonce with the response in flight. False if it belongs to no response or an older one.
    pub(super) fn settle(
        &mut self,
        shared: &mut Shared,
        kind: Kind,
        nonce: &str,
        error: Option<String>,
        now: Instant,
    ) -> bool {
        let Some(mut holding) = shared.holdings.get_mut(kind, self.id) else { return true };
        // Without a nonce, or before any response, there is nothing to pair: it is a subscription.
        let Some(last) = holding.last_nonce.as_deref().filter(|_| !nonce.is_empty()) else { return true };
        if last != nonce {
            return false;
        }
        let in_flight = if error.is_none() { holding.acknowledge() } else { holding.reject() };
        drop(holding);
        let Some(in_flight) = in_flight else { return true };
        match error {
            None => self.acknowledged(shared, kind, in_flight, now),
            Some(message) => self.rejected(shared, kind, &in_flight, message),
        }
        true
    }

    fn acknowledged(&mut self, shared: &mut Shared, kind: Kind, in_flight: InFlight, now: Instant) {
        let mended = in_flight.sent.iter().filter(|(_, sent)| sent.after_refusal);
        self.events.push(Event::Acknowledged {
            kind,
            after: now.saturating_duration_since(in_flight.at),
            since_change: in_flight.changed.map(|seen| now.saturating_duration_since(seen)),
            mended: mended.map(|(name, _)| name.clone()).collect(),
        });
        if kind == Kind::Listener {
            shared.draining.end_by(now + self.rules.pace.drain);
            shared.offered_again = BTreeSet::new();
        }
        if matches!(kind, Kind::Listener | Kind::ScopedRoute) {
            offer_claims(shared, kind, &given_up(&in_flight));
        }
        if kind == Kind::Cluster {
            shared.lingering.clear();
            shared.acks.insert(in_flight.sent, now);
        }
    }

    fn rejected(&mut self, shared: &mut Shared, kind: Kind, in_flight: &InFlight, message: String) {
        if kind == Kind::Cluster {
            shared.lingering.clear();
        }
        if kind == Kind::Listener {
            offer_exchanged(shared, in_flight);
        }
        let names = in_flight.sent.iter().map(|(name, sent)| (name.clone(), sent.version)).collect();
        self.events.push(Event::Rejected(Rejection { kind, message, names }));
    }
}

/// Addresses that listeners had and have no more, or keys of scopes.
fn given_up(in_flight: &InFlight) -> HashSet<Claim> {
    let of = |sent: &Sent| {
        let now = sent.resource.as_ref().map_or(&[] as &[Claim], |it| it.claims());
        let before = sent.before.as_ref().and_then(|kept| kept.resource.as_ref());
        let before = before.map_or(&[] as &[Claim], |it| it.claims());
        before.iter().filter(|address| !now.contains(address)).copied().collect::<Vec<_>>()
    };
    in_flight.sent.values().flat_map(of).collect()
}

/// A listener may have been told of before the one that had its address until then: now that is free. Once only.
fn offer_exchanged(shared: &mut Shared, refused: &InFlight) {
    let free = given_up(refused);
    let opened = |sent: &Sent| -> Vec<Claim> {
        let addresses = sent.resource.iter().flat_map(|listener| listener.claims());
        addresses.filter(|address| free.contains(address)).copied().collect()
    };
    let takers = refused.sent.iter().filter(|(_, sent)| !opened(sent).is_empty());
    let mut new: Vec<_> = takers.map(|(name, sent)| (name.clone(), sent.version)).collect();
    new.retain(|taker| shared.offered_again.insert(taker.clone()));
    if !new.is_empty() {
        offer_claims(shared, Kind::Listener, &refused.sent.values().flat_map(opened).collect());
    }
}

fn offer_claims(shared: &mut Shared, kind: Kind, free: &HashSet<Claim>) {
    if !free.is_empty() {
        shared.holdings.change_waiting(kind, |holding| holding.offer_claims(free));
    }
}
