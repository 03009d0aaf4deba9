//! `history`: what became of the last changes.

use anyhow::Result;

use super::args::{History, ReportFormat};
use super::settings::Given;
use super::status::clean;
use super::{Exit, daemon, output};
use crate::admin::Entry;

/// Names that are listed of one change.
const MAX_NAMES: usize = 8;

pub fn run(given: &Given, command: &History) -> Result<Exit> {
    let address = daemon::address(&given.settings()?)?;
    let response = daemon::ask(&address, async |daemon| Ok(daemon.history(command.limit).await?))?;
    match command.format {
        ReportFormat::Json => output::document(&format!("{}\n", serde_json::to_string_pretty(&response)?))?,
        ReportFormat::Human if response.entries.is_empty() => {
            output::document("nothing has been loaded yet\n")?;
        }
        ReportFormat::Human => {
            // The newest last, as in a log.
            let text: String = response.entries.iter().rev().map(shown).collect();
            output::document(&text)?;
        }
    }
    Ok(Exit::Done)
}

fn shown(entry: &Entry) -> String {
    let what = match &*entry.outcome {
        "published" | "restored" => {
            format!("snapshot {}: +{} ~{} -{}", entry.generation, entry.added, entry.changed, entry.removed)
        }
        "held" => "held back".to_owned(),
        "not_ready" => "not serving yet".to_owned(),
        _ => "not taken over".to_owned(),
    };
    let restored = if entry.outcome == "restored" { " (what was served before the start)" } else { "" };
    let took = entry.took_micros as f64 / 1e3;
    let files = list(entry.files.iter().map(|file| clean(file)), entry.file_count);
    let mut text = format!("{} {what}{restored}, {took:.1} ms, of {files}\n", local(&entry.at));
    for why in &entry.why {
        text.push_str(&format!("    {}\n", clean(why)));
    }
    let sign = |change: &str| match change {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    };
    let changes = entry.changes.iter().map(|c| format!("{} {}/{}", sign(&c.change), c.kind, clean(&c.name)));
    if entry.added + entry.changed + entry.removed > 0 {
        let all = entry.added + entry.changed + entry.removed;
        text.push_str(&format!("    {}\n", list(changes, all)));
    }
    text
}

/// The first few, and how many more there are.
fn list(names: impl Iterator<Item = String>, all: u64) -> String {
    let shown: Vec<String> = names.take(MAX_NAMES).collect();
    let more = all.saturating_sub(shown.len() as u64);
    match (shown.len(), more) {
        (0, _) => format!("{all} files"),
        (_, 0) => shown.join(", "),
        _ => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// A time of the daemon in the zone of the reader.
fn local(at: &str) -> String {
    match chrono::DateTime::parse_from_rfc3339(at) {
        Ok(time) => time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_owned(),
    }
}
