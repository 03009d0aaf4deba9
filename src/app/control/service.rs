//! The daemon's end of the control API.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio_stream::wrappers::{IntervalStream, ReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status as GrpcStatus};
use tonic_prost::ProstCodec;

use super::super::policy::Accept;
use super::super::window::Window;
use super::{
    DUMP, DumpRequest, HISTORY, HistoryRequest, HistoryResponse, Job, Nothing, RELOAD, ReloadRequest,
    ReloadResponse, SERVICE, STATUS, WATCH,
};
use crate::admin::{Client, MAX_CLIENTS, Summary};
use crate::source::Handle;

/// How often it is looked whether clients have answered.
const LOOK: Duration = Duration::from_millis(50);

/// How often those who watch are told, at most; and how often nothing new is told, too.
const TELL: Duration = Duration::from_millis(250);
const TELL_AGES: Duration = Duration::from_secs(5);

/// The longest that a reload waits for clients.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Dumps at a time: each has a thread for as long as its reader takes.
const DUMPS: usize = 4;

/// Resources of a dump that are made before the first is taken.
const AHEAD: usize = 64;

/// The service on the admin address.
#[derive(Clone)]
pub struct Control {
    jobs: mpsc::Sender<Job>,
    files: Handle,
    window: Arc<Window>,
    dumps: Arc<Semaphore>,
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answers<A> = Pin<Box<dyn Stream<Item = Result<A, GrpcStatus>> + Send>>;

impl Control {
    /// Hands jobs to the thread at the other end, and wakes it; all else is seen through the window.
    pub fn new(jobs: mpsc::Sender<Job>, files: Handle, window: Arc<Window>) -> Control {
        Control { jobs, files, window, dumps: Arc::new(Semaphore::new(DUMPS)) }
    }

    /// Whether a path belongs to this service.
    pub fn owns(path: &str) -> bool {
        path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE)).is_some_and(|m| m.starts_with('/'))
    }

    /// Answers a request. What is no gRPC is refused, though it asks for the right path: a browser can be
    /// made to post, and never to speak gRPC over plain HTTP/2.
    pub async fn answer<B>(self, request: http::Request<B>) -> Result<http::Response<Body>, Infallible>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let kind = request.headers().get(http::header::CONTENT_TYPE);
        let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if request.version() != http::Version::HTTP_2 || !is_grpc {
            return Ok(GrpcStatus::invalid_argument("the control API is gRPC over HTTP/2").into_http());
        }
        Ok(match request.uri().path() {
            RELOAD => unary(Method(move |request| self.clone().reload(request)), request).await,
            STATUS => {
                unary(Method(move |_: Nothing| look(self.window.clone(), Window::status)), request).await
            }
            HISTORY => unary(Method(move |request| self.clone().history(request)), request).await,
            WATCH => streaming(Method(move |_: Nothing| self.clone().watch()), request).await,
            DUMP => streaming(Method(move |request| self.clone().dump(request)), request).await,
            _ => GrpcStatus::unimplemented("the control API has no such method").into_http(),
        })
    }

    /// Has everything looked at now; the answer comes when that is done, or never if the thread ends.
    pub fn look(&self, accept: Accept) -> oneshot::Receiver<ReloadResponse> {
        let (answer, answered) = oneshot::channel();
        // Of a thread that is gone, the receiver tells.
        let _ = self.jobs.send(Job { accept, answer });
        self.files.look_now();
        answered
    }

    async fn reload(self, request: ReloadRequest) -> Result<ReloadResponse, GrpcStatus> {
        let accept = Accept { unresolved: request.accept_unresolved, removals: request.accept_removals };
        let ending = |_| GrpcStatus::unavailable("xds-bridge is ending");
        let mut response = self.look(accept).await.map_err(ending)?;
        if request.wait {
            let bound = Duration::from_millis(request.timeout_millis).min(LONGEST_WAIT);
            let (clients, summary) = self.settled(bound).await?;
            response.summary = Some(summary);
            let lacking = clients.into_iter().filter(|client| client.state != "in_sync");
            response.clients = lacking.take(MAX_CLIENTS).collect();
        }
        Ok(response)
    }

    /// The clients, once each of them has acknowledged or refused what it was sent, or the time is up.
    async fn settled(&self, bound: Duration) -> Result<(Vec<Client>, Summary), GrpcStatus> {
        let end = Instant::now() + bound;
        loop {
            let (clients, summary) = look(self.window.clone(), Window::clients).await?;
            if clients.iter().all(is_settled) || Instant::now() >= end || self.window.is_draining() {
                return Ok((clients, summary));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn history(self, request: HistoryRequest) -> Result<HistoryResponse, GrpcStatus> {
        let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
        Ok(HistoryResponse { entries: self.window.history(limit) })
    }

    async fn watch(self) -> Result<Answers<crate::admin::Status>, GrpcStatus> {
        let window = self.window;
        let mut told: Option<(u64, Instant)> = None;
        let ticks = IntervalStream::new(tokio::time::interval(TELL));
        let open = window.clone();
        let due = ticks.take_while(move |_| !open.is_draining()).filter_map(move |_| {
            let events = window.events();
            let now = Instant::now();
            if told.is_some_and(|(known, at)| known == events && now.duration_since(at) < TELL_AGES) {
                return None;
            }
            told = Some((events, now));
            Some(window.clone())
        });
        let answers = due.then(async |window| look(window, Window::status).await);
        Ok(Box::pin(answers))
    }

    async fn dump(self, request: DumpRequest) -> Result<Answers<super::Dumped>, GrpcStatus> {
        let turn = self.dumps.clone().acquire_owned().await;
        let (send, receive) = tokio::sync::mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            self.window.dump(&request, |resource| send.blocking_send(Ok(resource)).is_ok());
        });
        Ok(Box::pin(ReceiverStream::new(receive)))
    }
}

/// Looks through the window where waiting for a lock or walking over much disturbs no stream.
async fn look<A: Send + 'static>(window: Arc<Window>, at: fn(&Window) -> A) -> Result<A, GrpcStatus> {
    let seen = tokio::task::spawn_blocking(move || at(&window)).await;
    seen.map_err(|error| GrpcStatus::internal(error.to_string()))
}

/// Whether nothing is to be gained by waiting for this client: what it refused, and what waits for that, it
/// will not take.
fn is_settled(client: &Client) -> bool {
    let refuses = client.state == "refused";
    let mut types = client.streams.iter().flat_map(|stream| &stream.types);
    types.all(|of| !of.pending && (refuses || of.behind == 0))
}

/// A method as a function of its request.
struct Method<F>(F);

impl<F, Q, A, T> UnaryService<Q> for Method<F>
where
    F: Fn(Q) -> T,
    T: Future<Output = Result<A, GrpcStatus>> + Send + 'static,
{
    type Response = A;
    type Future = Answer<Result<Response<A>, GrpcStatus>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = self.0(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

impl<F, Q, A, T> ServerStreamingService<Q> for Method<F>
where
    F: Fn(Q) -> T,
    T: Future<Output = Result<Answers<A>, GrpcStatus>> + Send + 'static,
{
    type Response = A;
    type ResponseStream = Answers<A>;
    type Future = Answer<Result<Response<Answers<A>>, GrpcStatus>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = self.0(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

async fn unary<M, Q, A, B>(method: M, request: http::Request<B>) -> http::Response<Body>
where
    M: UnaryService<Q, Response = A>,
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    Grpc::new(ProstCodec::<A, Q>::default()).unary(method, request).await
}

async fn streaming<M, Q, A, B>(method: M, request: http::Request<B>) -> http::Response<Body>
where
    M: ServerStreamingService<Q, Response = A>,
    M::ResponseStream: Send + 'static,
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    Grpc::new(ProstCodec::<A, Q>::default()).server_streaming(method, request).await
}
