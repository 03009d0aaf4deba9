//! The walk: which files count, and where each leads.
//!
//! In goes a place (a root, or a name below one), out comes what stands there and below it, by
//! metadata alone: no file is opened. Invariants: each directory is armed (told to the kernel)
//! *before* it is read, so that what changes after the read is noticed; the walk ends, whatever
//! symbolic links there are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, End, FileId, Resolved, Spot, Stamp};
use super::{DirState, FileKind, ReadProblem};

/// How deep directories may stand within each other. The recursion of the walk is as deep.
pub(super) const MAX_DEPTH: usize = 64;

/// How many names one walk looks at. Symbolic links to directories that hold such links multiply:
/// without a bound, thirty small directories could keep the walk busy for ever.
const MAX_NAMES: usize = 1_000_000;

/// How often a path is followed anew because a directory on the way was not armed yet.
const MAX_REARMS: usize = 8;

/// Told of each directory whose names matter, and of each file with several names, before they are
/// read.
pub(super) trait Arm {
    /// True if it was not armed before: what was read earlier may have changed unnoticed.
    fn arm(&mut self, path: &Path) -> bool;
}

/// For a single look.
pub(super) struct Unarmed;

impl Arm for Unarmed {
    fn arm(&mut self, _: &Path) -> bool {
        false
    }
}

/// What stands at a place that counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// A regular file, at this path free of symbolic links.
    File(PathBuf, Stamp),
    /// A symbolic link to `/dev/null`: hides the file of that name in earlier directories.
    Mask,
    /// Something that cannot be read.
    Problem(ReadProblem),
}

/// A directory that was walked.
#[derive(Clone, Debug)]
pub(super) struct SeenDir {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
}

/// What a walk has found. All names are relative to the root, `""` is the root itself.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: BTreeMap<Arc<str>, Seen>,
    pub(super) dirs: BTreeMap<Arc<str>, SeenDir>,
    /// What a name depends on besides the directory that it stands in.
    pub(super) spots: Vec<(Arc<str>, Vec<Spot>)>,
    /// Directories that exist and could not be read: what is below them is not known.
    pub(super) unknown: Vec<Arc<str>>,
    /// The state of the root, if the walk began there.
    pub(super) root: Option<DirState>,
}

/// Whether a file of this name is a fragment.
///
/// The ending alone rules out editors' and packagers' leftovers (`x.yaml~`, `.swp`, `.swx`, `.tmp`,
/// `.bak`, `.orig`, `.dpkg-*`, `.rpm*`, `4913`); hidden and `#…` names are left.
pub(super) fn is_fragment(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let ending = [b".yaml".as_slice(), b".yml", b".json"].iter().any(|ending| name.ends_with(ending));
    ending && !is_hidden(name) && !name.starts_with(b"#")
}

/// Whether a look at this directory comes by this path, which is a file or a directory.
pub(super) fn comes_by(dir: &Path, path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix(dir) else { return false };
    let is_hidden = |part: Component<'_>| is_hidden(part.as_os_str().as_bytes());
    let is_looked_at = |name: &OsStr| path.is_dir() || is_fragment(name);
    !rest.components().any(is_hidden) && rest.file_name().is_some_and(is_looked_at)
}

/// Whether the name, of a file or a folder, is not looked at.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}

/// A name that people can read, also if it is not UTF-8.
fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// The relative name of something in a directory.
pub(super) fn join(dir: &str, name: &str) -> Arc<str> {
    if dir.is_empty() { Arc::from(name) } else { Arc::from(format!("{dir}/{name}")) }
}

/// One walk.
pub(super) struct Walk<'a> {
    arm: &'a mut dyn Arm,
    found: Found,
    names: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(arm: &'a mut dyn Arm) -> Walk<'a> {
        Walk { arm, found: Found::default(), names: 0 }
    }

    /// Walks a whole directory; a root that is a file is found as the name `""`.
    pub(super) fn root(mut self, path: &Path) -> Found {
        let resolved = self.follow(Path::new("/"), path);
        let name: Arc<str> = Arc::from("");
        self.found.root = Some(match resolved.end {
            End::Found(path, meta) if meta.is_dir() => {
                self.enter(&name, path, FileId::of(&meta), &mut Vec::new());
                self.found.root.take().unwrap_or(DirState::Present)
            }
            End::Found(path, meta) => {
                self.see(&name, file(path, &meta));
                DirState::Present
            }
            End::Missing => DirState::Missing,
            End::Loop => self.closed(&name, &ReadProblem::SymlinkLoop),
            End::Failed(error) => self.closed(&name, &disk::problem(&error)),
        });
        self.found.spots.push((name, resolved.spots));
        self.found
    }

    /// Looks at one file that was named itself: it is always found, at worst as a problem.
    pub(super) fn named_file(mut self, path: &Path) -> Found {
        let resolved = self.follow(Path::new("/"), path);
        let seen = match resolved.end {
            End::Found(path, meta) => file(path, &meta),
            End::Missing => Seen::Problem(ReadProblem::NotFound),
            End::Loop => Seen::Problem(ReadProblem::SymlinkLoop),
            End::Failed(error) => Seen::Problem(disk::problem(&error)),
        };
        let name: Arc<str> = Arc::from("");
        self.see(&name, seen);
        self.found.spots.push((name, resolved.spots));
        self.found
    }

    /// Looks at `name` in the directory `parent` (its relative name `dir`), and below it.
    /// `above` are the directories from the root down to `parent`.
    pub(super) fn below(mut self, dir: &str, parent: &Path, name: &str, above: &mut Vec<FileId>) -> Found {
        if !is_hidden(name.as_bytes()) {
            self.name(join(dir, name), parent, OsStr::new(name), above);
        }
        self.found
    }

    /// Follows a path, and arms the directories in which the way is likely to be altered: those
    /// of its symbolic links, and the last two. To arm all would mean to be woken by every file
    /// that anybody opens in `/etc`; what is renamed farther up is found by the regular looks.
    fn follow(&mut self, start: &Path, target: &Path) -> Resolved {
        let mut resolved = disk::resolve(start, target);
        for _ in 0..MAX_REARMS {
            // The kernel tells of every write to a device, and all the world writes to /dev/null.
            let device = matches!(&resolved.end, End::Found(_, meta) if !meta.is_file() && !meta.is_dir());
            let last_two = resolved.spots.len().saturating_sub(if device { 0 } else { 2 });
            let spots = resolved.spots.iter().enumerate();
            let likely = spots.filter(|(number, spot)| spot.link || *number >= last_two);
            // Not `any`: all of them are to be armed.
            if likely.filter(|(_, spot)| self.arm.arm(&spot.dir)).count() == 0 {
                break;
            }
            resolved = disk::resolve(start, target);
        }
        resolved
    }

    fn name(&mut self, rel: Arc<str>, parent: &Path, name: &OsStr, above: &mut Vec<FileId>) {
        let resolved = disk::resolve(parent, Path::new(name));
        // The first spot is the name itself, in a directory that is armed already.
        let linked = resolved.spots.len() > 1 || !matches!(resolved.end, End::Found(..));
        let resolved = if linked { self.follow(parent, Path::new(name)) } else { resolved };
        let counts = is_fragment(name);
        match resolved.end {
            End::Found(path, meta) if meta.is_dir() => self.enter(&rel, path, FileId::of(&meta), above),
            _ if !counts => {}
            End::Found(path, _) if linked && path == Path::new("/dev/null") => self.see(&rel, Seen::Mask),
            End::Found(path, meta) => self.see(&rel, file(path, &meta)),
            End::Missing if resolved.spots.len() > 1 => {
                self.see(&rel, Seen::Problem(ReadProblem::NotFound));
            }
            End::Missing => {}
            End::Loop => self.see(&rel, Seen::Problem(ReadProblem::SymlinkLoop)),
            End::Failed(error) => self.see(&rel, Seen::Problem(disk::problem(&error))),
        }
        if linked {
            self.found.spots.push((rel, resolved.spots));
        }
    }

    fn see(&mut self, rel: &Arc<str>, seen: Seen) {
        if let Some(path) = seen.hard_linked() {
            self.arm.arm(path);
        }
        self.found.files.insert(rel.clone(), seen);
    }

    fn enter(&mut self, rel: &Arc<str>, path: PathBuf, id: FileId, above: &mut Vec<FileId>) {
        if above.contains(&id) {
            return self.see(rel, Seen::Problem(ReadProblem::Circle));
        }
        if above.len() >= MAX_DEPTH {
            return self.see(rel, Seen::Problem(ReadProblem::TooDeep));
        }
        self.arm.arm(&path);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => {
                let missing = matches!(disk::problem(&error), ReadProblem::NotFound);
                return if missing { self.gone(rel) } else { self.unknown(rel, &disk::problem(&error)) };
            }
        };
        above.push(id);
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(rel, &path, &entry, above),
                Err(error) => self.unknown(rel, &disk::problem(&error)),
            }
            if self.names > MAX_NAMES {
                let text = format!("more than {MAX_NAMES} names in it (symbolic links between directories?)");
                self.unknown(rel, &ReadProblem::Io(text.into()));
                break;
            }
        }
        above.pop();
        self.found.dirs.insert(rel.clone(), SeenDir { path, id });
    }

    fn entry(&mut self, dir: &str, path: &Path, entry: &fs::DirEntry, above: &mut Vec<FileId>) {
        self.names += 1;
        let name = entry.file_name();
        if is_hidden(name.as_bytes()) {
            return;
        }
        let counts = is_fragment(&name);
        let Ok(kind) = entry.file_type() else { return };
        if !(counts || kind.is_dir() || kind.is_symlink()) {
            return;
        }
        let Some(text) = name.to_str() else {
            if counts || kind.is_dir() {
                self.see(&join(dir, &readable(&name)), Seen::Problem(ReadProblem::NameNotUtf8));
            }
            return;
        };
        let rel = join(dir, text);
        if kind.is_symlink() || kind.is_dir() {
            return self.name(rel, path, &name, above);
        }
        match entry.metadata() {
            // It was replaced since the directory was read.
            Ok(meta) if meta.is_symlink() || meta.is_dir() => self.name(rel, path, &name, above),
            Ok(meta) => self.see(&rel, file(path.join(&name), &meta)),
            Err(error) => match disk::problem(&error) {
                ReadProblem::NotFound => {}
                problem => self.see(&rel, Seen::Problem(problem)),
            },
        }
    }

    /// A directory vanished between two steps.
    fn gone(&mut self, rel: &Arc<str>) {
        if rel.is_empty() {
            self.found.root = Some(DirState::Missing);
        }
    }

    /// The way to the root is closed.
    fn closed(&mut self, root: &Arc<str>, problem: &ReadProblem) -> DirState {
        self.found.unknown.push(root.clone());
        DirState::Unreadable(problem.to_string().into())
    }

    /// A directory is there, but what is in it is not known.
    fn unknown(&mut self, rel: &Arc<str>, problem: &ReadProblem) {
        self.found.unknown.push(rel.clone());
        if rel.is_empty() {
            self.found.root = Some(DirState::Unreadable(problem.to_string().into()));
        } else {
            self.see(rel, Seen::Problem(problem.clone()));
        }
    }
}

/// A file, or what stands in its place.
fn file(path: PathBuf, meta: &fs::Metadata) -> Seen {
    match disk::irregular(meta) {
        None => Seen::File(path, Stamp::of(meta)),
        Some(kind) => Seen::Problem(ReadProblem::NotRegular(kind)),
    }
}

impl Seen {
    /// The path of a file with several names. It is watched itself: its directory tells only of
    /// what is written through its name there.
    pub(super) fn hard_linked(&self) -> Option<&Path> {
        match self {
            Seen::File(path, stamp) if stamp.is_hard_linked() => Some(path),
            _ => None,
        }
    }

    /// Which file it is.
    pub(super) fn id(&self) -> Option<FileId> {
        match self {
            Seen::File(_, stamp) => Some(stamp.id),
            _ => None,
        }
    }

    /// Whether it may be on its way to something else: a dangling link is for a moment what a
    /// link is whose target is being replaced. Such is never trusted at once.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Seen::Problem(ReadProblem::NotFound | ReadProblem::NotRegular(FileKind::Directory)))
    }
}
