//! The daemon's life: how it starts, what wakes it, how it ends.
//!
//! Comes in: settings and sockets. Goes out: why it ended. Keeps the order of a good start (sockets, then the loader,
//! then servers, then the service manager) and of a good end (told to people, to the service manager and to
//! health checks; then the streams; then what is still to be saved).

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::address::Address;
use super::control::Control;
use super::doors::{self, Doors};
use super::hall::Hall;
use super::listen::Handed;
use super::loader::{self, Loading};
use super::reread::{Reread, renew};
use super::servers::Servers;
use super::signals::{Signal, Signals};
use super::systemd::{self, Service, Telling, Watchdog};
use super::window::{Desk, Window};
use super::{AppError, Reporter, Settings, limits, routes};
use crate::envoy_api::Api;

/// A daemon with all its sockets open.
pub struct Running {
    hall: Hall,
    loading: Loading,
    servers: Servers,
    /// What goes on beside.
    tasks: JoinSet<()>,
    signals: Signals,
    /// Wakes with each snapshot.
    loaded: watch::Receiver<u64>,
    health: HealthReporter,
    reread: Reread,
    service: Arc<Service>,
    /// Addresses of which it is still to be said that strangers get no secrets there.
    without_secrets: Vec<Address>,
    reporter: Arc<dyn Reporter>,
}

impl Running {
    /// Opens the sockets, starts to load, and serves.
    pub async fn start(
        api: Api,
        settings: &Settings,
        handed: Handed,
        signals: Signals,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Running, AppError> {
        let limits = limits::fit_to_open_files(&settings.limits);
        let doors = Doors::open(settings, handed).await?;
        let addresses = doors.addresses();
        reporter.listening(&addresses);
        let (telling, looked) = Telling::new(reporter.clone());
        let mut watchdog = Watchdog::from_env();
        let hall = Hall::new(api);
        // Before anything is published: the first snapshot is news.
        let loaded = hall.store.subscribe();
        let loading = loader::start(&hall, settings, Arc::new(telling), watchdog.pulse())?;

        let mut servers = Servers::new(limits.clone());
        let discovery = routes::discovery(&hall, settings, &limits, servers.draining());
        let (routes, health) = routes::routes(&hall.api, discovery).await?;
        let window =
            Arc::new(Window::new(&hall, settings, &addresses, doors.tls.clone(), servers.draining()));
        let control = Control::new(loading.jobs.clone(), loading.files.clone(), window.clone());
        let service = Arc::new(Service::default());
        let reread = Reread { control: control.clone(), tls: doors.tls.clone(), service: service.clone() };
        let without_secrets = doors.without_secrets(settings);
        for (listener, secure) in doors.envoys {
            let tls = doors.tls.clone().filter(|_| secure);
            servers.for_envoys(listener, tls, routes.clone(), watchdog.pulse());
        }
        if let Some(listener) = doors.admin {
            let desk = Desk::new(window, control, listener.address().as_ref());
            servers.for_admin(listener, routes::admin(desk), watchdog.pulse());
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(watchdog.feed());
        tasks.spawn(systemd::keep_told(service.clone(), looked, hall.store.clone(), hall.clients.clone()));
        tasks.extend(doors.tls.map(renew));
        Ok(Running {
            hall,
            loading,
            servers,
            tasks,
            signals,
            loaded,
            health,
            reread,
            service,
            without_secrets,
            reporter,
        })
    }

    /// Goes on until a signal ends it, or something breaks.
    pub async fn until_end(mut self) -> Result<(), AppError> {
        let why = loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Reload => drop(self.tasks.spawn(self.reread.clone().all())),
                    Signal::End => break Ok(()),
                },
                Ok(()) = self.loaded.changed() => self.tell_of_news().await,
                error = broken(&mut self.tasks) => break Err(error),
                error = self.servers.broken() => break Err(error),
                () = self.loading.ended() => break Err(AppError::Serve("the thread that loads files is gone".into())),
            }
        };
        self.end().await?;
        why
    }

    /// There is something new to serve.
    async fn tell_of_news(&mut self) {
        routes::set_health(&self.health, ServingStatus::Serving).await;
        doors::tell_of_secrets(&mut self.without_secrets, &self.hall.store);
    }

    async fn end(mut self) -> Result<(), AppError> {
        self.reporter.draining();
        self.service.stopping();
        routes::set_health(&self.health, ServingStatus::NotServing).await;
        self.loading.files.stop();
        let at_once = self.servers.end(&mut self.signals).await;
        if at_once { Ok(()) } else { self.loading.join() }
    }
}

/// Waits until one breaks. They end by themselves or not at all: a panic would be the end of renewals, or of the watchdog.
async fn broken(tasks: &mut JoinSet<()>) -> AppError {
    loop {
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return AppError::Serve(format!("a task of the daemon broke: {error}")),
            None => std::future::pending().await,
        }
    }
}
