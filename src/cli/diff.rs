//! `diff`: what the second of two configurations has more, less and otherwise than the first.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::args::{Diff, ReportFormat};
use super::findings::Texts;
use super::gather::gather;
use super::settings::{Given, Settings};
use super::{Exit, daemon, output};
use crate::app::{DumpRequest, Dumped};
use crate::envoy_api::Api;
use crate::load::{self, Loaded};
use crate::migrate::{self, Change, Difference, Shown, Source};
use crate::resource::{Kind, Resource, Selector};

/// A resource with who receives it.
type Held = (Arc<Resource>, Option<Arc<Selector>>);

pub fn run(given: &Given, command: &Diff) -> Result<Exit> {
    let settings = given.settings()?;
    let api = settings.api()?;
    let look = |path: &Path| match path.to_str().and_then(|text| text.strip_prefix(DAEMON)) {
        Some(address) => served(&settings, address).map(Side::Daemon),
        None => side(&api, &settings, path).map(Side::Files),
    };
    let (before, after) = (look(&command.before)?, look(&command.after)?);
    let mut differences = match (before, after) {
        (Side::Files(before), Side::Files(after)) => {
            migrate::compare(&api, before.iter().map(held), after.iter().map(held))?
        }
        // A daemon tells no secrets, so neither side may.
        (before, after) => migrate::compare_shown(&before.shown(&api)?, &after.shown(&api)?),
    };
    // The way to the bridge itself is in every bootstrap of ours, and in no fragment.
    differences.retain(|differs| differs.kind != Kind::Cluster || differs.name != migrate::CLUSTER);
    match command.format {
        ReportFormat::Json => output::document(&format!("{:#}\n", json(&differences)))?,
        ReportFormat::Human => output::document(&human(&differences))?,
    }
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Findings })
}

/// What stands before the address of a daemon; alone, it is the usual one.
const DAEMON: &str = "daemon:";

/// One of the two.
enum Side {
    Files(Vec<Held>),
    Daemon(Vec<Shown>),
}

impl Side {
    fn shown(self, api: &Api) -> Result<Vec<Shown>> {
        match self {
            Side::Daemon(shown) => Ok(shown),
            Side::Files(all) => {
                let show = |(resource, nodes): &Held| Ok(migrate::show(api, resource, nodes.as_deref())?);
                all.iter().map(show).collect()
            }
        }
    }
}

/// What a running daemon serves.
fn served(settings: &Settings, address: &str) -> Result<Vec<Shown>> {
    let address = if address.is_empty() { daemon::address(settings)? } else { address.parse()? };
    daemon::ask(&address, async |daemon| {
        let mut answers = daemon.dump(DumpRequest::default()).await?;
        let mut all = Vec::new();
        while let Some(dumped) = answers.next().await? {
            all.push(taken(dumped)?);
        }
        Ok(all)
    })
}

fn taken(dumped: Dumped) -> Result<Shown> {
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Shown {
        kind: Kind::from_fragment_key(&dumped.kind).with_context(|| {
            format!("the daemon serves {:?}, which this program does not know", dumped.kind)
        })?,
        name: dumped.name,
        nodes: given(dumped.nodes),
        version: dumped.version,
        ttl: given(dumped.ttl),
        content: serde_json::from_str(&dumped.json).context("the daemon's answer is no JSON")?,
    })
}

fn held((resource, nodes): &Held) -> (&Resource, Option<&Selector>) {
    (resource, nodes.as_deref())
}

fn kept(loaded: &Loaded) -> Vec<Held> {
    loaded.items.iter().map(|item| (item.resource.clone(), item.nodes.clone())).collect()
}

/// The resources of one side.
fn side(api: &Api, settings: &Settings, path: &Path) -> Result<Vec<Held>> {
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let looked = |path: &Path| -> Result<Vec<Held>> {
        let looks = gather(api, settings, vec![path.to_owned()])?;
        Ok(looks.iter().flat_map(|look| kept(&look.loaded)).collect())
    };
    if metadata.is_dir() {
        return looked(path);
    }
    let name: Arc<str> = path.display().to_string().into();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let source = Source { name: name.clone(), text };
    if !migrate::is_older(api, &source) {
        return looked(path);
    }
    // A file for an older API, or what an Envoy dumped.
    let texts = migrate::resources_of(api, &source)?;
    let mut all = Vec::new();
    for text in &texts {
        let loaded = load::load_file(api, &name, text.as_bytes());
        if !loaded.is_sound() {
            let texts = Texts::given([(&*name, &**text, &loaded.sensitive[..])]);
            output::error(&texts.human(&loaded.diagnostics, false));
            bail!("{name} has errors: mend them first");
        }
        all.extend(kept(&loaded));
    }
    Ok(all)
}

fn human(differences: &[Difference]) -> String {
    let mut out = String::new();
    for difference in differences {
        let (sign, word) = match difference.change {
            Change::Added => ('+', "added"),
            Change::Removed => ('-', "removed"),
            Change::Changed(_) => ('~', "changed"),
        };
        let whom = difference
            .nodes
            .as_ref()
            .map_or_else(|| "every Envoy".to_owned(), |nodes| format!("nodes with {nodes}"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{sign} {} `{}` {word}, for {whom}", difference.kind, difference.name);
        let Change::Changed(fields) = &difference.change else { continue };
        for field in fields {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            let _ = writeln!(out, "    {}: {} -> {}", field.path, text(&field.before), text(&field.after));
        }
    }
    let count = |wanted: fn(&Change) -> bool| differences.iter().filter(|d| wanted(&d.change)).count();
    let _ = match differences.is_empty() {
        true => writeln!(out, "no difference"),
        false => writeln!(
            out,
            "{} added, {} changed, {} removed",
            count(|change| matches!(change, Change::Added)),
            count(|change| matches!(change, Change::Changed(_))),
            count(|change| matches!(change, Change::Removed)),
        ),
    };
    out
}

fn json(differences: &[Difference]) -> serde_json::Value {
    let one = |difference: &Difference| {
        let (change, fields) = match &difference.change {
            Change::Added => ("added", None),
            Change::Removed => ("removed", None),
            Change::Changed(fields) => ("changed", Some(fields)),
        };
        let fields = fields.map(|fields| {
            fields
                .iter()
                .map(|field| serde_json::json!({"path": field.path, "before": field.before, "after": field.after}))
                .collect::<Vec<_>>()
        });
        serde_json::json!({
            "kind": difference.kind.fragment_key(), "name": difference.name, "nodes": difference.nodes,
            "change": change, "fields": fields,
        })
    };
    serde_json::json!({ "differences": differences.iter().map(one).collect::<Vec<_>>() })
}
