//! `import`: old configurations become fragments and a small bootstrap.
//!
//! Comes in: files, directories, an Envoy's admin interface. Goes out: new files, and the report.
//! Keeps the invariants that nothing is overwritten and that a failed import leaves nothing behind.

mod check;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};

use super::args::{Import, ReportFormat, SplitBy};
use super::bootstrap::{endpoint, tls};
use super::findings::{Texts, count};
use super::settings::{Given, host_name};
use super::{Exit, fetch, output};
use crate::diagnostic::Diagnostic;
use crate::envoy_api::Api;
use crate::migrate::{self, Connection, Imported, Outcome, Remark, Source, Split};

/// Endings of the files that are read from a directory.
const ENDINGS: [&str; 4] = ["yaml", "yml", "json", "conf"];

/// Largest source; more than this is no configuration.
const MAX_SOURCE: u64 = 1 << 30;

pub fn run(given: &Given, command: &Import) -> Result<Exit> {
    let settings = given.settings()?;
    let api = settings.api()?;
    let read = read(&command.sources)?;
    if command.upgrade_only {
        return upgrade_only(&api, &read.sources);
    }
    let bridge = match &command.xds {
        Some(endpoint) => endpoint.clone(),
        None => endpoint(&settings.first_listen(command.tls.ca.is_some())?),
    };
    let options = migrate::Options {
        split: match command.split {
            SplitBy::Concern => Split::Concern,
            SplitBy::Kind => Split::Kind,
            SplitBy::Resource => Split::Resource,
            SplitBy::None => Split::None,
        },
        dynamic: command.dynamic,
        connection: Connection { tls: tls(&command.tls), ..Connection::to(bridge) },
        node_id: command.node_id.clone().or_else(host_name).unwrap_or_else(|| "envoy".to_owned()),
        node_cluster: command.node_cluster.clone(),
    };
    let imported = migrate::import(&api, &read.sources, &options)?;
    let out = command.out.as_deref().context("--out DIR is missing")?;
    let files = plan(out, command.bootstrap.as_deref(), &imported)?;
    if !command.dry_run {
        write(out, &files, read.mode)?;
    }
    let checked = check::load(&api, out, &imported);
    let found = check::findings(&checked, &imported);
    let texts = checked.iter().map(|(name, text, loaded)| (&**name, &**text, &loaded.sensitive[..]));
    show(command, &files, &imported.remarks, &Texts::given(texts), &found)?;
    Ok(if found.iter().any(Diagnostic::is_error) { Exit::Findings } else { Exit::Done })
}

fn upgrade_only(api: &Api, sources: &[Source]) -> Result<Exit> {
    let [source] = sources else { bail!("--upgrade-only takes one file") };
    let (text, remarks) = migrate::upgrade(api, source)?;
    let name: Arc<str> = format!("{}, upgraded", source.name).into();
    let found = check::upgraded(api, &name, &text);
    output::document(&text)?;
    output::error(&lines(&remarks));
    if found.is_empty() {
        return Ok(Exit::Done);
    }
    output::error(&format!("Envoy will refuse what was printed: {}\n", count(&found)));
    // Without the lines themselves: secrets may stand in them.
    let texts = Texts::given([(&*name, &*text, &[][..])]);
    texts.lines(&found).iter().for_each(|(_, line)| output::error(&format!("{line}\n")));
    Ok(Exit::Findings)
}

/// What was read, and who may read what comes of it.
struct Read {
    sources: Vec<Source>,
    mode: u32,
}

fn read(names: &[String]) -> Result<Read> {
    let mut read = Read { sources: Vec::new(), mode: 0o666 };
    for name in names {
        if name.contains("://") {
            read.sources.push(Source { name: Arc::from(&**name), text: fetch::config_dump(name)? });
            continue;
        }
        let path = Path::new(name);
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
        if !metadata.is_dir() {
            read.file(path)?;
            continue;
        }
        let mut inside: Vec<PathBuf> = fs::read_dir(path)
            .with_context(|| format!("cannot list {name}"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .with_context(|| format!("cannot list {name}"))?;
        inside.retain(|path| {
            path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
                && path.is_file()
        });
        inside.sort();
        if inside.is_empty() {
            bail!("{name}: no file in this directory ends in .yaml, .yml, .json or .conf");
        }
        for path in inside {
            read.file(&path)?;
        }
    }
    Ok(read)
}

impl Read {
    fn file(&mut self, path: &Path) -> Result<()> {
        let name = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
        if !metadata.is_file() || metadata.len() > MAX_SOURCE {
            bail!("{name}: this is no file, or none of a sensible size");
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            anyhow!(
                "{name}: not UTF-8 text from byte {} on: save it as UTF-8",
                error.utf8_error().valid_up_to()
            )
        })?;
        // Keys may stand in it: who could not read them before cannot read them behind.
        self.mode &= metadata.permissions().mode();
        self.sources.push(Source { name: Arc::from(name.to_string()), text });
        Ok(())
    }
}

/// The files to write; an error if one of them is there already.
fn plan(out: &Path, bootstrap: Option<&Path>, imported: &Imported) -> Result<Vec<(PathBuf, String)>> {
    let fragments = imported.fragments.iter().map(|file| (out.join(&file.name), file.text.clone()));
    let mut files: Vec<(PathBuf, String)> = fragments.collect();
    if let Some(text) = &imported.bootstrap {
        let path = match bootstrap {
            Some(path) => path.to_owned(),
            None => out.parent().unwrap_or(Path::new("")).join("envoy-bootstrap.yaml"),
        };
        if path.parent() == Some(out) {
            bail!("{}: a bootstrap among the fragments would be served: put it elsewhere", path.display());
        }
        files.push((path, text.clone()));
    }
    let there: Vec<String> = files
        .iter()
        .filter(|(path, _)| path.symlink_metadata().is_ok())
        .map(|(path, _)| path.display().to_string())
        .collect();
    if !there.is_empty() {
        bail!("nothing was written, because this is there already: {}", there.join(", "));
    }
    if out.exists() && !out.is_dir() {
        bail!("{}: this is no directory", out.display());
    }
    Ok(files)
}

/// Writes all files or none.
fn write(out: &Path, files: &[(PathBuf, String)], mode: u32) -> Result<()> {
    // From the inside out; the empty path is where we are.
    let new: Vec<&Path> =
        out.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    let leave_no_dir = || new.iter().for_each(|dir| drop(fs::remove_dir(dir)));
    fs::create_dir_all(out)
        .inspect_err(|_| leave_no_dir())
        .with_context(|| format!("cannot create {}", out.display()))?;
    let mut written: Vec<PathBuf> = Vec::new();
    let result = files.iter().try_for_each(|(path, text)| {
        let temporary = hidden(path);
        written.push(temporary.clone());
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let result = result.and_then(|()| {
        files.iter().try_for_each(|(path, _)| {
            // A link, unlike a rename, fails where something is.
            fs::hard_link(hidden(path), path)?;
            written.push(path.clone());
            Ok(())
        })
    });
    let temporary = files.iter().map(|(path, _)| hidden(path));
    let remove: Vec<PathBuf> = if result.is_ok() { temporary.collect() } else { written };
    for path in remove {
        let _ = fs::remove_file(path);
    }
    if result.is_err() {
        leave_no_dir();
    }
    result.context("cannot write; nothing was left behind")
}

/// A name beside a file that the daemon ignores.
fn hidden(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

fn show(
    command: &Import,
    files: &[(PathBuf, String)],
    remarks: &[Remark],
    texts: &Texts<'_>,
    found: &[Diagnostic],
) -> Result<()> {
    if command.format == ReportFormat::Json {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| match command.dry_run {
                true => serde_json::json!({"path": path, "text": text}),
                false => serde_json::json!({"path": path}),
            })
            .collect();
        let remarks: Vec<_> = remarks
            .iter()
            .map(|remark| {
                let line = (remark.line > 0).then_some(remark.line);
                let outcome = remark.outcome.word().to_lowercase();
                serde_json::json!({"file": *remark.file, "line": line, "outcome": outcome, "message": remark.message})
            })
            .collect();
        let report = serde_json::json!({
            "written": !command.dry_run, "files": files, "remarks": remarks,
            "findings": texts.json(found),
        });
        return output::document(&format!("{report:#}\n"));
    }
    let mut text = String::new();
    for (path, content) in files {
        match command.dry_run {
            true => text.push_str(&format!("==> {} <==\n{content}\n", path.display())),
            false => text.push_str(&format!("wrote {}\n", path.display())),
        }
    }
    text.push_str(&lines(remarks));
    text.push_str(&texts.human(found, output::colour(output::for_a_person())));
    if found.iter().any(Diagnostic::is_error) {
        text.push_str(&format!("\n`serve` will refuse this: {}\n", count(found)));
    }
    let decisions = remarks.iter().filter(|remark| remark.outcome == Outcome::Decide).count();
    let (written, plural) = (files.len(), if files.len() == 1 { "" } else { "s" });
    text.push_str(&match decisions {
        0 => format!("{written} file{plural}; nothing to decide\n"),
        1 => format!("{written} file{plural}; 1 line to decide\n"),
        _ => format!("{written} file{plural}; {decisions} lines to decide\n"),
    });
    output::document(&text)
}

fn lines(remarks: &[Remark]) -> String {
    remarks.iter().map(|remark| format!("{remark}\n")).collect()
}
