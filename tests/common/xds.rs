//! A raw xDS client: says exactly what it is told to say, and shows what comes back.
//!
//! Comes in: where the daemon listens, and requests in either variant, over ADS or a single service.
//! Goes out: answers in one shape for both variants. Keeps the invariant that every wait has a bound,
//! and that silence is shown by what comes after it wherever the protocol has something that must.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming, client};
use xds_bridge::resource::Kind;
use xds_bridge::serve::Variant;

use super::SOON;
use super::bridge::Address;

/// How long silence lasts where nothing else can show it: long enough for what is due to arrive.
const SILENCE: Duration = Duration::from_millis(200);

/// The aggregated service.
const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// Where all clients of a test program run; the tests themselves are plain threads.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("the system has threads")
    })
}

/// `envoy.config.core.v3.Node`, what these tests say of themselves.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub cluster: String,
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
    #[prost(string, repeated, tag = "10")]
    pub client_features: Vec<String>,
}

impl Node {
    /// An Envoy with this id.
    pub fn envoy(id: &str) -> Node {
        Node { id: id.into(), cluster: "test".into(), user_agent_name: "envoy".into(), ..Node::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaRequest {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, repeated, tag = "3")]
    subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    unsubscribe: Vec<String>,
    #[prost(map = "string, string", tag = "5")]
    initial: HashMap<String, String>,
    #[prost(string, tag = "6")]
    nonce: String,
    #[prost(message, optional, tag = "7")]
    error: Option<RpcStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct SotwRequest {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    names: Vec<String>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(message, optional, tag = "6")]
    error: Option<RpcStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct ControlPlane {
    #[prost(string, tag = "1")]
    identifier: String,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaResponse {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<WireResource>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(string, repeated, tag = "6")]
    removed: Vec<String>,
    #[prost(message, optional, tag = "7")]
    control_plane: Option<ControlPlane>,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, Message)]
struct WireResource {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    resource: Option<prost_types::Any>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, repeated, tag = "4")]
    aliases: Vec<String>,
    #[prost(message, optional, tag = "6")]
    ttl: Option<prost_types::Duration>,
}

/// The name of a resource: the first field in each of the types.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SotwResponse {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<prost_types::Any>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(message, optional, tag = "6")]
    control_plane: Option<ControlPlane>,
}

/// One resource that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    /// Its name: beside it in a delta response, within it in one of the world's state.
    pub name: String,
    /// Its own version; empty in state of the world, unless it came with a TTL.
    pub version: String,
    /// The other names that find it.
    pub aliases: Vec<String>,
    /// The type URL of its body; none if it has no body.
    pub type_url: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long it is good for.
    pub ttl: Option<Duration>,
}

/// One response.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub type_url: String,
    pub version: String,
    pub nonce: String,
    /// `control_plane.identifier`.
    pub server: String,
    pub resources: Vec<Got>,
    pub removed: Vec<String>,
    /// Length of the message in bytes.
    pub size: usize,
}

impl Answer {
    /// What it says, sorted: `a`, `-a` for a removal, `?a` for a resource without a body.
    pub fn says(&self) -> Vec<String> {
        let mark = |got: &Got| if got.type_url.is_some() { "" } else { "?" };
        let resources = self.resources.iter().map(|got| format!("{}{}", mark(got), got.name));
        let mut all: Vec<String> =
            resources.chain(self.removed.iter().map(|name| format!("-{name}"))).collect();
        all.sort();
        all
    }

    /// The resource of this name.
    #[track_caller]
    pub fn get(&self, name: &str) -> &Got {
        let found = self.resources.iter().find(|got| got.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.says()))
    }

    /// Versions by name.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.resources.iter().map(|got| (got.name.clone(), got.version.clone())).collect()
    }

    fn read(variant: Variant, bytes: &Bytes) -> Answer {
        match variant {
            Variant::Delta => {
                let answer = DeltaResponse::decode(bytes.clone()).expect("a delta response");
                Answer {
                    type_url: answer.type_url,
                    version: answer.version,
                    nonce: answer.nonce,
                    server: answer.control_plane.unwrap_or_default().identifier,
                    resources: answer.resources.into_iter().map(Got::from).collect(),
                    removed: answer.removed,
                    size: bytes.len(),
                }
            }
            Variant::Sotw => {
                let answer = SotwResponse::decode(bytes.clone()).expect("a response of the world's state");
                Answer {
                    type_url: answer.type_url,
                    version: answer.version,
                    nonce: answer.nonce,
                    server: answer.control_plane.unwrap_or_default().identifier,
                    resources: answer.resources.into_iter().map(Got::from).collect(),
                    removed: Vec::new(),
                    size: bytes.len(),
                }
            }
        }
    }
}

impl From<WireResource> for Got {
    fn from(wire: WireResource) -> Got {
        let ttl = wire.ttl.map(|ttl| ttl.try_into().expect("a TTL is not negative"));
        let WireResource { version, resource, name, aliases, .. } = wire;
        let type_url = resource.as_ref().map(|any| any.type_url.clone());
        Got { name, version, aliases, type_url, body: resource.unwrap_or_default().value, ttl }
    }
}

impl From<prost_types::Any> for Got {
    fn from(any: prost_types::Any) -> Got {
        // With a TTL, a resource comes in the wrapper of the other variant.
        if any.type_url.ends_with("envoy.service.discovery.v3.Resource") {
            return WireResource::decode(&*any.value).expect("a wrapped resource").into();
        }
        let name = Named::decode(&*any.value).expect("a resource with a name").name;
        let aliases = Vec::new();
        Got {
            name,
            version: String::new(),
            aliases,
            type_url: Some(any.type_url),
            body: any.value,
            ttl: None,
        }
    }
}

/// What a request says beside its type; in state of the world `subscribe` is the whole list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    pub subscribe: &'a [&'a str],
    pub unsubscribe: &'a [&'a str],
    pub initial: &'a [(&'a str, &'a str)],
    pub nonce: &'a str,
    pub error: Option<&'a str>,
    pub version: &'a str,
}

/// A connection to the daemon.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects over TCP.
    #[track_caller]
    pub fn connect(address: &Address) -> Client {
        let Address::Tcp(port) = address else { panic!("only TCP is spoken here") };
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a valid address");
        let channel = runtime().block_on(async { timeout(SOON, endpoint.connect()).await });
        Client { channel: channel.expect("connecting is quick").expect("the daemon accepts connections") }
    }

    /// Connects over TCP or a unix socket, with TLS or without; the error is what the connection says.
    pub fn try_connect(address: &Address, tls: Option<Arc<rustls::ClientConfig>>) -> Result<Client, String> {
        let endpoint = Endpoint::from_static("http://localhost");
        let connector = Connector { address: address.clone(), tls, socket: None };
        let connected = async { timeout(SOON, endpoint.connect_with_connector(connector)).await };
        let channel = runtime().block_on(connected).expect("connecting is quick, and so is a refusal");
        channel.map(|channel| Client { channel }).map_err(|error| format!("{error:?}"))
    }

    /// Connects over plain TCP as another user; none if this process may not be one.
    pub fn connect_as(uid: u32, address: &Address) -> Option<Client> {
        let Address::Tcp(port) = *address else { panic!("only TCP is spoken here") };
        // A thread of its own: a socket is of the user that its thread has for files.
        let connecting = std::thread::spawn(move || {
            let user = nix::unistd::Uid::from_raw(uid);
            nix::unistd::setfsuid(user);
            let may = nix::unistd::setfsuid(user) == user;
            may.then(|| std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
        });
        let socket = connecting.join().expect("it does not panic")?;
        let connector = Connector { address: address.clone(), tls: None, socket: Some(Arc::new(socket)) };
        let endpoint = Endpoint::from_static("http://localhost");
        let connected = async { timeout(SOON, endpoint.connect_with_connector(connector)).await };
        let channel = runtime().block_on(connected).expect("it is connected");
        Some(Client { channel: channel.expect("the daemon speaks HTTP/2") })
    }

    /// Opens an aggregated stream.
    #[track_caller]
    pub fn ads(&self, variant: Variant) -> Stream {
        self.open(variant, None).expect("the aggregated service is there")
    }

    /// Opens a stream of one type.
    #[track_caller]
    pub fn single(&self, variant: Variant, kind: Kind) -> Stream {
        self.open(variant, Some(kind)).expect("each type has its service")
    }

    /// Opens a stream, as an Envoy with the node id `test`.
    pub fn open(&self, variant: Variant, only: Option<Kind>) -> Result<Stream, Status> {
        let (service, noun) =
            only.map_or((ADS, "AggregatedResources"), |kind| (kind.service(), kind.method()));
        let verb = match variant {
            Variant::Delta => "Delta",
            Variant::Sotw => "Stream",
        };
        let (requests, answers) = self.call(&format!("/{service}/{verb}{noun}"))?;
        let node = Some(Node::envoy("test"));
        Ok(Stream { variant, only, node, requests: Some(requests), answers, told: HashMap::new(), marks: 0 })
    }

    /// Calls a method with a stream of requests.
    pub fn call(&self, path: &str) -> Result<(mpsc::UnboundedSender<Vec<u8>>, Streaming<Bytes>), Status> {
        let (sender, receiver) = mpsc::unbounded_channel();
        Ok((sender, self.call_with(path, receiver)?))
    }

    /// Calls a method with one request.
    pub fn ask(&self, path: &str, request: Vec<u8>) -> Result<Streaming<Bytes>, Status> {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(request).expect("the other end is here");
        drop(sender);
        self.call_with(path, receiver)
    }

    fn call_with(
        &self,
        path: &str,
        receiver: mpsc::UnboundedReceiver<Vec<u8>>,
    ) -> Result<Streaming<Bytes>, Status> {
        let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
        let mut grpc = client::Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        let path = path.parse().expect("a method is a path");
        let answers = runtime().block_on(async {
            grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
            let opened = grpc.streaming(tonic::Request::new(requests), path, Raw);
            timeout(SOON, opened).await.expect("the daemon takes or refuses a stream at once")
        })?;
        Ok(answers.into_inner())
    }

    /// Posts bytes as the body of a gRPC call, whatever they are; `open` leaves the request without
    /// an end. Gives the HTTP status and how the call ended.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8], open: bool) -> (u16, Option<Code>) {
        let (status, code, _) = self.http("POST", path, &[("content-type", content_type)], body, open);
        (status, code)
    }

    /// The same with any method and headers; gives the headers of the answer, too.
    pub fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
        open: bool,
    ) -> (u16, Option<Code>, http::HeaderMap) {
        let body = Whole { bytes: Some(Bytes::copy_from_slice(body)), open };
        let mut request = http::Request::new(tonic::body::Body::new(body));
        *request.method_mut() = method.parse().expect("a method of HTTP");
        *request.uri_mut() = path.parse().expect("a method is a path");
        request.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        let mut channel = self.channel.clone();
        let answer = async {
            use tower_service::Service;
            std::future::poll_fn(|context| channel.poll_ready(context))
                .await
                .expect("the connection is there");
            let response = channel.call(request).await.expect("an answer");
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let mut code = Status::from_header_map(response.headers()).map(|status| status.code());
            let mut body = std::pin::pin!(response.into_body());
            while let Some(frame) =
                std::future::poll_fn(|context| http_body::Body::poll_frame(body.as_mut(), context)).await
            {
                let Ok(frame) = frame else { break };
                if let Some(trailers) = frame.trailers_ref() {
                    code = Status::from_header_map(trailers).map(|status| status.code());
                }
            }
            (status, code, headers)
        };
        runtime().block_on(async { timeout(SOON, answer).await }).expect("the call ends")
    }
}

/// Makes the connection that tonic then speaks on.
#[derive(Clone)]
struct Connector {
    address: Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// One that is connected already.
    socket: Option<Arc<std::net::TcpStream>>,
}

/// Any of the connections.
trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let Connector { address, tls, socket } = self.clone();
        Box::pin(async move {
            if let Some(socket) = socket {
                let socket = socket.try_clone()?;
                socket.set_nonblocking(true)?;
                let io: Box<dyn Io> = Box::new(tokio::net::TcpStream::from_std(socket)?);
                return Ok(TokioIo::new(io));
            }
            let io: Box<dyn Io> = match (address, tls) {
                (Address::Unix(path), _) => Box::new(tokio::net::UnixStream::connect(path).await?),
                (Address::Tcp(port), None) => {
                    Box::new(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?)
                }
                (Address::Tcp(port), Some(tls)) => {
                    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
                    let name = "localhost".try_into().expect("a DNS name");
                    Box::new(tokio_rustls::TlsConnector::from(tls).connect(name, socket).await?)
                }
            };
            Ok(TokioIo::new(io))
        })
    }
}

/// One stream.
pub struct Stream {
    pub variant: Variant,
    only: Option<Kind>,
    /// Goes out with the first request.
    pub node: Option<Node>,
    requests: Option<mpsc::UnboundedSender<Vec<u8>>>,
    answers: Streaming<Bytes>,
    /// The list last told for a type, and the version last taken: a client of the world's state
    /// repeats both.
    told: HashMap<String, (Vec<String>, String)>,
    marks: u32,
}

impl Stream {
    /// Sends a request; one that cannot be sent because the stream has ended shows in its answer.
    pub fn send(&mut self, type_url: &str, ask: Ask<'_>) {
        let own = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
        let node = self.node.take();
        let error = ask.error.map(|message| RpcStatus { code: 3, message: message.to_owned() });
        let (type_url, nonce) = (type_url.to_owned(), ask.nonce.to_owned());
        let message = match self.variant {
            Variant::Delta => DeltaRequest {
                node,
                type_url,
                subscribe: own(ask.subscribe),
                unsubscribe: own(ask.unsubscribe),
                initial: ask.initial.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
                nonce,
                error,
            }
            .encode_to_vec(),
            Variant::Sotw => {
                self.told.entry(type_url.clone()).or_default().0 = own(ask.subscribe);
                let version = ask.version.to_owned();
                SotwRequest { version, node, names: own(ask.subscribe), type_url, nonce, error }
                    .encode_to_vec()
            }
        };
        self.send_bytes(message);
    }

    /// Sends these bytes as a request.
    pub fn send_bytes(&mut self, message: Vec<u8>) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(message);
        }
    }

    /// Ends the stream of requests, and goes on listening.
    pub fn half_close(&mut self) {
        self.requests = None;
    }

    /// Asks for names: adds them in delta, is the whole list in state of the world. None is the
    /// wildcard of a first request.
    pub fn ask(&mut self, kind: Kind, names: &[&str]) {
        self.send(kind.type_url(), Ask { subscribe: names, ..Ask::default() });
    }

    /// Delta: drops names.
    pub fn drop_names(&mut self, kind: Kind, names: &[&str]) {
        assert_eq!(self.variant, Variant::Delta);
        self.send(kind.type_url(), Ask { unsubscribe: names, ..Ask::default() });
    }

    /// Delta: a first request with what was kept from an earlier stream.
    pub fn resume(&mut self, kind: Kind, names: &[&str], kept: &[(&str, &str)]) {
        assert_eq!(self.variant, Variant::Delta);
        self.send(kind.type_url(), Ask { subscribe: names, initial: kept, ..Ask::default() });
    }

    /// Acknowledges an answer.
    pub fn ack(&mut self, answer: &Answer) {
        self.told.entry(answer.type_url.clone()).or_default().1 = answer.version.clone();
        self.reply(answer, None);
    }

    /// Refuses an answer.
    pub fn nack(&mut self, answer: &Answer, error: &str) {
        self.reply(answer, Some(error));
    }

    fn reply(&mut self, answer: &Answer, error: Option<&str>) {
        let (names, version) = self.told.get(&answer.type_url).cloned().unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let subscribe: &[&str] = if self.variant == Variant::Sotw { &names } else { &[] };
        let ask = Ask { subscribe, nonce: &answer.nonce, error, version: &version, ..Ask::default() };
        self.send(&answer.type_url, ask);
    }

    /// The next answer if one comes within `bound`; the stream's end is `Ok(None)` or its status.
    pub fn next_within(&mut self, bound: Duration) -> Option<Result<Option<Answer>, Status>> {
        let next = runtime().block_on(async { timeout(bound, self.answers.message()).await }).ok()?;
        Some(next.map(|bytes| bytes.map(|bytes| Answer::read(self.variant, &bytes))))
    }

    /// The next answer.
    #[track_caller]
    pub fn next(&mut self) -> Answer {
        match self.next_within(SOON) {
            Some(Ok(Some(answer))) => answer,
            Some(end) => panic!("the stream ended: {end:?}"),
            None => panic!("no answer within {SOON:?}"),
        }
    }

    /// The next answer, which must be of this type.
    #[track_caller]
    pub fn expect(&mut self, kind: Kind) -> Answer {
        let answer = self.next();
        assert_eq!(answer.type_url, kind.type_url(), "{:?}", answer.says());
        answer
    }

    /// Takes and acknowledges the next answer, which must be of this type.
    #[track_caller]
    pub fn take(&mut self, kind: Kind) -> Answer {
        let answer = self.expect(kind);
        self.ack(&answer);
        answer
    }

    /// Takes and acknowledges answers until one is of this type and holds, without a word on others.
    #[track_caller]
    pub fn take_until(&mut self, kind: Kind, what: &str, mut holds: impl FnMut(&Answer) -> bool) -> Answer {
        let start = std::time::Instant::now();
        loop {
            let answer = self.next();
            self.ack(&answer);
            if answer.type_url == kind.type_url() && holds(&answer) {
                return answer;
            }
            assert!(start.elapsed() < SOON, "in vain for: {what}");
        }
    }

    /// Waits for the end of the stream.
    #[track_caller]
    pub fn expect_end(&mut self) -> Status {
        loop {
            match self.next_within(SOON) {
                Some(Ok(Some(_))) => {}
                Some(Ok(None)) => return Status::ok(""),
                Some(Err(status)) => return status,
                None => panic!("the stream goes on after {SOON:?}"),
            }
        }
    }

    /// Nothing is due: what must be answered after it comes first. On an aggregated stream two types
    /// that nobody knows are asked for one after the other; what was due would come between them.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        if self.only.is_some() {
            let next = self.next_within(SILENCE);
            assert!(next.is_none(), "something came: {next:?}");
            return;
        }
        for _ in 0..2 {
            self.marks += 1;
            let mark = format!("type.googleapis.com/nobody.knows.Mark{}", self.marks);
            self.send(&mark, Ask::default());
            let answer = self.next();
            assert_eq!(answer.type_url, mark, "something came: {:?}", answer.says());
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} stream of {:?}", self.variant, self.only)
    }
}

/// A request body of one piece, with or without an end.
struct Whole {
    bytes: Option<Bytes>,
    open: bool,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        match self.bytes.take() {
            Some(bytes) => Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            None if self.open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}
