//! What became of the last changes: when, of which files, and what was added, changed and removed.

use std::time::SystemTime;

use serde::Serialize;

use crate::resource::{Kind, Name};
use crate::snapshot::{Fate, Snapshot};

/// Entries that are kept.
pub const MAX_ENTRIES: usize = 100;

/// Resources and files that are named in one entry; of more, the number is told.
pub const MAX_NAMES: usize = 100;

/// `xds_bridge.control.v1.Entry`: what came of one look at changed files.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Entry {
    /// When.
    #[prost(string, tag = "1")]
    pub at: String,
    /// `published`, `unchanged`, `held`, `not_ready` or `restored`.
    #[prost(string, tag = "2")]
    pub outcome: String,
    /// The snapshot that is served since then.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
    /// How many resources it added.
    #[prost(uint64, tag = "4")]
    pub added: u64,
    /// How many it changed.
    #[prost(uint64, tag = "5")]
    pub changed: u64,
    /// How many it removed.
    #[prost(uint64, tag = "6")]
    pub removed: u64,
    /// Which; not all if they are many.
    #[prost(message, repeated, tag = "7")]
    pub changes: Vec<Change>,
    /// The files; not all if they are many.
    #[prost(string, repeated, tag = "8")]
    pub files: Vec<String>,
    /// How many files.
    #[prost(uint64, tag = "9")]
    pub file_count: u64,
    /// Why it is held or not taken over; empty when it was.
    #[prost(string, repeated, tag = "10")]
    pub why: Vec<String>,
    /// How long it took, in microseconds.
    #[prost(uint64, tag = "11")]
    pub took_micros: u64,
}

/// What became of a resource.
#[derive(Clone, PartialEq, Eq, Serialize, prost::Message)]
pub struct Change {
    /// `added`, `changed` or `removed`.
    #[prost(string, tag = "1")]
    pub change: String,
    /// Its kind as fragments call it.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// An entry with what a new snapshot changed, if there is one.
pub fn entry(at: SystemTime, outcome: &str, generation: u64, new: Option<&Snapshot>) -> Entry {
    let mut entry = Entry {
        at: humantime::format_rfc3339_millis(at).to_string(),
        outcome: outcome.to_owned(),
        generation,
        ..Entry::default()
    };
    let Some(tally) = new.map(|snapshot| snapshot.tally(MAX_NAMES)) else { return entry };
    (entry.added, entry.changed, entry.removed) =
        (tally.added as u64, tally.changed as u64, tally.removed as u64);
    let change = |(fate, kind, name): (Fate, Kind, Name)| Change {
        change: match fate {
            Fate::Added => "added",
            Fate::Changed => "changed",
            Fate::Removed => "removed",
        }
        .to_owned(),
        kind: kind.fragment_key().to_owned(),
        name: name.to_string(),
    };
    entry.changes = tally.shown.into_iter().map(change).collect();
    entry
}
