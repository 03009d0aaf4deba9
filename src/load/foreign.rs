//! Documents that are no fragments at all: what they are instead, and what makes fragments of them.
//!
//! Comes in: a document. Goes out: whether it is something else, with one finding that says what, rather than one
//! for each key that a fragment does not have.

use super::fragment::{Reader, kind_of_key};
use super::yaml::{Entry, Node, Value};
use crate::diagnostic::Span;
use crate::resource::Kind;

/// What a document is, and what to do with it.
struct Foreign {
    span: Span,
    message: String,
    hint: String,
}

impl Reader<'_> {
    /// Says what a document is that is no mapping.
    pub(super) fn no_mapping(&mut self, document: &Node<'_>) {
        let hint = self.list_key(document).map_or_else(
            || "put each resource under the list of its kind, such as `clusters:`".to_owned(),
            |key| format!("write `{key}:` above the list"),
        );
        let expected = "a mapping with keys such as `listeners` and `clusters`";
        let finding = self.decoder.findings.wrong_type(document, expected);
        finding.code = "not-a-fragment";
        finding.hint = Some(hint);
    }

    /// Whether a document is something else that is known, which is told then.
    pub(super) fn is_foreign(&mut self, entries: &[Entry<'_>]) -> bool {
        let Some(Foreign { span, message, hint }) =
            manifest(entries).or_else(|| dump(entries)).or_else(|| self.resource(entries))
        else {
            return false;
        };
        for entry in entries {
            self.decoder.findings.sensitive.mark_suspects(&entry.value);
        }
        self.decoder.findings.error("not-a-fragment", span, message).hint = Some(hint);
        true
    }

    /// A resource without the list that it should stand in.
    fn resource(&self, entries: &[Entry<'_>]) -> Option<Foreign> {
        let first = entries.iter().find(|entry| !self.is_key(&entry.key))?;
        let all: Vec<&Entry<'_>> = entries.iter().collect();
        let key = self.key_for(&all)?;
        let message = "this is a resource, which stands in the list of its kind".to_owned();
        let hint = format!("write `{key}:` above it, and indent it as an entry of that list");
        Some(Foreign { span: first.key_span, message, hint })
    }

    /// Whether a fragment may have this key.
    fn is_key(&self, key: &str) -> bool {
        matches!(key, "nodes" | "ttls" | "resources")
            || key.starts_with("x-")
            || kind_of_key(key).is_some()
            || self.bootstrap.is_some_and(|ty| ty.field(key).is_some())
    }

    /// Under which key a list belongs: what its entries have must be of one kind.
    fn list_key(&self, list: &Node<'_>) -> Option<&'static str> {
        let Value::Sequence(elements) = &list.value else { return None };
        let mut all = Vec::new();
        for element in elements {
            all.extend(element.entries()?);
        }
        self.key_for(&all)
    }

    /// Under which key a resource belongs, if that is clear.
    fn key_for(&self, entries: &[&Entry<'_>]) -> Option<&'static str> {
        if let Some(ty) = entries.iter().find(|entry| entry.key == "@type") {
            let name = ty.value.text()?.rsplit('/').next()?;
            return Kind::from_message(name).map(|_| "resources");
        }
        let fits = |kind: &Kind| {
            let ty = self.decoder.api.message(kind.message());
            ty.is_some_and(|ty| entries.iter().all(|entry| ty.field(&entry.key).is_some()))
        };
        let mut kinds = Kind::ALL.into_iter().filter(fits);
        let only = kinds.next().filter(|_| kinds.next().is_none())?;
        Some(only.fragment_key())
    }
}

/// What is made for Kubernetes.
fn manifest(entries: &[Entry<'_>]) -> Option<Foreign> {
    let version = entries.iter().find(|entry| entry.key == "apiVersion")?;
    entries.iter().find(|entry| entry.key == "kind")?.value.text()?;
    let message = "this is a manifest for Kubernetes, not Envoy's configuration".to_owned();
    let hint = "put the configuration that is in it into a file of its own".to_owned();
    Some(Foreign { span: version.key_span, message, hint })
}

/// What an Envoy tells of itself.
fn dump(entries: &[Entry<'_>]) -> Option<Foreign> {
    let [configs] = entries else { return None };
    if configs.key != "configs" || !matches!(configs.value.value, Value::Sequence(_)) {
        return None;
    }
    Some(Foreign {
        span: configs.key_span,
        message: "this is what an Envoy tells at /config_dump, not a fragment".to_owned(),
        hint: "`xds-bridge import` makes fragments of it".to_owned(),
    })
}
