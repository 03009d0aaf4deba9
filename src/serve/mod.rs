//! Streams to Envoys: what each client asked for and holds, and what it is to be sent.
//!
//! Snapshots and requests come in, responses go out. The session is a state machine without I/O
//! ([`Session`]); tonic is in `grpc` alone. Keeps the invariant *news is for people, the gap is for
//! clients*: what is sent follows from what that client holds against the current snapshot, never
//! from a queue of changes. Knows nothing of files or YAML, and cannot publish.

mod access;
mod admission;
mod clients;
mod common;
mod delta;
mod draining;
mod editions;
mod exchange;
mod fingerprint;
mod first;
mod grpc;
mod heartbeat;
mod histogram;
mod holding;
mod holdings;
mod insight;
mod journal;
mod lingering;
mod names;
mod peer;
mod phases;
mod plan;
mod removals;
mod session;
mod shelf;
mod siblings;
mod sotw;
mod subscribers;
mod subscription;
#[cfg(test)]
mod tests;
mod wire;

pub use access::{Access, CLUSTER, ClientRule, ID, Who};
pub use admission::Admission;
pub use clients::{Clients, Refused, StreamState, Totals, TypeState};
pub use grpc::{ADS, Discovery, MAX_REQUEST};
pub use histogram::{BOUNDS, Counted, Histogram};
pub use insight::{Insight, Lacking};
pub use journal::{Event, Journal, Rejection, Stream};
pub use peer::{Peer, Proof};
pub use phases::Pace;
pub use session::{Next, Refusal, Rules, Session};
pub use wire::{
    Encoded, Identity, Item, Items, Malformed, NameList, Names, Request, Response, Variant, Versions,
};
