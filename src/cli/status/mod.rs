//! `status`: does each Envoy run the newest, and why not? Once, or for as long as somebody looks.

mod human;
mod watch;

use anyhow::Result;

use super::args::{ReportFormat, Status as Command};
use super::settings::Given;
use super::{Exit, daemon, output};
use crate::admin::Status;

pub use human::{clean, name_of, of_finding};

pub fn run(given: &Given, command: &Command) -> Result<Exit> {
    let address = daemon::address(&given.settings()?)?;
    if command.watch {
        return watch::watch(&address, command.format);
    }
    let status = daemon::ask(&address, async |daemon| Ok(daemon.status().await?))?;
    match command.format {
        ReportFormat::Json => output::document(&format!("{}\n", serde_json::to_string_pretty(&status)?))?,
        ReportFormat::Human => output::document(&human::whole(&status))?,
    }
    Ok(if is_fine(&status) { Exit::Done } else { Exit::Findings })
}

/// Whether every file is served as it stands, and every client runs it.
fn is_fine(status: &Status) -> bool {
    let (serving, summary) = (&status.serving, &status.summary);
    serving.ready
        && serving.problems.is_empty()
        && status.fragments.is_empty()
        && summary.in_sync == summary.clients
}
