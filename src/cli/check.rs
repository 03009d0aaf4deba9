//! `check`: the very load that `serve` does, with every finding shown; then, if wished, an Envoy's word,
//! and all of it again at every change.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::args::{Check, Deny, FindingsFormat};
use super::envoy::{self, Envoy};
use super::findings::{Texts, count};
use super::gather::{self, Paths};
use super::settings::Given;
use super::{Exit, logging, output, variables};
use crate::app::{self, Look, Outcome, Policy};
use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::load::Item;
use crate::resource::Kind;
use crate::source::Sources;

/// How long one run of an Envoy may take: it starts within a second, and reads 10 000 clusters in a few.
const ENVOY_TIMEOUT: Duration = Duration::from_secs(30);

/// Clears a terminal, and what was scrolled out of it.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

pub fn run(given: &Given, command: &Check) -> Result<Exit> {
    let settings = given.settings()?;
    logging::start(&settings, "warn")?;
    let paths = Paths::new(settings.dirs(&command.paths))?;
    let variables = settings.variables();
    let policy = Policy {
        allow_empty: true,
        // Of single files, what they name may be in others; of directories, it must be there.
        unresolved: if paths.are_whole() { Severity::Error } else { Severity::Warning },
        external_clusters: settings.external_clusters().into(),
        severities: settings.severities(),
        ..Policy::default()
    };
    let limit = command.envoy_timeout.unwrap_or(ENVOY_TIMEOUT);
    let find = |program: &Path| Envoy::find(program, limit);
    let api = settings.api()?;
    let envoy = command.envoy.as_deref().map(find).transpose()?;
    let checking = Checking { command, api, envoy, plain: settings.without_secrets() };
    if !command.watch {
        return checking.show(&paths.load(&checking.api, policy, variables)?);
    }
    if paths.has_pipes() {
        return Err(anyhow!("--watch needs files or directories: what comes through a pipe cannot change"));
    }
    checking.watch(&paths, &policy, &variables)
}

struct Checking<'a> {
    command: &'a Check,
    api: Api,
    envoy: Option<Envoy>,
    /// Where Envoys connect without getting secrets.
    plain: Vec<String>,
}

impl Checking<'_> {
    /// Checks again at every change, until a signal ends it; then the last result counts.
    fn watch(&self, paths: &Paths, policy: &Policy, variables: &app::VariableSources) -> Result<Exit> {
        let redraws = std::io::stdout().is_terminal() && matches!(self.command.format, FindingsFormat::Human);
        let mut last: Option<Result<Exit>> = None;
        app::follow(&self.api, &paths.options, policy, variables, &mut |sources: &Sources, outcome| {
            if redraws {
                output::print(CLEAR);
            }
            let result = gather::missing(sources).and_then(|()| self.show(outcome));
            if let Err(error) = &result {
                output::error(&format!("xds-bridge: {error:#}\n"));
            }
            if matches!(self.command.format, FindingsFormat::Human) {
                let clock = chrono::Local::now().format("%H:%M:%S");
                output::print(&format!("checked at {clock}; the next change is checked, too\n\n"));
            }
            last = Some(result);
        })?;
        last.unwrap_or(Ok(Exit::Done))
    }

    /// Shows what was found, and says how it ended.
    fn show(&self, outcome: &Outcome) -> Result<Exit> {
        let Check { format, list_variables, deny, .. } = *self.command;
        let mut findings = outcome.diagnostics.clone();
        if list_variables {
            output::document(&variables::list(&outcome.looks, format))?;
        } else {
            if let Some(envoy) = &self.envoy
                && !findings.iter().any(Diagnostic::is_error)
            {
                findings.extend(envoy::ask(&self.api, envoy, &outcome.looks)?);
                findings.sort();
            }
            show(format, &outcome.looks, &findings, self.envoy.as_ref())?;
            if matches!(format, FindingsFormat::Human) {
                tell_of_secrets(&outcome.looks, &self.plain)?;
            }
        }
        let worst = findings.iter().map(|finding| finding.severity).max();
        let failing = if deny == Some(Deny::Warnings) { Severity::Warning } else { Severity::Error };
        Ok(if worst >= Some(failing) { Exit::Findings } else { Exit::Done })
    }
}

/// Secrets are fine as such, and yet some Envoys may not get them.
fn tell_of_secrets(looks: &[Arc<Look>], plain: &[String]) -> Result<()> {
    let is_secret = |item: &&Item| item.resource.kind() == Kind::Secret;
    let secrets = looks.iter().flat_map(|look| look.loaded.items.iter()).filter(is_secret).count();
    if secrets > 0 && !plain.is_empty() {
        output::document(&format!(
            "the secrets among them ({secrets}) go over unix sockets and TLS; over plain TCP ({}) only to Envoys of the \
             bridge's own user and of root, unless --insecure is given\n",
            plain.join(", ")
        ))?;
    }
    Ok(())
}

fn show(
    format: FindingsFormat,
    looks: &[Arc<Look>],
    findings: &[Diagnostic],
    envoy: Option<&Envoy>,
) -> Result<()> {
    let texts = Texts::of(looks);
    match format {
        FindingsFormat::Json => output::document(&format!("{:#}\n", texts.json(findings))),
        FindingsFormat::Sarif => output::document(&format!("{:#}\n", texts.sarif(findings))),
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
            let asked = match envoy {
                None => String::new(),
                Some(_) if findings.iter().any(|f| f.is_error() && f.code != "envoy-refused") => {
                    "; Envoy was not asked: mend the errors first".to_owned()
                }
                Some(envoy) => format!("; Envoy {} was asked, too", envoy.version),
            };
            text.push_str(&format!(
                "{files} file{}, {resources} resource{}: {}{asked}\n",
                plural(files),
                plural(resources),
                count(findings)
            ));
            output::document(&text)
        }
    }
}
