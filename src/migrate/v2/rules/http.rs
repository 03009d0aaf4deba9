//! Fields that are gone from routes, from the connection manager, and from HTTP filters.

use super::super::super::tree::{Child, Node};
use super::Rules;

impl Rules<'_> {
    pub(super) fn route_match(&mut self, node: &mut Node) {
        self.safe_regex(node, "regex", "safe_regex");
        let Some(entry) = node.remove("runtime") else { return };
        self.report.changed(entry.line, "`runtime` is `runtime_fraction` now");
        let mut fraction = Node::map([]);
        let value = entry.value.get("default_value").cloned().unwrap_or_else(|| Node::plain("0"));
        fraction
            .set("default_value", Node::map([("numerator", value), ("denominator", Node::plain("HUNDRED"))]));
        if let Some(key) = entry.value.get("runtime_key") {
            fraction.set("runtime_key", key.clone());
        }
        self.put(node, "runtime_fraction", fraction, &entry);
    }

    /// What is done to headers was said in the action for a while.
    pub(super) fn route(&mut self, node: &mut Node) {
        let fields = ["request_headers_to_add", "response_headers_to_add", "response_headers_to_remove"];
        for field in fields {
            let Some(action) = node.get_mut("route") else { return };
            let Some(entry) = action.remove(field) else { continue };
            self.report.changed(entry.line, format!("`{field}` stands beside `route` now"));
            if node.has(field) {
                for item in Node::items_of(entry) {
                    node.push_at(field, item);
                }
            } else if let Some(children) = node.edit() {
                children.push(entry);
            }
        }
    }

    pub(super) fn route_action(&mut self, node: &mut Node) {
        if let Some(entry) = node.remove("request_mirror_policy") {
            self.report.changed(entry.line, "`request_mirror_policy` is `request_mirror_policies` now");
            self.put(node, "request_mirror_policies", Node::list([entry.value.clone()]), &entry);
        }
        if let Some(entry) = node.discard("use_websocket") {
            self.report.changed(entry.line, "`use_websocket` is an entry of `upgrade_configs` now");
            if entry.value.as_text().is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                let upgrade = Node::map([("upgrade_type", Node::text("websocket"))]);
                node.push_at("upgrade_configs", Child::item(upgrade));
            }
        }
    }

    /// A runtime key alone meant: nothing, unless the runtime says so, in ten-thousandths.
    pub(super) fn mirror(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("runtime_key") else { return };
        self.report.changed(entry.line, "`runtime_key` is `runtime_fraction` now");
        let none = [("numerator", Node::plain("0")), ("denominator", Node::plain("TEN_THOUSAND"))];
        let fraction = Node::map([("default_value", Node::map(none)), ("runtime_key", entry.value.clone())]);
        self.put(node, "runtime_fraction", fraction, &entry);
    }

    pub(super) fn connection_manager(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("idle_timeout") else { return };
        self.report.changed(entry.line, "`idle_timeout` is in `common_http_protocol_options` now");
        let options = node.map_at("common_http_protocol_options");
        self.put(options, "idle_timeout", entry.value.clone(), &entry);
    }

    pub(super) fn tracing(&mut self, node: &mut Node) {
        if let Some(entry) = node.discard("operation_name") {
            let direction = if entry.value.as_text().is_some_and(|text| text.eq_ignore_ascii_case("egress")) {
                "OUTBOUND"
            } else {
                "INBOUND"
            };
            self.report.changed(
                entry.line,
                format!("`operation_name` removed: the listener's `traffic_direction: {direction}` says it now, if anybody asks"),
            );
        }
        if let Some(entry) = node.remove("request_headers_for_tags") {
            self.report.changed(entry.line, "`request_headers_for_tags` is `custom_tags` now");
            for mut item in Node::items_of(entry) {
                let header = Node::map([("name", item.value.clone())]);
                item.value = Node::map([("tag", item.value), ("request_header", header)]);
                node.push_at("custom_tags", item);
            }
        }
    }

    pub(super) fn client_certificate(&mut self, node: &mut Node) {
        if let Some(entry) = node.remove("san") {
            self.report.changed(entry.line, "`san` is `uri` now");
            self.put(node, "uri", entry.value.clone(), &entry);
        }
    }

    /// Whole percents are fractions now.
    pub(super) fn fault(&mut self, node: &mut Node) {
        let Some(entry) = node.remove("percent") else { return };
        self.report.changed(entry.line, "`percent` is `percentage` now");
        let fraction =
            Node::map([("numerator", entry.value.clone()), ("denominator", Node::plain("HUNDRED"))]);
        self.put(node, "percentage", fraction, &entry);
    }

    pub(super) fn health_check_filter(&mut self, node: &mut Node) {
        let Some(entry) = node.discard("endpoint") else { return };
        self.report.changed(entry.line, "`endpoint` is a match of the header `:path` now");
        let matcher = Node::map([("exact", entry.value)]);
        let header = Node::map([("name", Node::text(":path")), ("string_match", matcher)]);
        node.push_at("headers", Child::item(header));
    }
}
