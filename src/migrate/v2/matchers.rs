//! Ways to match texts, as the old API had them: bare regular expressions above all.

use super::super::tree::{Child, Node};
use super::rules::Rules;

impl Rules<'_> {
    /// A bare regular expression under `key` becomes `to: {regex: …}`.
    pub(super) fn safe_regex(&mut self, node: &mut Node, key: &str, to: &str) {
        if let Some(entry) = node.remove(key) {
            self.report.changed(entry.line, format!("`{key}` is `{to}` now"));
            self.put(node, to, Node::map([("regex", entry.value.clone())]), &entry);
        }
    }

    /// `HeaderMatcher`, with the first form that it had, `value` and `regex: true`.
    pub(super) fn header_matcher(&mut self, node: &mut Node) {
        self.safe_regex(node, "regex_match", "safe_regex_match");
        self.value_and_regex(node);
    }

    /// `value` with `regex` beside it becomes a `string_match`.
    pub(super) fn value_and_regex(&mut self, node: &mut Node) {
        let regex = node.discard("regex");
        let is_regex = regex.as_ref().is_some_and(|entry| entry.value.as_text().is_some_and(is_true));
        let Some(entry) = node.remove("value") else { return };
        self.report.changed(entry.line, "`value` and `regex` are a `string_match` now");
        let value = entry.value.clone();
        let matcher = match is_regex {
            true => Node::map([("safe_regex", Node::map([("regex", value)]))]),
            false => Node::map([("exact", value)]),
        };
        self.put(node, "string_match", matcher, &entry);
    }

    /// `VirtualCluster`: a pattern for the path, and a method.
    pub(super) fn virtual_cluster(&mut self, node: &mut Node) {
        for (key, header) in [("pattern", ":path"), ("method", ":method")] {
            let Some(entry) = node.discard(key) else { continue };
            self.report.changed(entry.line, format!("`{key}` is a match of the header `{header}` now"));
            let matcher = match key {
                "pattern" => Node::map([("safe_regex", Node::map([("regex", entry.value)]))]),
                _ => Node::map([("exact", entry.value)]),
            };
            let header = Node::map([("name", Node::text(header)), ("string_match", matcher)]);
            node.push_at("headers", Child::item(header));
        }
    }

    /// `CorsPolicy`.
    pub(super) fn cors(&mut self, node: &mut Node) {
        for (key, is_regex) in [("allow_origin", false), ("allow_origin_regex", true)] {
            let Some(entry) = node.remove(key) else { continue };
            self.report.changed(entry.line, format!("`{key}` is `allow_origin_string_match` now"));
            for mut item in Node::items_of(entry) {
                item.value = match is_regex {
                    true => Node::map([("safe_regex", Node::map([("regex", item.value)]))]),
                    false => Node::map([("exact", item.value)]),
                };
                node.push_at("allow_origin_string_match", item);
            }
        }
        if let Some(entry) = node.remove("enabled") {
            let percent = if entry.value.as_text().is_some_and(is_true) { "100" } else { "0" };
            self.report.changed(entry.line, "`enabled` is `filter_enabled` now");
            let value = Node::map([(
                "default_value",
                Node::map([("numerator", Node::plain(percent)), ("denominator", Node::plain("HUNDRED"))]),
            )]);
            self.put(node, "filter_enabled", value, &entry);
        }
    }
}

fn is_true(text: &str) -> bool {
    matches!(&*text.to_ascii_lowercase(), "true" | "yes" | "on" | "y")
}
