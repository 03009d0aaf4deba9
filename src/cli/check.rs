//! `check`: the very load that `serve` does, with every finding shown.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::args::{Check, Common, Deny, FindingsFormat};
use super::findings::{Texts, count};
use super::settings::File;
use super::{Exit, logging, output};
use crate::app::{Fragments, Look};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{self, DirState};

pub fn run(common: &Common, command: &Check) -> Result<Exit> {
    let file = File::read(common)?;
    logging::start(common, &file, "warn")?;
    let options = source::Options::new(file.dirs(&command.paths));
    let sources = source::read_once(&options, &[]);
    for dir in sources.dirs.iter() {
        match &dir.state {
            DirState::Present => {}
            DirState::Missing => return Err(anyhow!("{}: there is no such file or directory", dir.path)),
            DirState::Unreadable(reason) => return Err(anyhow!("{}: {reason}", dir.path)),
        }
    }
    let mut fragments = Fragments::new(file.api(&command.descriptors)?, true);
    let names: Vec<Arc<str>> = sources.files.keys().cloned().collect();
    let outcome = fragments.update(&sources, &names);
    show(command.format, &outcome.looks, &outcome.diagnostics);
    let worst = outcome.diagnostics.iter().map(|finding| finding.severity).max();
    let failing = if command.deny == Some(Deny::Warnings) { Severity::Warning } else { Severity::Error };
    Ok(if worst >= Some(failing) { Exit::Findings } else { Exit::Done })
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
