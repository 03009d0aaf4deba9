//! What happens on streams, for the record: nothing here flows back into what is served.

use std::sync::Arc;
use std::time::Duration;

use super::insight::Insight;
use super::wire::{Identity, Variant};
use crate::resource::{Digest, Kind, Name};

/// A stream, as the record names it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Counts the streams of this process.
    pub id: u64,
    /// Where it comes from: `127.0.0.1:40404`, `unix`.
    pub peer: Arc<str>,
    /// What its connection proves of it: `spiffe://example.org/edge`, `uid 101`; none on plain TCP.
    pub credential: Option<Arc<str>>,
    /// Its variant.
    pub variant: Variant,
    /// The one type of a single service; none is ADS.
    pub only: Option<Kind>,
    /// Who the client said it is, once it did.
    pub identity: Option<Arc<Identity>>,
}

/// Something that happened on a stream.
#[derive(Clone, Debug)]
pub enum Event {
    /// The stream was opened.
    Opened,
    /// The client said who it is.
    Identified(Arc<Identity>),
    /// The first request was taken; from now on this tells what the client lacks.
    Started(Insight),
    /// What is wanted of a type has changed.
    Subscribed {
        /// The type.
        kind: Kind,
        /// Everything is wanted.
        wildcard: bool,
        /// Number of names that are wanted by name.
        names: usize,
    },
    /// A response went out.
    Sent {
        /// Its type.
        kind: Kind,
        /// Version of the whole type.
        version: Digest,
        /// Number of resources in it.
        items: usize,
        /// Number of removals in it.
        removed: usize,
        /// Its size, without the frame around it.
        bytes: usize,
    },
    /// A response was acknowledged.
    Acknowledged {
        /// Its type.
        kind: Kind,
        /// Time since it went out.
        after: Duration,
        /// Time since the first change that it tells of was seen; none if it answers a request.
        since_change: Option<Duration>,
        /// Names that were refused before in another version.
        mended: Vec<Name>,
    },
    /// A response was refused.
    Rejected(Rejection),
    /// It asked for secrets, and they are not sent over a connection like this.
    SecretsWithheld,
    /// A response was not answered in time: nothing waits for its ACK any longer.
    Overdue {
        /// The type.
        kind: Kind,
        /// Time since it went out.
        after: Duration,
    },
    /// It asked for a type that is not served.
    UnknownType(Arc<str>),
    /// The node belongs to several audiences that each have their own resource of this name: it
    /// receives no change of it.
    Contested(Kind, Name),
    /// The stream ended, and why if the client is to blame.
    Closed(Option<String>),
}

/// A NACK.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The type of the refused response.
    pub kind: Kind,
    /// The client's words. They may quote configuration: redact before showing.
    pub message: String,
    /// What was in the response: name and version, none for a removal.
    pub names: Vec<(Name, Option<Digest>)>,
}

/// Takes the record.
pub trait Journal: Send + Sync {
    /// Notes what happened on a stream.
    fn note(&self, stream: &Stream, event: &Event);

    /// Notes that a client at this address was refused a stream.
    fn turned_away(&self, peer: &str, reason: &str);
}
