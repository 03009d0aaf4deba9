//! The sessions on the network: tonic, and nothing else of the room knows of it.
//!
//! A [`Discovery`] answers every discovery method, found by path from [`Kind`]. Responses are made
//! when the connection can take them, not before: a client that does not read costs what it holds,
//! and coalesces by itself.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_stream::Stream as _;
use tokio_stream::wrappers::WatchStream;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, StreamingService};
use tonic::transport::server::{TcpConnectInfo, UdsConnectInfo};
use tonic::{Status, Streaming};

use super::journal::{Event, Journal, Stream};
use super::names::Pool;
use super::session::{Refusal, Rules, Session};
use super::siblings::Families;
use super::wire::{DeltaDiscoveryRequest, DiscoveryRequest, Request, Response, Variant};
use crate::resource::Kind;
use crate::snapshot::Store;

/// Largest request taken, in bytes: a reconnect with a million names and versions fits.
pub const MAX_REQUEST: usize = 128 * 1024 * 1024;

/// Requests taken in one turn before other streams get theirs.
const REQUESTS_PER_TURN: usize = 64;

/// What each direction of a stream allocates before anything is said, in bytes: an ACK or one changed
/// resource fits. More is allocated when it is needed.
const FIRST_BUFFER: usize = 512;

/// So much of responses is put into one buffer before it is handed on, in bytes; tonic's own default.
const BUFFERED: usize = 32 * 1024;

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
    journal: Arc<dyn Journal>,
    drain: watch::Receiver<bool>,
    streams: AtomicU64,
    families: Families,
    names: Arc<Pool>,
}

impl Discovery {
    /// Serves what is in the store, until `drain` becomes true: then every stream ends.
    pub fn new(
        store: Arc<Store>,
        rules: Rules,
        journal: Arc<dyn Journal>,
        drain: watch::Receiver<bool>,
    ) -> Discovery {
        let shared = Shared {
            methods: methods(),
            store,
            rules: Arc::new(rules),
            journal,
            drain,
            streams: AtomicU64::new(0),
            families: Families::default(),
            names: Arc::default(),
        };
        Discovery { shared: Arc::new(shared) }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<B> tower_service::Service<http::Request<B>> for Discovery
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        let Some(method) = self.shared.methods.get(request.uri().path()).copied() else {
            return Box::pin(async {
                Ok(Status::unimplemented("no such streaming discovery method").into_http())
            });
        };
        let opening = Opening { shared: self.shared.clone(), method, peer: peer_of(&request) };
        Box::pin(async move {
            Ok(match method.variant {
                Variant::Delta => grpc::<DeltaDiscoveryRequest>().streaming(opening, request).await,
                Variant::Sotw => grpc::<DiscoveryRequest>().streaming(opening, request).await,
            })
        })
    }
}

fn grpc<R>() -> Grpc<Wire<R>>
where
    R: prost::Message + Default + Into<Request> + Send + 'static,
{
    Grpc::new(Wire::default()).max_decoding_message_size(MAX_REQUEST).max_encoding_message_size(usize::MAX)
}

fn peer_of<B>(request: &http::Request<B>) -> Arc<str> {
    if let Some(tcp) = request.extensions().get::<TcpConnectInfo>() {
        return tcp.remote_addr().map_or_else(|| "tcp".into(), |address| address.to_string().into());
    }
    match request.extensions().get::<UdsConnectInfo>().and_then(|uds| uds.peer_cred) {
        Some(cred) => format!("unix uid {} pid {}", cred.uid(), cred.pid().unwrap_or_default()).into(),
        None => "unix".into(),
    }
}

/// A stream that is being opened.
struct Opening {
    shared: Arc<Shared>,
    method: Method,
    peer: Arc<str>,
}

impl StreamingService<Request> for Opening {
    type Response = Response;
    type ResponseStream = Exchange;
    type Future = std::future::Ready<Result<tonic::Response<Exchange>, Status>>;

    fn call(&mut self, requests: tonic::Request<Streaming<Request>>) -> Self::Future {
        let shared = self.shared.clone();
        let Method { variant, only } = self.method;
        let stream = Stream {
            id: shared.streams.fetch_add(1, Ordering::Relaxed) + 1,
            peer: self.peer.clone(),
            variant,
            only,
            identity: None,
        };
        shared.journal.note(&stream, &Event::Opened);
        let mut session = Session::new(variant, only, shared.rules.clone());
        session.share(shared.names.clone());
        let exchange = Exchange {
            session,
            requests: requests.into_inner(),
            wake: WatchStream::new(shared.store.subscribe()),
            drain: WatchStream::new(shared.drain.clone()),
            siblings: None,
            timer: None,
            stream,
            shared,
            ended: false,
            reason: None,
        };
        std::future::ready(Ok(tonic::Response::new(exchange)))
    }
}

/// One stream: a session between its requests, the store and the connection.
struct Exchange {
    session: Session,
    requests: Streaming<Request>,
    wake: WatchStream<u64>,
    drain: WatchStream<bool>,
    /// Stirs of the client's other streams, if it may have any.
    siblings: Option<WatchStream<u64>>,
    timer: Option<Pin<Box<Sleep>>>,
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
        if let Poll::Ready(Some(true)) = Pin::new(&mut this.drain).poll_next(context) {
            return this.end(Some(Status::unavailable("xds-bridge is shutting down; connect again")));
        }
        while let Poll::Ready(Some(_)) = Pin::new(&mut this.wake).poll_next(context) {
            this.session.on_snapshot(&this.shared.store.current());
        }
        while let Some(Poll::Ready(Some(_))) = this.siblings.as_mut().map(|s| Pin::new(s).poll_next(context))
        {
        }
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
    /// Takes what the client has sent; ready when the stream is to end, with a status if it broke
    /// the protocol.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<Option<Status>> {
        for _ in 0..REQUESTS_PER_TURN {
            match Pin::new(&mut self.requests).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(status))) => {
                    self.reason = Some(status.message().to_owned());
                    return Poll::Ready(Some(status));
                }
                Poll::Ready(Some(Ok(request))) => {
                    self.join_siblings(&request);
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

    /// Streams of single types that come over one connection from one node belong together.
    fn join_siblings(&mut self, request: &Request) {
        let Some(identity) = &request.identity else { return };
        // A node that comes in a later request is too late: the stream has its view.
        if self.stream.only.is_none() || self.session.has_started() {
            return;
        }
        let family = self.shared.families.join(&self.stream.peer, &identity.node);
        self.siblings = Some(WatchStream::new(family.subscribe()));
        self.session.join(family);
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
            Refusal::ResourceExhausted(message) => Status::resource_exhausted(message),
        }
    }
}

/// Reads requests of one variant, writes responses of either.
struct Wire<R>(std::marker::PhantomData<fn() -> R>);

impl<R> Default for Wire<R> {
    fn default() -> Self {
        Wire(std::marker::PhantomData)
    }
}

impl<R> Codec for Wire<R>
where
    R: prost::Message + Default + Into<Request> + Send + 'static,
{
    type Encode = Response;
    type Decode = Request;
    type Encoder = Wire<R>;
    type Decoder = Wire<R>;

    fn encoder(&mut self) -> Wire<R> {
        Wire::default()
    }

    fn decoder(&mut self) -> Wire<R> {
        Wire::default()
    }
}

impl<R> Encoder for Wire<R> {
    type Item = Response;
    type Error = Status;

    fn encode(&mut self, response: Response, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(response.encoded_len());
        response.encode(out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(FIRST_BUFFER, BUFFERED)
    }
}

impl<R: prost::Message + Default + Into<Request>> Decoder for Wire<R> {
    type Item = Request;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Request>, Status> {
        let request = R::decode(bytes)
            .map_err(|error| Status::invalid_argument(format!("this is no discovery request: {error}")))?;
        Ok(Some(request.into()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(FIRST_BUFFER, BUFFERED)
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
