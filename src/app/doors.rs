//! Which sockets the daemon opens, and on what terms: TLS or plain text, for Envoys or for the command line.
//!
//! Comes in: the settings, and sockets that were handed over. Goes out: listeners. Keeps the invariant that
//! plain text does not leave the machine unless somebody says so.

use std::sync::Arc;

use super::address::{Address, Listen};
use super::listen::{Handed, ListenError, Listener};
use super::tls::Tls;
use super::{Admin, AppError, Settings};
use crate::resource::Kind;
use crate::snapshot::Store;

/// Everything that was opened.
pub struct Doors {
    /// For Envoys, and whether TLS is spoken there.
    pub envoys: Vec<(Listener, bool)>,
    /// For the command line.
    pub admin: Option<Listener>,
    /// The certificates.
    pub tls: Option<Arc<Tls>>,
}

impl Doors {
    /// Opens all, or none.
    pub async fn open(settings: &Settings, handed: Handed) -> Result<Doors, AppError> {
        let tls = Tls::load(&settings.tls)?.map(Arc::new);
        let (handed, handed_admin) = handed.listeners()?;
        let envoys = envoys(settings, handed, tls.is_some()).await?;
        let admin = match handed_admin {
            None => bind_admin(settings, &envoys).await?,
            Some(listener) => match listener.address() {
                Some(address) if !address.is_local() && !settings.insecure => {
                    return Err(ListenError::AdminExposed(address).into());
                }
                _ => Some(listener),
            },
        };
        let doors = Doors { envoys, admin, tls };
        doors.warn(settings);
        Ok(doors)
    }

    /// The addresses for Envoys.
    pub fn addresses(&self) -> Vec<Address> {
        self.envoys.iter().filter_map(|(listener, _)| listener.address()).collect()
    }

    /// Addresses at which only clients of our own user get secrets.
    pub fn without_secrets(&self, settings: &Settings) -> Vec<Address> {
        let plain = self.envoys.iter().filter(|(listener, tls)| matches!(listener, Listener::Tcp(_)) && !tls);
        let plain = plain.filter_map(|(listener, _)| listener.address());
        if settings.insecure { Vec::new() } else { plain.collect() }
    }

    /// Says what is open wider than it may seem.
    fn warn(&self, settings: &Settings) {
        let Some(tls) = &self.tls else {
            if settings.insecure && self.addresses().iter().any(|address| !address.is_local()) {
                tracing::warn!(
                    "plain text beyond this machine: whoever is on the way reads and changes everything, secrets too (--insecure)"
                );
            }
            return;
        };
        if !self.envoys.iter().any(|(_, tls)| *tls) {
            tracing::warn!(
                "there are certificates, and no address speaks TLS: all are unix sockets or `plain`"
            );
        } else if !tls.asks_clients() {
            tracing::warn!(
                "clients show no certificate: whoever reaches the TLS address reads the configuration and its secrets; give --tls-client-ca"
            );
        } else if settings.access.rules.is_empty() {
            tracing::warn!(
                "every client with a certificate of the CA may claim to be any node: give rules, `clients` in the settings"
            );
        }
    }
}

/// Says, once there are secrets, to whom they go; once only.
pub fn tell_of_secrets(addresses: &mut Vec<Address>, store: &Store) {
    let secrets = store.current().count(Kind::Secret);
    if secrets == 0 || addresses.is_empty() {
        return;
    }
    let addresses: Vec<String> = std::mem::take(addresses).iter().map(Address::to_string).collect();
    tracing::info!(
        secrets,
        plain = addresses.join(", "),
        "over plain TCP secrets go to clients of the bridge's own user and of root only: let others connect by \
         unix:PATH, or give a certificate (--tls-cert, --tls-key), or allow it with --insecure"
    );
}

/// The sockets for Envoys: those handed over, and those that were asked for and are not among them.
async fn envoys(
    settings: &Settings,
    handed: Vec<Listener>,
    tls: bool,
) -> Result<Vec<(Listener, bool)>, ListenError> {
    let asked = if settings.usual_listen && !handed.is_empty() { &[] } else { settings.listen.as_slice() };
    let speaks_tls = |address: &Address, plain: bool| tls && !plain && matches!(address, Address::Tcp(_));
    let mut doors = Vec::new();
    let mut rest: Vec<&Listen> = asked.iter().collect();
    let first = |listen: &Listen| asked.iter().position(|other| other.address == listen.address);
    if let Some((_, again)) = asked.iter().enumerate().find(|(at, listen)| first(listen) != Some(*at)) {
        // Each asks the system for a port of its own.
        if !matches!(again.address, Address::Tcp(ip) if ip.port() == 0) {
            return Err(ListenError::Twice(again.address.clone()));
        }
    }
    for listener in handed {
        let Some(address) = listener.address() else { continue };
        let plain = asked.iter().any(|listen| listen.address == address && listen.plain);
        rest.retain(|listen| listen.address != address);
        let secure = speaks_tls(&address, plain);
        may_listen(&address, secure, settings.insecure)?;
        doors.push((listener, secure));
    }
    for listen in rest {
        let secure = speaks_tls(&listen.address, listen.plain);
        may_listen(&listen.address, secure, settings.insecure)?;
        doors.push((Listener::bind(listen).await?, secure));
    }
    Ok(doors)
}

fn may_listen(address: &Address, secure: bool, insecure: bool) -> Result<(), ListenError> {
    if secure || insecure || address.is_local() { Ok(()) } else { Err(ListenError::Exposed(address.clone())) }
}

/// The admin address: what was asked for must be free, the usual one may be another bridge's.
async fn bind_admin(
    settings: &Settings,
    envoys: &[(Listener, bool)],
) -> Result<Option<Listener>, ListenError> {
    // What is in use may be so by ourselves.
    let said = |error: ListenError| match error {
        ListenError::InUse(admin) => {
            let mut own = envoys.iter().filter_map(|(listener, _)| listener.address());
            match own.find(|envoys| envoys.overlaps(&admin)) {
                Some(envoys) => ListenError::Both { envoys, admin },
                None => ListenError::InUse(admin),
            }
        }
        other => other,
    };
    match &settings.admin {
        Admin::At(listen) if !listen.address.is_local() && !settings.insecure => {
            Err(ListenError::AdminExposed(listen.address.clone()))
        }
        Admin::At(listen) => Listener::bind(listen).await.map(Some).map_err(said),
        Admin::Usual(listen) => match Listener::bind(listen).await.map_err(said) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(%error, "no admin address: `status` and `reload` cannot reach this bridge; give it one with --admin");
                Ok(None)
            }
        },
        Admin::None => Ok(None),
    }
}
