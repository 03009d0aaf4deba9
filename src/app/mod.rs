//! The daemon: builds the rooms, connects them, and owns what lives: tasks, signals, the swap.
//!
//! The only caller of `publish`. One thread waits for the files and loads them; tasks serve the
//! streams; they meet in the store and nowhere else. Knows nothing of parsing or protocol rules,
//! and prints nothing: what people should see goes to a [`Reporter`].

mod accept;
mod address;
mod authority;
mod board;
mod connection;
mod control;
mod doors;
mod follow;
mod foreign;
mod fragments;
mod guard;
mod hall;
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
mod reread;
mod routes;
mod running;
mod servers;
mod signals;
mod standing;
mod state;
mod surroundings;
mod systemd;
#[cfg(test)]
mod tests;
mod tls;
mod warnings;
mod window;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::envoy_api::Api;
pub use crate::serve::{Access, CLUSTER, ClientRule, ID, Pace, Who};
use crate::snapshot::Store;
use crate::source;

pub use control::{
    ControlError, Daemon, DumpRequest, Dumped, HistoryResponse, ReloadRequest, ReloadResponse,
};
pub use follow::follow;
pub use fragments::Fragments;
pub use limits::Limits;
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
use running::Running;
use signals::Signals;
pub use tls::{TlsError, TlsSettings};

/// How long streams may take to end after SIGTERM, and what is unsaved to be saved. Streams end at once when they can be
/// written to.
const DRAIN: Duration = Duration::from_secs(5);

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

/// A daemon that has begun: signals wait for it from now on, and end it no more by themselves.
#[derive(Debug)]
pub struct Begun {
    handed: Handed,
    runtime: Runtime,
    signals: Signals,
}

/// The first thing to do: whoever starts a daemon may tell it to read anew before it has read its settings.
///
/// # Errors
/// If the operating system gives no threads or signals, or sockets that were handed over are none.
pub fn begin() -> Result<Begun, AppError> {
    let handed = Handed::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "worker threads", error })?;
    let signals = runtime.block_on(async { Signals::new() })?;
    Ok(Begun { handed, runtime, signals })
}

impl Begun {
    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// If it cannot start, or has to stop.
    pub fn run(self, api: Api, settings: &Settings, reporter: Arc<dyn Reporter>) -> Result<(), AppError> {
        let Begun { handed, runtime, signals } = self;
        let ended = runtime.block_on(async {
            Running::start(api, settings, handed, signals, reporter).await?.until_end().await
        });
        // What still runs is nothing that anybody waits for.
        runtime.shutdown_background();
        ended
    }
}
