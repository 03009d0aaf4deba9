//! The sessions on the network: tonic, and nothing else of the room knows of it.
//!
//! A [`Discovery`] answers every discovery method, found by path from [`Kind`]. Responses are made
//! when the connection can take them, not before: a client that does not read costs what it holds,
//! and coalesces by itself.

mod body;
mod requests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future as _, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_stream::wrappers::WatchStream;
use tonic::Status;
use tonic::body::Body;

use self::body::Answer;
pub use self::requests::MAX_REQUEST;
use self::requests::{Budget, Requests};
use super::admission::{Admission, OpenStreams, Seat};
use super::common::Common;
use super::journal::{Event, Journal, Stream};
use super::peer::{Peer, Proof};
use super::session::{Refusal, Rules, Session};
use super::subscribers::Subscribers;
use super::wire::{Request, Response, Variant};
use crate::resource::Kind;
use crate::snapshot::Store;

/// Requests taken in one turn before other streams get theirs.
const REQUESTS_PER_TURN: usize = 64;

/// The header that says how messages are compressed.
const ENCODING: &str = "grpc-encoding";

/// The header that says how they may be.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// The only way: not at all.
const IDENTITY: &str = "identity";

/// The full name of the aggregated service.
pub const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// What a method path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Method {
    variant: Variant,
    only: Option<Kind>,
}

fn methods() -> HashMap<String, Method> {
    let mut methods = HashMap::new();
    let mut add = |service: &str, noun: &str, only: Option<Kind>| {
        for (verb, variant) in [("Delta", Variant::Delta), ("Stream", Variant::Sotw)] {
            // The service of virtual hosts has no state-of-the-world method.
            if only == Some(Kind::VirtualHost) && variant == Variant::Sotw {
                continue;
            }
            methods.insert(format!("/{service}/{verb}{noun}"), Method { variant, only });
        }
    };
    add(ADS, "AggregatedResources", None);
    for kind in Kind::ALL {
        add(kind.service(), kind.method(), Some(kind));
    }
    methods
}

/// The discovery services, all of them. Cheap to clone; one for the whole process.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

struct Shared {
    methods: HashMap<String, Method>,
    store: Arc<Store>,
    rules: Arc<Rules>,
    admission: Admission,
    open: Arc<OpenStreams>,
    unfinished: Arc<Budget>,
    journal: Arc<dyn Journal>,
    drain: watch::Receiver<bool>,
    streams: AtomicU64,
    subscribers: Arc<Subscribers>,
    common: Arc<Common>,
}

impl Discovery {
    /// Serves what is in the store, until `drain` becomes true: then every stream ends.
    pub fn new(
        store: Arc<Store>,
        rules: Rules,
        admission: Admission,
        journal: Arc<dyn Journal>,
        drain: watch::Receiver<bool>,
    ) -> Discovery {
        let subscribers = Arc::new(Subscribers::new(store.current()));
        let woken = Arc::downgrade(&subscribers);
        store.on_publish(move |snapshot| {
            if let Some(subscribers) = woken.upgrade() {
                subscribers.announce(snapshot);
            }
        });
        let shared = Shared {
            methods: methods(),
            store,
            rules: Arc::new(rules),
            admission,
            open: Arc::default(),
            unfinished: Arc::default(),
            journal,
            drain,
            streams: AtomicU64::new(0),
            subscribers,
            common: Arc::default(),
        };
        Discovery { shared: Arc::new(shared) }
    }
}

impl<B> tower_service::Service<http::Request<B>> for Discovery
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if let Some(status) = refusal(&request) {
            let mut response = http::Response::new(Body::empty());
            *response.status_mut() = status;
            return ready(Ok(response));
        }
        let Some(method) = self.shared.methods.get(request.uri().path()).copied() else {
            return ready(Ok(Status::unimplemented("no such streaming discovery method").into_http()));
        };
        if let Some(encoding) = request.headers().get(ENCODING).filter(|encoding| *encoding != IDENTITY) {
            let status =
                Status::unimplemented(format!("requests are compressed with {encoding:?}, not taken here"));
            let mut response = status.into_http();
            response.headers_mut().insert(ACCEPT_ENCODING, http::HeaderValue::from_static(IDENTITY));
            return ready(Ok(response));
        }
        let peer = peer_of(&request);
        let requests = Requests::new(request.into_body(), method.variant, self.shared.unfinished.clone());
        let exchange = match Exchange::open(self.shared.clone(), method, peer, requests) {
            Ok(exchange) => exchange,
            Err(status) => return ready(Ok(status.into_http())),
        };
        let mut response = http::Response::new(Body::new(Answer::new(exchange, self.shared.common.clone())));
        let content_type = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
        ready(Ok(response))
    }
}

/// With what is answered that is no gRPC call of ours, as the gRPC protocol over HTTP/2 has it. Its `application/grpc-web`
/// is another protocol, and its JSON other messages.
fn refusal<B>(request: &http::Request<B>) -> Option<http::StatusCode> {
    if request.method() != http::Method::POST {
        return Some(http::StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type =
        request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let is_ours =
        ["application/grpc", "application/grpc+proto"].iter().any(|it| essence.eq_ignore_ascii_case(it));
    (!is_ours).then_some(http::StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// What clients are told at the end.
fn ending() -> Status {
    Status::unavailable("xds-bridge is shutting down; connect again")
}

/// Whoever accepted the connection says who is at its other end; without a word, nothing is known.
fn peer_of<B>(request: &http::Request<B>) -> Arc<Peer> {
    let known = request.extensions().get::<Arc<Peer>>().cloned();
    known.unwrap_or_else(|| Arc::new(Peer::new("unknown", Proof::Nothing)))
}

/// One stream: a session between its requests, the store and the connection.
struct Exchange {
    session: Session,
    requests: Requests,
    drain: WatchStream<bool>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Ends a stream that says nothing; none once it has.
    silence: Option<Pin<Box<Sleep>>>,
    peer: Arc<Peer>,
    _seat: Seat,
    stream: Stream,
    shared: Arc<Shared>,
    ended: bool,
    reason: Option<String>,
}

impl tokio_stream::Stream for Exchange {
    type Item = Result<Response, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(end) = this.poll_requests(context) {
            return this.end(end);
        }
        // Until nothing is ready: only then is this task woken by what comes.
        while let Poll::Ready(Some(draining)) = Pin::new(&mut this.drain).poll_next(context) {
            if draining {
                return this.end(Some(ending()));
            }
        }
        if this.silence.as_mut().is_some_and(|silence| silence.as_mut().poll(context).is_ready()) {
            this.reason = Some("no request came in time".into());
            return this.end(Some(Status::deadline_exceeded("no request came in time")));
        }
        // In this order: what comes behind the look at the store finds whom to wake.
        this.session.listen(context.waker());
        this.session.on_snapshot(&this.shared.store.current());
        loop {
            let next = this.session.next(Instant::now());
            this.report();
            if let Some(response) = next.response {
                return Poll::Ready(Some(Ok(response)));
            }
            let Some(at) = next.wake_at else {
                this.timer = None;
                return Poll::Pending;
            };
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
            timer.as_mut().reset(at.into());
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Exchange {
    /// A stream, if there is a place for it.
    fn open(
        shared: Arc<Shared>,
        Method { variant, only }: Method,
        peer: Arc<Peer>,
        requests: Requests,
    ) -> Result<Exchange, Status> {
        if *shared.drain.borrow() {
            return Err(ending());
        }
        let seat = shared.open.enter(&peer, &shared.admission).map_err(|reason| {
            shared.journal.turned_away(&peer.address, &reason);
            Status::resource_exhausted(reason)
        })?;
        let stream = Stream {
            id: shared.streams.fetch_add(1, Ordering::Relaxed) + 1,
            peer: peer.address.clone(),
            credential: peer.credential().map(Arc::from),
            variant,
            only,
            identity: None,
        };
        shared.journal.note(&stream, &Event::Opened);
        let mut session = Session::new(variant, only, shared.rules.clone());
        session.share(shared.common.clone());
        if !shared.admission.secrets_in_clear && !peer.is_private() {
            session.withhold_secrets();
        }
        Ok(Exchange {
            session,
            requests,
            drain: WatchStream::new(shared.drain.clone()),
            timer: None,
            silence: Some(Box::pin(tokio::time::sleep(shared.admission.first_request))),
            peer,
            _seat: seat,
            stream,
            shared,
            ended: false,
            reason: None,
        })
    }

    /// Takes what the client has sent; ready when the stream is to end, with a status if it broke
    /// the protocol.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<Option<Status>> {
        for _ in 0..REQUESTS_PER_TURN {
            match self.requests.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(status))) => {
                    self.reason = Some(status.message().to_owned());
                    return Poll::Ready(Some(status));
                }
                Poll::Ready(Some(Ok(request))) => {
                    if let Err(reason) = self.admit(&request) {
                        self.reason = Some(reason.clone());
                        // What it claimed, for the record: nothing was believed of it.
                        self.stream.identity = request.identity.map(Arc::new);
                        return Poll::Ready(Some(Status::permission_denied(reason)));
                    }
                    self.enter(&request);
                    if self.session.withholds(&request) && self.peer.is_ours() {
                        self.session.release_secrets();
                    }
                    let snapshot = self.shared.store.current();
                    if let Err(refusal) = self.session.on_request(request, &snapshot, Instant::now()) {
                        self.reason = Some(refusal.to_string());
                        return Poll::Ready(Some(refusal.into()));
                    }
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Looks at the first request, which alone says who the client is, before anything is made of it.
    fn admit(&mut self, request: &Request) -> Result<(), String> {
        if self.silence.take().is_none() {
            return Ok(());
        }
        let node = request.identity.as_ref().map(|identity| &identity.node);
        self.shared.admission.access.check(&self.peer, node)
    }

    /// With its first request, a stream is one of those that are woken for what is new. Streams of single types
    /// that come over one connection from one node belong together.
    fn enter(&mut self, request: &Request) {
        // A node that comes in a later request is too late: the stream has its view.
        if self.session.has_started() {
            return;
        }
        let subscribers = &self.shared.subscribers;
        match request.identity.as_ref().filter(|_| self.stream.only.is_some()) {
            Some(identity) => self.session.join(subscribers.family(self.peer.id(), &identity.node)),
            None => subscribers.enter(self.session.siblings()),
        }
    }

    fn end(&mut self, status: Option<Status>) -> Poll<Option<Result<Response, Status>>> {
        self.ended = true;
        self.report();
        Poll::Ready(status.map(Err))
    }

    fn report(&mut self) {
        for event in self.session.take_events() {
            if let Event::Identified(identity) = &event {
                self.stream.identity = Some(identity.clone());
            }
            self.shared.journal.note(&self.stream, &event);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.report();
        self.shared.journal.note(&self.stream, &Event::Closed(self.reason.take()));
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        match refusal {
            Refusal::InvalidArgument(message) => Status::invalid_argument(message),
            Refusal::PermissionDenied(message) => Status::permission_denied(message),
            Refusal::ResourceExhausted(message) => Status::resource_exhausted(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_two_methods_and_virtual_hosts_one() {
        let methods = methods();
        assert_eq!(methods.len(), 2 + 2 * Kind::COUNT - 1);
        let sotw = "/envoy.service.route.v3.ScopedRoutesDiscoveryService/StreamScopedRoutes";
        let expected = Method { variant: Variant::Sotw, only: Some(Kind::ScopedRoute) };
        assert_eq!(methods.get(sotw), Some(&expected));
        assert!(
            !methods.contains_key("/envoy.service.route.v3.VirtualHostDiscoveryService/StreamVirtualHosts")
        );
    }
}
