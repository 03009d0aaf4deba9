//! Accepting connections: one task for each socket, one for each TLS handshake.
//!
//! Comes in: a listening socket. Goes out: connections that may be served. Keeps the invariant that accepting
//! waits for no client: not for its handshake, not for its first word, and not when there are too many.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::connection::{Connection, Connections, Host, Seat, Socket};
use super::limits::Limits;
use super::listen::Listener;
use super::neighbour;
use super::systemd::Pulse;
use super::tls::{self, Tls};
use crate::serve::{Peer, Proof};

/// How long accepting rests when the system has no file descriptor or memory left.
const REST: Duration = Duration::from_millis(200);

/// Complaints of one kind are this far apart.
const QUIET: Duration = Duration::from_secs(60);

/// Connections between accepting and serving; more wait in the kernel.
const WAITING: usize = 64;

/// A socket that is accepted from, and on what terms.
pub struct Door {
    /// The socket.
    pub listener: Listener,
    /// Certificates, where TLS is spoken.
    pub tls: Option<Arc<Tls>>,
    /// Browsers and probes are answered, too.
    pub pages: bool,
    /// Bounds.
    pub limits: Limits,
    /// All open connections.
    pub connections: Arc<Connections>,
    /// Becomes true when no more are to be accepted.
    pub draining: watch::Receiver<bool>,
    /// Tells that accepting goes on.
    pub pulse: Pulse,
}

/// Where accepted connections go.
type Served = mpsc::Sender<Result<Connection, Infallible>>;

enum Accepted {
    Tcp(TcpStream, std::net::SocketAddr),
    Unix(UnixStream),
}

impl Door {
    /// Accepts until it is drained or nobody serves; the socket is closed then.
    pub fn open(self) -> ReceiverStream<Result<Connection, Infallible>> {
        let (served, connections) = mpsc::channel(WAITING);
        tokio::spawn(self.run(served));
        ReceiverStream::new(connections)
    }

    async fn run(mut self, served: Served) {
        let mut draining = self.draining.clone();
        let mut tick = tokio::time::interval(self.pulse.every());
        let (mut full, mut crowded, unsafe_clients) =
            (Complaint::default(), Complaint::default(), Arc::default());
        loop {
            let accepted = tokio::select! {
                // The sender is gone only when the process ends: that is a reason to end as well.
                _ = draining.wait_for(|drain| *drain) => return,
                () = served.closed() => return,
                _ = tick.tick() => {
                    self.pulse.beat();
                    continue;
                }
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => match self.enter(&accepted) {
                    Ok((seat, address, proof)) => {
                        self.admit(accepted, seat, address, proof, &served, &unsafe_clients).await;
                    }
                    Err((peer, reason)) if crowded.is_due() => {
                        tracing::warn!(peer, reason, "connections are turned away");
                    }
                    Err(_) => {}
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if full.is_due() {
                        tracing::error!(
                            %error,
                            "cannot accept connections, and goes on trying; if files are short, raise LimitNOFILE= or ulimit -n"
                        );
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn accept(&mut self) -> io::Result<Accepted> {
        match &self.listener {
            Listener::Tcp(listener) => {
                listener.accept().await.map(|(socket, from)| Accepted::Tcp(socket, from))
            }
            Listener::Unix(listener, _) => listener.accept().await.map(|(socket, _)| Accepted::Unix(socket)),
        }
    }

    /// Who it is, as far as the socket tells, and a seat; or who is turned away and why.
    fn enter(&self, accepted: &Accepted) -> Result<(Seat, Arc<str>, Proof), (String, &'static str)> {
        let (host, address, proof) = match accepted {
            Accepted::Tcp(_, from) => (Host::of(from.ip()), from.to_string(), Proof::Nothing),
            Accepted::Unix(socket) => {
                let cred = socket.peer_cred().ok();
                let uid = cred.map(|cred| cred.uid());
                let pid = cred.and_then(|cred| cred.pid()).unwrap_or_default();
                let address =
                    uid.map_or_else(|| "unix".to_owned(), |uid| format!("unix uid {uid} pid {pid}"));
                (Host::User(uid), address, Proof::Unix { uid })
            }
        };
        let address: Arc<str> = address.into();
        match self.connections.enter(host, address.clone()) {
            Ok(seat) => Ok((seat, address, proof)),
            Err(reason) => Err((address.to_string(), reason)),
        }
    }

    /// Hands a connection on; one that speaks TLS first shows, on a task of its own, that it does.
    async fn admit(
        &self,
        accepted: Accepted,
        seat: Seat,
        address: Arc<str>,
        proof: Proof,
        served: &Served,
        complaint: &Arc<Mutex<Complaint>>,
    ) {
        let first_request = self.limits.first_request;
        let socket = match accepted {
            Accepted::Unix(socket) => Socket::Unix(socket),
            Accepted::Tcp(socket, _) => {
                // Answers are small and awaited; an error means that the client is gone, which shows soon.
                let _ = socket.set_nodelay(true);
                let Some(tls) = &self.tls else {
                    let ends = socket.local_addr().and_then(|here| Ok((here, socket.peer_addr()?)));
                    let mut peer = Peer::new(address, proof);
                    if let Ok((here, there)) = ends {
                        peer = peer.with_ends(here, there, neighbour::is_ours);
                    }
                    let connection = Connection::new(Socket::Tcp(socket), peer, first_request, seat);
                    // Nobody serves any more.
                    let _ = served.send(Ok(connection)).await;
                    return;
                };
                let (acceptor, served, complaint) =
                    (TlsAcceptor::from(tls.config()), served.clone(), complaint.clone());
                let handshake = self.limits.handshake;
                tokio::spawn(async move {
                    let reason = match tokio::time::timeout(handshake, acceptor.accept(socket)).await {
                        Ok(Ok(stream)) => {
                            let peer = Peer::new(address, tls::proof(stream.get_ref().1.peer_certificates()));
                            let socket = Socket::Tls(Box::new(stream));
                            let _ = served.send(Ok(Connection::new(socket, peer, first_request, seat))).await;
                            return;
                        }
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => format!("no TLS within {handshake:?}"),
                    };
                    let due = complaint.lock().unwrap_or_else(PoisonError::into_inner).is_due();
                    if due {
                        tracing::warn!(
                            peer = &*address,
                            reason,
                            "a client could not set up TLS; more of this are not told for a minute"
                        );
                    }
                });
                return;
            }
        };
        let _ =
            served.send(Ok(Connection::new(socket, Peer::new(address, proof), first_request, seat))).await;
    }
}

/// Whether an error says only that one client was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Something that is told once in a while.
#[derive(Debug, Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= QUIET);
        if due {
            self.0 = Some(now);
        }
        due
    }
}
