//! The servers: one for each socket, and their end together.
//!
//! Comes in: sockets, and what is to answer on them. Goes out: nothing but the end of one, which is an error before it is
//! asked for. Keeps the invariant that the end takes a bounded time, whatever clients do.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tonic::service::Routes;
use tonic::transport::{self, Server};

use super::accept::Door;
use super::connection::{Connections, Hear};
use super::limits::{self, Limits};
use super::listen::Listener;
use super::signals::Signals;
use super::systemd::Pulse;
use super::tls::Tls;
use super::{AppError, DRAIN};

/// Clients that hold on at the end and are named.
const MAX_SHOWN: usize = 20;

/// All of them.
pub struct Servers {
    tasks: JoinSet<Result<(), transport::Error>>,
    drain: watch::Sender<bool>,
    limits: Limits,
    connections: Arc<Connections>,
}

impl Servers {
    /// None yet.
    pub fn new(limits: Limits) -> Servers {
        let connections = Arc::new(Connections::new(&limits));
        Servers { tasks: JoinSet::new(), drain: watch::Sender::new(false), limits, connections }
    }

    /// Becomes true when the end begins.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.drain.subscribe()
    }

    /// Answers Envoys on this socket.
    pub fn for_envoys(&mut self, listener: Listener, tls: Option<Arc<Tls>>, routes: Routes, pulse: Pulse) {
        let door = Door {
            listener,
            tls,
            pages: false,
            limits: self.limits.clone(),
            connections: self.connections.clone(),
            draining: self.draining(),
            pulse,
        };
        self.tasks.spawn(serve(door, routes));
    }

    /// Answers the command line, browsers and probes on this socket.
    pub fn for_admin(&mut self, listener: Listener, routes: Routes, pulse: Pulse) {
        let door = Door {
            listener,
            tls: None,
            pages: true,
            limits: self.limits.clone(),
            // A flood of clients must not keep out the person who looks into it.
            connections: Arc::new(Connections::new(&limits::admin())),
            draining: self.draining(),
            pulse,
        };
        self.tasks.spawn(serve(door, routes));
    }

    /// Waits until one ends, which none does by itself.
    pub async fn broken(&mut self) -> AppError {
        match self.tasks.join_next().await {
            Some(end) => serving_ended(end),
            None => std::future::pending().await,
        }
    }

    /// Lets nobody in any more and waits for the streams, which end by themselves; those that cannot are cut off after
    /// a while, or at a second signal, which asks to end at once. Tells whether that came.
    pub async fn end(&mut self, signals: &mut Signals) -> bool {
        self.drain.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = all => false,
            () = signals.end() => true,
            () = tokio::time::sleep(DRAIN) => {
                let peers = self.connections.peers();
                let clients = peers.iter().take(MAX_SHOWN).map(|peer| &**peer).collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    connections = peers.len(), clients, "some clients did not take the end of their stream in time"
                );
                false
            }
        }
    }
}

fn serving_ended(end: Result<Result<(), transport::Error>, JoinError>) -> AppError {
    AppError::Serve(match end {
        Ok(Ok(())) => "a listener closed".into(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    })
}

/// Serves one listener until told to drain.
async fn serve(door: Door, routes: Routes) -> Result<(), transport::Error> {
    let streams = u32::try_from(door.limits.streams_per_connection).unwrap_or(u32::MAX);
    let server = Server::builder()
        .accept_http1(door.pages)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(limits::HEADER_LIST)
        .max_frame_size(limits::FRAME)
        .max_concurrent_streams(streams)
        .http2_max_pending_accept_reset_streams(Some(limits::PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(limits::ERROR_RESETS))
        .layer(Hear)
        .add_routes(routes);
    let mut draining = door.draining.clone();
    let drained = async move {
        // The sender is gone only when the process ends: that is a reason to drain as well.
        let _ = draining.wait_for(|drain| *drain).await;
    };
    server.serve_with_incoming_shutdown(door.open(), drained).await
}
