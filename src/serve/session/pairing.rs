//! How a session pairs a request with the response that it answers: ACK or NACK.
//!
//! Comes in: nonce and error of a request. Goes out: what the client holds from now on, and an event for the
//! record. Keeps the invariant that a NACK is known by its error, and that an old nonce pairs nothing.

use std::time::Instant;

use super::super::holding::InFlight;
use super::super::journal::{Event, Rejection};
use super::super::siblings::Shared;
use super::Session;
use crate::resource::Kind;

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
        let names = in_flight.sent.iter().map(|(name, sent)| (name.clone(), sent.version)).collect();
        self.events.push(Event::Rejected(Rejection { kind, message, names }));
    }
}
