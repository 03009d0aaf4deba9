//! What a fragment draws on besides its own text: variables, other files, the time.
//!
//! All of it is handed in, so that loading stays a function of what it is given; what was drawn is
//! recorded in [`Drawn`], so that its owner knows what to read next and what to load again when
//! something changes. Keeps the invariant that no value is shown by `Debug`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Severities;
use crate::diagnostic::Span;

/// The values that `${NAME}` may take. Cloning is cheap.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables {
    values: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    touched: Touched,
}

/// Which references are touched at all; the others are text like any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Touched {
    #[default]
    None,
    All,
    Only(Arc<BTreeSet<String>>),
}

impl Variables {
    /// These variables; every reference is replaced. Of equal names the last one counts.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(values: impl IntoIterator<Item = (N, V)>) -> Variables {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into()));
        Variables { values: Arc::new(values.collect()), touched: Touched::All }
    }

    /// The same, but only references to these names are replaced; none if there are none.
    #[must_use]
    pub fn only(mut self, names: impl IntoIterator<Item = String>) -> Variables {
        self.touched = Touched::Only(Arc::new(names.into_iter().collect()));
        self
    }

    /// The value of a variable that is set.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.values.get(name)
    }

    /// Whether references to this name are replaced.
    pub fn touches(&self, name: &str) -> bool {
        match &self.touched {
            Touched::None => false,
            Touched::All => true,
            Touched::Only(names) => names.contains(name),
        }
    }

    /// Which references are replaced.
    pub(super) fn touched(&self) -> &Touched {
        &self.touched
    }

    /// Whether references to some name are replaced.
    pub(super) fn touches_any(&self) -> bool {
        match &self.touched {
            Touched::None => false,
            Touched::All => true,
            Touched::Only(names) => !names.is_empty(),
        }
    }

    /// Whether `$${` stands for `${` whatever follows.
    pub(super) fn touches_all(&self) -> bool {
        self.touched == Touched::All
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variables({} values, {:?})", self.values.len(), self.touched)
    }
}

/// The bytes of a file that `!file` names, or in words why there are none.
pub type FileContent = Result<Bytes, String>;

/// Gives the content of a file by its path; `None` if it has not been read yet.
pub type Files<'a> = &'a (dyn Fn(&Path) -> Option<FileContent> + Sync);

/// All that a fragment may draw on.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What `${NAME}` stands for.
    pub variables: &'a Variables,
    /// What `!file PATH` stands for.
    pub files: Files<'a>,
    /// Now, in seconds since 1970: for certificates that have expired or soon will. `None`: not asked.
    pub now: Option<i64>,
    /// How much each rule matters.
    pub severities: &'a Severities,
}

impl fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("variables", self.variables).field("now", &self.now).finish()
    }
}

/// A reference to a variable.
#[derive(Clone, PartialEq, Eq)]
pub struct VariableUse {
    /// The variable's name.
    pub name: Arc<str>,
    /// The whole reference, `${…}`.
    pub span: Span,
    /// What stands for it when it is unset or empty, as it is written.
    pub default: Option<Box<str>>,
    /// Whether it is set. An empty value is one.
    pub is_set: bool,
}

// By hand, because a default may be a secret.
impl fmt::Debug for VariableUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}", self.name, self.span)
    }
}

/// What a fragment drew on.
#[derive(Default)]
pub struct Drawn {
    /// Its references to variables, in the order of the file.
    pub uses: Vec<VariableUse>,
    variables: BTreeMap<Arc<str>, Option<Arc<str>>>,
    files: BTreeMap<PathBuf, Option<FileContent>>,
}

impl Drawn {
    /// The files that it names, as they are to be looked up in [`Inputs::files`].
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The variables that it refers to, with their values.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.variables.iter().map(|(name, value)| (&**name, value.as_deref()))
    }

    /// The content of a file that it names, if there is one.
    pub fn content(&self, path: &Path) -> Option<&Bytes> {
        self.files.get(path)?.as_ref()?.as_ref().ok()
    }

    /// Whether its text was all.
    pub fn is_nothing(&self) -> bool {
        self.variables.is_empty() && self.files.is_empty()
    }

    /// Whether a file that it names had not been read: it is to be loaded again when it has.
    pub fn is_waiting(&self) -> bool {
        self.files.values().any(Option::is_none)
    }

    /// Whether loading again would draw the same.
    pub fn is_current(&self, inputs: &Inputs<'_>) -> bool {
        let variables = self.variables.iter();
        let files = self.files.iter();
        variables.into_iter().all(|(name, value)| inputs.variables.get(name) == value.as_ref())
            && files.into_iter().all(|(path, content)| (inputs.files)(path) == *content)
    }

    /// The same of a text in which the references stand elsewhere.
    pub(super) fn moved(&self, to: impl Fn(Span) -> Span) -> Drawn {
        let uses = self.uses.iter().map(|usage| VariableUse { span: to(usage.span), ..usage.clone() });
        Drawn { uses: uses.collect(), variables: self.variables.clone(), files: self.files.clone() }
    }

    /// These references, each one of this or of `other`.
    pub(super) fn with(&self, other: &Drawn, uses: Vec<VariableUse>) -> Drawn {
        let mut variables = BTreeMap::new();
        for VariableUse { name, .. } in &uses {
            if !variables.contains_key(name) {
                let value = self.variables.get(name).or(other.variables.get(name));
                variables.insert(name.clone(), value.cloned().flatten());
            }
        }
        Drawn { uses, variables, files: self.files.clone() }
    }

    /// What all its references may stand for, in bytes: this or less.
    pub(super) fn most_inserted(&self) -> usize {
        let of = |usage: &VariableUse| {
            let value = self.variables.get(&usage.name).and_then(|value| value.as_ref());
            value.map_or(0, |value| value.len()) + usage.default.as_ref().map_or(0, |text| text.len())
        };
        self.uses.iter().map(of).sum()
    }

    pub(super) fn note_variable(&mut self, usage: VariableUse, value: Option<&Arc<str>>) {
        self.variables.entry(usage.name.clone()).or_insert_with(|| value.cloned());
        self.uses.push(usage);
    }

    /// The content of a file, looked up once.
    pub(super) fn file(&mut self, path: PathBuf, files: Files<'_>) -> Option<FileContent> {
        self.files.entry(path).or_insert_with_key(|path| files(path)).clone()
    }
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files().collect();
        f.debug_struct("Drawn").field("uses", &self.uses).field("files", &files).finish_non_exhaustive()
    }
}
