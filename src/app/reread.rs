//! Reading anew: everything when somebody asks for it, the certificates again and again.

use std::sync::Arc;

use super::control::Control;
use super::policy::Accept;
use super::systemd::Service;
use super::tls::{self, Tls};

/// By what everything is read anew.
#[derive(Clone)]
pub struct Reread {
    /// Has the fragments looked at.
    pub control: Control,
    /// The certificates.
    pub tls: Option<Arc<Tls>>,
    /// Is told.
    pub service: Arc<Service>,
}

impl Reread {
    /// Reads everything: certificates and fragments.
    pub async fn all(self) {
        self.service.reloading();
        if let Some(tls) = &self.tls {
            look_at(tls, true).await;
        }
        // Without an answer, the daemon ends, and says that.
        if self.control.look(Accept::default()).await.is_ok() {
            self.service.reloaded();
        }
    }
}

/// Looks at the certificates again and again.
pub async fn renew(tls: Arc<Tls>) {
    let mut tick = tokio::time::interval(tls::LOOK);
    loop {
        tick.tick().await;
        look_at(&tls, false).await;
    }
}

async fn look_at(tls: &Arc<Tls>, asked: bool) {
    let tls = tls.clone();
    // A disk may be slow. An error is a panic of ours, and the certificates in use stay.
    let _ = tokio::task::spawn_blocking(move || tls.look(asked)).await;
}
