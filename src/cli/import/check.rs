//! What `serve`, or Envoy, will say to what an import made.
//!
//! Comes in: the texts that are to be written. Goes out: findings in them, with what each file loaded
//! as. What still holds placeholders is only whole where it is served, so nothing is said about it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::envoy_api::Api;
use crate::load::{self, Catalog, Inputs, Loaded, References, Severities, Variables};
use crate::migrate::{self, Imported};
use crate::resource::Name;

/// A fragment as it was loaded, with its path and text.
pub(super) type Checked = (String, String, Loaded);

/// Loads what was made, as `serve` will.
pub(super) fn load(api: &Api, out: &Path, imported: &Imported) -> Vec<Checked> {
    let fragments = imported.fragments.iter();
    fragments.filter_map(|file| load_one(api, &out.join(&file.name), &file.text)).collect()
}

fn load_one(api: &Api, path: &Path, text: &str) -> Option<Checked> {
    is_whole(text).then(|| {
        let name = path.display().to_string();
        // No variable is named, but there may be a `$${`.
        let inputs = Inputs {
            variables: &Variables::new::<&str, &str>([]),
            files: &|_| None,
            now: None,
            severities: &Severities::default(),
        };
        let loaded = load::load_filled(api, &Arc::from(&*name), text.as_bytes(), &inputs);
        (name, text.to_owned(), loaded)
    })
}

/// The bootstrap as Envoy will read it, and what is wrong with it. A type that is not known here may be known
/// to that Envoy.
pub(super) fn bootstrap(api: &Api, path: &Path, text: &str) -> Option<(Checked, Vec<Diagnostic>)> {
    let checked = load_one(api, path, text)?;
    let mut found = checked.2.diagnostics.clone();
    // A fragment may hold other keys at its top.
    found.retain(|finding| finding.code != "unknown-key");
    let start = |finding: &Diagnostic| finding.span.map(|span| span.start);
    let known: BTreeSet<_> = found.iter().map(start).collect();
    let whole = migrate::findings(api, &Arc::from(&*checked.0), text);
    found.extend(whole.into_iter().filter(|finding| !known.contains(&start(finding))));
    found.retain(|finding| finding.is_error() || finding.code == "unknown-type");
    for finding in found.iter_mut().filter(|finding| finding.code == "unknown-type") {
        finding.severity = Severity::Warning;
    }
    Some((checked, found))
}

/// The errors in these fragments, and if all could be looked at, what they name and nothing defines:
/// Envoy refuses it in a static file, but not over xDS.
pub(super) fn findings(checked: &[Checked], imported: &Imported) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> =
        checked.iter().flat_map(|(_, _, loaded)| loaded.diagnostics.clone()).collect();
    found.retain(Diagnostic::is_error);
    if !found.is_empty() || checked.len() < imported.fragments.len() {
        return found;
    }
    let (before, mut now) = (Catalog::default(), Catalog::default());
    let mut touched = BTreeSet::new();
    for (name, _, loaded) in checked {
        touched.extend(now.replace(&Arc::from(&**name), None, Some(loaded)));
    }
    let external: BTreeSet<Name> = imported.external.iter().map(|name| Name::from(&**name)).collect();
    let references = References { before: &before, now: &now, external: &external, is_lacking: false };
    let dangling = references.dangling(&touched);
    let urgent: Vec<_> = dangling
        .into_iter()
        .filter(|dangling| dangling.is_urgent())
        .map(|dangling| (dangling, Severity::Warning))
        .collect();
    references.findings(&urgent)
}

/// What is wrong with a file that was brought to v3.
pub(super) fn upgraded(api: &Api, name: &Arc<str>, text: &str) -> Vec<Diagnostic> {
    if !is_whole(text) {
        return Vec::new();
    }
    let mut found = migrate::findings(api, name, text);
    found.retain(Diagnostic::is_error);
    found
}

fn is_whole(text: &str) -> bool {
    !text.replace("$${", "").contains("${") && !text.contains("!file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::File;

    #[test]
    fn what_nothing_defines_is_told_unless_the_bootstrap_has_it() {
        let api = Api::embedded().expect("linked");
        let text = "listeners:\n- name: l\n  address: { socket_address: { address: 127.0.0.1, port_value: 1 } }\n  \
                    filter_chains:\n  - filters:\n    - name: tcp\n      typed_config:\n        \
                    \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n        \
                    stat_prefix: x\n        cluster: away\n";
        let made = |external: &[&str]| Imported {
            fragments: vec![File { name: "l.yaml".to_owned(), text: text.to_owned() }],
            bootstrap: None,
            external: external.iter().map(|name| (*name).to_owned()).collect(),
            remarks: Vec::new(),
        };
        let said = |imported: &Imported| findings(&load(&api, Path::new("o"), imported), imported).len();
        assert_eq!(said(&made(&[])), 1);
        assert_eq!(said(&made(&["away"])), 0);
    }
}
