//! Judgement: what a walk has found against what is known.
//!
//! In go a walk ([`Found`]) and how far it is trusted, out comes a [`Table`] that believes more, and
//! places that wait in [`Settle`]. Invariants: a place whose change is not believed yet keeps the
//! content that it had; what could not be looked at stays as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::disk::{self, Spot};
use super::known::{Known, Place, Root, Table, subtree};
use super::scan::{Found, Seen};
use super::settle::{Settle, Waiting};
use super::{ReadProblem, Text};

/// How far the differences that a walk finds are believed.
#[derive(Clone, Copy)]
pub(super) enum Trust<'a> {
    /// At once, except what may pass: something was renamed into place.
    Renamed,
    /// At once, its absence above all: it was renamed to another place that counts.
    Moved,
    /// After they have settled; `written` if something was just written there.
    Settle { written: bool },
    /// At once, except files written so lately that the writer may not be done.
    Start,
    /// These have settled, if they look as they did then.
    Due(&'a BTreeMap<Place, Waiting>),
    /// At once, all of them.
    Forced,
}

/// One comparison of a walk with what is known.
pub(super) struct Pass<'a> {
    pub(super) table: &'a mut Table,
    pub(super) trust: Trust<'a>,
    pub(super) settle: &'a mut Settle,
    pub(super) now: Instant,
    pub(super) others: BTreeSet<Place>,
}

impl Pass<'_> {
    /// Gives the other places of the files that have changed.
    pub(super) fn compare(mut self, top: &Place, found: Found) -> BTreeSet<Place> {
        let is_there = found.files.contains_key(&top.rel) || found.dirs.contains_key(&top.rel);
        if matches!(self.trust, Trust::Renamed) && !is_there {
            // It came by a rename and is gone again: the way that it went is not known.
            self.trust = Trust::Settle { written: true };
        }
        let place = |rel: &Arc<str>| Place { root: top.root.clone(), rel: rel.clone() };
        let hidden = |place: &Place| found.unknown.iter().any(|dir| place.is_within(dir));
        let found_spots: BTreeMap<Place, Vec<Spot>> =
            found.spots.into_iter().map(|(rel, spots)| (place(&rel), spots)).collect();
        for gone in subtree(&self.table.dirs, top) {
            if !found.dirs.contains_key(&gone.rel) && !hidden(&gone) {
                self.table.set_dir(&gone, None);
            }
        }
        for (rel, dir) in found.dirs {
            self.table.set_dir(&place(&rel), Some(dir));
        }
        for gone in subtree(&self.table.spots, top) {
            if !found_spots.contains_key(&gone) && !hidden(&gone) {
                self.table.set_spots(&gone, Vec::new());
            }
        }
        for (place, spots) in found_spots {
            self.table.set_spots(&place, spots);
        }
        let waiting = subtree(self.settle.waiting(), top);
        for gone in subtree(&self.table.known, top).into_iter().chain(waiting) {
            if !found.files.contains_key(&gone.rel) && !hidden(&gone) {
                self.judge(&gone, None);
            }
        }
        let all: BTreeSet<Place> = found.files.keys().map(place).collect();
        for (rel, seen) in found.files {
            self.judge(&place(&rel), Some(seen));
        }
        self.others.difference(&all).cloned().collect()
    }

    fn judge(&mut self, place: &Place, seen: Option<Seen>) {
        self.table.looked_at += 1;
        let same = match (self.table.known.get(place), &seen) {
            (Some(known), Some(seen)) => known.seen == *seen && !known.racy,
            (None, None) => true,
            _ => false,
        };
        if same {
            return self.settle.forget(place);
        }
        if let Some(seen) = seen.as_ref().filter(|seen| seen.hard_linked().is_some()) {
            let same_file = seen.id().into_iter().flat_map(|id| self.table.places_of_file(id));
            self.others.extend(same_file.cloned());
        }
        let believed = match self.trust {
            Trust::Forced => true,
            Trust::Renamed | Trust::Moved => !seen.as_ref().is_some_and(Seen::is_passing),
            Trust::Settle { .. } => false,
            Trust::Start => match &seen {
                Some(Seen::File(_, stamp)) => !stamp.is_younger_than(self.settle.quiet()),
                _ => true,
            },
            Trust::Due(due) => due
                .get(place)
                .is_some_and(|before| before.seen == seen || self.settle.is_overdue(before, self.now)),
        };
        if believed { self.believe(place, seen) } else { self.wait(place, seen) }
    }

    fn wait(&mut self, place: &Place, seen: Option<Seen>) {
        let written = matches!(self.trust, Trust::Settle { written: true });
        let before = match self.trust {
            Trust::Due(due) => due.get(place),
            _ => None,
        };
        self.settle.wait(place, seen, self.now, written, before);
    }

    fn believe(&mut self, place: &Place, seen: Option<Seen>) {
        let (seen, racy, content) = match seen {
            None => {
                self.settle.forget(place);
                self.table.set_known(place, None);
                return self.table.update(place);
            }
            Some(Seen::Mask) => (Seen::Mask, false, None),
            Some(Seen::Problem(problem)) => (Seen::Problem(problem.clone()), false, Some(Err(problem))),
            Some(Seen::File(path, stamp)) => {
                self.table.files_read += 1;
                match disk::read(&path, self.table.max_file_bytes) {
                    Ok((bytes, stamp)) => {
                        let text = match place.root {
                            Root::Layer(_) => Text::from(bytes),
                            // Every fragment that names it holds on to it, and to the same bytes.
                            Root::Extra(_) => Text::plain(bytes),
                        };
                        (Seen::File(path, stamp), stamp.is_racy(), Some(Ok(text)))
                    }
                    Err(problem) => {
                        let seen = Seen::File(path, stamp);
                        let lasting =
                            matches!(problem, ReadProblem::PermissionDenied | ReadProblem::TooLarge { .. });
                        if !lasting && !self.is_last_chance(place) {
                            return self.wait(place, Some(seen));
                        }
                        (seen, !lasting, Some(Err(problem)))
                    }
                }
            }
        };
        self.settle.forget(place);
        let old = self.table.known.get(place).map(|old| &old.content);
        if let Some(old) = old.filter(|old| **old == content).cloned() {
            // The old text stays: what refers to it goes on sharing it.
            self.table.set_known(place, Some(Known { seen, racy, content: old }));
            return;
        }
        self.table.set_known(place, Some(Known { seen, racy, content }));
        self.table.update(place);
    }

    /// Whether a file that cannot be read just now is to be given out as such.
    fn is_last_chance(&self, place: &Place) -> bool {
        match self.trust {
            Trust::Forced => true,
            Trust::Due(due) => due.get(place).is_some_and(|before| self.settle.is_overdue(before, self.now)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DirState, Options};
    use super::*;

    /// A walk of a root that was read but for the directory `unknown`, and these files.
    fn found(files: &[(&str, ReadProblem)], unknown: &[&str], state: DirState) -> Found {
        let seen = |(rel, problem): &(&str, ReadProblem)| (Arc::from(*rel), Seen::Problem(problem.clone()));
        Found {
            files: files.iter().map(seen).collect(),
            unknown: unknown.iter().map(|rel| Arc::from(*rel)).collect(),
            root: Some(state),
            ..Found::default()
        }
    }

    #[test]
    fn what_cannot_be_looked_at_stays_as_it_was() {
        let now = Instant::now();
        let options = Options::new(["d"]);
        let mut table = Table::new(&options);
        let mut settle = Settle::new(options.settle, options.settle_limit, now);
        let top = Place::root(Root::Layer(0));
        let mut names = |found: Found| {
            let pass = Pass {
                table: &mut table,
                trust: Trust::Forced,
                settle: &mut settle,
                now,
                others: BTreeSet::new(),
            };
            pass.compare(&top, found);
            let sources = table.present(&settle);
            sources.files.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (file, refused) = (ReadProblem::Changing, ReadProblem::PermissionDenied);
        let all = [("a.yaml", file.clone()), ("sub/b.yaml", file.clone()), ("sub-c.yaml", file.clone())];
        assert_eq!(names(found(&all, &[], DirState::Present)), ["a.yaml", "sub-c.yaml", "sub/b.yaml"]);
        let closed = found(&[("sub", refused)], &["sub"], DirState::Present);
        assert_eq!(names(closed), ["sub", "sub/b.yaml"], "only what is known to have gone has gone");
        let closed = found(&[], &[""], DirState::Unreadable("refused".into()));
        assert_eq!(names(closed), ["sub", "sub/b.yaml"]);
        assert_eq!(names(found(&[], &[], DirState::Missing)), [] as [&str; 0]);
    }
}
