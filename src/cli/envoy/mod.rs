//! `check --envoy`: what a real Envoy says to the fragments, kind of node by kind of node.
//!
//! Comes in: fragments without errors, and an Envoy. Goes out: findings at the places that it means.
//! Envoy stops at the first mistake and often does not say where it is: so what it refuses is looked
//! for by trying parts, taken out, and the rest is tried again. Keeps the invariant that the number of
//! runs is bounded.

mod kinds;
mod message;
mod program;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::app::Look;
use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::load::{self, Item};
use crate::migrate::{self, Beside};
use crate::resource::{Kind, Name, Node};

use kinds::kinds_of_nodes;
use message::{Meaning, meaning};
pub use program::Envoy;

/// So many refusals are looked for in what one kind of node receives; each costs some runs.
const MAX_REFUSALS: usize = 20;

/// A resource and the file that it is from.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    look: &'a Look,
    item: &'a Item,
}

impl Part<'_> {
    fn kind(&self) -> Kind {
        self.item.resource.kind()
    }

    /// Parts are one if they are the same item.
    fn id(&self) -> *const Item {
        self.item
    }
}

/// What the Envoy refuses of these files, for each kind of node that they are for.
pub fn ask(api: &Api, envoy: &Envoy, looks: &[Arc<Look>]) -> Result<Vec<Diagnostic>> {
    let mut all: Vec<Part<'_>> = Vec::new();
    for look in looks {
        all.extend(look.loaded.items.iter().map(|item| Part { look, item }));
    }
    let kinds = kinds_of_nodes(&all);
    let mut findings = Vec::new();
    let mut refused: HashSet<*const Item> = HashSet::new();
    for (node, parts) in &kinds {
        let mut asking = Asking { api, envoy, node, several: kinds.len() > 1 };
        asking.kind_of_node(parts, &mut refused, &mut findings)?;
    }
    Ok(findings)
}

/// One kind of node.
struct Asking<'a> {
    api: &'a Api,
    envoy: &'a Envoy,
    node: &'a Node,
    /// Whether there are others.
    several: bool,
}

impl<'a> Asking<'a> {
    fn kind_of_node(
        &mut self,
        parts: &[Part<'a>],
        refused: &mut HashSet<*const Item>,
        findings: &mut Vec<Diagnostic>,
    ) -> Result<()> {
        let mut parts: Vec<Part<'a>> =
            parts.iter().copied().filter(|part| !refused.contains(&part.id())).collect();
        // What a part needs to be judged stands before it.
        parts.sort_by_key(|part| order(part.kind()));
        for _ in 0..MAX_REFUSALS {
            let Some(message) = self.judge(&parts)? else { return Ok(()) };
            let (culprit, message) = self.culprit(&parts, message)?;
            let Some(at) = culprit else {
                findings.push(self.of_no_part(&parts, &message));
                return Ok(());
            };
            let part = parts.remove(at);
            findings.push(self.finding(&part, &message));
            refused.insert(part.id());
            if part.kind() == Kind::Route {
                // Scopes cannot be judged without their routes.
                let name = part.item.resource.name();
                parts.retain(|scope| {
                    scope.kind() != Kind::ScopedRoute
                        || !scope.item.mentions().any(|mention| mention.name == name)
                });
            }
        }
        Ok(())
    }

    /// What the Envoy says to these parts.
    fn judge(&self, parts: &[Part<'a>]) -> Result<Option<String>> {
        let mine: HashSet<&Name> = parts
            .iter()
            .filter(|part| part.kind() == Kind::Cluster)
            .map(|part| part.item.resource.name())
            .collect();
        let mentioned = parts.iter().flat_map(|part| part.item.mentions());
        let elsewhere: BTreeSet<Name> = mentioned
            .filter(|mention| mention.kind == Kind::Cluster && !mine.contains(mention.name))
            .map(|mention| mention.name.clone())
            .collect();
        let resources = parts.iter().map(|part| &*part.item.resource);
        let bootstrap = migrate::probe(self.api, resources, self.node, &elsewhere, &is_here)?;
        self.envoy.judge(&bootstrap)
    }

    /// Which part is refused, and what is said to it: the last one of the shortest list that is. `None`
    /// if also nothing at all is refused.
    fn culprit(&self, parts: &[Part<'a>], message: String) -> Result<(Option<usize>, String)> {
        // `accepted` parts are taken, `refused` are not.
        let (mut accepted, mut refused, mut said) = (0, parts.len(), message);
        if let Some(message) = self.judge(&[])? {
            return Ok((None, message));
        }
        while refused - accepted > 1 {
            let middle = usize::midpoint(accepted, refused);
            match self.judge(&parts[..middle])? {
                None => accepted = middle,
                Some(message) => (refused, said) = (middle, message),
            }
        }
        Ok((Some(accepted), said))
    }

    fn finding(&self, part: &Part<'a>, said: &str) -> Diagnostic {
        let resource = &part.item.resource;
        let (name, kind) = (resource.name(), part.kind());
        let Meaning { wanted, needs } = meaning(said, name);
        let place = part.look.text().and_then(|text| load::find(&text, part.item.span, &wanted));
        let (span, path) = place.unwrap_or((part.item.name_span, String::new()));
        let whom = self.whom();
        let version = &self.envoy.version;
        let file = part.look.path.clone();
        if let Some(needs) = needs {
            let message = format!(
                "Envoy {version} could not judge the {kind} `{name}`{whom}: it needs `{needs}`, which is not on this machine"
            );
            return Diagnostic::new(Severity::Note, "envoy-needs-file", file, message).at(span, path);
        }
        let message = format!("Envoy {version} refuses the {kind} `{name}`{whom}: {said}");
        Diagnostic::new(Severity::Error, "envoy-refused", file, message).at(span, path)
    }

    /// It refuses, and no part of it is to blame alone.
    fn of_no_part(&self, parts: &[Part<'a>], said: &str) -> Diagnostic {
        let file = parts.first().map_or_else(|| "envoy".into(), |part| part.look.path.clone());
        let message = format!("Envoy {} refuses all of it{}: {said}", self.envoy.version, self.whom());
        Diagnostic::new(Severity::Error, "envoy-refused", file, message)
    }

    /// Which nodes it is about, if there are several kinds.
    fn whom(&self) -> String {
        let Node { id, cluster, .. } = self.node;
        match (self.several, id.is_empty(), cluster.is_empty()) {
            (false, ..) | (_, true, true) => String::new(),
            (_, false, _) => format!(" for a node such as id={id}"),
            (_, true, false) => format!(" for a node such as cluster={cluster}"),
        }
    }
}

/// What is judged without what: listeners need clusters, and take routes and the like in.
fn order(kind: Kind) -> usize {
    const ORDER: [Kind; 9] = [
        Kind::Runtime,
        Kind::Cluster,
        Kind::Listener,
        Kind::Secret,
        Kind::Endpoint,
        Kind::ExtensionConfig,
        Kind::Route,
        Kind::VirtualHost,
        Kind::ScopedRoute,
    ];
    ORDER.iter().position(|other| *other == kind).unwrap_or(ORDER.len())
}

/// What this machine has.
fn is_here(beside: Beside<'_>) -> bool {
    match beside {
        // Relative paths are relative to a directory of the Envoy's machine.
        Beside::Path(path) => Path::new(path).is_absolute() && std::fs::metadata(path).is_ok(),
        Beside::Variable(name) => std::env::var_os(name).is_some(),
    }
}
