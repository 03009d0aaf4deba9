//! Single files: what a name leads to, what a file's stamp is, and its bytes.
//!
//! In go paths, out come facts of the moment. Invariants: nothing but a regular file is opened, and
//! bytes are returned only if the file's stamp was the same before and after.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{FileKind, ReadProblem};

/// As the kernel's own limit: more symbolic links than this in one path are a loop.
const MAX_LINKS: usize = 40;

/// How often a file that changes while it is read is tried.
const MAX_ATTEMPTS: usize = 3;

/// Which file or directory it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(super) fn of(meta: &Metadata) -> FileId {
        FileId { dev: meta.dev(), ino: meta.ino() }
    }
}

/// What is the same as long as a file is not written to (but see [`Stamp::is_racy`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: FileId,
    links: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Stamp {
        Stamp {
            id: FileId::of(meta),
            links: meta.nlink(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the file has several names: it may be written to through one that is not watched.
    pub(super) fn is_hard_linked(&self) -> bool {
        self.links > 1
    }

    /// Whether the file was written within `span` of now (either way: clocks differ).
    pub(super) fn is_younger_than(&self, span: Duration) -> bool {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(i128::MAX));
        let modified = i128::from(self.modified.0) * 1_000_000_000 + i128::from(self.modified.1);
        now.abs_diff(modified) < span.as_nanos()
    }

    /// Whether a later write could leave this stamp as it is: file systems keep time in ticks of
    /// milliseconds up to two seconds (git calls such entries racy).
    pub(super) fn is_racy(&self) -> bool {
        self.is_younger_than(Duration::from_secs(2))
    }
}

/// A name in a directory. When it comes to mean something else, what led through it must be
/// looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Absolute and free of symbolic links.
    pub(super) dir: PathBuf,
    pub(super) name: OsString,
    /// It is a symbolic link.
    pub(super) link: bool,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum End {
    /// To this, which is no symbolic link; the path is absolute and free of them.
    Found(PathBuf, Metadata),
    Missing,
    Loop,
    Failed(io::Error),
}

/// Where a path leads, and the names that it leads through (of a missing path: up to the first that
/// is missing).
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) end: End,
    pub(super) spots: Vec<Spot>,
}

/// Follows `target` from the directory `start`, which is absolute and free of symbolic links.
pub(super) fn resolve(start: &Path, target: &Path) -> Resolved {
    let mut dir = start.to_path_buf();
    let mut rest: Vec<OsString> = Vec::new();
    let mut spots = Vec::new();
    let mut links = 0;
    push_reversed(&mut rest, target);
    while let Some(name) = rest.pop() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => dir = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                dir.pop();
            }
            Some(Component::Normal(_)) => {
                let path = dir.join(&name);
                let meta = fs::symlink_metadata(&path);
                let link = meta.as_ref().is_ok_and(Metadata::is_symlink);
                let spot = Spot { dir: dir.clone(), name, link };
                if !spots.contains(&spot) {
                    spots.push(spot);
                }
                let meta = match meta {
                    Ok(meta) => meta,
                    Err(error) => return Resolved { end: failed(error), spots },
                };
                if link {
                    links += 1;
                    if links > MAX_LINKS {
                        return Resolved { end: End::Loop, spots };
                    }
                    match fs::read_link(&path) {
                        Ok(target) => push_reversed(&mut rest, &target),
                        Err(error) => return Resolved { end: failed(error), spots },
                    }
                } else if rest.is_empty() {
                    return Resolved { end: End::Found(path, meta), spots };
                } else {
                    dir = path;
                }
            }
            _ => {}
        }
    }
    let end = match fs::symlink_metadata(&dir) {
        Ok(meta) => End::Found(dir, meta),
        Err(error) => failed(error),
    };
    Resolved { end, spots }
}

fn failed(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => End::Missing,
        _ if is_loop(&error) => End::Loop,
        _ => End::Failed(error),
    }
}

fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

fn push_reversed(rest: &mut Vec<OsString>, path: &Path) {
    rest.extend(path.components().rev().map(|component| component.as_os_str().to_owned()));
}

/// What a file type is called, if it is not that of a regular file.
pub(super) fn irregular(meta: &Metadata) -> Option<FileKind> {
    let kind = meta.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some(FileKind::Directory)
    } else if kind.is_fifo() {
        Some(FileKind::Fifo)
    } else if kind.is_socket() {
        Some(FileKind::Socket)
    } else {
        Some(FileKind::Device)
    }
}

/// An error of the operating system, as data.
pub(super) fn problem(error: &io::Error) -> ReadProblem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadProblem::NotFound,
        io::ErrorKind::PermissionDenied => ReadProblem::PermissionDenied,
        _ if is_loop(error) => ReadProblem::SymlinkLoop,
        _ => ReadProblem::Io(Arc::from(error.to_string())),
    }
}

/// The bytes of a regular file and the stamp that they belong to. Tried again a few times while
/// somebody writes to it, then it is [`ReadProblem::Changing`].
pub(super) fn read(path: &Path, limit: u64) -> Result<(Bytes, Stamp), ReadProblem> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(read) = read_attempt(path, limit)? {
            return Ok(read);
        }
    }
    Err(ReadProblem::Changing)
}

/// `None` if it changed meanwhile.
fn read_attempt(path: &Path, limit: u64) -> Result<Option<(Bytes, Stamp)>, ReadProblem> {
    // Without O_NONBLOCK, a named pipe that has just replaced the file would block us for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| problem(&error))?;
    let before = regular(&file)?;
    let size = before.size();
    if size > limit {
        return Err(ReadProblem::TooLarge { size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| problem(&error))?;
    let stamp = Stamp::of(&before);
    let steady = bytes.len() as u64 == size && Stamp::of(&regular(&file)?) == stamp;
    bytes.shrink_to_fit();
    Ok(steady.then(|| (Bytes::from(bytes), stamp)))
}

fn regular(file: &File) -> Result<Metadata, ReadProblem> {
    let meta = file.metadata().map_err(|error| problem(&error))?;
    match irregular(&meta) {
        Some(kind) => Err(ReadProblem::NotRegular(kind)),
        None => Ok(meta),
    }
}
