//! The mark that the state directory holds everything that is served, and not only a part of it.
//!
//! Comes in: the names of the fragments that are saved, and of those that come and go. Goes out: at the next
//! start, whether a fragment that is not among the saved ones was never served. Keeps the invariant that the
//! mark fits the folder only if each fragment that is served is in it: it is taken away before another one is
//! served (that needs no room on a full disk), and written when all are saved. It tells the names, so a file
//! that was lost or damaged since does not go unnoticed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{FORMAT, UNFINISHED, sync, write_synced};
use crate::app::look::FileName;
use crate::resource::Digest;

/// The mark of a folder.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// The state directory; the mark stands beside the folder.
    root: PathBuf,
    /// The fragments that are saved, or are to be.
    names: HashSet<FileName>,
    /// Of all names, whatever their order.
    digest: u128,
    is_there: bool,
    /// It was taken away, which may not be on the disk yet.
    is_unsynced: bool,
}

impl Mark {
    /// Looks whether there is one that fits what was found in the folder.
    pub(super) fn read(root: &Path, saved: impl Iterator<Item = FileName>) -> Mark {
        let mut mark = Mark { root: root.to_owned(), ..Mark::default() };
        for name in saved {
            mark.note(&name, true);
        }
        mark.is_there = fs::read_to_string(mark.path()).is_ok_and(|text| text == mark.text());
        mark
    }

    /// Whether all that is served is saved.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// To be called before what changed is served: these names, and whether each of them is still there.
    ///
    /// A sudden loss of power within the next moments may bring the mark back, for who serves does not wait for
    /// the disk: [`unsynced`] is for that, at once behind the serving. What was served for a shorter time than
    /// that is what a start with a broken file may lack then.
    ///
    /// [`unsynced`]: Mark::unsynced
    pub(super) fn announce(&mut self, changes: impl Iterator<Item = (FileName, bool)>) -> io::Result<()> {
        // Not `any`: all of them are to be noted.
        let others = changes.filter(|(name, is_there)| self.note(name, *is_there)).count();
        if others > 0 {
            self.is_there = false;
            return match fs::remove_file(self.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => {
                    self.is_unsynced = true;
                    removed
                }
            };
        }
        Ok(())
    }

    /// Whether it is another set of names with this one.
    fn note(&mut self, name: &FileName, is_there: bool) -> bool {
        let differs = if is_there { self.names.insert(name.clone()) } else { self.names.remove(name) };
        if differs {
            self.digest ^= Digest::of([name.as_bytes()]).0;
        }
        differs
    }

    /// The directory that is to be synced because the mark was taken away; it is told once.
    pub(super) fn unsynced(&mut self) -> Option<PathBuf> {
        std::mem::take(&mut self.is_unsynced).then(|| self.root.clone())
    }

    fn path(&self) -> PathBuf {
        self.root.join(format!("{FORMAT}.whole"))
    }

    fn text(&self) -> String {
        format!("{} fragments {}\n", self.names.len(), Digest(self.digest))
    }

    /// What is to be written where, once everything is saved.
    pub(super) fn due(&self) -> Option<Due> {
        let beside = self.root.join(format!("{UNFINISHED}{FORMAT}.whole"));
        (!self.is_there).then(|| Due {
            root: self.root.clone(),
            beside,
            place: self.path(),
            text: self.text(),
        })
    }

    /// It was written; should other names have come meanwhile, it is out of date, and fits nothing.
    pub(super) fn written(&mut self, due: &Due) {
        self.is_there = due.text == self.text();
    }
}

/// A mark that is to be written.
#[derive(Debug)]
pub(super) struct Due {
    root: PathBuf,
    beside: PathBuf,
    place: PathBuf,
    text: String,
}

impl Due {
    /// Writes it, so that it is there as a whole or not at all.
    pub(super) fn write(&self) -> io::Result<()> {
        write_synced(&self.beside, self.text.as_bytes())?;
        fs::rename(&self.beside, &self.place)?;
        sync(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> std::vec::IntoIter<FileName> {
        list.iter().map(|name| FileName::from(*name)).collect::<Vec<_>>().into_iter()
    }

    fn write(mark: &mut Mark) {
        let due = mark.due().expect("it is not there");
        due.write().expect("written");
        mark.written(&due);
    }

    #[test]
    fn it_stands_for_exactly_the_names_that_are_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let is_whole = |list: &[&str]| Mark::read(dir.path(), names(list)).is_there();
        let mut mark = Mark::read(dir.path(), names(&["a"]));
        assert!(!mark.is_there(), "nothing was marked yet");
        write(&mut mark);
        assert!(is_whole(&["a"]) && !is_whole(&[]) && !is_whole(&["b"]) && !is_whole(&["a", "b"]));
        // Another content of the same fragment is no other name.
        mark.announce([("a".into(), true)].into_iter()).expect("nothing to do");
        assert!(mark.due().is_none() && is_whole(&["a"]));
        // It goes before a new name is served, and comes back when that is saved.
        mark.announce([("b".into(), true), ("c".into(), true)].into_iter()).expect("taken away");
        assert_eq!(
            (mark.unsynced().as_deref(), mark.unsynced()),
            (Some(dir.path()), None),
            "to be synced once"
        );
        for list in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
            assert!(!is_whole(list), "{list:?}");
        }
        let late = mark.due().expect("it is not there");
        mark.announce([("c".into(), false)].into_iter()).expect("taken away");
        late.write().expect("written");
        mark.written(&late);
        assert!(!is_whole(&["a", "b"]), "it is out of date");
        write(&mut mark);
        assert!(is_whole(&["b", "a"]) && !is_whole(&["a", "b", "c"]));
    }
}
