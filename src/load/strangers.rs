//! Files that are no fragments, and what they are instead: one resource alone, or a manifest of Kubernetes.
//!
//! Comes in: the keys of a document. Goes out: one finding for the whole, in place of one for each key.

use super::fragment::{Reader, kind_of_key};
use super::suggest;
use super::yaml::Entry;
use crate::resource::Kind;

/// Every manifest has them.
const MANIFEST: [&str; 2] = ["apiVersion", "kind"];

impl Reader<'_> {
    /// Whether a document is something else, with a finding that says what.
    pub(super) fn is_stranger(&mut self, entries: &[Entry<'_>]) -> bool {
        let Some(first) = entries.first() else { return false };
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        let (code, message, hint) = if MANIFEST.iter().all(|key| has(key)) {
            let hint = "put only the Envoy configuration that is in it into a file of its own";
            ("not-a-fragment", "this is a manifest of Kubernetes".to_owned(), hint.to_owned())
        } else if let Some(kind) = self.alone(entries) {
            let name = suggest::short(kind.message());
            let hint =
                format!("write `{}:` above, and all of this below as one item: `- …`", kind.fragment_key());
            ("unknown-key", format!("these are the fields of one {name}, which stands in no list"), hint)
        } else {
            return false;
        };
        self.decoder.findings.error(code, first.key_span, message).hint = Some(hint);
        for entry in entries {
            self.decoder.findings.sensitive.mark_suspects(&entry.value);
        }
        true
    }

    /// The kind of resource whose fields all these keys are, while none of them means anything to a fragment.
    fn alone(&self, entries: &[Entry<'_>]) -> Option<Kind> {
        let means_something = |entry: &Entry<'_>| {
            let key = &*entry.key;
            matches!(key, "nodes" | "ttls" | "resources")
                || key.starts_with("x-")
                || kind_of_key(key).is_some()
                || self.bootstrap.is_some_and(|ty| ty.field(key).is_some())
        };
        // One key may be a slip.
        if entries.len() < 2 || entries.iter().any(means_something) {
            return None;
        }
        let is_of = |kind: &Kind| {
            let ty = self.decoder.api.message(kind.message());
            ty.is_some_and(|ty| entries.iter().all(|entry| ty.field(&entry.key).is_some()))
        };
        [Kind::Cluster, Kind::Listener, Kind::Endpoint, Kind::Secret].into_iter().find(is_of)
    }
}
