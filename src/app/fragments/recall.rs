//! What a file held before, where it holds nothing good now: broken, or emptied in place.
//!
//! Comes in: the newest look at a file, and what the state directory kept. Goes out: the look that is
//! served in its place, and what is to be said of it. Keeps the invariant that resources go only with
//! their file, with their text, or by somebody's word.

use std::sync::Arc;

use super::Fragments;
use crate::app::look::{FileName, Kept, Look, load_all};
use crate::app::mix::Mix;
use crate::diagnostic::{Diagnostic, Severity};
use crate::snapshot::Snapshot;
use crate::source::SourceFile;

impl Fragments {
    /// At the start, a broken file has its last good content from before; gives what to say of it.
    pub(super) fn recall(&mut self, broken: &Look) -> Option<Diagnostic> {
        if self.builder.current().is_loaded() || self.good.contains_key(&broken.name) {
            return None;
        }
        let old = self.saved_look(broken)?;
        if old.has_errors() {
            return Some(useless(broken));
        }
        self.good.insert(broken.name.clone(), old);
        let message = "its last good content, from the state directory, is served in its place";
        Some(Diagnostic::new(Severity::Warning, "last-good-content", broken.path.clone(), message))
    }

    /// What this file held when the daemon ended.
    fn saved_look(&mut self, now: &Look) -> Option<Arc<Look>> {
        let saved = self.saved.get(&now.name)?.read()?;
        let source = SourceFile { path: now.path.clone(), content: Ok(saved.text.into()) };
        let files = [(&now.name, &source)];
        self.surroundings
            .as_of(&self.policy.severities, &saved.drew, |inputs| load_all(&self.api, inputs, &files))
            .pop()
    }

    /// What to say of a file without anything in it, where resources were: that is what a truncated
    /// file looks like, and they stay.
    pub(super) fn emptied(&mut self, look: &Look) -> Option<Diagnostic> {
        if !look.loaded.is_blank {
            return None;
        }
        if !self.builder.current().is_loaded() && !self.good.contains_key(&look.name) {
            let old = self.saved_look(look)?;
            if old.has_errors() {
                return Some(useless(look));
            }
            self.good.insert(look.name.clone(), old);
        }
        let kept = self.good.get(&look.name).map_or(0, |good| good.loaded.items.len());
        let what = match kept {
            0 => return None,
            1 => "the resource that it held stays",
            _ => &format!("the {kept} resources that it held stay"),
        };
        let message = format!("the file is empty now, as if it had been truncated: {what}");
        let hint = "write it anew; to remove what it held, delete the file, or say `xds-bridge reload --accept-removals`";
        Some(Diagnostic::new(Severity::Error, "emptied-file", look.path.clone(), message).with_hint(hint))
    }

    /// Empty files are meant to be empty.
    pub(super) fn accept_emptied(&mut self) {
        for name in std::mem::take(&mut self.emptied) {
            self.broken.remove(&name);
            if let Some(look) = self.looks.get(&name) {
                self.good.insert(name.clone(), look.clone());
            }
            self.pending.insert(name);
        }
    }

    /// Serves all that was served before the daemon was started, if it still can be.
    pub(super) fn restore(&mut self) -> Option<Snapshot> {
        let load = |(name, kept): (&FileName, &Kept)| {
            let saved = kept.read()?;
            let source = SourceFile { path: saved.path, content: Ok(saved.text.into()) };
            let files = [(name, &source)];
            self.surroundings
                .as_of(&self.policy.severities, &saved.drew, |inputs| load_all(&self.api, inputs, &files))
                .pop()
        };
        let looks: Option<Vec<Arc<Look>>> = self.saved.iter().map(load).collect();
        let looks = looks.filter(|looks| !looks.is_empty() && !looks.iter().any(|look| look.has_errors()))?;
        let restored = looks.into_iter().map(|look| (look.name.clone(), look)).collect();
        let newest = std::mem::replace(&mut self.good, restored);
        let waiting = std::mem::replace(&mut self.pending, self.good.keys().cloned().collect());
        let mix = Mix::new(&self.places, &self.pending, &self.served, &self.good);
        let is_sound = mix.places.catalog.clashes(&mix.touched).is_empty();
        let snapshot = if is_sound { self.serve(mix) } else { None };
        self.good = newest;
        self.pending = waiting;
        self.pending.extend(self.served.keys().cloned());
        snapshot
    }
}

fn useless(look: &Look) -> Diagnostic {
    let message = "its last good content, from the state directory, has errors now, too";
    Diagnostic::new(Severity::Error, "last-good-content", look.path.clone(), message)
}
