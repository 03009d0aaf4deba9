//! The kernel's notices: which directories it watches for us, and the hints that come of it.
//!
//! In go directories to watch and inotify events, out come hints by path. Invariants: a hint never
//! says what a file is, only where to look and whether it came there by a rename; what is lost (an
//! overflow, a dead watcher, exhausted watches) is turned into "look at everything".

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RemoveKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::disk::FileId;
use super::scan::Arm;

/// More hints than this at a time are not worth keeping apart: everything is looked at.
const MAX_HINTS: usize = 65_536;

/// What happened to a name in a watched directory, or to that directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Only its metadata (mode, owner, number of links).
    Touched,
    /// Created, written or deleted.
    Written,
    /// Renamed into place.
    Arrived,
    /// Renamed away; to a watched directory if the name there is known.
    Left(Option<PathBuf>),
}

/// What has come in since it was last emptied.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) hints: BTreeMap<PathBuf, Hint>,
    /// Something was lost: look at everything.
    pub(super) lost: bool,
    /// Somebody asked to look at everything at once.
    pub(super) look: bool,
    /// Somebody asked to end.
    pub(super) stop: bool,
    /// The first half of a rename, by its cookie.
    left: Option<(usize, PathBuf)>,
}

/// Where events and requests come in.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    notices: Mutex<Notices>,
    wake: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Notices> {
        // A panic while the lock was held leaves flags and hints: each of them is still true.
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down and wakes the watch.
    pub(super) fn note(&self, write: impl FnOnce(&mut Notices)) {
        write(&mut self.lock());
        self.wake.notify_one();
    }

    /// Takes everything out. A request to stop stays.
    pub(super) fn take(&self) -> Notices {
        let mut notices = self.lock();
        let left = notices.left.take();
        let stop = notices.stop;
        std::mem::replace(&mut *notices, Notices { left, stop, ..Notices::default() })
    }

    /// Waits until something comes in, or it is this late.
    pub(super) fn wait_until(&self, until: Instant) {
        let mut notices = self.lock();
        while !notices.is_waking() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            notices = match self.wake.wait_timeout(notices, left) {
                Ok((notices, _)) => notices,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Notices {
    fn is_waking(&self) -> bool {
        !self.hints.is_empty() || self.lost || self.look || self.stop
    }

    fn hint(&mut self, path: PathBuf, hint: Hint) {
        if hint == Hint::Touched && self.hints.contains_key(&path) {
            return;
        }
        self.hints.insert(path, hint);
        if self.hints.len() > MAX_HINTS {
            self.hints.clear();
            self.lost = true;
        }
    }

    fn event(&mut self, event: notify::Event) {
        if event.need_rescan() {
            self.lost = true;
        }
        let tracker = event.tracker();
        let Some(path) = event.paths.into_iter().next() else { return };
        match event.kind {
            // Our own reads open and close files, too.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.hint(path, Hint::Written),
            EventKind::Access(_) => {}
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) if tracker.is_some() => {
                self.left = tracker.map(|tracker| (tracker, path.clone()));
                self.hint(path, Hint::Left(None));
            }
            // The watched directory itself has left, or was deleted. Its parent tells more if it is
            // watched, too, perhaps of the one that has taken its place, and says so before.
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(RemoveKind::Folder) => {
                if self.hints.get(&path).is_none_or(|hint| *hint == Hint::Touched) {
                    self.hint(path, Hint::Left(None));
                }
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                if let Some((_, from)) = self.left.take_if(|(left, _)| Some(*left) == tracker) {
                    // Written down together, so that nobody sees the file at both names.
                    self.hint(from, Hint::Left(Some(path.clone())));
                }
                self.hint(path, Hint::Arrived);
            }
            // Says again what the two before it said.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {}
            EventKind::Modify(ModifyKind::Metadata(_)) => self.hint(path, Hint::Touched),
            _ => self.hint(path, Hint::Written),
        }
    }
}

/// Lives in the watcher's thread, and ends with it.
struct Listener {
    inbox: Arc<Inbox>,
    alive: Arc<AtomicBool>,
}

impl notify::EventHandler for Listener {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) if matches!(event.kind, EventKind::Access(AccessKind::Open(_))) => {}
            Ok(event) => self.inbox.note(|notices| notices.event(event)),
            Err(_) => self.inbox.note(|notices| notices.lost = true),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.alive.swap(false, Ordering::SeqCst) {
            self.inbox.note(|notices| notices.lost = true);
        }
    }
}

/// The directories, and files with several names, that the kernel watches for us.
#[derive(Debug, Default)]
pub(super) struct Armed {
    watcher: Option<RecommendedWatcher>,
    alive: Arc<AtomicBool>,
    paths: BTreeMap<PathBuf, FileId>,
    /// One can have several paths (bind mounts, hard links), but is watched once.
    by_id: HashMap<FileId, BTreeSet<PathBuf>>,
    /// Why the kernel does not watch everything that it was asked to.
    pub(super) refused: Option<notify::Error>,
}

impl Armed {
    /// Nothing is watched: everything must be looked at now and then.
    pub(super) fn unwatched() -> Armed {
        Armed::default()
    }

    /// A new watcher that watches nothing yet.
    pub(super) fn open(inbox: &Arc<Inbox>) -> Armed {
        let alive = Arc::new(AtomicBool::new(false));
        match notify::recommended_watcher(Listener { inbox: inbox.clone(), alive: alive.clone() }) {
            Ok(watcher) => {
                alive.store(true, Ordering::SeqCst);
                Armed { watcher: Some(watcher), alive, ..Armed::default() }
            }
            Err(error) => Armed { refused: Some(error), ..Armed::default() },
        }
    }

    /// Whether there is a watcher, and it lives.
    pub(super) fn is_open(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// All paths of what is watched as `path`, itself among them.
    pub(super) fn paths_of(&self, path: &Path) -> Vec<PathBuf> {
        let same = self.paths.get(path).and_then(|id| self.by_id.get(id));
        same.into_iter().flatten().cloned().collect()
    }

    /// Something happened to the very thing at this path, and the watcher may have given it and
    /// all below it up. Gives the other paths of these, which are not watched any more either: all
    /// are armed anew when they are looked at.
    pub(super) fn forget(&mut self, top: &Path) -> Vec<PathBuf> {
        let below = self.paths.range(top.to_path_buf()..).map(|(path, _)| path);
        let below: Vec<PathBuf> = below.take_while(|path| path.starts_with(top)).cloned().collect();
        let mut others = Vec::new();
        for path in &below {
            let same = self.paths_of(path).into_iter().filter(|other| !other.starts_with(top));
            others.extend(same);
            self.release(path);
        }
        others.iter().for_each(|path| self.release(path));
        others
    }

    /// Gives up what is not needed any more.
    pub(super) fn keep_only(&mut self, wanted: &BTreeSet<PathBuf>) {
        let unwanted: Vec<PathBuf> =
            self.paths.keys().filter(|path| !wanted.contains(*path)).cloned().collect();
        for path in unwanted {
            // The watcher may have known all of them by this path.
            let same = self.paths_of(&path);
            same.iter().for_each(|path| self.release(path));
            for other in same.iter().filter(|other| wanted.contains(*other)) {
                self.arm(other);
            }
        }
    }

    fn release(&mut self, path: &Path) {
        let Some(id) = self.paths.remove(path) else { return };
        if let Some(same) = self.by_id.get_mut(&id) {
            same.remove(path);
            if same.is_empty() {
                self.by_id.remove(&id);
            }
        }
        if let (true, Some(watcher)) = (self.is_open(), &mut self.watcher) {
            // It fails where the watcher has noticed first that it is gone.
            let _ = watcher.unwatch(path);
        }
    }

    fn record(&mut self, path: &Path, id: FileId) {
        self.paths.insert(path.to_path_buf(), id);
        self.by_id.entry(id).or_default().insert(path.to_path_buf());
    }
}

fn id_of(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|meta| FileId::of(&meta))
}

impl Arm for Armed {
    fn arm(&mut self, path: &Path) -> bool {
        // Where the limit is reached, asking again for each directory would only cost time.
        if !self.is_open() || self.refused.is_some() {
            return false;
        }
        let Some(id) = id_of(path) else { return false };
        if self.paths.get(path) == Some(&id) {
            return false;
        }
        // What was at this path before has left it; its other paths need a watch of their own.
        let others = self.paths_of(path);
        others.iter().for_each(|other| self.release(other));
        for other in others.iter().filter(|other| *other != path) {
            self.arm(other);
        }
        for other in self.by_id.get(&id).cloned().into_iter().flatten() {
            if id_of(&other) == Some(id) {
                self.record(path, id);
                return true;
            }
            self.release(&other);
        }
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.watch(path, RecursiveMode::NonRecursive) {
            // If it was replaced meanwhile, the wrong identity makes the next look arm it again.
            Ok(()) => self.record(path, id),
            Err(error) => {
                if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
                    self.refused = Some(error);
                }
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
impl Armed {
    /// The watcher ends, as if its thread had died; it has when this returns.
    pub(super) fn break_watcher(&mut self) {
        self.watcher = None;
        let patience = Instant::now() + std::time::Duration::from_secs(20);
        while self.is_open() {
            assert!(Instant::now() < patience, "the watcher's thread goes on");
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind};

    use super::*;

    fn name(mode: RenameMode, cookie: Option<usize>, path: &str) -> notify::Event {
        let event = notify::Event::new(EventKind::Modify(ModifyKind::Name(mode))).add_path(path.into());
        cookie.map_or(event.clone(), |cookie| event.set_tracker(cookie))
    }

    fn plain(kind: EventKind, path: &str) -> notify::Event {
        notify::Event::new(kind).add_path(path.into())
    }

    fn hints(events: impl IntoIterator<Item = notify::Event>) -> Vec<(String, Hint)> {
        let mut notices = Notices::default();
        events.into_iter().for_each(|event| notices.event(event));
        let hints = notices.hints.into_iter();
        hints.map(|(path, hint)| (path.display().to_string(), hint)).collect()
    }

    #[test]
    fn both_ends_of_a_rename_are_known_together() {
        let events = [
            name(RenameMode::From, Some(7), "/d/a"),
            name(RenameMode::To, Some(7), "/d/b"),
            name(RenameMode::From, Some(8), "/d/c"),
            name(RenameMode::To, Some(9), "/d/e"),
        ];
        let want = [
            ("/d/a".to_owned(), Hint::Left(Some("/d/b".into()))),
            ("/d/b".to_owned(), Hint::Arrived),
            ("/d/c".to_owned(), Hint::Left(None)),
            ("/d/e".to_owned(), Hint::Arrived),
        ];
        assert_eq!(hints(events), want);
    }

    #[test]
    fn the_last_event_counts_but_metadata_takes_nothing_back() {
        let modified = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let touched = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let events = [
            plain(EventKind::Create(CreateKind::File), "/d/a"),
            name(RenameMode::To, Some(1), "/d/a"),
            plain(touched, "/d/a"),
            name(RenameMode::To, Some(2), "/d/b"),
            plain(modified, "/d/b"),
            plain(touched, "/d/c"),
            plain(EventKind::Remove(RemoveKind::Folder), "/d/c"),
            name(RenameMode::To, Some(3), "/d/d"),
            name(RenameMode::From, None, "/d/d"),
        ];
        let want = [
            ("/d/a".to_owned(), Hint::Arrived),
            ("/d/b".to_owned(), Hint::Written),
            ("/d/c".to_owned(), Hint::Left(None)),
            ("/d/d".to_owned(), Hint::Arrived),
        ];
        assert_eq!(hints(events), want);
    }

    #[test]
    fn what_we_read_ourselves_wakes_nobody() {
        let kinds =
            [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read];
        assert_eq!(hints(kinds.map(|kind| plain(EventKind::Access(kind), "/d/a"))), []);
    }

    #[test]
    fn more_than_can_be_kept_apart_is_a_look_at_everything() {
        let mut notices = Notices::default();
        for number in 0..=MAX_HINTS {
            notices.event(plain(EventKind::Create(CreateKind::File), &format!("/d/{number}")));
        }
        assert!(notices.lost && notices.hints.is_empty());
        let mut overflow = Notices::default();
        overflow.event(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan));
        assert!(overflow.lost);
    }
}
