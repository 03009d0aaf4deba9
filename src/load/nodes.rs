//! `nodes:`, who receives a fragment.

use std::sync::Arc;

use super::fragment::Reader;
use super::scalar::{Typed, typed};
use super::suggest;
use super::yaml::{Entry, Node, Value};
use crate::diagnostic::Severity;
use crate::resource::{NodePattern, Selector};

const KEYS: [&str; 4] = ["id", "cluster", "locality", "metadata"];
const LOCALITY_KEYS: [&str; 3] = ["region", "zone", "sub_zone"];

impl Reader<'_> {
    /// Reads `nodes:`. Its parts are sorted, so that equal choices are equal values.
    pub(super) fn nodes(&mut self, entry: &Entry<'_>) -> Option<Arc<Selector>> {
        let elements = entry.value.elements();
        if elements.is_empty() {
            let message = "an empty `nodes` means that no Envoy ever receives this";
            self.decoder.findings.error("empty-nodes", entry.key_span, message).hint =
                Some("remove the key if every Envoy may receive it".to_owned());
            return None;
        }
        let mut patterns = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let before = self.decoder.findings.enter_index(index);
            patterns.extend(self.pattern(element));
            self.decoder.findings.back(before);
        }
        patterns.sort();
        patterns.dedup();
        Some(Arc::new(Selector(patterns)))
    }

    fn pattern(&mut self, node: &Node<'_>) -> Option<NodePattern> {
        let Value::Mapping(entries) = &node.value else {
            let finding = self
                .decoder
                .findings
                .wrong_type(node, "a mapping with `id`, `cluster`, `locality` or `metadata`");
            finding.hint = node.text().map(|text| format!("write `- id: {text}`"));
            return None;
        };
        let mut pattern = NodePattern::default();
        for entry in entries {
            let before = self.decoder.findings.enter(&entry.key);
            match &*entry.key {
                "id" => pattern.id = self.glob(&entry.value),
                "cluster" => pattern.cluster = self.glob(&entry.value),
                "locality" => self.locality(&entry.value, &mut pattern),
                "metadata" => self.metadata(&entry.value, &mut Vec::new(), &mut pattern.metadata),
                _ => self.unknown_part("an entry of `nodes`", entry, &KEYS),
            }
            self.decoder.findings.back(before);
        }
        pattern.metadata.sort();
        pattern.metadata.dedup();
        Some(pattern)
    }

    fn locality(&mut self, node: &Node<'_>, pattern: &mut NodePattern) {
        let Value::Mapping(entries) = &node.value else {
            self.decoder.findings.wrong_type(node, "a mapping with `region`, `zone` or `sub_zone`");
            return;
        };
        for entry in entries {
            let before = self.decoder.findings.enter(&entry.key);
            match &*entry.key {
                "region" => pattern.region = self.glob(&entry.value),
                "zone" => pattern.zone = self.glob(&entry.value),
                "sub_zone" | "subZone" => pattern.sub_zone = self.glob(&entry.value),
                _ => self.unknown_part("`locality`", entry, &LOCALITY_KEYS),
            }
            self.decoder.findings.back(before);
        }
    }

    /// `{a: {b: x}}` and `{a.b: x}` are the same.
    fn metadata(&mut self, node: &Node<'_>, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, String)>) {
        let Value::Mapping(entries) = &node.value else {
            if path.is_empty() {
                self.decoder.findings.wrong_type(node, "a mapping from paths to globs");
            } else if let Some(glob) = self.glob(node) {
                out.push((path.clone(), glob));
            }
            return;
        };
        for entry in entries {
            let before = self.decoder.findings.enter_key(&entry.key);
            let depth = path.len();
            path.extend(entry.key.split('.').map(str::to_owned));
            self.metadata(&entry.value, path, out);
            path.truncate(depth);
            self.decoder.findings.back(before);
        }
    }

    fn glob(&mut self, node: &Node<'_>) -> Option<String> {
        let text = match typed(node) {
            Some(Typed::Text(text)) => text.into_owned(),
            // As the node's own metadata shows them.
            Some(Typed::Bool(value)) => value.to_string(),
            Some(Typed::Number(number)) => number.to_string(),
            _ => {
                self.decoder.findings.wrong_type(node, "a text, in which `*` and `?` stand for anything");
                return None;
            }
        };
        if text.is_empty() {
            let message = "an empty text matches no Envoy that says who it is";
            self.decoder.findings.error("bad-glob", node.span, message).hint =
                Some("write `*` for any".to_owned());
            return None;
        }
        if text.contains(['[', ']', '{', '}', '|', '^', '$', '(', ')']) {
            let message =
                format!("{} is taken literally but for `*` and `?`", self.decoder.findings.quote(&text));
            self.decoder.findings.add(Severity::Warning, "glob-not-pattern", node.span, message).hint =
                Some("alternatives are entries of their own in the list".to_owned());
        }
        Some(text)
    }

    fn unknown_part(&mut self, of: &str, entry: &Entry<'_>, keys: &[&str]) {
        let message = format!("{of} has no key `{}`", entry.key);
        self.decoder.findings.error("unknown-key", entry.key_span, message).hint =
            suggest::hint(&entry.key, keys.iter().copied());
    }
}
