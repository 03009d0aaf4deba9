//! One look at one file: its text and what is in it.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use bytes::Bytes;

use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::load::{self, Loaded};
use crate::source::SourceFile;

/// The name of a fragment within its configuration directory.
pub type FileName = Arc<str>;

/// One look at a file.
#[derive(Debug)]
pub struct Look {
    /// The name within the configuration directory.
    pub name: FileName,
    /// The path as people name it.
    pub path: Arc<str>,
    /// Its bytes; empty when it could not be read.
    pub text: Bytes,
    /// What is in it.
    pub loaded: Loaded,
}

impl Look {
    /// Whether the file cannot be served as it is.
    pub fn has_errors(&self) -> bool {
        !self.loaded.is_sound()
    }

    /// The text, as far as it is one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.text).ok()
    }
}

/// Loads files on all cores, in the given order.
pub fn load_all(api: &Api, files: &[(&FileName, &SourceFile)]) -> Vec<Arc<Look>> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = cores.min(files.len());
    if workers <= 1 {
        return files.iter().map(|(name, file)| look_at(api, name, file)).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; files.len()]);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, file)) = files.get(at) else { return };
            let look = look_at(api, name, file);
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[at] = Some(look);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.into_iter().flatten().collect()
}

fn look_at(api: &Api, name: &FileName, file: &SourceFile) -> Arc<Look> {
    let (name, path) = (name.clone(), file.path.clone());
    Arc::new(match &file.content {
        Ok(text) => Look { name, loaded: load::load_file(api, &path, text), path, text: text.clone() },
        Err(problem) => {
            let finding =
                Diagnostic::new(Severity::Error, "unreadable-file", path.clone(), problem.to_string());
            let loaded = Loaded { items: Vec::new(), diagnostics: vec![finding] };
            Look { name, path, text: Bytes::new(), loaded }
        }
    })
}
