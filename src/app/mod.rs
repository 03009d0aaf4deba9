//! The daemon: builds the rooms, connects them, and owns what lives: tasks, signals, the swap.
//!
//! The only caller of `publish`. One thread waits for the files and loads them; tasks serve the
//! streams; they meet in the store and nowhere else. Knows nothing of parsing or protocol rules,
//! and prints nothing: what people should see goes to a [`Reporter`].

mod address;
mod board;
mod control;
mod fragments;
mod guard;
mod listen;
mod loader;
mod look;
mod mix;
mod outcome;
mod policy;
mod process;
mod pulse;
mod record;
mod routes;
mod standing;
mod state;
mod surroundings;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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

use board::Board;
use control::Control;
pub use control::{
    ControlError, Daemon, DumpRequest, Dumped, HistoryResponse, ReloadRequest, ReloadResponse,
};
pub use fragments::Fragments;
use loader::Loader;
pub use look::{Drew, FileName, Look, Saved, load_all};
pub use mix::Places;
pub use outcome::{Outcome, Verdict};
pub use policy::{Accept, OnError, Policy};
pub use standing::{Condition, Hold, Standing, reasons};
pub use surroundings::{Environment, VariableSources};

pub use address::{Address, AddressError, Listen, Listens};
use listen::Handed;
pub use listen::{ListenError, Listener};
pub use record::Record;
use state::State;
use window::{Desk, Window};

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
    pub listen: Vec<Listen>,
    /// Nobody chose `listen`: sockets that are handed over take its place.
    pub usual_listen: bool,
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
    At(Listen),
    /// Here, if nobody else is.
    Usual(Listen),
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
    let handed = Handed::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "worker threads", error })?;
    runtime.block_on(serve(api, settings, handed, reporter))
}

async fn serve(
    api: Api,
    settings: &Settings,
    handed: Handed,
    reporter: Arc<dyn Reporter>,
) -> Result<(), AppError> {
    let (handed, handed_admin) = handed.listeners()?;
    let listeners = open(settings, handed).await?;
    let admin = match handed_admin {
        Some(listener) => match listener.address() {
            Some(address) if !address.is_local() && !settings.insecure => {
                return Err(ListenError::AdminExposed(address).into());
            }
            _ => Some(listener),
        },
        None => bind_admin(settings).await?,
    };
    let mut signals = Signals::new()?;
    let addresses: Vec<Address> = listeners.iter().filter_map(Listener::address).collect();
    reporter.listening(&addresses);

    let store = Arc::new(Store::new());
    let record = Arc::new(Record::default());
    let board = Arc::new(Board::default());
    let watching = Watch::new(settings.source.clone())?;
    let handle = watching.handle();
    let (state, saved) = State::open(settings.state_dir.as_deref())
        .map_err(|error| AppError::System { what: "a thread to keep state", error })?;
    let fragments = Fragments::new(api.clone(), settings.policy.clone(), saved)
        .with_variables(settings.variables.clone());
    let (jobs, asked) = std::sync::mpsc::channel();
    let (ended, mut loader_ended) = mpsc::channel::<()>(1);
    let loader = Loader {
        watching,
        fragments,
        store: store.clone(),
        record: record.clone(),
        reporter: reporter.clone(),
        board: board.clone(),
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
    let clients = Arc::new(Clients::new(record.clone()));
    let discovery = Discovery::new(store.clone(), rules, clients.clone(), draining.clone());
    let (routes, health) = routes::routes(&api, discovery).await?;
    let mut servers = JoinSet::new();
    for listener in listeners {
        servers.spawn(accept(listener, routes.clone(), false, draining.clone()));
    }

    if let Some(listener) = admin {
        let window = Arc::new(Window {
            bridge: window::bridge(settings, &addresses),
            started: SystemTime::now(),
            api,
            store,
            clients,
            record,
            board,
            draining: draining.clone(),
        });
        let control = Control::new(jobs, handle.clone(), window.clone());
        let routes = routes::admin(Desk::new(window, control));
        servers.spawn(accept(listener, routes, true, draining.clone()));
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

/// The sockets for Envoys: those handed over, and those that were asked for and are not among them.
async fn open(settings: &Settings, mut listeners: Vec<Listener>) -> Result<Vec<Listener>, ListenError> {
    let handed: Vec<Address> = listeners.iter().filter_map(Listener::address).collect();
    if !settings.usual_listen || handed.is_empty() {
        for listen in settings.listen.iter().filter(|listen| !handed.contains(&listen.address)) {
            may_listen(&listen.address, settings)?;
            listeners.push(Listener::bind(listen).await?);
        }
    }
    handed.iter().try_for_each(|address| may_listen(address, settings))?;
    Ok(listeners)
}

/// Plain text does not leave the machine unless somebody says so.
fn may_listen(address: &Address, settings: &Settings) -> Result<(), ListenError> {
    if settings.insecure || address.is_local() { Ok(()) } else { Err(ListenError::Exposed(address.clone())) }
}

/// The admin address: what was asked for must be free, the usual one may be another bridge's.
async fn bind_admin(settings: &Settings) -> Result<Option<Listener>, ListenError> {
    match &settings.admin {
        Admin::At(listen) if !listen.address.is_local() && !settings.insecure => {
            Err(ListenError::AdminExposed(listen.address.clone()))
        }
        Admin::At(listen) => Listener::bind(listen).await.map(Some),
        Admin::Usual(listen) => match Listener::bind(listen).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(%error, "no admin address: `status` and `reload` cannot reach this bridge; give it one with --admin");
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

/// Serves one listener until told to drain; with `pages`, to browsers and probes as well.
async fn accept(
    listener: Listener,
    routes: Routes,
    pages: bool,
    mut draining: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let server = Server::builder()
        .accept_http1(pages)
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
