//! One look at one file: its text and what is in it, now or before the daemon was started.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use bytes::Bytes;

use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::load::{self, Drawn, Inputs, Loaded};
use crate::resource::Digest;
use crate::source::{ReadProblem, SourceFile, Text};

/// The name of a fragment within its configuration directory.
pub type FileName = Arc<str>;

/// One look at a file.
#[derive(Debug)]
pub struct Look {
    /// The name within the configuration directory.
    pub name: FileName,
    /// The path as people name it.
    pub path: Arc<str>,
    /// Its bytes; none when it could not be read.
    pub text: Text,
    /// What is in it.
    pub loaded: Loaded,
}

impl Look {
    /// Whether the file cannot be served as it is.
    pub fn has_errors(&self) -> bool {
        !self.loaded.is_sound()
    }

    /// The text, as far as it is one: up to what is not UTF-8. `None` if it could not be read.
    pub fn text(&self) -> Option<String> {
        if self.text.is_empty() && self.has_errors() {
            return None;
        }
        let text = String::from_utf8(self.text.bytes().into());
        Some(text.unwrap_or_else(|error| {
            let end = error.utf8_error().valid_up_to();
            String::from_utf8_lossy(&error.as_bytes()[..end]).into_owned()
        }))
    }
}

/// The last good content of a fragment, from before the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The path as people named it.
    pub path: Arc<str>,
    /// Its bytes.
    pub text: Bytes,
    /// What it drew on besides them.
    pub drew: Drew,
}

/// Where the last good content of a fragment is. It is asked for when its file is broken or another now, so
/// mostly never.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Here.
    Here(Saved),
    /// In this file of the state directory, which was found to be whole, with the digest of its content.
    There(PathBuf, Digest),
    /// The same of a content after which others were served that could not be saved.
    Outdated(PathBuf),
}

/// The variables and files that a fragment drew on. Values are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Drew {
    /// Those that were set.
    pub variables: BTreeMap<String, String>,
    /// Those that could be read, by their path as the fragment's directory and its text make it.
    pub files: BTreeMap<PathBuf, Bytes>,
}

impl Drew {
    /// What a look drew on.
    pub fn of(drawn: &Drawn) -> Drew {
        let variables = drawn.variables().filter_map(|(name, value)| Some((name.into(), value?.into())));
        let content = |path: &Path| Some((path.to_owned(), drawn.content(path)?.clone()));
        Drew { variables: variables.collect(), files: drawn.files().filter_map(content).collect() }
    }
}

impl fmt::Debug for Drew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Drew({} variables, {} files)", self.variables.len(), self.files.len())
    }
}

/// Loads files on all cores, in the given order.
pub fn load_all(api: &Api, inputs: &Inputs<'_>, files: &[(&FileName, &SourceFile)]) -> Vec<Arc<Look>> {
    load_changed(api, inputs, files, |_| None)
}

/// The same where there may be an earlier look at a file, by the same API and severities: of it all is taken
/// over that certainly did not change.
pub fn load_changed<'l>(
    api: &Api,
    inputs: &Inputs<'_>,
    files: &[(&FileName, &SourceFile)],
    before: impl Fn(&FileName) -> Option<&'l Arc<Look>> + Sync,
) -> Vec<Arc<Look>> {
    on_all_cores(files, |(name, file)| look_at(api, inputs, name, file, before(name)))
}

/// Does the same with each of these, and gives what comes of it in their order.
pub(super) fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    // To ask for the cores takes half as long as to read a file, and nearly always it is one.
    let workers = if items.len() > 1 { cores().min(items.len()) } else { 1 };
    if workers <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = work(item);
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[at] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(worker);
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.into_iter().flatten().collect()
}

fn look_at(
    api: &Api,
    inputs: &Inputs<'_>,
    name: &FileName,
    file: &SourceFile,
    before: Option<&Arc<Look>>,
) -> Arc<Look> {
    let (name, path) = (name.clone(), file.path.clone());
    Arc::new(match &file.content {
        Ok(text) => {
            let bytes = text.bytes();
            let loaded = match before.filter(|look| look.path == path) {
                Some(look) => {
                    load::load_changed(api, &path, &bytes, inputs, (&look.text.bytes(), &look.loaded))
                }
                None => load::load_filled(api, &path, &bytes, inputs),
            };
            Look { name, loaded, path, text: text.clone() }
        }
        Err(problem) => {
            let finding =
                Diagnostic::new(Severity::Error, "unreadable-file", path.clone(), problem.to_string());
            let finding = match problem {
                ReadProblem::NotRegular(_) => {
                    finding.with_hint("move it away, or give it a name that is no fragment's")
                }
                _ => finding,
            };
            let loaded = Loaded { diagnostics: vec![finding], ..Loaded::default() };
            Look { name, path, text: Text::default(), loaded }
        }
    })
}
