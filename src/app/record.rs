//! What happens on streams, written down: log lines for people, with the place in the files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::mix::Places;
use crate::resource::{Digest, Kind};
use crate::serve::{Event, Journal, Rejection, Stream, Variant};

/// A client that misbehaves gets one line in this time, whatever it sends.
const QUIET: Duration = Duration::from_secs(60);

/// Refusals that are told apart in that time; what comes on top is not written down again.
const MAX_REFUSALS: usize = 10_000;

/// Longest part of a client's message that is shown, in characters.
const MAX_MESSAGE: usize = 400;

/// Names that are listed when a client's message names none.
const MAX_NAMES: usize = 8;

/// The record of all streams.
#[derive(Debug, Default)]
pub struct Record {
    places: ArcSwap<Places>,
    complained: Mutex<HashMap<Arc<str>, Instant>>,
    refused: Mutex<HashMap<Digest, Instant>>,
}

impl Record {
    /// From now on resources are found at these places.
    pub fn set_places(&self, places: Places) {
        self.places.store(Arc::new(places));
    }

    fn rejected(&self, stream: &Stream, rejection: &Rejection) {
        let message = redacted(rejection);
        let places = self.places.load();
        let mut named: Vec<_> =
            rejection.names.iter().filter(|(name, _)| names(&rejection.message, name)).collect();
        if named.is_empty() {
            named = rejection.names.iter().take(MAX_NAMES).collect();
        }
        for (name, version) in named {
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

    /// Whether this refusal was not written down just now: a client may ask and refuse without end.
    fn is_news(&self, stream: &Stream, kind: Kind, name: &str, version: Option<Digest>) -> bool {
        let version = version.map_or([0; 16], |version| version.0.to_le_bytes());
        let key = Digest::of([node_of(stream).as_bytes(), kind.noun().as_bytes(), name.as_bytes(), &version]);
        let now = Instant::now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, at| now.duration_since(*at) < QUIET);
        refused.len() < MAX_REFUSALS && refused.insert(key, now).is_none()
    }

    /// Whether this peer may have another line now.
    fn may_complain(&self, stream: &Stream) -> bool {
        let host = stream.peer.rsplit_once(':').map_or(&*stream.peer, |(host, _)| host);
        let now = Instant::now();
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        complained.retain(|_, at| now.duration_since(*at) < QUIET);
        if complained.contains_key(host) {
            return false;
        }
        complained.insert(host.into(), now);
        true
    }
}

impl Journal for Record {
    fn note(&self, stream: &Stream, event: &Event) {
        let (node, peer) = (node_of(stream), &*stream.peer);
        match event {
            Event::Identified(identity) => tracing::info!(
                node,
                peer,
                cluster = identity.node.cluster,
                agent = identity.agent,
                version = identity.agent_version,
                variant = variant(stream),
                service = service(stream),
                "a client connected"
            ),
            Event::Sent { kind, items, removed, .. } => {
                tracing::debug!(node, peer, kind = kind.noun(), items, removed, "sent");
            }
            Event::Acknowledged { kind, after, .. } => {
                tracing::debug!(node, peer, kind = kind.noun(), after_ms = after.as_millis(), "acknowledged");
            }
            Event::Rejected(rejection) => self.rejected(stream, rejection),
            Event::UnknownType(url) if self.may_complain(stream) => {
                tracing::warn!(
                    node,
                    peer,
                    type_url = &**url,
                    "a client asked for a type that is not served; it was answered as empty"
                );
            }
            Event::Contested(kind, name) => {
                let at = self.places.load().of(*kind, name).join(", ");
                tracing::warn!(
                    node,
                    kind = kind.noun(),
                    resource = &**name,
                    at,
                    "several fragments with this resource have `nodes:` that this Envoy matches; it receives none of them"
                );
            }
            Event::Closed(Some(reason)) if self.may_complain(stream) => {
                tracing::warn!(node, peer, reason, "a stream was ended for what its client sent");
            }
            Event::Closed(None) => tracing::debug!(node, peer, "a stream ended"),
            Event::Opened | Event::Subscribed { .. } | Event::UnknownType(_) | Event::Closed(Some(_)) => {}
        }
    }
}

/// Whether a message names this resource, and not only one whose name is longer.
fn names(message: &str, name: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !name.is_empty()
        && message.match_indices(name).any(|(at, _)| {
            !message[..at].ends_with(within) && !message[at + name.len()..].starts_with(within)
        })
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
    stream.only.map_or("aggregated", Kind::noun)
}

/// What a client's message says, without the resource that it quotes: that may hold keys. Envoy quotes
/// a resource that fails a constraint, in protobuf's text form, before the reason or behind it.
fn redacted(rejection: &Rejection) -> String {
    if rejection.kind == Kind::Secret {
        return "(withheld: it is about a secret; see the Envoy's own log)".into();
    }
    without_quotes(&rejection.message)
}

/// The first line of what an Envoy says, without the configuration that it quotes.
pub fn without_quotes(message: &str) -> String {
    const CONSTRAINT: &str = "validation failed (";
    // Within a quote line breaks are escaped: a line that begins with `: ` stands behind it.
    let reason = message.rsplit_once("\n: ").map_or(message, |(_, reason)| reason);
    let line = reason.lines().next().unwrap_or_default();
    let quoted = line.find(CONSTRAINT).and_then(|at| line[at..].find("): ").map(|end| at + end + 1));
    let line = &line[..quoted.unwrap_or(line.len())];
    // A configuration in JSON stands behind the reason.
    let line = line.split_once("): {").map_or(line, |(reason, _)| reason);
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(kind: Kind, message: &str) -> Rejection {
        Rejection { kind, message: message.into(), names: Vec::new() }
    }

    #[test]
    fn a_message_names_whole_names() {
        let message = "Error adding/updating cluster(s) service_10: bad, x-1: \"é\"";
        assert!(names(message, "service_10") && names(message, "x-1") && names(message, "é"));
        for other in ["service_1", "a", "x", "1", ""] {
            assert!(!names(message, other), "{other}");
        }
    }

    #[test]
    fn what_an_envoy_quotes_of_a_resource_is_not_shown() {
        let message = "Proto constraint validation failed (ClusterValidationError.ConnectTimeout: value must be \
                       greater than 0s): name: \"a\" inline_string: \"PRIVATE\"\nmore";
        let shown = redacted(&rejection(Kind::Cluster, message));
        assert!(shown.ends_with("greater than 0s)"), "{shown}");
        let constraint = "Proto constraint validation failed (ClusterValidationError.ConnectTimeout: value must be \
                          greater than 0s)";
        let quote = "name: \"a\"\ninline_string: \"PRIVATE\\n: x\"\n";
        for mark in ["", "goo.gle/debugproto   \n"] {
            let shown = redacted(&rejection(Kind::Cluster, &format!("{mark}{quote}: {constraint}")));
            assert_eq!(shown, constraint);
        }
        assert!(!redacted(&rejection(Kind::Secret, "bad key PRIVATE")).contains("PRIVATE"));
        assert!(redacted(&rejection(Kind::Cluster, &"é".repeat(9999))).chars().count() <= MAX_MESSAGE + 1);
    }
}
