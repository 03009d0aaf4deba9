//! Fragments for commands that only look at them: read once, loaded as `serve` does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::findings::Texts;
use super::output;
use super::settings::Settings;
use crate::app::{Fragments, Look, Policy};
use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::source::{self, DirState, Sources};

/// Reads and loads files and directories of fragments. Errors in them are shown on standard error, and
/// are an error.
pub fn gather(api: &Api, settings: &Settings, paths: Vec<PathBuf>) -> Result<Vec<Arc<Look>>> {
    let options = source::Options::new(paths);
    let variables = settings.variables();
    let sources = source::read_once(&options, &variables.env_files);
    for dir in sources.dirs.iter() {
        match &dir.state {
            DirState::Present => {}
            DirState::Missing => return Err(anyhow!("{}: there is no such file or directory", dir.path)),
            DirState::Unreadable(reason) => return Err(anyhow!("{}: {reason}", dir.path)),
        }
    }
    // What one of them names may be in the bootstrap, or in a file that was not given.
    let policy = Policy { allow_empty: true, unresolved: Severity::Warning, ..Policy::default() };
    let mut fragments = Fragments::new(api.clone(), policy, BTreeMap::new()).with_variables(variables);
    let names = |sources: &Sources| sources.files.keys().cloned().collect::<Vec<Arc<str>>>();
    let outcome = if fragments.stage(&sources, &names(&sources)) {
        fragments.update(&sources, &[])
    } else {
        let wanted: Vec<PathBuf> = fragments.wanted().into_iter().collect();
        let sources = source::read_once(&options, &wanted);
        fragments.update(&sources, &names(&sources))
    };
    let mut errors: Vec<Diagnostic> = outcome.diagnostics;
    errors.retain(Diagnostic::is_error);
    if errors.is_empty() {
        return Ok(outcome.looks);
    }
    output::error(&Texts::of(&outcome.looks).human(&errors, false));
    Err(anyhow!("the fragments have errors: mend them first"))
}
