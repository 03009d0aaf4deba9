//! `serve`: starts the daemon, and says what happens: to a person, or to the log.

use std::io;
use std::sync::Arc;

use anyhow::Result;

use super::findings::Texts;
use super::settings::Given;
use super::terminal::Terminal;
use super::{Exit, logging, output};
use crate::app::{self, Address, Outcome, Reporter, Verdict, reasons};
use crate::diagnostic::Severity;
use crate::resource::Kind;
use crate::snapshot::{Snapshot, Store};

pub fn run(given: &Given) -> Result<Exit> {
    let begun = app::begin()?;
    let settings = given.settings()?;
    let person = output::for_a_person();
    // A person sees what is loaded and changed anyway; the log is then for Envoys that connect and for
    // what goes wrong.
    logging::start(&settings, if person { "warn,xds_bridge::app::record=info" } else { "info" })?;
    let api = settings.api()?;
    let settings = settings.daemon();
    let dirs: Vec<String> = settings.source.dirs.iter().map(|dir| dir.display().to_string()).collect();
    let reporter: Arc<dyn Reporter> =
        if person { Arc::new(Terminal::new(dirs, &settings)) } else { Arc::new(Log { dirs }) };
    begun.run(api, &settings, reporter)?;
    Ok(Exit::Done)
}

/// Says what happens in log lines.
struct Log {
    dirs: Vec<String>,
}

impl Reporter for Log {
    fn listening(&self, addresses: &[Address]) {
        for address in addresses {
            tracing::info!(%address, "listening");
        }
    }

    fn looked(&self, outcome: &Outcome, _: &Store) {
        for (severity, line) in Texts::of(&outcome.looks).lines(&outcome.diagnostics) {
            match severity {
                Severity::Error => tracing::error!(finding = line, "a fragment is wrong"),
                Severity::Warning => tracing::warn!(finding = line, "a fragment may be wrong"),
                Severity::Note => tracing::info!(finding = line, "a note on a fragment"),
            }
        }
        let files = outcome.files_loaded;
        let still_broken = still_broken(outcome);
        // Microseconds are as fine as it gets.
        let took_ms = (outcome.took.as_secs_f64() * 1e6).round() / 1e3;
        match &outcome.verdict {
            Verdict::Publish(snapshot) => {
                let (added, changed, removed) = counts(snapshot);
                let generation = snapshot.generation();
                tracing::info!(
                    generation,
                    added,
                    changed,
                    removed,
                    files,
                    took_ms,
                    still_broken,
                    "serving a new snapshot"
                );
            }
            Verdict::Unchanged => {
                tracing::info!(files, took_ms, still_broken, "nothing that is served has changed");
            }
            Verdict::Restored(snapshot, holds) => {
                let (resources, _, _) = counts(snapshot);
                let why = reasons(holds);
                tracing::error!(
                    resources,
                    why,
                    "serving what was served before the start; what the files hold now is held back"
                );
            }
            Verdict::Held(holds) => {
                tracing::error!(
                    why = reasons(holds),
                    "the change is held back; what was served goes on being served"
                );
            }
            Verdict::NotYet if only_unreadable(outcome) => {
                tracing::error!(why = nothing_in(&self.dirs), "waiting for the first fragment");
            }
            Verdict::NotYet => tracing::error!("not serving: a first start needs every fragment to be right"),
            Verdict::Empty => {
                tracing::warn!(why = nothing_in(&self.dirs), "waiting for the first fragment");
            }
        }
    }

    fn nothing_new(&self) {
        tracing::info!("looked at all fragments: no file has changed");
    }

    fn draining(&self) {
        tracing::info!("ending: clients are told to connect again");
    }
}

/// Files that are listed in a reminder.
const MAX_REMINDED: usize = 3;

/// A reminder of files that were broken before, and of which nothing was said now.
pub fn still_broken(outcome: &Outcome) -> Option<String> {
    let (first, more) =
        outcome.still_broken.split_at_checked(MAX_REMINDED).unwrap_or((&outcome.still_broken, &[]));
    let plural = match outcome.still_broken.len() {
        0 => return None,
        1 => "1 file is still broken".to_owned(),
        many => format!("{many} files are still broken"),
    };
    let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
    Some(format!("{plural}: {}{more}", first.join(", ")))
}

/// Whether nothing is wrong but that a directory cannot be read.
pub fn only_unreadable(outcome: &Outcome) -> bool {
    let mut errors = outcome.diagnostics.iter().filter(|finding| finding.is_error()).peekable();
    errors.peek().is_some() && errors.all(|finding| finding.code == "config-dir-lost")
}

/// Why there is nothing to serve: a directory may be missing, closed to us, or really empty.
pub fn nothing_in(dirs: &[String]) -> String {
    let why = |dir: &String| match std::fs::read_dir(dir) {
        Ok(_) => format!("{dir} holds no resource yet"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!("{dir} does not exist yet"),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => format!("{dir} holds no resource yet"),
        Err(error) => format!("{dir} cannot be read: {error}"),
    };
    dirs.iter().map(why).collect::<Vec<_>>().join("; ")
}

/// How many resources were added, changed and removed.
pub fn counts(snapshot: &Snapshot) -> (usize, usize, usize) {
    let tally = snapshot.tally(0);
    (tally.added, tally.changed, tally.removed)
}

/// `2 clusters, 1 listener`, of what there is.
pub fn inventory(snapshot: &Snapshot) -> String {
    let of = |kind: Kind| match snapshot.count(kind) {
        0 => None,
        1 => Some(format!("1 {kind}")),
        many => Some(format!("{many} {kind}s")),
    };
    let parts: Vec<String> = Kind::ALL.into_iter().filter_map(of).collect();
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}
