//! Fragments for commands that only look at them: read once, loaded as `serve` does.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::findings::Texts;
use super::output;
use crate::app::{Fragments, Look};
use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::source::{self, DirState};

/// Reads and loads files and directories of fragments. Errors in them are shown on standard error, and
/// are an error.
pub fn gather(api: &Api, paths: Vec<PathBuf>) -> Result<Vec<Arc<Look>>> {
    let sources = source::read_once(&source::Options::new(paths), &[]);
    for dir in sources.dirs.iter() {
        match &dir.state {
            DirState::Present => {}
            DirState::Missing => return Err(anyhow!("{}: there is no such file or directory", dir.path)),
            DirState::Unreadable(reason) => return Err(anyhow!("{}: {reason}", dir.path)),
        }
    }
    let names: Vec<Arc<str>> = sources.files.keys().cloned().collect();
    let outcome = Fragments::new(api.clone(), true).update(&sources, &names);
    let (errors, _): (Vec<Diagnostic>, _) =
        outcome.diagnostics.into_iter().partition(|finding| finding.severity == Severity::Error);
    if errors.is_empty() {
        return Ok(outcome.looks);
    }
    output::error(&Texts::of(&outcome.looks).human(&errors, false));
    Err(anyhow!("the fragments have errors: mend them first"))
}
