//! `reload`: the running daemon reads everything at once and says what came of it.

use anyhow::{Result, anyhow};

use super::args::Reload;
use super::settings::Given;
use super::{Exit, output};
use crate::app::{ReloadRequest, ReloadResponse, reload};

pub fn run(given: &Given, command: &Reload) -> Result<Exit> {
    let settings = given.settings()?;
    let address = settings
        .admin()
        .ok_or_else(|| anyhow!("`admin` in the settings is `none`: no daemon can be reached"))?;
    let request = ReloadRequest {
        accept_unresolved: command.accept_unresolved,
        accept_removals: command.accept_removals,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let response = runtime.block_on(reload(&address.address, request))?;
    output::print(&shown(&response));
    let is_fine = response.held.is_empty() && response.problems.is_empty();
    Ok(if is_fine { Exit::Done } else { Exit::Findings })
}

fn shown(response: &ReloadResponse) -> String {
    let ReloadResponse { generation, added, changed, removed, held, problems } = response;
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
    text
}
