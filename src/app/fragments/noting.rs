//! What became of each fragment, for people.
//!
//! Comes in: the files that an update concerned, and its verdict. Goes out: how each file stands, and which are broken
//! still. Judges nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::Fragments;
use crate::app::look::{FileName, Look};
use crate::app::outcome::Verdict;
use crate::app::standing::{Condition, Standing};
use crate::diagnostic::Severity;

impl Fragments {
    /// Broken files of which nothing is said now.
    pub(super) fn still_broken(&self, looked: &[Arc<Look>]) -> Vec<Arc<str>> {
        let looked: BTreeSet<&FileName> = looked.iter().map(|look| &look.name).collect();
        let others = self.broken.iter().filter(|name| !looked.contains(name));
        others.filter_map(|name| Some(self.looks.get(name)?.path.clone())).collect()
    }

    /// Writes down what became of these fragments.
    pub(super) fn note_standings(&mut self, concerned: &BTreeSet<FileName>, verdict: &Verdict) {
        let now = SystemTime::now();
        for name in concerned {
            let look = self.looks.get(name).or_else(|| self.served.get(name));
            let Some(look) = look else {
                self.standings.remove(name);
                continue;
            };
            let held = self.pending.contains(name);
            let state = match verdict {
                _ if self.broken.contains(name) && self.served.contains_key(name) => Condition::Stale,
                _ if self.broken.contains(name) => Condition::Refused,
                Verdict::Held(holds) | Verdict::Restored(_, holds) if held => {
                    Condition::Held(holds.as_slice().into())
                }
                Verdict::NotYet | Verdict::Empty => Condition::Waiting,
                _ => Condition::Good,
            };
            let known = self.standings.get(name).filter(|known| known.state == state);
            let since = known.map_or(now, |known| known.since);
            let findings = look.loaded.diagnostics.iter().filter(|f| f.severity > Severity::Note).count();
            let standing = Standing { path: look.path.clone(), state, since, findings };
            self.standings.insert(name.clone(), standing);
        }
    }
}
