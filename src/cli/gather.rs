//! Fragments for commands that only look at them: read once, loaded as `serve` does.

use std::collections::BTreeMap;
use std::fs::File as OpenFile;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use super::findings::Texts;
use super::output;
use super::settings::Settings;
use crate::app::{Fragments, Look, Outcome, Policy, VariableSources};
use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::source::{self, DirState, MAX_FILE_BYTES, SourceFile, Sources};

/// Where fragments are: files and directories, and what was read from pipes.
pub struct Paths {
    /// How files are read.
    pub options: source::Options,
    piped: Vec<SourceFile>,
}

impl Paths {
    /// Reads what comes through pipes: `-`, and what the shell names so.
    pub fn new(paths: Vec<PathBuf>) -> Result<Paths> {
        let (pipes, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| is_pipe(path));
        // What a directory among them holds is loaded with it, and not once more.
        let dirs: Vec<PathBuf> = files.iter().filter(|path| path.is_dir()).cloned().collect();
        let is_held = |path: &PathBuf| dirs.iter().any(|dir| source::comes_by(dir, path));
        let files = files.into_iter().filter(|path| !is_held(path));
        let piped = pipes.iter().map(|path| read_pipe(path)).collect::<Result<_>>()?;
        Ok(Paths { options: source::Options::new(files), piped })
    }

    /// Whether something came through a pipe, and so cannot change.
    pub fn has_pipes(&self) -> bool {
        !self.piped.is_empty()
    }

    /// Whether these are whole directories, so that what they name must be there.
    pub fn are_whole(&self) -> bool {
        self.piped.is_empty() && self.options.dirs.iter().all(|path| path.is_dir())
    }

    /// Loads all of it. It is an error if a path is not there.
    pub fn load(&self, api: &Api, policy: Policy, variables: VariableSources) -> Result<Outcome> {
        let sources = self.read(&variables.env_files);
        missing(&sources)?;
        let mut fragments = Fragments::new(api.clone(), policy, BTreeMap::new()).with_variables(variables);
        let names = |sources: &Sources| sources.files.keys().cloned().collect::<Vec<Arc<str>>>();
        Ok(if fragments.stage(&sources, &names(&sources)) {
            fragments.update(&sources, &[])
        } else {
            // Only now it is known which files the fragments name.
            let wanted: Vec<PathBuf> = fragments.wanted().into_iter().collect();
            let sources = self.read(&wanted);
            fragments.update(&sources, &names(&sources))
        })
    }

    fn read(&self, extra: &[PathBuf]) -> Sources {
        let mut sources = source::read_once(&self.options, extra);
        let piped = self.piped.iter().map(|file| (file.path.clone(), file.clone()));
        sources.files.extend(piped);
        sources
    }
}

/// An error if a path that was given is not there.
pub fn missing(sources: &Sources) -> Result<()> {
    for dir in sources.dirs.iter() {
        match &dir.state {
            DirState::Present => {}
            DirState::Missing => return Err(anyhow!("{}: there is no such file or directory", dir.path)),
            DirState::Unreadable(reason) => return Err(anyhow!("{}: {reason}", dir.path)),
        }
    }
    Ok(())
}

/// Whether the shell means a pipe: `-`, `/dev/stdin`, or the `/dev/fd/63` of `<(…)`.
fn is_pipe(path: &Path) -> bool {
    let within = ["/dev/fd", "/proc/self/fd"].iter().any(|dir| path.starts_with(dir));
    within || path == Path::new("-") || path == Path::new("/dev/stdin")
}

fn read_pipe(path: &Path) -> Result<SourceFile> {
    let named = path.to_string_lossy();
    let mut text = Vec::new();
    let read = match &*named {
        "-" => io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut text),
        _ => OpenFile::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)),
    };
    let read = read.with_context(|| format!("cannot read {named}"))?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(anyhow!("{named} holds more than the {MAX_FILE_BYTES} bytes that are read"));
    }
    let path = if named == "-" { "/dev/stdin".into() } else { named.into() };
    Ok(SourceFile { path, content: Ok(text.into()) })
}

/// The code of a finding about a name that nothing given has.
const UNRESOLVED: &str = "unresolved-reference";

/// Reads and loads files and directories of fragments. Errors in them are shown on standard error, and
/// are an error; names that nothing has are shown, too.
pub fn gather(api: &Api, settings: &Settings, paths: Vec<PathBuf>) -> Result<Vec<Arc<Look>>> {
    let variables = settings.variables();
    // What one of them names may be in the bootstrap, or in a file that was not given.
    let policy = Policy {
        allow_empty: true,
        unresolved: Severity::Warning,
        external_clusters: settings.external_clusters().into(),
        ..Policy::default()
    };
    let outcome = Paths::new(paths)?.load(api, policy, variables)?;
    let mut findings: Vec<Diagnostic> = outcome.diagnostics;
    findings.retain(|finding| finding.is_error() || finding.code == UNRESOLVED);
    if !findings.is_empty() {
        output::error(&Texts::of(&outcome.looks).human(&findings, false));
    }
    if findings.iter().any(Diagnostic::is_error) {
        return Err(anyhow!("the fragments have errors: mend them first"));
    }
    Ok(outcome.looks)
}
