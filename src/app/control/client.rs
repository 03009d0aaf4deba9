//! The command line's end of the control API: one connection to a daemon.

use std::error::Error;
use std::time::Duration;

use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use super::super::address::Address;
use super::{
    DUMP, DumpRequest, Dumped, HISTORY, HistoryRequest, HistoryResponse, Nothing, RELOAD, ReloadRequest,
    ReloadResponse, STATUS, WATCH,
};
use crate::admin::Status;

/// Loading a hundred thousand resources takes seconds; a daemon that says nothing for this long is
/// not at work.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Largest message taken: the status of thousands of clients.
const MAX_MESSAGE: usize = 256 * 1024 * 1024;

/// Why a daemon did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers.
    #[error(
        "no xds-bridge answers on {0} ({1}): is the daemon running? It listens where its --admin (`admin` in \
         its settings, or XDS_BRIDGE_ADMIN) says; give the same --admin here"
    )]
    Unreachable(Address, String),
    /// It does not answer in time.
    #[error(
        "the bridge on {0} did not answer in {1} s: it may be loading; `curl http://{0}/healthz` tells more"
    )]
    Silent(Address, u64),
    /// It is another version.
    #[error(
        "the bridge on {0} is another version than this program and does not know the request; restart it"
    )]
    Older(Address),
    /// It answers with an error.
    #[error("the bridge on {0}: {1}")]
    Refused(Address, String),
}

/// A connection to a running daemon.
pub struct Daemon {
    address: Address,
    grpc: Grpc<Channel>,
}

impl Daemon {
    /// Connects to the daemon with this admin address.
    ///
    /// # Errors
    /// If nobody answers there.
    pub async fn connect(address: &Address) -> Result<Daemon, ControlError> {
        let unreachable =
            |error: tonic::transport::Error| ControlError::Unreachable(address.clone(), root(&error));
        let uri = match address {
            Address::Tcp(ip) => format!("http://{ip}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(unreachable)?.connect_timeout(CONNECT);
        let channel = endpoint.connect().await.map_err(unreachable)?;
        let grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
        Ok(Daemon { address: address.clone(), grpc })
    }

    /// Lets it read everything at once.
    pub async fn reload(&mut self, request: ReloadRequest) -> Result<ReloadResponse, ControlError> {
        let patience = PATIENCE + Duration::from_millis(request.timeout_millis);
        self.ask(RELOAD, request, patience).await
    }

    /// Everything at this moment.
    pub async fn status(&mut self) -> Result<Status, ControlError> {
        self.ask(STATUS, Nothing {}, PATIENCE).await
    }

    /// Everything, again whenever something happens.
    pub async fn watch(&mut self) -> Result<Answers<Status>, ControlError> {
        self.open(WATCH, Nothing {}).await
    }

    /// What became of the last changes.
    pub async fn history(&mut self, limit: u32) -> Result<HistoryResponse, ControlError> {
        self.ask(HISTORY, HistoryRequest { limit }, PATIENCE).await
    }

    /// What is served.
    pub async fn dump(&mut self, request: DumpRequest) -> Result<Answers<Dumped>, ControlError> {
        self.open(DUMP, request).await
    }

    async fn ask<Q, A>(
        &mut self,
        path: &'static str,
        request: Q,
        patience: Duration,
    ) -> Result<A, ControlError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = self.grpc.unary(Request::new(request), path, ProstCodec::default());
        match tokio::time::timeout(patience, answer).await {
            Err(_) => Err(ControlError::Silent(self.address.clone(), patience.as_secs())),
            Ok(Err(status)) => Err(refused(&self.address, &status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    async fn open<Q, A>(&mut self, path: &'static str, request: Q) -> Result<Answers<A>, ControlError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = self.grpc.server_streaming(Request::new(request), path, ProstCodec::default());
        match tokio::time::timeout(PATIENCE, answer).await {
            Err(_) => Err(ControlError::Silent(self.address.clone(), PATIENCE.as_secs())),
            Ok(Err(status)) => Err(refused(&self.address, &status)),
            Ok(Ok(response)) => Ok(Answers { address: self.address.clone(), stream: response.into_inner() }),
        }
    }

    async fn ready(&mut self) -> Result<(), ControlError> {
        let ready = self.grpc.ready().await;
        ready.map_err(|error| ControlError::Unreachable(self.address.clone(), root(&error)))
    }
}

/// A stream of answers.
pub struct Answers<A> {
    address: Address,
    stream: Streaming<A>,
}

impl<A> Answers<A> {
    /// The next one; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<A>, ControlError> {
        self.stream.message().await.map_err(|status| refused(&self.address, &status))
    }
}

fn refused(address: &Address, status: &tonic::Status) -> ControlError {
    match status.code() {
        Code::Unimplemented => ControlError::Older(address.clone()),
        _ => ControlError::Refused(address.clone(), status.message().to_owned()),
    }
}

/// The operating system's own words, which are at the end of the chain.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
