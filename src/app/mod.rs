//! The daemon: builds the rooms, connects them, and owns what lives: tasks, signals, the swap.
//!
//! The only caller of `publish`. One thread waits for the files and loads them; tasks serve the
//! streams; they meet in the store and nowhere else. Knows nothing of parsing or protocol rules,
//! and prints nothing: what people should see goes to a [`Reporter`].

mod fragments;
mod listen;
mod record;
mod routes;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
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
use crate::serve::{Clients, Discovery, Pace, Rules};
use crate::snapshot::Store;
use crate::source::{self, Next, Watch};

pub use fragments::{Fragments, Look, Outcome, Places, Verdict, load_all};
pub use listen::{Address, AddressError, ListenError, Listener};
pub use record::Record;

/// How long streams may take to end after SIGTERM. They end at once when they can be written to.
const DRAIN: Duration = Duration::from_secs(5);

/// HTTP/2 pings find clients that are gone without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// gRPC clients take messages of 4 MiB by default; this leaves room for the frame around them.
const MAX_RESPONSE: usize = 3 * 1024 * 1024 + 512 * 1024;

/// Envoy takes any size; this bounds what is buffered for one stream.
const MAX_RESPONSE_ENVOY: usize = 64 * 1024 * 1024;

/// How often the waiting thread looks up although nothing happened.
const IDLE: Duration = Duration::from_secs(60);

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the fragments are, and how patiently they are read.
    pub source: source::Options,
    /// Where Envoys connect.
    pub listen: Vec<Address>,
    /// Plain text may leave the machine.
    pub insecure: bool,
    /// An empty configuration is served as such from the start.
    pub allow_empty: bool,
    /// How long changes wait for each other at a client.
    pub pace: Pace,
    /// What tells this bridge from others to the clients, such as the host's name.
    pub instance: String,
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
    let mut signals = Signals::new()?;
    reporter.listening(&listeners.iter().filter_map(Listener::address).collect::<Vec<_>>());

    let store = Arc::new(Store::new());
    let record = Arc::new(Record::default());
    let watching = Watch::new(settings.source.clone())?;
    let handle = watching.handle();
    let fragments = Fragments::new(api.clone(), settings.allow_empty);
    let (ended, mut loader_ended) = mpsc::channel::<()>(1);
    let loader = Loader {
        watching,
        fragments,
        store: store.clone(),
        record: record.clone(),
        reporter: reporter.clone(),
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

/// The thread between the files and the store.
struct Loader {
    watching: Watch,
    fragments: Fragments,
    store: Arc<Store>,
    record: Arc<Record>,
    reporter: Arc<dyn Reporter>,
    /// Dropped when the thread ends, however it ends.
    _ended: mpsc::Sender<()>,
}

impl Loader {
    fn start(mut self) -> Result<JoinHandle<()>, AppError> {
        std::thread::Builder::new()
            .name("load".into())
            .spawn(move || self.run())
            .map_err(|error| AppError::System { what: "a thread to load files", error })
    }

    fn run(&mut self) {
        loop {
            match self.watching.next(IDLE) {
                Next::Changed(change) => {
                    let outcome = self.fragments.update(&change.sources, &change.changed);
                    self.publish(&outcome);
                }
                Next::Looked | Next::Idle => {}
                Next::Stopped => return,
            }
        }
    }

    fn publish(&self, outcome: &Outcome) {
        // Places first: a refusal that comes back at once already finds them.
        self.record.set_places(self.fragments.places());
        if let Verdict::Publish(snapshot) = &outcome.verdict {
            self.store.publish(snapshot.clone());
        }
        self.reporter.looked(outcome, &self.store);
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
