//! What happens on streams, written down: log lines for people, with the place in the files.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::mix::Places;
use crate::admin;
use crate::resource::{Digest, Kind, Name};
use crate::serve::{Event, Journal, Rejection, Stream, Variant};

/// A client that misbehaves gets one line in this time, whatever it sends.
const QUIET: Duration = Duration::from_secs(60);

/// Peers that are remembered for it.
const MAX_COMPLAINTS: usize = 10_000;

/// Refusals that are told apart in that time; what comes on top is not written down again.
const MAX_REFUSALS: usize = 10_000;

/// The record of all streams.
#[derive(Debug, Default)]
pub struct Record {
    places: ArcSwap<Places>,
    complained: Mutex<HashMap<Arc<str>, Instant>>,
    refused: Mutex<HashMap<Digest, Instant>>,
    /// Clients that were told of once that they get no secrets.
    without_secrets: Mutex<HashSet<String>>,
    connected: Mutex<HashMap<Client, usize>>,
}

/// A connection, and the id of the node that speaks on it.
type Client = (Arc<str>, String);

impl Record {
    /// From now on resources are found at these places.
    pub fn set_places(&self, places: Places) {
        self.places.store(Arc::new(places));
    }

    /// Where resources are found.
    pub fn places(&self) -> Arc<Places> {
        self.places.load_full()
    }

    fn rejected(&self, stream: &Stream, rejection: &Rejection) {
        let message = admin::shown(rejection.kind, &rejection.message);
        let places = self.places.load();
        for (name, version) in admin::named(&rejection.message, &rejection.names, |(name, _)| name) {
            if !self.is_news(stream, rejection.kind, name, *version) {
                continue;
            }
            let at = places.of(rejection.kind, name).join(", ");
            tracing::warn!(
                node = node_of(stream),
                peer = &*stream.peer,
                kind = rejection.kind.noun(),
                resource = &**name,
                version = version.map(|version| version.to_string()),
                at,
                reason = message,
                "an Envoy refused a resource and goes on with what it had"
            );
        }
    }

    fn contested(&self, stream: &Stream, kind: Kind, name: &Name) {
        let at = self.places.load().of(kind, name).join(", ");
        tracing::warn!(
            node = node_of(stream),
            kind = kind.noun(),
            resource = &**name,
            at,
            "several fragments with this resource have `nodes:` that this Envoy matches; it receives none of them"
        );
    }

    /// Whether this refusal was not written down just now: a client may ask and refuse without end.
    fn is_news(&self, stream: &Stream, kind: Kind, name: &str, version: Option<Digest>) -> bool {
        let version = version.map_or([0; 16], |version| version.0.to_le_bytes());
        let key = Digest::of([node_of(stream).as_bytes(), kind.noun().as_bytes(), name.as_bytes(), &version]);
        let now = Instant::now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, at| now.duration_since(*at) < QUIET);
        refused.len() < MAX_REFUSALS && refused.insert(key, now).is_none()
    }

    /// Whether this client was not yet told of; a node connects from many ports.
    fn may_tell_of_secrets(&self, node: &str, peer: &str) -> bool {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let mut told = self.without_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_COMPLAINTS && told.insert(format!("{node} {host}"))
    }

    /// Counts a stream of a client; true for its first.
    fn is_first(&self, stream: &Stream) -> bool {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = connected.entry(client_of(stream)).or_default();
        *streams += 1;
        *streams == 1
    }

    /// A stream of a client has ended; true for its last.
    fn was_last(&self, stream: &Stream) -> bool {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let Entry::Occupied(mut streams) = connected.entry(client_of(stream)) else { return false };
        *streams.get_mut() -= 1;
        let last = *streams.get() == 0;
        if last {
            streams.remove();
        }
        last
    }

    /// Whether this peer may have another line now.
    fn may_complain(&self, about: &str, peer: &str) -> bool {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let now = Instant::now();
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        complained.retain(|_, at| now.duration_since(*at) < QUIET);
        let key = format!("{about} {host}");
        complained.len() < MAX_COMPLAINTS && complained.insert(key.into(), now).is_none()
    }
}

impl Journal for Record {
    fn note(&self, stream: &Stream, event: &Event) {
        let (node, peer) = (node_of(stream), &*stream.peer);
        if matches!(event, Event::Closed(_)) && stream.identity.is_some() && self.was_last(stream) {
            tracing::debug!(node, peer, "a client has gone");
        }
        match event {
            // A client may have a stream for each resource.
            Event::Identified(_) if self.is_first(stream) => connected(stream),
            Event::Sent { kind, items, removed, .. } => {
                tracing::debug!(node, peer, kind = kind.noun(), items, removed, "sent");
            }
            Event::Acknowledged { kind, after, .. } => {
                tracing::debug!(node, peer, kind = kind.noun(), after_ms = after.as_millis(), "acknowledged");
            }
            Event::Rejected(rejection) => self.rejected(stream, rejection),
            Event::UnknownType(url) if self.may_complain("", peer) => unknown_type(stream, url),
            Event::SecretsWithheld if self.may_tell_of_secrets(node, peer) => secrets_withheld(stream),
            Event::Contested(kind, name) => self.contested(stream, *kind, name),
            Event::Closed(Some(reason)) if self.may_complain("", peer) => {
                tracing::warn!(node, peer, reason, "a stream was ended for what its client sent");
            }
            Event::Closed(None) => tracing::debug!(node, peer, "a stream ended"),
            Event::Overdue { kind, after } if self.may_complain("overdue", peer) => {
                overdue(stream, *kind, *after);
            }
            Event::Opened
            | Event::Started(_)
            | Event::Identified(_)
            | Event::Overdue { .. }
            | Event::Subscribed { .. }
            | Event::SecretsWithheld
            | Event::UnknownType(_)
            | Event::Closed(Some(_)) => {}
        }
    }

    fn turned_away(&self, peer: &str, reason: &str) {
        if self.may_complain("turned away", peer) {
            tracing::warn!(peer, reason, "a client was refused a stream");
        }
    }
}

fn connected(stream: &Stream) {
    let Some(identity) = &stream.identity else { return };
    tracing::info!(
        node = node_of(stream),
        peer = &*stream.peer,
        credential = stream.credential.as_deref(),
        cluster = identity.node.cluster,
        agent = identity.agent,
        version = identity.agent_version,
        variant = variant(stream),
        service = service(stream),
        "a client connected"
    );
}

fn unknown_type(stream: &Stream, url: &str) {
    tracing::warn!(
        node = node_of(stream),
        peer = &*stream.peer,
        type_url = url,
        "a client asked for a type that is not served; it was answered as empty"
    );
}

fn secrets_withheld(stream: &Stream) {
    tracing::warn!(
        node = node_of(stream),
        peer = &*stream.peer,
        "a client of another user asks for secrets over plain TCP and gets none: listen on unix:PATH or give a \
         certificate (--tls-cert, --tls-key) and let it connect there, or allow it with --insecure"
    );
}

fn overdue(stream: &Stream, kind: Kind, after: Duration) {
    tracing::warn!(
        node = node_of(stream),
        peer = &*stream.peer,
        kind = kind.noun(),
        after_s = after.as_secs(),
        "a client has not answered; what waited for its ACK waits no longer"
    );
}

fn client_of(stream: &Stream) -> Client {
    (stream.peer.clone(), node_of(stream).to_owned())
}

fn node_of(stream: &Stream) -> &str {
    stream.identity.as_ref().map_or("", |identity| &identity.node.id)
}

fn variant(stream: &Stream) -> &'static str {
    match stream.variant {
        Variant::Delta => "delta",
        Variant::Sotw => "state of the world",
    }
}

fn service(stream: &Stream) -> &'static str {
    if stream.only.is_some() { "single types" } else { "aggregated" }
}
