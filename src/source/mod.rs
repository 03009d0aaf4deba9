//! The disk: all fragments as one consistent value, and the hint "look again".
//!
//! Owns every read of the configuration directories and of the files that fragments name. In go
//! directories (several overlay each other, as systemd's `.d` folders do), out come [`Sources`]:
//! an immutable value, cheap to clone. [`read_once`] takes one look; [`Watch`] keeps looking.
//!
//! Invariants: nothing half-written is given out; content decides, never an event: two values with
//! equal bytes are one value; only regular files are ever opened, and a file that cannot be read
//! is an entry with its [`ReadProblem`], never a gap.
//!
//! Knows nothing of what is inside a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

mod disk;
mod judge;
mod known;
mod notice;
mod scan;
mod settle;
mod text;
mod watch;

pub use text::Text;
pub use watch::{Change, Handle, Next, SourceError, Watch, Work};

/// How long an untrusted change must be quiet. Editors and `cp` pause for less than a tenth of a
/// second between their writes, and a person does not notice the third of a second.
pub const SETTLE: Duration = Duration::from_millis(300);

/// How long further changes may put off the ones that have settled. A `git checkout` of ten
/// thousand files takes less; a program that never stops writing must not silence all others.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(3);

/// How often everything is looked at although nothing was noticed: network file systems and mounts
/// bring no events. A look at ten thousand files is some tens of milliseconds.
pub const RESCAN: Duration = Duration::from_secs(30);

/// The largest file that is read. Far above any configuration (100 000 clusters are 90 MB), and low
/// enough that a disk image that was dropped into the directory does not take the memory.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// What to read, and with how much patience.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directories, later ones over earlier ones. A path to a single file is read as that file,
    /// whatever its name.
    pub dirs: Vec<PathBuf>,
    /// How long an untrusted change must be quiet before it is read.
    pub settle: Duration,
    /// How long changes elsewhere may put that off. A file that is itself being written all the
    /// time is read after twice this.
    pub settle_limit: Duration,
    /// The time between two complete looks that nothing has asked for.
    pub rescan: Duration,
    /// Look this often instead of being told by the kernel.
    pub poll: Option<Duration>,
    /// The largest file that is read.
    pub max_file_bytes: u64,
}

impl Options {
    /// These directories, with the defaults of this module.
    pub fn new(dirs: impl IntoIterator<Item = impl Into<PathBuf>>) -> Options {
        Options {
            dirs: dirs.into_iter().map(Into::into).collect(),
            settle: SETTLE,
            settle_limit: SETTLE_LIMIT,
            rescan: RESCAN,
            poll: None,
            max_file_bytes: MAX_FILE_BYTES,
        }
    }
}

/// The bytes of a file, or why there are none.
pub type Content = Result<Text, ReadProblem>;

/// All that is configured, at one moment. Clones share everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// The fragments by their relative name, with `/`. A file that was named itself, not found in
    /// a directory, has its path as given for a name.
    pub files: OrdMap<Arc<str>, SourceFile>,
    /// The directories as they were given, in that order.
    pub dirs: Arc<[Directory]>,
    /// The further files that were asked for, by absolute path. One that is missing here has been
    /// asked for, but has not settled yet.
    pub extra: OrdMap<Arc<Path>, Content>,
}

/// One fragment.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceFile {
    /// The path as people name it: the directory as it was given, and the relative name.
    pub path: Arc<str>,
    /// Its bytes.
    pub content: Content,
}

/// A directory of fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// As it was given.
    pub path: Arc<str>,
    /// Whether it could be read.
    pub state: DirState,
}

/// Whether a directory could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirState {
    /// It was read.
    Present,
    /// There is none.
    Missing,
    /// It could not be read, for this reason. Its files stay as they were.
    Unreadable(Arc<str>),
}

/// Why a file has no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadProblem {
    /// There is no file behind the name: a symbolic link that leads nowhere, or an extra file.
    NotFound,
    /// The operating system refuses.
    PermissionDenied,
    /// Something else than a file; it is never opened.
    NotRegular(FileKind),
    /// More bytes than are read.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// A symbolic link that leads back to itself.
    SymlinkLoop,
    /// A symbolic link to a directory that contains it: all behind it is read without it.
    Circle,
    /// Directories in directories, more than [`scan::MAX_DEPTH`].
    TooDeep,
    /// A name that is not UTF-8.
    NameNotUtf8,
    /// It was written each time that it was read.
    Changing,
    /// The operating system's own words.
    Io(Arc<str>),
}

/// What stands where a file should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
    /// A block or character device.
    Device,
}

impl fmt::Display for ReadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file (does a symbolic link lead nowhere?)"),
            Self::PermissionDenied => {
                f.write_str("permission denied: let the user that runs xds-bridge read it")
            }
            Self::NotRegular(kind) => write!(f, "this is {kind}, not a file, and is never opened"),
            Self::TooLarge { size, limit } => {
                write!(f, "{size} bytes are more than the {limit} that are read; split it, or move it away")
            }
            Self::SymlinkLoop => f.write_str("the symbolic link leads in a circle; remove it"),
            Self::Circle => f.write_str("the symbolic link leads to a directory that it is in; remove it"),
            Self::TooDeep => {
                write!(f, "more than {} directories within each other; flatten them", scan::MAX_DEPTH)
            }
            Self::NameNotUtf8 => f.write_str("the name is not UTF-8; rename it"),
            Self::Changing => {
                f.write_str("it is being written all the time; write it elsewhere and rename it")
            }
            Self::Io(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

/// One look at everything: no watching, no settling. For `check`, and to compare with.
///
/// `extra` are further files, as [`Watch::also`] takes them.
pub fn read_once(options: &Options, extra: &[PathBuf]) -> Sources {
    known::read_once(options, extra)
}

/// Whether a look at a directory comes by this path, of a file or a directory, as well.
pub fn comes_by(dir: &Path, path: &Path) -> bool {
    scan::comes_by(&known::absolute(dir), &known::absolute(path))
}
