//! The daemon: builds the rooms, connects them, and owns what lives: tasks, signals, the swap.
//!
//! The only caller of `publish`. One thread waits for the files and loads them; tasks serve the
//! streams; they meet in the store and nowhere else. Knows nothing of parsing or protocol rules,
//! and prints nothing: what people should see goes to a [`Reporter`].

mod control;
mod follow;
mod fragments;
mod guard;
mod listen;
mod loader;
mod look;
mod mix;
mod outcome;
mod policy;
mod record;
mod routes;
mod standing;
mod state;
mod surroundings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

use crate::envoy_api::Api;
pub use crate::serve::Pace;
use crate::serve::{Clients, Discovery, Rules};
use crate::snapshot::Store;
use crate::source::{self, Watch};

use control::Control;
pub use control::{ControlError, ReloadRequest, ReloadResponse, reload};
pub use follow::follow;
pub use fragments::Fragments;
use loader::Loader;
pub use look::{Drew, FileName, Look, Saved, load_all};
pub use mix::Places;
pub use outcome::{Outcome, Verdict};
pub use policy::{Accept, OnError, Policy};
pub use standing::{Condition, Hold, Standing, reasons};
pub use surroundings::{Environment, VariableSources};

pub use listen::{Address, AddressError, ListenError, Listener};
pub use record::{Record, without_quotes};
use state::State;

/// How long streams may take to end after SIGTERM. They end at once when they can be written to.
const DRAIN: Duration = Duration::from_secs(5);

/// HTTP/2 pings find clients that are gone without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// gRPC clients take messages of 4 MiB by default; this leaves room for the frame around them.
const MAX_RESPONSE: usize = 3 * 1024 * 1024 + 512 * 1024;

/// Envoy takes any size; this bounds what is buffered for one stream.
const MAX_RESPONSE_ENVOY: usize = 64 * 1024 * 1024;

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the fragments are, and how patiently they are read.
    pub source: source::Options,
    /// Where Envoys connect.
    pub listen: Vec<Address>,
    /// Where the command line reaches it.
    pub admin: Admin,
    /// Plain text may leave the machine.
    pub insecure: bool,
    /// What to serve, and what not.
    pub policy: Policy,
    /// What fragments may refer to by `${NAME}`.
    pub variables: VariableSources,
    /// Where the last good content of every fragment is kept.
    pub state_dir: Option<PathBuf>,
    /// How long changes wait for each other at a client.
    pub pace: Pace,
    /// What tells this bridge from others to the clients, such as the host's name.
    pub instance: String,
}

/// Where the command line reaches the daemon.
#[derive(Clone, Debug)]
pub enum Admin {
    /// Here, or the daemon does not start.
    At(Address),
    /// Here, if nobody else is.
    Usual(Address),
    /// Nowhere.
    None,
}

/// Why the daemon could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The configuration directory.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// The operating system gave no threads, signals or sockets.
    #[error("the operating system refused {what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its reason.
        error: io::Error,
    },
    /// A connection task ended by itself, which none may.
    #[error("serving ended unexpectedly: {0}")]
    Serve(String),
}

/// Shows people what the daemon does.
pub trait Reporter: Send + Sync {
    /// Sockets are open.
    fn listening(&self, addresses: &[Address]);
    /// The files were looked at.
    fn looked(&self, outcome: &Outcome, store: &Store);
    /// The files were looked at because somebody asked, and nothing in them is new.
    fn nothing_new(&self);
    /// The daemon is asked to end.
    fn draining(&self);
}

/// Runs until a signal ends it.
pub fn run(api: Api, settings: &Settings, reporter: Arc<dyn Reporter>) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "worker threads", error })?;
    runtime.block_on(serve(api, settings, reporter))
}

async fn serve(api: Api, settings: &Settings, reporter: Arc<dyn Reporter>) -> Result<(), AppError> {
    let mut listeners = Vec::new();
    for address in &settings.listen {
        listeners.push(Listener::bind(address, settings.insecure).await?);
    }
    let admin = bind_admin(&settings.admin).await?;
    let mut signals = Signals::new()?;
    reporter.listening(&listeners.iter().filter_map(Listener::address).collect::<Vec<_>>());

    let store = Arc::new(Store::new());
    let record = Arc::new(Record::default());
    let watching = Watch::new(settings.source.clone())?;
    let handle = watching.handle();
    let (state, saved) = State::open(settings.state_dir.as_deref())
        .map_err(|error| AppError::System { what: "a thread to keep state", error })?;
    let fragments = Fragments::new(api.clone(), settings.policy.clone(), saved)
        .with_variables(settings.variables.clone());
    let (jobs, asked) = std::sync::mpsc::channel();
    let control = Control::new(jobs, handle.clone());
    let (ended, mut loader_ended) = mpsc::channel::<()>(1);
    let loader = Loader {
        watching,
        fragments,
        store: store.clone(),
        record: record.clone(),
        reporter: reporter.clone(),
        state,
        jobs: asked,
        watched: BTreeSet::new(),
        _ended: ended,
    };
    let loader = loader.start()?;

    let (drain, draining) = watch::channel(false);
    let rules = Rules {
        pace: settings.pace,
        max_response: MAX_RESPONSE,
        max_response_envoy: MAX_RESPONSE_ENVOY,
        server: format!("xds-bridge/{} {}", env!("CARGO_PKG_VERSION"), settings.instance).into(),
    };
    let mut loaded = store.subscribe();
    let clients = Arc::new(Clients::new(record));
    let discovery = Discovery::new(store, rules, clients, draining.clone());
    let (routes, health) = routes::routes(&api, discovery).await?;
    let mut servers = JoinSet::new();
    for listener in listeners {
        servers.spawn(accept(listener, routes.clone(), draining.clone()));
    }

    if let Some(listener) = admin {
        let routes = Routes::new(control).prepare();
        servers.spawn(accept(listener, routes, draining.clone()));
    }

    let outcome = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => handle.look_now(),
                Signal::End => break Ok(()),
            },
            Ok(()) = loaded.changed() => routes::set_health(&health, ServingStatus::Serving).await,
            Some(end) = servers.join_next() => break Err(serving_ended(end)),
            _ = loader_ended.recv() => break Err(AppError::Serve("the thread that loads files is gone".into())),
        }
    };
    reporter.draining();
    routes::set_health(&health, ServingStatus::NotServing).await;
    handle.stop();
    drain.send_replace(true);
    finish(&mut servers, &mut signals).await;
    if loader.join().is_err() {
        return Err(AppError::Serve("the thread that loads files panicked".into()));
    }
    outcome
}

/// The admin address: what was asked for must be free, the usual one may be another bridge's.
async fn bind_admin(admin: &Admin) -> Result<Option<Listener>, ListenError> {
    match admin {
        Admin::At(address) if !address.is_local() => Err(ListenError::AdminExposed(address.clone())),
        Admin::At(address) => Listener::bind(address, false).await.map(Some),
        Admin::Usual(address) => match Listener::bind(address, false).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(%error, "no admin address: `reload` cannot reach this bridge; give it one with --admin");
                Ok(None)
            }
        },
        Admin::None => Ok(None),
    }
}

/// Streams end by themselves; those that cannot are cut off after a while, or at a second signal.
async fn finish(servers: &mut JoinSet<Result<(), tonic::transport::Error>>, signals: &mut Signals) {
    let all = async { while servers.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = tokio::time::sleep(DRAIN) => tracing::warn!("some clients did not take the end of their stream in time"),
        () = signals.end() => {}
    }
}

fn serving_ended(end: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> AppError {
    AppError::Serve(match end {
        Ok(Ok(())) => "a listener closed".into(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    })
}

/// Serves one listener until told to drain.
async fn accept(
    listener: Listener,
    routes: Routes,
    mut draining: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes);
    let drained = async move {
        // The sender is gone only when the process ends: that is a reason to drain as well.
        let _ = draining.wait_for(|drain| *drain).await;
    };
    match listener {
        Listener::Tcp(listener) => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(incoming, drained).await
        }
        Listener::Unix(listener, file) => {
            let ended = server.serve_with_incoming_shutdown(UnixListenerStream::new(listener), drained).await;
            drop(file);
            ended
        }
    }
}

enum Signal {
    Reload,
    End,
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, AppError> {
        let open = |kind| signal(kind).map_err(|error| AppError::System { what: "signals", error });
        Ok(Signals {
            hangup: open(SignalKind::hangup())?,
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
        }
    }

    async fn end(&mut self) {
        while !matches!(self.next().await, Signal::End) {}
    }
}
