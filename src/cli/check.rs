//! `check`: the very load that `serve` does, with every finding shown.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::args::{Check, Deny, FindingsFormat};
use super::findings::{Texts, count};
use super::settings::Given;
use super::{Exit, logging, output, variables};
use crate::app::{Fragments, Look, Policy};
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::Item;
use crate::resource::Kind;
use crate::source::{self, DirState, Sources};

pub fn run(given: &Given, command: &Check) -> Result<Exit> {
    let settings = given.settings()?;
    logging::start(&settings, "warn")?;
    let options = source::Options::new(settings.dirs(&command.paths));
    let variables = settings.variables();
    let sources = source::read_once(&options, &variables.env_files);
    for dir in sources.dirs.iter() {
        match &dir.state {
            DirState::Present => {}
            DirState::Missing => return Err(anyhow!("{}: there is no such file or directory", dir.path)),
            DirState::Unreadable(reason) => return Err(anyhow!("{}: {reason}", dir.path)),
        }
    }
    // Of single files, what they name may be in others; of directories, it must be there.
    let whole = options.dirs.iter().all(|path| path.is_dir());
    let policy = Policy {
        allow_empty: true,
        unresolved: if whole { Severity::Error } else { Severity::Warning },
        external_clusters: settings.external_clusters(),
        severities: settings.severities(),
        ..Policy::default()
    };
    let api = settings.api()?;
    let mut fragments = Fragments::new(api, policy, BTreeMap::new()).with_variables(variables);
    let names = |sources: &Sources| sources.files.keys().cloned().collect::<Vec<Arc<str>>>();
    let outcome = if fragments.stage(&sources, &names(&sources)) {
        fragments.update(&sources, &[])
    } else {
        // Only now it is known which files the fragments name.
        let wanted: Vec<PathBuf> = fragments.wanted().into_iter().collect();
        let sources = source::read_once(&options, &wanted);
        fragments.update(&sources, &names(&sources))
    };
    if command.list_variables {
        output::print(&variables::list(&outcome.looks, command.format));
    } else {
        show(command.format, &outcome.looks, &outcome.diagnostics);
        if matches!(command.format, FindingsFormat::Human) {
            tell_of_secrets(&outcome.looks, &settings.without_secrets());
        }
    }
    let worst = outcome.diagnostics.iter().map(|finding| finding.severity).max();
    let failing = if command.deny == Some(Deny::Warnings) { Severity::Warning } else { Severity::Error };
    Ok(if worst >= Some(failing) { Exit::Findings } else { Exit::Done })
}

/// Secrets are fine as such, and yet some Envoys may not get them.
fn tell_of_secrets(looks: &[Arc<Look>], plain: &[String]) {
    let is_secret = |item: &&Item| item.resource.kind() == Kind::Secret;
    let secrets = looks.iter().flat_map(|look| &look.loaded.items).filter(is_secret).count();
    if secrets > 0 && !plain.is_empty() {
        output::print(&format!(
            "the secrets among them ({secrets}) go over unix sockets and TLS, and not over plain TCP ({}) unless \
             --insecure is given\n",
            plain.join(", ")
        ));
    }
}

fn show(format: FindingsFormat, looks: &[Arc<Look>], findings: &[Diagnostic]) {
    let texts = Texts::of(looks);
    match format {
        FindingsFormat::Json => output::print(&format!("{:#}\n", texts.json(findings))),
        FindingsFormat::Sarif => output::print(&format!("{:#}\n", texts.sarif(findings))),
        FindingsFormat::Human => {
            let mut text = texts.human(findings, output::colour(std::io::stdout().is_terminal()));
            if !text.is_empty() {
                text.push('\n');
            }
            let resources: usize = looks.iter().map(|look| look.loaded.items.len()).sum();
            let (files, plural) = (looks.len(), |n| if n == 1 { "" } else { "s" });
            if files == 0 {
                text.push_str("there is no fragment: fragments are files that end in .yaml, .yml or .json\n");
            }
            text.push_str(&format!(
                "{files} file{}, {resources} resource{}: {}\n",
                plural(files),
                plural(resources),
                count(findings)
            ));
            output::print(&text);
        }
    }
}
