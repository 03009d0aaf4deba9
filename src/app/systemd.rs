//! What a service manager is told: ready, reloading, how it stands, that it works, that it ends.
//!
//! Comes in: what the daemon does. Goes out: messages to `NOTIFY_SOCKET`, if there is one. Keeps two
//! invariants: READY comes after the first look at all files with every socket open and once all that was asked
//! for is read, and the watchdog is fed by those who do the work, never by a timer alone.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::outcome::{Outcome, Verdict};
use super::standing::reasons;
use super::{Address, Reporter};
use crate::resource::Kind;
use crate::serve::Clients;
use crate::snapshot::Store;

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How often the status text is made anew; it is sent when it differs.
const STATUS: Duration = Duration::from_secs(5);

/// How often work tells that it goes on when nobody waits for that.
const IDLE: Duration = Duration::from_secs(60);

/// Tells that somebody works. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Pulse {
    beat: Arc<AtomicBool>,
    every: Duration,
}

impl Pulse {
    /// The work goes on.
    pub fn beat(&self) {
        self.beat.store(true, Ordering::Relaxed);
    }

    /// How often that is to be said at least.
    pub fn every(&self) -> Duration {
        self.every
    }
}

/// The watchdog: fed when all who work have said so since it was fed last.
#[derive(Debug)]
pub struct Watchdog {
    limit: Option<Duration>,
    pulses: Vec<Pulse>,
}

impl Watchdog {
    /// As the service manager wants it.
    pub fn from_env() -> Watchdog {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|limit| is_ours && *limit > 0).map(Duration::from_micros);
        Watchdog { limit, pulses: Vec::new() }
    }

    /// One more who works.
    pub fn pulse(&mut self) -> Pulse {
        let every = self.limit.map_or(IDLE, |limit| (limit / 4).min(IDLE));
        let pulse = Pulse { beat: Arc::default(), every };
        self.pulses.push(pulse.clone());
        pulse
    }

    /// Feeds it for ever, if there is one.
    pub async fn feed(self) {
        let Some(limit) = self.limit else { return std::future::pending().await };
        let mut tick = tokio::time::interval(limit / 4);
        loop {
            tick.tick().await;
            if self.all_work() {
                tell("WATCHDOG=1\n");
            }
        }
    }

    /// Whether everybody has worked since that was so last.
    fn all_work(&self) -> bool {
        let all = self.pulses.iter().all(|pulse| pulse.beat.load(Ordering::Relaxed));
        if all {
            self.pulses.iter().for_each(|pulse| pulse.beat.store(false, Ordering::Relaxed));
        }
        all
    }
}

/// Sends a message; a service manager that is gone is no reason to end. By hand: the crates for it know no
/// sockets in the abstract namespace, or bring an async runtime of their own.
fn tell(message: &str) {
    let Some(name) = std::env::var_os(SOCKET) else { return };
    let sent = || -> io::Result<usize> {
        let socket = UnixDatagram::unbound()?;
        match name.as_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(&name)?,
        }
        // A service manager that does not read holds nobody up.
        socket.set_nonblocking(true)?;
        socket.send(message.as_bytes())
    };
    if let Err(error) = sent() {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// How far the service is, as its manager is told: started, reading anew, ending. A READY comes when all that was asked
/// for is read, however many asked; each has a start or a RELOADING before it.
#[derive(Debug)]
pub struct Service {
    stage: Mutex<Stage>,
    tell: fn(&str),
}

#[derive(Debug, Default)]
struct Stage {
    started: bool,
    /// Who waits for a look at everything.
    reloads: usize,
    ending: bool,
}

impl Default for Service {
    fn default() -> Service {
        Service { stage: Mutex::default(), tell }
    }
}

impl Service {
    /// Started; how it stands is told, too.
    pub fn started(&self, status: &str) {
        let mut stage = self.stage();
        stage.started = true;
        (self.tell)(&format!("READY=1\nSTATUS={status}\n"));
        // Who asked before that waits still.
        if stage.reloads > 0 && !stage.ending {
            self.tell_reloading();
        }
    }

    /// How it stands now.
    pub fn stands(&self, status: &str) {
        let stage = self.stage();
        if !stage.ending {
            (self.tell)(&format!("STATUS={status}\n"));
        }
    }

    /// Reading everything anew was asked for. To be followed by [`Service::reloaded`].
    pub fn reloading(&self) {
        let mut stage = self.stage();
        stage.reloads += 1;
        if stage.started && !stage.ending {
            self.tell_reloading();
        }
    }

    /// Everything was read anew for one of those who asked.
    pub fn reloaded(&self) {
        let mut stage = self.stage();
        stage.reloads = stage.reloads.saturating_sub(1);
        if stage.reloads == 0 && stage.started && !stage.ending {
            (self.tell)("READY=1\n");
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.stage().ending = true;
        (self.tell)("STOPPING=1\nSTATUS=ending: clients are told to connect again\n");
    }

    /// What is told is told in order: while this is held.
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_reloading(&self) {
        // The time is what tells this reload from an earlier one.
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            (self.tell)(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", Duration::from(now).as_micros()));
        }
    }
}

/// Passes on what is told to people, and keeps what the status text needs.
pub struct Telling {
    next: Arc<dyn Reporter>,
    trouble: watch::Sender<Option<String>>,
}

impl Telling {
    /// Passes on to `next`. What comes out changes with every look at the files; at first nobody has looked.
    pub fn new(next: Arc<dyn Reporter>) -> (Telling, watch::Receiver<Option<String>>) {
        let (trouble, looked) = watch::channel(None);
        (Telling { next, trouble }, looked)
    }
}

impl Reporter for Telling {
    fn listening(&self, addresses: &[Address]) {
        self.next.listening(addresses);
    }

    fn looked(&self, outcome: &Outcome, store: &Store) {
        self.next.looked(outcome, store);
        self.trouble.send_replace(Some(match &outcome.verdict {
            Verdict::Publish(_) | Verdict::Unchanged => match outcome.broken {
                0 => String::new(),
                1 => "; 1 fragment has errors and keeps its last good content".to_owned(),
                many => format!("; {many} fragments have errors and keep their last good content"),
            },
            Verdict::Restored(_, holds) => format!("; as before the start, held back: {}", reasons(holds)),
            Verdict::Held(holds) => format!("; a change is held back: {}", reasons(holds)),
            Verdict::NotYet => "; not serving: a first start needs every fragment to be right".to_owned(),
            Verdict::Empty => "; waiting for the first fragment".to_owned(),
        }));
    }

    fn nothing_new(&self) {
        self.next.nothing_new();
    }

    fn draining(&self) {
        self.next.draining();
    }
}

/// Says READY after the first look, and from then on how it stands, whenever that changes.
pub async fn keep_told(
    service: Arc<Service>,
    mut looked: watch::Receiver<Option<String>>,
    store: Arc<Store>,
    clients: Arc<Clients>,
) {
    let is_asked_for = std::env::var_os(SOCKET).is_some();
    if !is_asked_for || looked.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let status = || status(&store, &clients, looked.borrow().as_deref().unwrap_or_default());
    let mut told = status();
    service.started(&told);
    let mut tick = tokio::time::interval(STATUS);
    loop {
        tick.tick().await;
        let now = status();
        if now != told {
            service.stands(&now);
            told = now;
        }
    }
}

/// `5 clusters, 2 listeners to 3 Envoys; a change is held back: …`.
fn status(store: &Store, clients: &Clients, trouble: &str) -> String {
    let snapshot = store.current();
    let count = |kind: Kind| match snapshot.count(kind) {
        0 => None,
        1 => Some(format!("1 {kind}")),
        many => Some(format!("{many} {kind}s")),
    };
    let resources: Vec<String> = Kind::ALL.into_iter().filter_map(count).collect();
    let resources = if resources.is_empty() { "nothing".to_owned() } else { resources.join(", ") };
    let clients = match clients.connections() {
        1 => "1 client".to_owned(),
        many => format!("{many} clients"),
    };
    format!("serving {resources} to {clients}{trouble}")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_watchdog_is_fed_when_everybody_has_worked_and_not_by_one_alone() {
        let mut watchdog = Watchdog { limit: Some(Duration::from_secs(40)), pulses: Vec::new() };
        let [one, other] = [watchdog.pulse(), watchdog.pulse()];
        assert_eq!(one.every(), Duration::from_secs(10));
        one.beat();
        assert!(!watchdog.all_work());
        other.beat();
        assert!(watchdog.all_work() && !watchdog.all_work());
        one.beat();
        one.beat();
        assert!(!watchdog.all_work());
    }
    thread_local! {
        static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    /// What was told since the last call: the words before the first `=`.
    fn told() -> Vec<String> {
        TOLD.take()
    }

    #[test]
    fn ready_is_said_once_all_that_was_asked_for_is_read() {
        let word = |message: &str| message.split('=').next().unwrap_or_default().to_owned();
        let service = Service {
            tell: |message| TOLD.with_borrow_mut(|told| told.push(message.to_owned())),
            ..Service::default()
        };
        let after = |act: &dyn Fn(&Service)| {
            act(&service);
            told().iter().map(|message| word(message)).collect::<Vec<_>>()
        };
        // Who asks before the start is served by it, or waits longer.
        assert_eq!(after(&Service::reloading), [""; 0]);
        assert_eq!(after(&|service| service.started("fine")), ["READY", "RELOADING"]);
        assert_eq!(after(&Service::reloaded), ["READY"]);
        assert_eq!(after(&Service::reloading), ["RELOADING"]);
        assert_eq!(after(&Service::reloading), ["RELOADING"], "its time is a later one");
        assert_eq!(after(&Service::reloaded), [""; 0], "the second is not done");
        assert_eq!(after(&Service::reloaded), ["READY"]);
        assert_eq!(after(&Service::reloading), ["RELOADING"]);
        assert_eq!(after(&Service::stopping), ["STOPPING"]);
        assert_eq!(after(&Service::reloaded), [""; 0], "it is about to end");
        assert_eq!(after(&|service| service.stands("serving")), [""; 0], "that it ends is how it stands");
    }
}
