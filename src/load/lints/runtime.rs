//! What Envoy's own process is set up by: values of the runtime, watchdogs, the format of its log.
//!
//! Comes in: parts of a bootstrap, and runtimes that are served. Goes out: what keeps an Envoy from
//! starting, or from taking a runtime, although no constraint of its API says so.

use super::super::decode::Decoder;
use super::super::yaml::{Entry, Node, Value};
use super::{child, is_spelling_of};

impl Decoder<'_> {
    /// A runtime is a tree of mappings with simple values: Envoy takes no list, and no null.
    pub(super) fn lint_runtime(&mut self, node: &Node<'_>, field: &str) {
        let Some(layer) = child(node, field) else { return };
        let before = self.findings.enter(field);
        self.runtime_values(layer);
        self.findings.back(before);
    }

    fn runtime_values(&mut self, node: &Node<'_>) {
        for entry in node.entries().unwrap_or_default() {
            let before = self.findings.enter_key(&entry.key);
            match &entry.value.value {
                Value::Mapping(_) => self.runtime_values(&entry.value),
                Value::Sequence(_) => self.no_runtime_value(&entry.value),
                _ if entry.value.is_null() => self.no_runtime_value(&entry.value),
                _ => {}
            }
            self.findings.back(before);
        }
    }

    fn no_runtime_value(&mut self, value: &Node<'_>) {
        self.findings.wrong_type(value, "a text, a number, a boolean or a mapping as a value of the runtime");
    }

    /// The watchdogs are set up in one of two ways. Looks at the keys of a bootstrap.
    pub(in super::super) fn lint_watchdogs<'n, 't: 'n>(
        &mut self,
        mut entries: impl Iterator<Item = &'n Entry<'t>> + Clone,
    ) {
        let is_given =
            |entry: &&Entry<'_>, field| is_spelling_of(&entry.key, field) && !entry.value.is_null();
        let both = entries.clone().any(|entry| is_given(&entry, "watchdogs"));
        if let Some(one) = entries.find(|entry| both && is_given(entry, "watchdog")) {
            let message = "only one of `watchdog` and `watchdogs` may be given";
            self.misplaced_part("watchdog", one.key_span, message, "remove `watchdog`, which is deprecated");
        }
    }

    /// A log line that is an object has its message escaped, always.
    pub(super) fn lint_json_log(&mut self, node: &Node<'_>) {
        let Some(format) = child(node, "json_format") else { return };
        let before = self.findings.enter("json_format");
        self.json_log_values(format);
        self.findings.back(before);
    }

    fn json_log_values(&mut self, node: &Node<'_>) {
        let flag = node.text().and_then(|text| ["%v", "%_"].into_iter().find(|it| text.contains(it)));
        if let Some(flag) = flag {
            let message = format!("`{flag}` is not possible in a log of JSON");
            self.misplaced_part("", node.span, &message, "write `%j`, the message as JSON holds it");
        }
        for entry in node.entries().unwrap_or_default() {
            let before = self.findings.enter_key(&entry.key);
            self.json_log_values(&entry.value);
            self.findings.back(before);
        }
        let Value::Sequence(list) = &node.value else { return };
        for (at, value) in list.iter().enumerate() {
            let before = self.findings.enter_index(at);
            self.json_log_values(value);
            self.findings.back(before);
        }
    }
}
