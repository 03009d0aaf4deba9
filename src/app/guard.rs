//! The guard against emptiness: accidents that look like somebody wanting to remove everything.
//!
//! Comes in: what is served, what would be, and where files are gone. Goes out: a finding for each
//! sign of an accident. A disk that is not mounted, a wrong `rm`, a truncated file must not empty
//! the Envoys; whoever means it can say so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::look::Look;
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{Catalog, Key};
use crate::source::{DirState, Directory, Sources};

/// A change may remove any part of so few resources: with them, one removal is soon more than half.
const FEW: usize = 10;

/// How many files are named.
const MAX_NAMED: usize = 5;

const HINT: &str = "put the files back; if this is meant, say `xds-bridge reload --accept-removals`";

/// A change, as far as the guard looks at it.
pub(super) struct Removal<'a> {
    pub before: &'a Catalog,
    pub now: &'a Catalog,
    /// The names that differ.
    pub touched: &'a BTreeSet<Key>,
    /// The served files that are gone.
    pub gone: &'a [&'a Arc<Look>],
    pub sources: &'a Sources,
}

impl Removal<'_> {
    /// Why the change is to be confirmed; nothing if it is not.
    pub fn findings(&self) -> Vec<Diagnostic> {
        let mut findings: Vec<Diagnostic> =
            self.sources.dirs.iter().filter_map(|dir| self.lost(dir)).collect();
        if findings.is_empty() {
            findings.extend(self.most());
        }
        findings
    }

    /// A directory that had fragments and has none any more.
    fn lost(&self, dir: &Directory) -> Option<Diagnostic> {
        let gone = self.gone.iter().filter(|look| stands_in(dir, &look.path)).count();
        if gone == 0 || self.sources.files.values().any(|file| stands_in(dir, &file.path)) {
            return None;
        }
        let what = match dir.state {
            DirState::Missing => "is gone",
            DirState::Present | DirState::Unreadable(_) => "is empty now",
        };
        let fragments =
            if gone == 1 { "1 fragment of it is" } else { &format!("{gone} fragments of it are") };
        let message = format!("the configuration directory {what}, while {fragments} served");
        Some(Diagnostic::new(Severity::Error, "config-dir-lost", dir.path.clone(), message).with_hint(HINT))
    }

    /// More than half of what is served would go, or all of it.
    fn most(&self) -> Option<Diagnostic> {
        let is_there = |catalog: &Catalog, (kind, name): &Key| !catalog.homes(*kind, name).is_empty();
        let removed =
            self.touched.iter().filter(|key| is_there(self.before, key) && !is_there(self.now, key));
        let (removed, all) = (removed.count(), self.before.len());
        let too_many = (all > FEW && removed * 2 > all) || (removed > 0 && self.now.is_empty());
        let dir = self.sources.dirs.first().filter(|_| too_many)?;
        let mut message =
            format!("this change would remove {removed} of the {all} resources that are served");
        if !self.gone.is_empty() {
            let names = self.gone.iter().take(MAX_NAMED).map(|look| &*look.name);
            message.push_str(&format!("; files that are gone: {}", names.collect::<Vec<_>>().join(", ")));
        }
        if self.gone.len() > MAX_NAMED {
            message.push_str(&format!(" and {} more", self.gone.len() - MAX_NAMED));
        }
        Some(Diagnostic::new(Severity::Error, "mass-removal", dir.path.clone(), message).with_hint(HINT))
    }
}

/// Directories that exist and cannot be read: nobody knows what is in them, so their files stay.
pub(super) fn unreadable(sources: &Sources) -> impl Iterator<Item = Diagnostic> {
    sources.dirs.iter().filter_map(|dir| match &dir.state {
        DirState::Unreadable(reason) => {
            let message = format!("the configuration directory cannot be read: {reason}");
            let hint = "until it can be read, its fragments stay as they were";
            Some(
                Diagnostic::new(Severity::Error, "config-dir-lost", dir.path.clone(), message)
                    .with_hint(hint),
            )
        }
        DirState::Present | DirState::Missing => None,
    })
}

/// Whether a path, as people name it, leads into this directory.
pub(super) fn stands_in(dir: &Directory, path: &str) -> bool {
    let rest = path.strip_prefix(dir.path.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
