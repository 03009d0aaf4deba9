//! The state directory: the last good content of every fragment, by which the next start is judged, and which it
//! serves in the place of what is held or broken then.
//!
//! What is served comes in after it is served; at the next start it goes out again. One file per
//! fragment, in a folder named after the format (`v1`), and beside it a mark that none is missing. Keeps the
//! invariants that a file there is whole or not there at all, at any moment at which the power goes (written beside, synced,
//! renamed, the directory synced); that nobody but the daemon's user can read it, since secrets are
//! among it; and that nothing here ever stops serving: what goes wrong is a warning, and is tried
//! again.

mod content;
mod whole;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use self::content::encode;
use self::whole::Mark;
use super::look::{FileName, Kept, Look};
use crate::resource::Digest;

/// The folder of this format in the state directory. Another format gets another folder, so that
/// going back to an older program finds what that one wrote.
const FORMAT: &str = "v1";

/// How files begin that are not whole yet.
const UNFINISHED: &str = ".unfinished-";

/// How files end whose fragment was served with another content since, which could not be saved: good enough in
/// the place of a broken one, and not what was served last.
const OUTDATED: &str = "outdated";

/// How long to wait before what could not be written is tried again, if nothing else is to be
/// written before: a full disk is not mended within seconds.
const RETRY: Duration = Duration::from_secs(30);

/// What is to be written: the newest content of each fragment, `None` for one that is gone.
type Work = BTreeMap<FileName, Option<Arc<Look>>>;

/// Keeps what is served on the disk, in the background; without a directory, does nothing.
#[derive(Debug)]
pub(super) struct State(Option<Writer>);

#[derive(Debug)]
struct Writer {
    desk: Arc<Desk>,
    /// Says something when the thread has ended.
    ended: mpsc::Receiver<()>,
}

/// Where work is laid down and fetched.
#[derive(Debug, Default)]
struct Desk {
    inbox: Mutex<Inbox>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    work: Work,
    mark: Mark,
    is_closed: bool,
}

impl State {
    /// Opens the directory and reads what is kept there. One that cannot be used is a warning.
    pub(super) fn open(dir: Option<&Path>) -> io::Result<(State, BTreeMap<FileName, Kept>)> {
        let Some(root) = dir else { return Ok((State(None), BTreeMap::new())) };
        match Folder::open(root) {
            Ok((folder, saved)) => {
                let mark = Mark::read(root, saved.keys().cloned());
                Ok((State(Some(Writer::start(folder, mark)?)), saved))
            }
            Err(error) => {
                let dir = root.display();
                tracing::warn!(
                    %dir,
                    %error,
                    "the state directory cannot be used: after a restart, a fragment that is broken then keeps the \
                     daemon from serving"
                );
                Ok((State(None), BTreeMap::new()))
            }
        }
    }

    /// Whether everything that is served is on the disk. At the start: whether all that was served before is
    /// among what was read.
    pub(super) fn is_whole(&self) -> bool {
        self.0.as_ref().is_some_and(|writer| writer.desk.lock().mark.is_there())
    }

    /// To be called before what is to be kept then is served.
    pub(super) fn announce(&self, changes: &[(FileName, Option<Arc<Look>>)]) {
        let Some(writer) = self.0.as_ref().filter(|_| !changes.is_empty()) else { return };
        let names = changes.iter().map(|(name, look)| (name.clone(), look.is_some()));
        if let Err(error) = writer.desk.lock().mark.announce(names) {
            tracing::warn!(%error, "the state directory cannot be told that it lacks a fragment");
        }
    }

    /// Lays down what is to be written.
    pub(super) fn keep(&self, changes: Vec<(FileName, Option<Arc<Look>>)>) {
        if let Some(writer) = self.0.as_ref().filter(|_| !changes.is_empty()) {
            writer.desk.lock().work.extend(changes);
            writer.desk.news.notify_one();
        }
    }

    /// Waits until everything is written, for this long at most: a disk that hangs must not keep
    /// the process from ending.
    pub(super) fn finish(&self, patience: Duration) {
        let Some(writer) = &self.0 else { return };
        writer.desk.lock().is_closed = true;
        writer.desk.news.notify_one();
        if writer.ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the state directory does not hold everything that was served: its disk is too slow"
            );
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next work, which may be what failed before; nothing when all is done.
    fn fetch(&self, failed: Work) -> Option<Work> {
        let mut inbox = self.lock();
        if !failed.is_empty() && inbox.work.is_empty() && !inbox.is_closed {
            let waited =
                self.news.wait_timeout_while(inbox, RETRY, |inbox| inbox.work.is_empty() && !inbox.is_closed);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else if failed.is_empty() {
            let waited = self.news.wait_while(inbox, |inbox| inbox.work.is_empty() && !inbox.is_closed);
            inbox = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if inbox.is_closed && inbox.work.is_empty() {
            return None;
        }
        let mut work = failed;
        work.extend(std::mem::take(&mut inbox.work));
        Some(work)
    }

    /// Sees to it that a mark that was taken away does not come back with the power.
    fn unmark(&self) -> io::Result<()> {
        let root = self.lock().mark.unsynced();
        root.map_or(Ok(()), |root| sync(&root))
    }

    /// All work that was fetched is done.
    fn mark(&self) -> io::Result<()> {
        // Not locked while the disk is at work: who serves would wait.
        let due = self.lock().mark.due();
        let Some(due) = due else { return Ok(()) };
        due.write()?;
        self.lock().mark.written(&due);
        Ok(())
    }
}

impl Writer {
    fn start(mut folder: Folder, mark: Mark) -> io::Result<Writer> {
        let desk =
            Arc::new(Desk { inbox: Mutex::new(Inbox { mark, ..Inbox::default() }), ..Desk::default() });
        let (end, ended) = mpsc::channel();
        let fetching = desk.clone();
        std::thread::Builder::new().name("state".into()).spawn(move || {
            let mut failed = Work::new();
            let mut complained = false;
            while let Some(work) = fetching.fetch(std::mem::take(&mut failed)) {
                let unmarked = fetching.unmark();
                let mut problem;
                (failed, problem) = folder.carry_out(work);
                problem = problem.or(unmarked.err());
                if problem.is_none() {
                    problem = fetching.mark().err();
                }
                match &problem {
                    Some(error) if !complained => tracing::warn!(
                        dir = %folder.path.display(),
                        %error,
                        "the last good content of a fragment cannot be saved; serving goes on, and saving is tried again"
                    ),
                    None if complained => tracing::info!("the last good content of all fragments is saved again"),
                    _ => {}
                }
                complained = problem.is_some();
            }
            // Nobody listens any more if it took too long.
            let _ = end.send(());
        })?;
        Ok(Writer { desk, ended })
    }
}

/// The folder of this format.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// What the whole files hold, without those that are outdated.
    digests: HashMap<FileName, Digest>,
}

impl Folder {
    fn open(root: &Path) -> io::Result<(Folder, BTreeMap<FileName, Kept>)> {
        let is_new = fs::read_dir(root).map_or(true, |mut entries| entries.next().is_none());
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(error.kind(), "it is a file, and no directory"),
            _ => error,
        })?;
        if is_new {
            // One that the service manager made for us, or an administrator.
            fs::set_permissions(root, Permissions::from_mode(0o700))?;
        }
        note_other_formats(root)?;
        let path = root.join(FORMAT);
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        sync(root)?;
        let mut folder = Folder { path, digests: HashMap::new() };
        let saved = folder.read()?;
        Ok((folder, saved))
    }

    /// Finds the files that are whole. What is in them is not held: it would be all that is served once more.
    fn read(&mut self) -> io::Result<BTreeMap<FileName, Kept>> {
        let mut saved = BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // Left by a sudden end; what it was to replace is whole. One that stays is written over.
                let _ = fs::remove_file(entry.path());
                continue;
            }
            if !entry.file_type()?.is_file() {
                continue;
            }
            let path = entry.path();
            let Some((name, content, _)) = content::read(&path) else { continue };
            if path.extension().is_some_and(|end| end == OUTDATED) {
                // A sudden end may have left it beside a newer one.
                saved.entry(name).or_insert(Kept::Outdated(path));
            } else {
                self.digests.insert(name.clone(), content);
                saved.insert(name, Kept::There(path, content));
            }
        }
        Ok(saved)
    }

    /// Writes and removes; gives what failed, and the last reason.
    fn carry_out(&mut self, work: Work) -> (Work, Option<io::Error>) {
        let mut failed = Work::new();
        let mut problem = None;
        for (name, look) in work {
            let done = match &look {
                Some(look) => self.write(&name, look),
                None => self.remove(&name),
            };
            if let Err(error) = done {
                problem = Some(error);
                failed.insert(name, look);
            }
        }
        // Renames are sure to be on the disk only then. If it fails, a sudden end finds the old content.
        let problem = problem.or(sync(&self.path).err());
        (failed, problem)
    }

    fn write(&mut self, name: &FileName, look: &Look) -> io::Result<()> {
        let (bytes, digest) = encode(name, look)?;
        if self.digests.get(name) == Some(&digest) {
            return Ok(());
        }
        let place = self.place(name);
        let beside = self.path.join(format!("{UNFINISHED}{}", Digest::of([name.as_bytes()])));
        let written = write_synced(&beside, &bytes).and_then(|()| fs::rename(&beside, place));
        match written {
            Ok(()) => {
                self.digests.insert(name.clone(), digest);
                // Mostly there is none. One that stays is less than the newer one.
                let _ = fs::remove_file(self.outdated(name));
                Ok(())
            }
            Err(error) => {
                // It may not be there; if it is, it takes room that a full disk needs.
                let _ = fs::remove_file(&beside);
                if self.digests.remove(name).is_some() {
                    // That needs no room. If it fails, too, nothing can be told to the next start.
                    let _ = fs::rename(self.place(name), self.outdated(name));
                }
                Err(error)
            }
        }
    }

    fn remove(&mut self, name: &FileName) -> io::Result<()> {
        for path in [self.place(name), self.outdated(name)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.digests.remove(name);
        Ok(())
    }

    /// Names of fragments may hold anything and be long; digests fit everywhere.
    fn place(&self, name: &FileName) -> PathBuf {
        self.path.join(format!("{}.fragment", Digest::of([name.as_bytes()])))
    }

    fn outdated(&self, name: &FileName) -> PathBuf {
        self.place(name).with_extension(OUTDATED)
    }
}

fn note_other_formats(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let is_format = name.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        if is_format && name != FORMAT {
            let folder = root.join(&*name);
            tracing::warn!(folder = %folder.display(), "another version of xds-bridge left state in a format of its own; it is ignored");
        }
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::look::Saved;
    use crate::load::Loaded;

    fn look(name: &str, text: &str) -> Arc<Look> {
        Arc::new(Look {
            name: name.into(),
            path: format!("d/{name}").into(),
            text: text.to_owned().into(),
            loaded: Loaded::default(),
        })
    }

    fn open(root: &Path) -> (Folder, BTreeMap<FileName, Saved>) {
        let (folder, kept) = Folder::open(root).expect("a folder of our own");
        let saved = kept.into_iter().map(|(name, kept)| (name, kept.read().expect("whole")));
        (folder, saved.collect())
    }

    fn work(list: &[(&str, Option<&str>)]) -> Work {
        list.iter().map(|(name, text)| ((*name).into(), text.map(|text| look(name, text)))).collect()
    }

    fn texts(saved: &BTreeMap<FileName, Saved>) -> Vec<(&str, &str)> {
        let text = |saved| std::str::from_utf8(saved).expect("UTF-8");
        saved.iter().map(|(name, saved)| (&**name, text(&saved.text))).collect()
    }

    #[test]
    fn what_was_written_is_read_whatever_its_name_and_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let long = "x".repeat(250);
        let odd =
            [("a/b.yaml", "x"), ("..", ""), ("\n\"é\0", "\r\n\n\0"), (&*long, "xds-bridge fragment \n")];
        let all: Vec<_> = odd.iter().map(|(name, text)| (*name, Some(*text))).collect();
        let (mut folder, saved) = open(dir.path());
        assert!(saved.is_empty());
        let (failed, problem) = folder.carry_out(work(&all));
        assert!(failed.is_empty() && problem.is_none());
        let (mut folder, saved) = open(dir.path());
        let mut expected = odd.to_vec();
        expected.sort();
        assert_eq!(texts(&saved), expected);
        assert_eq!(&*saved["a/b.yaml"].path, "d/a/b.yaml");
        folder.carry_out(work(&[("..", None), ("never.yaml", None), ("a/b.yaml", Some("y"))]));
        let (_, saved) = open(dir.path());
        assert_eq!((saved.len(), &*saved["a/b.yaml"].text), (3, b"y".as_slice()));
    }

    #[test]
    fn what_is_on_the_disk_already_is_not_written_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut folder, _) = open(dir.path());
        folder.carry_out(work(&[("a", Some("x")), ("b", Some("x"))]));
        let (mut folder, _) = open(dir.path());
        let file = folder.place(&"a".into());
        let modified = || fs::metadata(&file).expect("there").modified().expect("a time");
        let before = modified();
        folder.carry_out(work(&[("a", Some("x"))]));
        assert_eq!(modified(), before);
        folder.carry_out(work(&[("a", Some("y"))]));
        assert_ne!(modified(), before);
    }

    #[test]
    fn what_could_not_be_written_comes_again_unless_something_newer_came() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut folder, _) = open(dir.path());
        folder.carry_out(work(&[("a", Some("1")), ("b", Some("1"))]));
        let in_the_way =
            |name: &str| folder.path.join(format!("{UNFINISHED}{}", Digest::of([name.as_bytes()])));
        let (a, b) = (in_the_way("a"), in_the_way("b"));
        fs::create_dir(&a).expect("created");
        fs::create_dir(&b).expect("created");
        let (failed, problem) =
            folder.carry_out(work(&[("a", Some("2")), ("b", Some("2")), ("c", Some("2"))]));
        assert_eq!(failed.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
        assert!(problem.is_some());
        let (_, saved) = open(dir.path());
        assert_eq!(texts(&saved), [("a", "1"), ("b", "1"), ("c", "2")]);
        let outdated = |folder: &mut Folder| {
            let mut kept = folder.read().expect("readable");
            kept.retain(|_, kept| matches!(kept, Kept::Outdated(_)));
            kept.into_keys().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(outdated(&mut folder), ["a", "b"], "others were served since");
        let desk = Desk::default();
        desk.lock().work = work(&[("b", None)]);
        let again = desk.fetch(failed).expect("not closed");
        fs::remove_dir(&a).expect("removed");
        let (failed, problem) = folder.carry_out(again);
        assert!(failed.is_empty() && problem.is_none());
        let (_, saved) = open(dir.path());
        assert_eq!(texts(&saved), [("a", "2"), ("c", "2")]);
        assert!(outdated(&mut folder).is_empty() && !folder.outdated(&"b".into()).exists());
        // When it is to end, what failed is tried no more.
        desk.lock().is_closed = true;
        assert!(desk.fetch(work(&[("a", Some("3"))])).is_none());
    }
}
