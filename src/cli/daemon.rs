//! The commands' way to a running daemon: which address, and a runtime to wait in.

use anyhow::{Result, anyhow};

use super::settings::Settings;
use crate::app::{Address, Daemon};

/// The daemon's admin address.
pub fn address(settings: &Settings) -> Result<Address> {
    let listen = settings.admin().ok_or_else(|| {
        anyhow!("the admin address is `none`: no daemon can be reached there; give its --admin ADDRESS")
    })?;
    Ok(listen.address.clone())
}

/// Connects to it and asks.
pub fn ask<A>(address: &Address, question: impl AsyncFnOnce(&mut Daemon) -> Result<A>) -> Result<A> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut daemon = Daemon::connect(address).await?;
        question(&mut daemon).await
    })
}
