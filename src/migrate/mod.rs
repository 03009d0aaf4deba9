//! The workshop for moving in and out: old configurations to fragments and a bootstrap, fragments to
//! one static configuration, and what differs between two configurations.
//!
//! Comes in: texts, and Envoy's API. Goes out: texts, and a report that says line by line what was
//! done, what stayed behind and why, and what a person must decide. Pure: who reads and writes files
//! is `cli`. Keeps the invariants that the same sources give the same output, and that nothing of a
//! source is dropped without a word.

mod bootstrap;
mod compare;
mod connection;
mod dump;
mod dynamic;
mod foreign;
mod json;
mod message;
mod names;
mod numbers;
mod placeholders;
mod probe;
mod read;
mod render;
mod report;
mod shown;
mod split;
mod take;
mod tree;
mod typed;
mod v2;
mod write;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Position};
use crate::envoy_api::Api;
use crate::load;
use crate::resource::Kind;

pub use compare::{Change, Difference, Field, compare, compare_shown, describe};
pub use connection::{CLUSTER, ClientTls, Connection, Endpoint};
pub use json::bootstrap_json;
pub use probe::{Beside, probe};
pub use render::{RenderError, Rendered, render, render_json};
pub use report::{Outcome, Remark};
pub use shown::{Shown, show};
pub use split::{File, Split};

use read::Document;
use report::Report;
use take::Taken;

/// A configuration to import.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name as people name it.
    pub name: Arc<str>,
    /// Its content.
    pub text: String,
}

/// How to import.
#[derive(Clone, Debug)]
pub struct Options {
    /// How resources are spread over files.
    pub split: Split,
    /// Whether routes, endpoints and certificates become resources of their own.
    pub dynamic: bool,
    /// The way to the bridge.
    pub connection: Connection,
    /// For a node without id.
    pub node_id: String,
    /// For a node without cluster.
    pub node_cluster: String,
}

/// What comes of an import.
#[derive(Debug)]
pub struct Imported {
    /// Fragments, by their names in the directory of fragments.
    pub fragments: Vec<File>,
    /// The minimal bootstrap, if a source was or held one.
    pub bootstrap: Option<String>,
    /// The clusters that stay in it.
    pub external: Vec<String>,
    /// What was done, stayed, and is to be decided.
    pub remarks: Vec<Remark>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A source is neither YAML nor JSON.
    #[error("{file}:{at}: {message}")]
    Unreadable {
        /// The source.
        file: Arc<str>,
        /// Where.
        at: Position,
        /// What.
        message: String,
    },
    /// A source is something else.
    #[error("{file}: {message}")]
    Unusable {
        /// The source.
        file: Arc<str>,
        /// Why.
        message: String,
    },
}

/// How many values the aliases of a source may expand to.
const ALIAS_BUDGET: usize = 1_000_000;

/// What a bridge fills in, Envoy does not.
const PLACEHOLDERS_STAY: &str =
    "the bootstrap keeps placeholders, and Envoy fills in none: expand it as you did, with `envsubst`";

/// What `serve` does with secrets.
const SECRETS_OVER_TCP: &str = "over plain TCP secrets go only to an Envoy of the bridge's own user or of root: connect others by a unix socket (--xds unix:PATH) or by TLS (--ca FILE), or serve with --insecure";

/// Turns sources into fragments and a bootstrap.
///
/// # Errors
/// The first source that cannot be read, with the place.
pub fn import(api: &Api, sources: &[Source], options: &Options) -> Result<Imported, ImportError> {
    take_apart(api, sources, options, true)
}

/// As [`import`]; `escapes`: what looks like a placeholder in a dump is written so that it is none.
fn take_apart(
    api: &Api,
    sources: &[Source],
    options: &Options,
    escapes: bool,
) -> Result<Imported, ImportError> {
    let mut taken = Taken::default();
    let mut remarks = Report::default();
    for (at, source) in sources.iter().enumerate() {
        let mut report = Report::of(&source.name);
        let document = read_source(source)?;
        if document.has_more {
            report.decide(0, "only the first YAML document was read, as Envoy does");
        }
        taken.source(api, at, &source.name, document, options, &mut report)?;
        remarks.append(report);
    }
    let unusable = |message: &str| ImportError::Unusable {
        file: sources.first().map_or_else(|| "import".into(), |source| source.name.clone()),
        message: message.to_owned(),
    };
    let too_large = || unusable("its aliases expand without bound");
    taken.check_duplicates(sources, &mut remarks);
    if options.dynamic {
        dynamic::unfold(api, &mut taken, &mut remarks, sources);
    }
    // An Envoy that runs has nothing left to fill in, and nobody fills in what is left for Envoy.
    for item in taken.items.iter_mut().filter(|item| escapes && taken.dumps.contains(&item.source)) {
        item.child.value.escape_placeholders();
    }
    let fragments = split::split(&taken.items, options.split, &taken.anchors).ok_or_else(too_large)?;
    let bootstrap = match &taken.bootstrap {
        Some(base) => {
            Some(bootstrap::text(&base.head, &base.root, &taken.anchors[base.source]).ok_or_else(too_large)?)
        }
        None => None,
    };
    if let Some(base) = taken.bootstrap.as_ref().filter(|base| !taken.dumps.contains(&base.source))
        && bootstrap.as_deref().is_some_and(placeholders::has_any)
    {
        let mut report = Report::of(&sources[base.source].name);
        report.decide(0, PLACEHOLDERS_STAY);
        remarks.append(report);
    }
    remarks.append(told_none(sources, &fragments, bootstrap.as_deref()));
    if let Endpoint::Tcp(..) | Endpoint::Named(..) = options.connection.endpoint
        && options.connection.tls.is_none()
        && let Some(item) = taken.items.iter().find(|item| item.kind == Kind::Secret)
    {
        let mut report = Report::of(&sources[item.source].name);
        report.decide(0, SECRETS_OVER_TCP);
        remarks.append(report);
    }
    Ok(Imported { fragments, bootstrap, external: taken.external, remarks: remarks.finish() })
}

/// Where a person has to write what an Envoy does not tell.
fn told_none(sources: &[Source], fragments: &[File], bootstrap: Option<&str>) -> Report {
    let dump = sources.iter().find(|source| dump::redacted(&source.text).next().is_some());
    let Some(dump) = dump else { return Report::default() };
    let mut report = Report::of(&dump.name);
    let files = fragments.iter().map(|file| (&*file.name, &*file.text));
    for (name, text) in files.chain(bootstrap.map(|text| ("the bootstrap", text))) {
        for line in dump::redacted(text) {
            let place = format!("line {line} of {name}");
            report.decide(0, format!("Envoy does not tell secrets: write the real value into {place}"));
        }
    }
    report
}

/// Brings a file of the v2 API to v3, and leaves everything else in it as it is.
///
/// # Errors
/// If it cannot be read.
pub fn upgrade(api: &Api, source: &Source) -> Result<(String, Vec<Remark>), ImportError> {
    let mut report = Report::of(&source.name);
    let mut document = read_source(source)?;
    take::refuse_v1(&source.name, &document.root)?;
    take::upgrade(api, &source.name, &mut document, &mut report)?;
    if load::is_json(&source.name) {
        take::settle_numbers(api, &mut document.root, &mut report);
    }
    let text = write::document(&document.head, &document.root, &document.anchors);
    let text = text.ok_or_else(|| ImportError::Unusable {
        file: source.name.clone(),
        message: "its aliases expand without bound".to_owned(),
    })?;
    Ok((text, report.finish()))
}

/// The texts of fragments with everything that a source holds for listeners, clusters and the like, be
/// it of the v2 API or a config dump; to be compared, not to be served.
///
/// # Errors
/// If it cannot be read.
pub fn resources_of(api: &Api, source: &Source) -> Result<Vec<String>, ImportError> {
    if read_source(source)?.root.get("configs").is_none() {
        return Ok(vec![upgrade(api, source)?.0]);
    }
    let options = Options {
        split: Split::None,
        dynamic: false,
        connection: Connection::to(Endpoint::Unix("/".to_owned())),
        node_id: String::new(),
        node_cluster: String::new(),
    };
    let imported = take_apart(api, std::slice::from_ref(source), &options, false)?;
    let mut texts: Vec<String> = imported.fragments.into_iter().map(|file| file.text).collect();
    if let Some(text) = imported.bootstrap {
        // The way to a bridge was put in just now: it is none of what the source holds.
        let document = render::base(Some(&Source { name: source.name.clone(), text }))?;
        texts.extend(write::document(&document.head, &document.root, &document.anchors));
    }
    Ok(texts)
}

/// Whether a source is for an older API, or a config dump: nothing that could be loaded as it is.
pub fn is_older(api: &Api, source: &Source) -> bool {
    let Ok(document) = read_source(source) else { return false };
    document.root.get("configs").is_some() || take::era(api, &source.name, &document) == v2::Era::V2
}

/// What is wrong with a configuration of today's API, a bootstrap or a filesystem-xDS file.
pub fn findings(api: &Api, name: &Arc<str>, text: &str) -> Vec<Diagnostic> {
    let is_xds = read::read(text).is_ok_and(|document| document.root.has("resources"));
    match is_xds {
        true => load::load_file(api, name, text.as_bytes()).diagnostics,
        false => load::load_message(api, bootstrap::BOOTSTRAP, name, text.as_bytes()).1,
    }
}

fn read_source(source: &Source) -> Result<Document, ImportError> {
    let literal =
        if placeholders::has_any(&source.text) { read::read_literally(&source.text).ok() } else { None };
    let read = match literal.filter(|document| take::is_dump(&document.root)) {
        Some(dump) => Ok(dump),
        None => read::read(&source.text),
    };
    let mut document = read.map_err(|error| ImportError::Unreadable {
        file: source.name.clone(),
        at: error.at,
        message: error.message,
    })?;
    // JSON has no comments or anchors to keep, and nobody wants to edit it.
    if document.root.flow.is_some() && !document.root.children().is_empty() {
        document.root = document.root.rewritten();
    }
    Ok(document)
}
