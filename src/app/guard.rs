//! The guard against emptiness: accidents that look like somebody wanting to remove everything.
//!
//! Comes in: what is served, what would be, and where files are gone. Goes out: a finding for each
//! sign of an accident. A disk that is not mounted, a wrong `rm`, a truncated file, `nodes:` that name nobody
//! must not empty the Envoys; whoever means it can say so. Only what differs is looked at.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::look::Look;
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{Catalog, Home, Key};
use crate::resource::{Selector, surely_beyond_all};
use crate::source::{DirState, Directory, Sources};

/// A change may remove any part of so few resources: with them, one removal is soon more than half.
const FEW: usize = 10;

/// How many files are named.
const MAX_NAMED: usize = 5;

/// A change, as far as the guard looks at it.
pub(super) struct Removal<'a> {
    pub before: &'a Catalog,
    pub now: &'a Catalog,
    /// The names that differ.
    pub touched: &'a BTreeSet<Key>,
    /// The served files that are gone.
    pub gone: &'a [&'a Arc<Look>],
    /// The names that a change that was held for the same would have removed.
    pub missed: &'a BTreeSet<Key>,
    pub sources: &'a Sources,
}

/// What a change would take away, from all or from some nodes.
struct Lost<'a> {
    gone: Vec<&'a Key>,
    narrowed: Vec<(&'a Key, &'a Home)>,
}

impl Lost<'_> {
    fn names(&self) -> impl Iterator<Item = &Key> {
        self.gone.iter().copied().chain(self.narrowed.iter().map(|(key, _)| *key))
    }
}

impl Removal<'_> {
    /// Why the change is to be confirmed, and the names that it would take away; nothing if it is not.
    pub fn findings(&self) -> (Vec<Diagnostic>, BTreeSet<Key>) {
        let lost = self.lost();
        let mut findings: Vec<Diagnostic> =
            self.sources.dirs.iter().filter_map(|dir| self.lost_dir(dir)).collect();
        if findings.is_empty() {
            findings.extend(self.most(&lost));
        }
        let missed = lost.names().filter(|_| !findings.is_empty()).cloned().collect();
        (findings, missed)
    }

    fn lost(&self) -> Lost<'_> {
        let mut lost = Lost { gone: Vec::new(), narrowed: Vec::new() };
        for key @ (kind, name) in self.touched {
            let (before, now) = (self.before.homes(*kind, name), self.now.homes(*kind, name));
            if !now.is_empty() {
                lost.narrowed.extend(narrower(before, now).map(|home| (key, home)));
            } else if !before.is_empty() {
                lost.gone.push(key);
            }
        }
        lost
    }

    /// A directory that had fragments and has none any more.
    fn lost_dir(&self, dir: &Directory) -> Option<Diagnostic> {
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
        Some(
            Diagnostic::new(Severity::Error, "config-dir-lost", dir.path.clone(), message)
                .with_hint(hint("put the files back")),
        )
    }

    /// More than half of what is served would go, for some Envoys at least, or all of it; or what is left of such an
    /// accident while the files come back one by one.
    fn most(&self, lost: &Lost<'_>) -> Option<Diagnostic> {
        let (gone, narrowed, all) = (lost.gone.len(), lost.narrowed.len(), self.before.len());
        let mut files: BTreeSet<&str> = lost.narrowed.iter().map(|(_, home)| &*home.file).collect();
        let too_many = (all > FEW && (gone + narrowed) * 2 > all) || (gone > 0 && self.now.is_empty());
        let is_left = || lost.names().any(|name| self.missed.contains(name));
        let dir = self.sources.dirs.first().filter(|_| too_many || is_left())?;
        let mut message = "this change would ".to_owned();
        if gone > 0 {
            message.push_str(&format!("remove {gone} of the {all} resources that are served"));
        }
        if narrowed > 0 {
            let and = if gone > 0 { ", and " } else { "" };
            let of = if gone > 0 { "further ones".to_owned() } else { format!("of the {all} resources") };
            message.push_str(&format!("{and}take {narrowed} {of} away from Envoys that receive them"));
        }
        for look in self.gone {
            files.remove(&*look.path);
        }
        message.push_str(&named("files that are gone", self.gone.iter().map(|look| &*look.name)));
        message.push_str(&named("narrower `nodes:` in", files.iter().copied()));
        let back = match (gone > 0 || !self.gone.is_empty(), files.is_empty()) {
            (false, _) => "widen the `nodes:` again",
            (true, true) => "put the files back",
            (true, false) => "put the files back and widen the `nodes:` again",
        };
        Some(
            Diagnostic::new(Severity::Error, "mass-removal", dir.path.clone(), message).with_hint(hint(back)),
        )
    }
}

/// The first home of an item that nodes are known to have received it from that receive it no more. What stands
/// in more places than before, each for other nodes, may still be there for all nodes that there are.
fn narrower<'h>(before: &'h [Home], now: &[Home]) -> Option<&'h Home> {
    let is_same = matches!((before, now), ([before], [now]) if before.nodes == now.nodes);
    if is_same || now.len() > before.len() {
        return None;
    }
    let audiences: Vec<Option<&Selector>> = now.iter().map(|home| home.nodes.as_deref()).collect();
    // A name may stand for each of many nodes, of which one changed.
    let kept: HashSet<Option<&Selector>> = audiences.iter().copied().collect();
    let mut others = before.iter().filter(|home| !kept.contains(&home.nodes.as_deref()));
    others.find(|home| surely_beyond_all(home.nodes.as_deref(), &audiences))
}

/// `; what: a, b and 3 more`; nothing if there are none.
fn named<'n>(what: &str, names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    let names = names.take(MAX_NAMED).collect::<Vec<_>>().join(", ");
    match (names.is_empty(), more) {
        (true, _) => String::new(),
        (_, 0) => format!("; {what}: {names}"),
        _ => format!("; {what}: {names} and {more} more"),
    }
}

fn hint(back: &str) -> String {
    format!("{back}; if this is meant, say `xds-bridge reload --accept-removals`")
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
