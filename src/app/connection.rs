//! Connections: who is at the other end, how many there are, and what ends one that says nothing.
//!
//! Comes in: accepted sockets, with TLS or without. Goes out: what tonic serves, with the [`Peer`] on every
//! request. Keeps the invariant that a connection is counted exactly as long as it is open.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::authority::Authority;
use super::limits::Limits;
use crate::serve::Peer;

/// Whom connections are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IP address; of IPv6 the /64, of which one machine may have all.
    Ip(IpAddr),
    /// A user of a unix socket.
    User(Option<u32>),
}

impl Host {
    /// The host of an address.
    pub fn of(ip: IpAddr) -> Host {
        match ip.to_canonical() {
            IpAddr::V6(v6) => {
                let mut parts = v6.segments();
                parts[4..].fill(0);
                Host::Ip(IpAddr::from(parts))
            }
            v4 => Host::Ip(v4),
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Open>,
    total: usize,
    per_host: usize,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    peers: BTreeMap<u64, Arc<str>>,
    hosts: HashMap<Host, usize>,
}

/// A connection is counted as long as this lives.
#[derive(Debug)]
pub struct Seat {
    id: u64,
    host: Host,
    connections: Arc<Connections>,
}

impl Connections {
    /// None yet; there may be as many.
    pub fn new(limits: &Limits) -> Connections {
        let (total, per_host) = (limits.connections, limits.connections_per_client);
        Connections { open: Mutex::default(), total, per_host }
    }

    /// Counts one more; if there may be none, the reason and what to do.
    pub fn enter(self: &Arc<Self>, host: Host, peer: Arc<str>) -> Result<Seat, &'static str> {
        let mut open = self.lock();
        if open.peers.len() >= self.total {
            return Err("there are as many connections as there may be; --max-connections allows more");
        }
        let of_host = open.hosts.entry(host).or_default();
        if *of_host >= self.per_host {
            return Err(
                "this client has as many connections as one may have; --max-connections-per-client allows more",
            );
        }
        *of_host += 1;
        open.next += 1;
        let id = open.next;
        open.peers.insert(id, peer);
        Ok(Seat { id, host, connections: self.clone() })
    }

    /// Who is connected.
    pub fn peers(&self) -> Vec<Arc<str>> {
        self.lock().peers.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Counts stay right even if somebody panicked: each step is a single one.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.peers.remove(&self.id);
        if let Some(count) = open.hosts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                open.hosts.remove(&self.host);
            }
        }
    }
}

/// An accepted connection, ready for HTTP/2.
pub struct Connection {
    socket: Socket,
    peer: Arc<Peer>,
    /// Ends a connection on which no request comes; none once one came.
    silence: Option<Pin<Box<Sleep>>>,
    /// What clients of a unix socket call the host.
    authority: Option<Authority>,
    _seat: Seat,
}

/// The ways of being connected.
pub enum Socket {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// A connection on which the first request must come within this time.
    pub fn new(socket: Socket, peer: Peer, first_request: Duration, seat: Seat) -> Connection {
        let silence = Some(Box::pin(tokio::time::sleep(first_request)));
        let authority = matches!(socket, Socket::Unix(_)).then(Authority::new);
        Connection { socket, peer: Arc::new(peer), silence, authority, _seat: seat }
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.peer.has_spoken() {
            self.silence = None;
        }
        if self.silence.as_mut().is_some_and(|silence| silence.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let read = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        };
        if let Some(authority) = &mut self.authority {
            authority.mend(&mut buf.filled_mut()[before..]);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Tls(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(socket) => socket.is_write_vectored(),
            Socket::Unix(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// Notes on the [`Peer`] that a request came, whatever service it is for.
#[derive(Clone, Copy, Debug)]
pub struct Hear;

/// A service that does so.
#[derive(Clone, Debug)]
pub struct Hearing<S>(S);

impl<S> tower_layer::Layer<S> for Hear {
    type Service = Hearing<S>;

    fn layer(&self, inner: S) -> Hearing<S> {
        Hearing(inner)
    }
}

impl<S, B> tower_service::Service<http::Request<B>> for Hearing<S>
where
    S: tower_service::Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> S::Future {
        if let Some(peer) = request.extensions().get::<Arc<Peer>>() {
            peer.speaks();
        }
        self.0.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_total_and_by_host_and_given_back() {
        let limits = Limits { connections: 3, connections_per_client: 2, ..Limits::default() };
        let connections = Arc::new(Connections::new(&limits));
        let host = |text: &str| Host::of(text.parse().expect("an address"));
        let enter = |host| connections.enter(host, "p".into());
        // Addresses of one /64 are one host, and an IPv4 address is the same in IPv6 clothes.
        let first = [enter(host("2001:db8::1")), enter(host("2001:db8::2"))];
        assert!(
            enter(host("2001:db8::ffff:3")).expect_err("its third").contains("--max-connections-per-client")
        );
        assert_eq!(host("::ffff:10.0.0.1"), host("10.0.0.1"));
        let other = enter(host("2001:db8:0:1::1")).expect("another network");
        assert!(enter(Host::User(Some(0))).expect_err("the fourth of all").contains("--max-connections "));
        assert_eq!(connections.peers().len(), 3);
        drop((first, other));
        assert!(connections.peers().is_empty() && connections.lock().hosts.is_empty());
    }
}
