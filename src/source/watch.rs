//! Looking again and again.
//!
//! In go hints, timers and requests, out comes one value after the other from [`Watch::next`].
//! Invariants: a value is given out only if its bytes differ from those given out before; what was
//! renamed into place is given out at once, everything else when it has settled; a burst of any
//! size ends in a handful of values.
//!
//! What the kernel does not tell is left to the regular looks: changes on network file systems, a
//! directory renamed far above a link's target, and what is written to a known file through a hard
//! link that was made later, outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::judge::Trust;
use super::known::{Place, Table, absolute};
use super::notice::{Armed, Hint, Inbox, Notices};
use super::settle::Settle;
use super::{Options, Sources, scan};

/// How often everything is looked at where the kernel does not tell.
const UNWATCHED_POLL: Duration = Duration::from_secs(2);

/// How often each directory's path is checked to lead where it did: neither a mount over it nor a
/// rename far above it is told by the kernel, and asking costs one system call.
const IDENTITY_CHECK: Duration = Duration::from_secs(2);

/// Complete looks that lost notices ask for take one part of this many and one of the time.
const SCAN_RATIO: u32 = 4;

/// What each changed file of a value adds to the time before the next value: about what loading it
/// takes. So one rename after the other is given out at once, while a burst is given out in
/// portions that grow with it.
const REST_PER_FILE: Duration = Duration::from_millis(4);

/// The longest such time: what a person would still call at once.
const MAX_REST: Duration = Duration::from_millis(500);

/// Why watching could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path that cannot be made absolute.
    #[error("the configuration directory {path:?} cannot be watched: {error}")]
    Path {
        /// As it was given.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

/// What [`Watch::next`] answers.
#[derive(Clone, Debug)]
pub enum Next {
    /// A value that differs from the one before.
    Changed(Change),
    /// [`Handle::look_now`] was asked for, and nothing is new.
    Looked,
    /// Nothing new in the given time.
    Idle,
    /// [`Handle::stop`] was called.
    Stopped,
}

/// A new value.
#[derive(Clone, Debug)]
pub struct Change {
    /// All of it.
    pub sources: Sources,
    /// The names in `sources.files` that were added, changed or removed since the value before.
    pub changed: Vec<Arc<str>>,
    /// The same for `sources.extra`.
    pub changed_extra: Vec<Arc<Path>>,
    /// Whether this also answers [`Handle::look_now`].
    pub looked: bool,
}

/// How much was done, for metrics and to hold the cost of a change to its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Complete looks.
    pub full_scans: u64,
    /// Names whose metadata was compared.
    pub looked_at: u64,
    /// Files that were read.
    pub files_read: u64,
}

/// Keeps an eye on everything.
#[derive(Debug)]
pub struct Watch {
    options: Options,
    inbox: Arc<Inbox>,
    armed: Armed,
    table: Table,
    settle: Settle,
    given: Option<Sources>,
    started: Instant,
    next_scan: Instant,
    next_check: Instant,
    /// No look at everything before this, however often notices are lost.
    earliest_scan: Instant,
    /// No attempt to start a new watcher before this.
    reopen_at: Instant,
    /// No value is given out before this.
    rest_until: Instant,
    /// A request to look was carried out and is not answered yet.
    looked: bool,
    /// That not everything is watched was said.
    complained: bool,
    full_scans: u64,
}

/// Reaches a [`Watch`] from another thread.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inbox>);

impl Handle {
    /// Everything is to be looked at and read at once, without settling.
    pub fn look_now(&self) {
        self.0.note(|notices| notices.look = true);
    }

    /// [`Watch::next`] is to answer [`Next::Stopped`] from now on.
    pub fn stop(&self) {
        self.0.note(|notices| notices.stop = true);
    }
}

impl Watch {
    /// Begins to watch, and looks for the first time.
    pub fn new(options: Options) -> Result<Watch, SourceError> {
        for path in &options.dirs {
            std::path::absolute(path).map_err(|error| SourceError::Path { path: path.clone(), error })?;
        }
        let now = Instant::now();
        let inbox = Arc::new(Inbox::default());
        let mut watch = Watch {
            inbox,
            armed: Armed::unwatched(),
            table: Table::new(&options),
            settle: Settle::new(options.settle, options.settle_limit, now),
            given: None,
            started: now,
            next_scan: now,
            next_check: now + IDENTITY_CHECK,
            earliest_scan: now,
            reopen_at: now,
            rest_until: now,
            looked: false,
            complained: false,
            full_scans: 0,
            options,
        };
        watch.look_at_everything(Trust::Start);
        watch.table.pack();
        Ok(watch)
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        Handle(self.inbox.clone())
    }

    /// What was done so far.
    pub fn work(&self) -> Work {
        Work {
            full_scans: self.full_scans,
            looked_at: self.table.looked_at,
            files_read: self.table.files_read,
        }
    }

    /// From now on, these files outside are read and watched, too, and no others. Their content is
    /// in [`Sources::extra`] by their absolute path, with the next value.
    pub fn also(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| absolute(&path)).collect();
        for place in self.table.set_extras(paths, &mut self.settle) {
            self.look(&place, Trust::Start);
        }
    }

    /// Waits, `timeout` at most, until there is something new. The first call gives the first
    /// complete value.
    pub fn next(&mut self, timeout: Duration) -> Next {
        let deadline = Instant::now() + timeout;
        loop {
            let notices = self.inbox.take();
            if notices.stop {
                return Next::Stopped;
            }
            self.follow(notices);
            self.keep_time();
            if let Some(next) = self.offer() {
                return next;
            }
            if Instant::now() >= deadline {
                return Next::Idle;
            }
            self.inbox.wait_until(self.next_step(deadline));
        }
    }

    /// When something is to be done although nothing comes in.
    fn next_step(&self, deadline: Instant) -> Instant {
        let mut step = deadline.min(self.next_scan).min(self.next_check);
        if let Some(settled) = self.settle.deadline() {
            step = step.min(settled);
        }
        let waits = !self.table.altered.is_empty() || !self.table.altered_extra.is_empty();
        if waits && self.rest_until > Instant::now() {
            step = step.min(self.rest_until);
        }
        if self.given.is_none() {
            step = step.min(self.started + self.settle.longest());
        }
        step
    }

    fn look(&mut self, place: &Place, trust: Trust<'_>) {
        self.table.look(place, trust, &mut self.armed, &mut self.settle, Instant::now());
    }

    fn look_at_everything(&mut self, trust: Trust<'_>) {
        let begin = Instant::now();
        if !self.armed.is_open() && self.options.poll.is_none() && begin >= self.reopen_at {
            self.armed = Armed::open(&self.inbox);
            self.reopen_at = begin + UNWATCHED_POLL;
        } else if self.armed.is_open() {
            // The limit may have been raised, or others may have gone.
            self.armed.refused = None;
        }
        for root in self.table.roots() {
            self.look(&root, trust);
        }
        self.armed.keep_only(&self.table.watched_paths(&self.settle));
        self.full_scans += 1;
        let pause = if let Some(poll) = self.options.poll {
            poll
        } else if self.watches_everything() {
            self.options.rescan
        } else {
            UNWATCHED_POLL.min(self.options.rescan)
        };
        let end = Instant::now();
        self.next_scan = end + pause;
        self.earliest_scan = end + (end - begin) * SCAN_RATIO;
    }

    /// Whether the kernel tells of every change. That it does not is said once.
    fn watches_everything(&mut self) -> bool {
        let lacking = match &self.armed.refused {
            Some(error) => Some(error.to_string()),
            None if !self.armed.is_open() => Some("the watcher has ended".to_owned()),
            None => None,
        };
        match &lacking {
            Some(error) if !self.complained => tracing::warn!(
                %error,
                every = ?UNWATCHED_POLL,
                "the kernel does not watch every directory, so they are looked at regularly; raise the sysctls \
                 fs.inotify.max_user_watches and fs.inotify.max_user_instances"
            ),
            None if self.complained => tracing::info!("the kernel watches every directory again"),
            _ => {}
        }
        self.complained = lacking.is_some();
        lacking.is_none()
    }

    /// Looks where the notices point.
    fn follow(&mut self, notices: Notices) {
        // What was renamed comes first: then it is known whether names that were written or
        // deleted are still on the way to anything (Kubernetes deletes what `..data` led to).
        let (renamed, rest): (Vec<_>, Vec<_>) =
            notices.hints.into_iter().partition(|(_, hint)| matches!(hint, Hint::Arrived | Hint::Left(_)));
        for (path, hint) in renamed.into_iter().chain(rest) {
            let settle = Trust::Settle { written: !matches!(hint, Hint::Touched) };
            let trust: Trust<'static> = match &hint {
                Hint::Arrived => Trust::Renamed,
                Hint::Left(Some(to)) if self.counts(to) => Trust::Moved,
                _ => settle,
            };
            let mut places = self.places_at(&path, trust);
            // What is watched under this path may have others: bind mounts, hard links.
            let same = match hint {
                Hint::Touched => self.armed.paths_of(&path),
                _ => self.armed.forget(&path),
            };
            for other in same.iter().filter(|other| **other != path) {
                places.append(&mut self.places_at(other, settle));
            }
            for (place, trust) in places {
                self.look(&place, trust);
            }
        }
        if notices.look {
            self.look_at_everything(Trust::Forced);
            self.looked = true;
        } else if notices.lost {
            tracing::debug!("notices were lost, looking at everything");
            // Among the lost ones may be the end of a watched directory whose number a new one has.
            self.armed.forget(Path::new("/"));
            self.next_scan = self.next_scan.min(self.earliest_scan);
        }
    }

    /// The places that something at this path may matter to.
    fn places_at(&self, path: &Path, trust: Trust<'static>) -> BTreeMap<Place, Trust<'static>> {
        let mut places: BTreeSet<Place> = self.table.places_of_dir(path).cloned().collect();
        places.extend(self.table.places_through(path, None));
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            for dir in self.armed.paths_of(parent) {
                places.extend(self.table.places_through(&dir, Some(name)));
                let dirs = self.table.places_of_dir(&dir).filter(|_| !scan::is_hidden(name.as_bytes()));
                places.extend(dirs.map(|dir| match name.to_str() {
                    Some(name) => dir.below(name),
                    None => dir.clone(),
                }));
            }
        }
        places.into_iter().map(|place| (place, trust)).collect()
    }

    /// Whether what was renamed to this path is configuration there: then it is not lost.
    fn counts(&self, to: &Path) -> bool {
        let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else { return false };
        let known =
            self.armed.paths_of(parent).iter().any(|dir| self.table.places_of_dir(dir).next().is_some());
        let hidden = scan::is_hidden(name.as_bytes());
        known
            && (scan::is_fragment(name)
                || (!hidden && fs::symlink_metadata(to).is_ok_and(|meta| meta.is_dir())))
    }

    /// Does what is due.
    fn keep_time(&mut self) {
        if Instant::now() >= self.next_check {
            for layer in self.table.replaced_layers() {
                self.look(&layer, Trust::Settle { written: false });
            }
            self.next_check = Instant::now() + IDENTITY_CHECK;
        }
        if Instant::now() >= self.next_scan {
            self.look_at_everything(Trust::Settle { written: false });
        }
        let due = self.settle.take_due(Instant::now());
        for place in due.keys() {
            self.look(place, Trust::Due(&due));
        }
    }

    /// The answer, if there is one.
    fn offer(&mut self) -> Option<Next> {
        let now = Instant::now();
        let altered = !self.table.altered.is_empty() || !self.table.altered_extra.is_empty();
        let Some(given) = &self.given else {
            let complete = self.settle.waiting().is_empty() || now >= self.started + self.settle.longest();
            return (complete || self.looked).then(|| self.give(&Sources::default()));
        };
        if !self.looked && altered && now < self.rest_until {
            return None;
        }
        let given = given.clone();
        let next = self.give(&given);
        match &next {
            Next::Changed(change) => {
                let files = change.changed.len() + change.changed_extra.len();
                let rest = REST_PER_FILE.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX));
                self.rest_until = now + rest.min(MAX_REST);
                Some(next)
            }
            Next::Looked => Some(next),
            Next::Idle | Next::Stopped => None,
        }
    }

    /// Gives out the present value if it differs from the one before (the first always does).
    fn give(&mut self, before: &Sources) -> Next {
        let sources = self.table.present(&self.settle);
        let altered = std::mem::take(&mut self.table.altered).into_iter();
        let changed: Vec<_> =
            altered.filter(|name| sources.files.get(name) != before.files.get(name)).collect();
        let altered = std::mem::take(&mut self.table.altered_extra).into_iter();
        let changed_extra: Vec<_> =
            altered.filter(|path| sources.extra.get(path) != before.extra.get(path)).collect();
        let looked = std::mem::take(&mut self.looked);
        let same = changed.is_empty() && changed_extra.is_empty() && sources.dirs == before.dirs;
        if same && self.given.is_some() {
            return if looked { Next::Looked } else { Next::Idle };
        }
        self.given = Some(sources.clone());
        Next::Changed(Change { sources, changed, changed_extra, looked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);

    /// A watch that looks at nothing by itself, at a directory with one old file.
    fn watch(dir: &Path, poll: Option<Duration>) -> Watch {
        let file = fs::File::create(dir.join("a.yaml")).unwrap();
        file.set_modified(std::time::SystemTime::now() - NEVER * 2).unwrap();
        let settle = Duration::from_millis(50);
        let options = Options { settle, rescan: NEVER, poll, ..Options::new([dir]) };
        let mut watch = Watch::new(options).unwrap();
        assert!(matches!(watch.next(NEVER), Next::Changed(_)));
        watch
    }

    fn replace(dir: &Path, text: &str) {
        fs::write(dir.join(".new"), text).unwrap();
        fs::rename(dir.join(".new"), dir.join("a.yaml")).unwrap();
    }

    fn next_is(watch: &mut Watch, text: &'static str) {
        match watch.next(Duration::from_secs(20)) {
            Next::Changed(change) => assert_eq!(change.sources.files["a.yaml"].content, Ok(text.into())),
            other => panic!("{other:?} instead of {text:?}"),
        }
    }

    #[test]
    fn lost_notices_are_made_up_for_by_a_look_at_everything() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = watch(dir.path(), Some(NEVER));
        replace(dir.path(), "unnoticed");
        assert!(matches!(watch.next(Duration::from_millis(100)), Next::Idle));
        watch.inbox.note(|notices| notices.lost = true);
        next_is(&mut watch, "unnoticed");
    }

    #[test]
    fn a_watcher_that_died_is_replaced_and_nothing_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = watch(dir.path(), None);
        watch.armed.break_watcher();
        replace(dir.path(), "while nobody watched");
        next_is(&mut watch, "while nobody watched");
        let patience = Instant::now() + Duration::from_secs(20);
        while !watch.armed.is_open() {
            assert!(Instant::now() < patience, "no new watcher was started");
            assert!(matches!(watch.next(Duration::from_millis(100)), Next::Idle));
        }
        // A new watcher is followed by one more look at everything, for what came before it.
        let mut scans = watch.full_scans;
        while !matches!(watch.next(Duration::from_millis(300)), Next::Idle) || watch.full_scans != scans {
            assert!(Instant::now() < patience, "it does not come to rest");
            scans = watch.full_scans;
        }
        replace(dir.path(), "watched again");
        next_is(&mut watch, "watched again");
        assert_eq!(watch.full_scans, scans, "it was the kernel that told");
    }

    #[test]
    fn exhausted_watches_are_made_up_for_by_polling_until_there_are_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = watch(dir.path(), None);
        // As after a look during which the limit was reached, with no directory armed.
        watch.armed.forget(Path::new("/"));
        watch.armed.refused = Some(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        assert!(!watch.watches_everything() && watch.complained);
        watch.next_scan = Instant::now() + Duration::from_millis(100);
        replace(dir.path(), "polled");
        next_is(&mut watch, "polled");
        assert!(watch.watches_everything() && !watch.complained, "the next look has tried again");
        let scans = watch.full_scans;
        replace(dir.path(), "watched again");
        next_is(&mut watch, "watched again");
        assert_eq!(watch.full_scans, scans, "it was the kernel that told");
    }
}
