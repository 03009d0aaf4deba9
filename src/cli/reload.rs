//! `reload`: the running daemon reads everything at once and says what came of it; with `--wait`, also what
//! its clients say.

use anyhow::Result;

use super::args::{Reload, ReportFormat};
use super::settings::Given;
use super::status::{clean, name_of, of_finding};
use super::{Exit, daemon, output};
use crate::app::{ReloadRequest, ReloadResponse};

pub fn run(given: &Given, command: &Reload) -> Result<Exit> {
    let address = daemon::address(&given.settings()?)?;
    let request = ReloadRequest {
        accept_unresolved: command.accept_unresolved,
        accept_removals: command.accept_removals,
        wait: command.wait,
        timeout_millis: u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX),
    };
    let response = daemon::ask(&address, async |daemon| Ok(daemon.reload(request).await?))?;
    match command.format {
        ReportFormat::Json => output::document(&format!("{}\n", serde_json::to_string_pretty(&response)?))?,
        ReportFormat::Human => output::document(&shown(&response))?,
    }
    let is_fine = response.held.is_empty() && response.problems.is_empty() && response.clients.is_empty();
    Ok(if is_fine { Exit::Done } else { Exit::Findings })
}

fn shown(response: &ReloadResponse) -> String {
    let ReloadResponse { generation, added, changed, removed, held, problems, summary, clients, findings } =
        response;
    let mut text = match (added, changed, removed) {
        (0, 0, 0) => format!("nothing that is served has changed; snapshot {generation} is served\n"),
        _ => format!("+{added} ~{changed} -{removed}; snapshot {generation} is served\n"),
    };
    for reason in held {
        text.push_str(&format!("held back: {reason}\n"));
    }
    for problem in problems {
        text.push_str(&format!("{problem}\n"));
    }
    for finding in findings {
        text.push_str(&format!("  {}\n", of_finding(finding)));
    }
    if let Some(summary) = summary {
        text.push_str(&match (summary.clients, summary.in_sync) {
            (0, _) => "no client is connected\n".to_owned(),
            (1, 1) => "the one client has acknowledged it\n".to_owned(),
            (all, synced) if all == synced => format!("all {all} clients have acknowledged it\n"),
            (all, synced) => format!("{synced} of {all} clients have acknowledged it\n"),
        });
    }
    for client in clients {
        for why in &client.why {
            text.push_str(&format!("{} {}\n", name_of(client), clean(why)));
        }
    }
    text
}
