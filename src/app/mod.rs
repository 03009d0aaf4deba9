//! The daemon: builds the rooms, connects them, and owns what lives: tasks, signals, the swap.
//!
//! The only caller of `publish`. One thread waits for the files and loads them; tasks serve the
//! streams; they meet in the store and nowhere else. Knows nothing of parsing or protocol rules,
//! and prints nothing: what people should see goes to a [`Reporter`].

mod accept;
mod address;
mod board;
mod connection;
mod control;
mod doors;
mod follow;
mod foreign;
mod fragments;
mod guard;
mod life;
mod limits;
mod listen;
mod loader;
mod look;
mod mix;
mod neighbour;
mod outcome;
mod policy;
mod process;
mod record;
mod routes;
mod standing;
mod state;
mod surroundings;
mod systemd;
#[cfg(test)]
mod tests;
mod tls;
mod window;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use crate::envoy_api::Api;
pub use crate::serve::{Access, CLUSTER, ClientRule, ID, Pace, Who};
use crate::serve::{Admission, Clients, Discovery, Journal, Rules};
use crate::snapshot::Store;
use crate::source::{self, Watch};

use accept::Door;
use board::Board;
use connection::{Connections, Hear};
use control::Control;
pub use control::{
    ControlError, Daemon, DumpRequest, Dumped, HistoryResponse, ReloadRequest, ReloadResponse,
};
use doors::Doors;
pub use follow::follow;
pub use fragments::Fragments;
pub use limits::Limits;
use loader::Loader;
pub use look::{Drew, FileName, Kept, Look, Saved, load_all};
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
use tls::Tls;
pub use tls::{TlsError, TlsSettings};
use window::{Desk, Window};

/// How long streams may take to end after SIGTERM. They end at once when they can be written to.
const DRAIN: Duration = Duration::from_secs(5);

/// Clients that hold on at the end and are named.
const MAX_SHOWN: usize = 20;

/// gRPC clients take messages of 4 MiB by default; this leaves room for the frame around them.
const MAX_RESPONSE: usize = 3 * 1024 * 1024 + 512 * 1024;

/// Envoy takes any size; this bounds what is buffered for one stream.
const MAX_RESPONSE_ENVOY: usize = 64 * 1024 * 1024;

/// Names that one stream may subscribe to, of one type: twenty times the largest reconnect that was seen.
const MAX_NAMES: usize = 1_000_000;

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
    /// Plain text may leave the machine, and hold secrets.
    pub insecure: bool,
    /// Certificates for the TCP addresses.
    pub tls: TlsSettings,
    /// Who may claim to be which node.
    pub access: Access,
    /// How much clients may take.
    pub limits: Limits,
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
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    let ended = runtime.block_on(serve(api, settings, handed, reporter));
    // What still runs is nothing that anybody waits for.
    runtime.shutdown_background();
    ended
}

async fn serve(
    api: Api,
    settings: &Settings,
    handed: Handed,
    reporter: Arc<dyn Reporter>,
) -> Result<(), AppError> {
    let limits = limits::fit_to_open_files(&settings.limits);
    let doors = Doors::open(settings, handed).await?;
    let mut signals = Signals::new()?;
    let addresses = doors.addresses();
    reporter.listening(&addresses);
    let (telling, looked) = systemd::Telling::new(reporter.clone());
    let telling: Arc<dyn Reporter> = Arc::new(telling);
    let mut watchdog = systemd::Watchdog::from_env();

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
        reporter: telling,
        board: board.clone(),
        state,
        jobs: asked,
        watched: BTreeSet::new(),
        pulse: watchdog.pulse(),
        _ended: ended,
    };
    let loader = loader.start()?;

    let (drain, draining) = watch::channel(false);
    let rules = Rules {
        pace: settings.pace,
        max_response: MAX_RESPONSE,
        max_response_envoy: MAX_RESPONSE_ENVOY,
        max_names: MAX_NAMES,
        server: format!("xds-bridge/{} {}", env!("CARGO_PKG_VERSION"), settings.instance).into(),
    };
    let mut loaded = store.subscribe();
    let clients = Arc::new(Clients::new(record.clone()));
    let admission = Admission {
        access: settings.access.clone(),
        secrets_in_clear: settings.insecure,
        streams: limits.streams,
        streams_per_connection: limits.streams_per_connection,
        first_request: limits.first_request,
    };
    let journal: Arc<dyn Journal> = clients.clone();
    let mut without_secrets = doors.without_secrets(settings);
    let discovery = Discovery::new(store.clone(), rules, admission, journal, draining.clone());
    let (routes, health) = routes::routes(&api, discovery).await?;
    let connections = Arc::new(Connections::new(&limits));
    // A flood of clients must not keep out the person who looks into it.
    let at_admin = doors.admin.as_ref().and_then(Listener::address);
    let for_admin = Arc::new(Connections::new(&limits::admin()));
    let mut servers = JoinSet::new();
    let tls = doors.tls.clone();
    let window = Arc::new(Window {
        bridge: window::bridge(settings, &addresses),
        started: SystemTime::now(),
        api,
        store: store.clone(),
        clients: clients.clone(),
        record,
        board,
        tls: tls.clone(),
        draining: draining.clone(),
    });
    let control = Control::new(jobs, handle.clone(), window.clone());
    let desk = routes::admin(Desk::new(window, control.clone(), at_admin.as_ref()));
    let admin = doors.admin.map(|listener| (listener, false, true, desk));
    let envoys = doors.envoys.into_iter().map(|(listener, secure)| (listener, secure, false, routes.clone()));
    for (listener, secure, pages, routes) in envoys.chain(admin) {
        let seats = if pages { for_admin.clone() } else { connections.clone() };
        let door = Door {
            listener,
            tls: tls.clone().filter(|_| secure),
            pages,
            limits: limits.clone(),
            connections: seats,
            draining: draining.clone(),
            pulse: watchdog.pulse(),
        };
        servers.spawn(accept(door, routes, draining.clone()));
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(watchdog.feed());
    tasks.spawn(systemd::keep_told(looked, store.clone(), clients));
    tasks.extend(tls.clone().map(renew));

    let outcome = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => drop(tasks.spawn(reload_all(control.clone(), tls.clone()))),
                Signal::End => break Ok(()),
            },
            Ok(()) = loaded.changed() => {
                routes::set_health(&health, ServingStatus::Serving).await;
                doors::tell_of_secrets(&mut without_secrets, &store);
            }
            Some(end) = tasks.join_next() => {
                // They end by themselves or not at all: a panic would be the end of renewals, or of the watchdog.
                if let Err(error) = end {
                    break Err(AppError::Serve(format!("a task of the daemon broke: {error}")));
                }
            }
            Some(end) = servers.join_next() => break Err(serving_ended(end)),
            _ = loader_ended.recv() => break Err(AppError::Serve("the thread that loads files is gone".into())),
        }
    };
    reporter.draining();
    systemd::stopping();
    routes::set_health(&health, ServingStatus::NotServing).await;
    handle.stop();
    drain.send_replace(true);
    let at_once = finish(&mut servers, &mut signals, &connections).await;
    if !at_once && loader.join().is_err() {
        return Err(AppError::Serve("the thread that loads files panicked".into()));
    }
    outcome
}

/// Reads everything anew: certificates and fragments.
async fn reload_all(control: Control, tls: Option<Arc<Tls>>) {
    systemd::reloading();
    look_at(tls, true).await;
    // Without an answer, the daemon ends, and says that.
    let _ = control.look(Accept::default()).await;
    systemd::ready();
}

/// Looks at the certificates again and again.
async fn renew(tls: Arc<Tls>) {
    let mut tick = tokio::time::interval(tls::LOOK);
    loop {
        tick.tick().await;
        look_at(Some(tls.clone()), false).await;
    }
}

async fn look_at(tls: Option<Arc<Tls>>, asked: bool) {
    let Some(tls) = tls else { return };
    // A disk may be slow. An error is a panic of ours, and the certificates in use stay.
    let _ = tokio::task::spawn_blocking(move || tls.look(asked)).await;
}

/// Streams end by themselves; those that cannot are cut off after a while, or at a second signal, which asks to
/// end at once.
async fn finish(
    servers: &mut JoinSet<Result<(), tonic::transport::Error>>,
    signals: &mut Signals,
    connections: &Connections,
) -> bool {
    let all = async { while servers.join_next().await.is_some() {} };
    tokio::select! {
        () = all => false,
        () = signals.end() => true,
        () = tokio::time::sleep(DRAIN) => {
            let peers = connections.peers();
            let clients = peers.iter().take(MAX_SHOWN).map(|peer| &**peer).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                connections = peers.len(), clients, "some clients did not take the end of their stream in time"
            );
            false
        }
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
    door: Door,
    routes: Routes,
    mut draining: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let streams = u32::try_from(door.limits.streams_per_connection).unwrap_or(u32::MAX);
    let server = Server::builder()
        .accept_http1(door.pages)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(limits::HEADER_LIST)
        .max_frame_size(limits::FRAME)
        .max_concurrent_streams(streams)
        .http2_max_pending_accept_reset_streams(Some(limits::PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(limits::ERROR_RESETS))
        .layer(Hear)
        .add_routes(routes);
    let drained = async move {
        // The sender is gone only when the process ends: that is a reason to drain as well.
        let _ = draining.wait_for(|drain| *drain).await;
    };
    server.serve_with_incoming_shutdown(door.open(), drained).await
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
