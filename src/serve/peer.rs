//! The other end of a connection: its address, and what the connection itself proves of it.
//!
//! Made by whoever accepts the connection; every request on it carries this. What a client *says* of itself
//! is an [`Identity`](super::Identity); which of it is believed is the affair of [`super::access`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A connected client. One for all requests of its connection.
#[derive(Debug)]
pub struct Peer {
    /// Tells connections apart; an address may not, of a unix socket.
    id: u64,
    /// `127.0.0.1:40404`, `unix uid 0 pid 17`.
    pub address: Arc<str>,
    /// What is known of it for sure.
    pub proof: Proof,
    neighbour: Option<Neighbour>,
    has_spoken: AtomicBool,
    streams: AtomicUsize,
}

/// Both ends of a connection of plain TCP, and who can tell whether the other is the bridge's own user.
#[derive(Debug)]
struct Neighbour {
    here: SocketAddr,
    there: SocketAddr,
    is_ours: fn(SocketAddr, SocketAddr) -> bool,
    told: OnceLock<bool>,
}

/// What a connection proves of its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Plain TCP: nothing, and whoever is on the way may listen.
    Nothing,
    /// A unix socket: the kernel tells who opened it.
    Unix {
        /// User id, if the kernel told.
        uid: Option<u32>,
    },
    /// TLS: the names in the client's certificate, none if it showed none.
    Tls {
        /// URIs, such as SPIFFE ids.
        uris: Vec<String>,
        /// DNS names.
        dns: Vec<String>,
    },
}

impl Peer {
    /// A client that has just connected.
    pub fn new(address: impl Into<Arc<str>>, proof: Proof) -> Peer {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        Peer {
            id: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            address: address.into(),
            proof,
            neighbour: None,
            has_spoken: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
        }
    }

    /// The same over plain TCP between `here` and `there`; `is_ours` tells whether the other end is that of
    /// the bridge's own user or of root, and is asked once, when it matters.
    pub fn with_ends(
        self,
        here: SocketAddr,
        there: SocketAddr,
        is_ours: fn(SocketAddr, SocketAddr) -> bool,
    ) -> Peer {
        Peer { neighbour: Some(Neighbour { here, there, is_ours, told: OnceLock::new() }), ..self }
    }

    /// Whether nobody but this client can read what is sent.
    pub fn is_private(&self) -> bool {
        self.proof != Proof::Nothing
    }

    /// Whether it is, on this machine, of the bridge's own user or of root, who may read the fragments anyway.
    pub fn is_ours(&self) -> bool {
        let tells = |it: &Neighbour| *it.told.get_or_init(|| (it.is_ours)(it.here, it.there));
        self.neighbour.as_ref().is_some_and(tells)
    }

    /// What it proves, for people: `spiffe://example.org/edge`, `uid 101`; none if that is nothing.
    pub fn credential(&self) -> Option<String> {
        match &self.proof {
            Proof::Nothing => None,
            Proof::Unix { uid } => uid.map(|uid| format!("uid {uid}")),
            Proof::Tls { uris, dns } => {
                let names: Vec<&str> = uris.iter().chain(dns).map(String::as_str).collect();
                (!names.is_empty()).then(|| names.join(", "))
            }
        }
    }

    /// A request came.
    pub fn speaks(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }

    /// Whether any request came yet.
    pub fn has_spoken(&self) -> bool {
        self.has_spoken.load(Ordering::Relaxed)
    }

    /// A number that no other connection has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Open discovery streams on this connection, to be counted.
    pub(crate) fn streams(&self) -> &AtomicUsize {
        &self.streams
    }
}
