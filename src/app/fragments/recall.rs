//! What a file held before, where it holds nothing good now: broken, or emptied in place.
//!
//! Comes in: the newest look at a file, and what the state directory kept. Goes out: the look that is
//! served in its place, and what is to be said of it. Keeps the invariant that resources go only with
//! their file, with their text, or by somebody's word.

use std::sync::Arc;

use super::Fragments;
use crate::app::guard::stands_in;
use crate::app::look::{FileName, Kept, Look, Saved, load_all};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{DirState, Directory, FileKind, ReadProblem, SourceFile};

impl Fragments {
    /// At the start, a broken file has its last good content from before; gives what to say of it.
    pub(super) fn recall(&mut self, broken: &Look) -> Option<Diagnostic> {
        if self.builder.current().is_loaded() || self.good.contains_key(&broken.name) {
            return None;
        }
        let Some(old) = self.saved_look(broken) else { return self.recall_unseen(broken) };
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
        self.load_saved(&now.name, Saved { path: now.path.clone(), ..saved })
    }

    pub(super) fn load_saved(&self, name: &FileName, saved: Saved) -> Option<Arc<Look>> {
        let source = SourceFile { path: saved.path, content: Ok(saved.text.into()) };
        let files = [(name, &source)];
        self.surroundings
            .as_of(&self.policy.severities, &saved.drew, |inputs| load_all(&self.api, inputs, &files))
            .pop()
    }

    /// At the start, a directory that cannot be read has what was in it; gives what to say of it.
    fn recall_unseen(&mut self, broken: &Look) -> Option<Diagnostic> {
        let unseen: Vec<FileName> = self.unseen_below(&broken.name).cloned().collect();
        for name in &unseen {
            let old = self.saved.get(name).and_then(Kept::read);
            let old = old.and_then(|saved| self.load_saved(name, saved)).filter(|old| !old.has_errors());
            let Some(old) = old else { return Some(useless(broken)) };
            self.good.insert(name.clone(), old);
        }
        if unseen.is_empty() {
            return None;
        }
        self.pending.extend(unseen.iter().cloned());
        self.unseen.extend(unseen);
        let message = "what was last good in it, from the state directory, is served";
        Some(Diagnostic::new(Severity::Warning, "last-good-content", broken.path.clone(), message))
    }

    /// Whether something stands there that never held a fragment of its own: a pipe, a socket, a device, a link to
    /// the directory that it is in.
    fn is_no_file(&self, name: &FileName) -> bool {
        use FileKind::{Device, Fifo, Socket};
        let content = self.sources.files.get(name).map(|file| &file.content);
        matches!(content, Some(Err(ReadProblem::NotRegular(Fifo | Socket | Device) | ReadProblem::Circle)))
    }

    /// At the start, configuration directories that cannot be read have what was in them.
    pub(super) fn recall_unreadable(&mut self) {
        if self.builder.current().is_loaded() || self.unreadable().next().is_none() {
            return;
        }
        let unseen = self.saved.keys().filter(|name| !self.sources.files.contains_key(*name));
        let unseen: Vec<FileName> = unseen.filter(|name| !self.good.contains_key(*name)).cloned().collect();
        for name in unseen {
            let Some(saved) = self.saved.get(&name).and_then(Kept::read) else { continue };
            if !self.unreadable().any(|dir| stands_in(dir, &saved.path)) {
                continue;
            }
            if let Some(old) = self.load_saved(&name, saved).filter(|old| !old.has_errors()) {
                self.good.insert(name.clone(), old);
                self.pending.insert(name.clone());
                self.unseen.insert(name);
            }
        }
    }

    /// Whether something that was in a directory that cannot be read may not be known.
    pub(super) fn may_lack_unreadable(&self) -> bool {
        let is_unknown = |name| !self.sources.files.contains_key(name) && !self.good.contains_key(name);
        self.unreadable().next().is_some() && (!self.all_saved || self.saved.keys().any(is_unknown))
    }

    fn unreadable(&self) -> impl Iterator<Item = &Directory> {
        self.sources.dirs.iter().filter(|dir| matches!(dir.state, DirState::Unreadable(_)))
    }

    /// The saved files that would stand below this name, and are not seen there.
    fn unseen_below(&self, name: &FileName) -> impl Iterator<Item = &FileName> {
        let is_below = move |file: &&FileName| is_below(file, name);
        self.saved.keys().filter(is_below).filter(|file| !self.sources.files.contains_key(*file))
    }

    /// Whether a broken file without good content may have been served before: then a start without it would
    /// take that away.
    pub(super) fn may_lack(&self, name: &FileName) -> bool {
        (!self.all_saved && !self.is_no_file(name))
            || self.saved.contains_key(name)
            || self.unseen_below(name).any(|file| !self.good.contains_key(file))
    }

    /// What stands below a directory that can be read again is what is found in it.
    pub(super) fn forget_unseen(&mut self) {
        let (files, broken) = (&self.sources.files, &self.broken);
        let is_unreadable = |file: &FileName| {
            self.good.get(file).is_some_and(|look| self.unreadable().any(|dir| stands_in(dir, &look.path)))
        };
        let is_unseen =
            |file: &FileName| broken.iter().any(|name| is_below(file, name)) || is_unreadable(file);
        let seen: Vec<FileName> = self
            .unseen
            .iter()
            .filter(|file| files.contains_key(*file) || !is_unseen(file))
            .cloned()
            .collect();
        for name in seen {
            self.unseen.remove(&name);
            if !files.contains_key(&name) {
                self.good.remove(&name);
                self.pending.insert(name);
            }
        }
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
}

/// Whether a file stands in a directory of this name, at any depth.
fn is_below(file: &FileName, dir: &FileName) -> bool {
    file.strip_prefix(&**dir).is_some_and(|rest| rest.starts_with('/'))
}

fn useless(look: &Look) -> Diagnostic {
    let message = "its last good content, from the state directory, has errors now, too";
    Diagnostic::new(Severity::Error, "last-good-content", look.path.clone(), message)
}
