//! What came of new sources: whether there is something new to serve, and what is to be said.

use std::sync::Arc;
use std::time::Duration;

use super::look::Look;
use super::standing::Hold;
use crate::diagnostic::Diagnostic;
use crate::snapshot::Snapshot;

/// What came of a look at the sources.
#[derive(Debug)]
pub struct Outcome {
    /// What became of the snapshot.
    pub verdict: Verdict,
    /// Findings of the files that changed, and of how files fit together; by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the findings point into: files that were loaded, then others.
    pub looks: Vec<Arc<Look>>,
    /// The paths of files that had errors before and were not looked at now: they have them still.
    pub still_broken: Vec<Arc<str>>,
    /// Fragments that have errors now, changed ones and others.
    pub broken: usize,
    /// Files read and loaded for it.
    pub files_loaded: usize,
    /// Time from the sources to this outcome.
    pub took: Duration,
}

impl Outcome {
    /// Nothing was looked at, and nothing has changed.
    pub fn nothing() -> Outcome {
        Outcome {
            verdict: Verdict::Unchanged,
            diagnostics: Vec::new(),
            looks: Vec::new(),
            still_broken: Vec::new(),
            broken: 0,
            files_loaded: 0,
            took: Duration::ZERO,
        }
    }

    /// Whether another one only says again what this one says: that a change waits, or a start, and for what.
    pub fn says_all_of(&self, other: &Outcome) -> bool {
        let is_same = match (&self.verdict, &other.verdict) {
            (Verdict::Held(these) | Verdict::Restored(_, these), Verdict::Held(those)) => these == those,
            (Verdict::NotYet, Verdict::NotYet) | (Verdict::Empty, Verdict::Empty) => true,
            _ => false,
        };
        is_same && other.diagnostics.iter().all(|finding| self.diagnostics.contains(finding))
    }
}

/// What became of the snapshot.
#[derive(Debug)]
pub enum Verdict {
    /// This is to be served from now on.
    Publish(Snapshot),
    /// What was served before the daemon was started is to be served again; what the files hold now
    /// is held back, for these reasons.
    Restored(Snapshot, Vec<Hold>),
    /// Nothing that is served has changed.
    Unchanged,
    /// The change is held back, for these reasons; what was served goes on being served.
    Held(Vec<Hold>),
    /// Nothing was ever served, and nothing can be yet: for the findings, a start with a part only
    /// would take away from running Envoys what is missing in it.
    NotYet,
    /// Nothing was ever served, and there is nothing to serve.
    Empty,
}
