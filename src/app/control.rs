//! The control API: what the command line asks of a running daemon (`proto/xds_bridge/control`).
//!
//! A request is a [`Job`] for the thread that loads files, the only one that may change what is
//! served; its answer comes back when the job is done.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::address::Address;
use super::policy::Accept;
use crate::source::Handle;

/// Path of the reload method.
const RELOAD: &str = "/xds_bridge.control.v1.Control/Reload";

/// `xds_bridge.control.v1.ReloadRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReloadRequest {
    /// Serve what is held because requests would go to what no fragment defines.
    #[prost(bool, tag = "1")]
    pub accept_unresolved: bool,
    /// Serve what is held because so much would be removed.
    #[prost(bool, tag = "2")]
    pub accept_removals: bool,
}

/// `xds_bridge.control.v1.ReloadResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReloadResponse {
    /// Counts the snapshots of this process; 0 when nothing was ever served.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// Resources added.
    #[prost(uint32, tag = "2")]
    pub added: u32,
    /// Resources changed.
    #[prost(uint32, tag = "3")]
    pub changed: u32,
    /// Resources removed.
    #[prost(uint32, tag = "4")]
    pub removed: u32,
    /// Why changes are held back; empty when none are.
    #[prost(string, repeated, tag = "5")]
    pub held: Vec<String>,
    /// Fragments that are not served as their files stand.
    #[prost(string, repeated, tag = "6")]
    pub problems: Vec<String>,
}

/// Loading a hundred thousand resources takes seconds; a daemon that says nothing for this long is
/// not at work.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a daemon did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers.
    #[error("no xds-bridge answers on {0}: is it running, and is this its --admin address?")]
    Unreachable(Address),
    /// It does not answer in time.
    #[error("the bridge on {0} did not answer in two minutes")]
    Silent(Address),
    /// It answers with an error.
    #[error("the bridge on {0}: {1}")]
    Refused(Address, String),
}

/// Asks the daemon with this admin address to read everything at once.
pub async fn reload(address: &Address, request: ReloadRequest) -> Result<ReloadResponse, ControlError> {
    let unreachable = |_| ControlError::Unreachable(address.clone());
    let uri = match address {
        Address::Tcp(ip) => format!("http://{ip}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(unreachable)?.connect_timeout(CONNECT);
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.map_err(unreachable)?);
    client.ready().await.map_err(unreachable)?;
    let path = http::uri::PathAndQuery::from_static(RELOAD);
    let answer = client.unary(Request::new(request), path, ProstCodec::default());
    match tokio::time::timeout(PATIENCE, answer).await {
        Err(_) => Err(ControlError::Silent(address.clone())),
        Ok(Err(status)) => Err(ControlError::Refused(address.clone(), status.message().to_owned())),
        Ok(Ok(response)) => Ok(response.into_inner()),
    }
}

/// A request to look at the files now.
#[derive(Debug)]
pub struct Job {
    /// What is to be taken over although it would be held.
    pub accept: Accept,
    /// Where the answer goes.
    pub answer: oneshot::Sender<ReloadResponse>,
}

/// The service on the admin address.
#[derive(Clone, Debug)]
pub struct Control {
    jobs: mpsc::Sender<Job>,
    files: Handle,
}

impl Control {
    /// Hands jobs to the thread at the other end, and wakes it.
    pub fn new(jobs: mpsc::Sender<Job>, files: Handle) -> Control {
        Control { jobs, files }
    }

    /// Has everything looked at now; the answer comes when that is done, or never if the thread ends.
    pub fn look(&self, accept: Accept) -> oneshot::Receiver<ReloadResponse> {
        let (answer, answered) = oneshot::channel();
        // Of a thread that is gone, the receiver tells.
        let _ = self.jobs.send(Job { accept, answer });
        self.files.look_now();
        answered
    }
}

impl NamedService for Control {
    const NAME: &'static str = "xds_bridge.control.v1.Control";
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<B> tower_service::Service<http::Request<B>> for Control
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let control = self.clone();
        Box::pin(async move {
            if request.uri().path() != RELOAD {
                return Ok(Status::unimplemented("the control API has no such method").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(control, request).await)
        })
    }
}

impl UnaryService<ReloadRequest> for Control {
    type Response = ReloadResponse;
    type Future = Answer<Result<Response<ReloadResponse>, Status>>;

    fn call(&mut self, request: Request<ReloadRequest>) -> Self::Future {
        let ReloadRequest { accept_unresolved, accept_removals } = request.into_inner();
        let answered = self.look(Accept { unresolved: accept_unresolved, removals: accept_removals });
        Box::pin(async move {
            let ending = |_| Status::unavailable("xds-bridge is ending");
            answered.await.map(Response::new).map_err(ending)
        })
    }
}
