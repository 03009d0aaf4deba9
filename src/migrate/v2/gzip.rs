//! The gzip filter, gone since 2021: the compressor with the gzip library does its work.

use super::super::report::Report;
use super::super::tree::{Child, Node};

const COMPRESSOR: &str = "envoy.extensions.filters.http.compressor.v3.Compressor";
const LIBRARY: &str = "envoy.extensions.compression.gzip.compressor.v3.Gzip";

/// Turns the configuration of a gzip filter into one of a compressor.
pub(super) fn to_compressor(node: &mut Node, report: &mut Report) {
    report.changed(node.line, "the gzip filter is the compressor filter with the gzip library now");
    let mut old = std::mem::replace(node, Node::typed(COMPRESSOR));
    node.line = old.line;
    old.remove("@type");
    let mut common = Node::map([]);
    // Later versions of the old filter had these one level deeper.
    if let Some(mut deeper) = old.remove("compressor") {
        let children = deeper.value.edit().map(std::mem::take).unwrap_or_default();
        old.edit().expect("the configuration of a filter is a mapping").extend(children);
    }
    for (from, to) in [
        ("content_length", "min_content_length"),
        ("content_type", "content_type"),
        ("runtime_enabled", "enabled"),
    ] {
        take(&mut old, from, &mut common, to);
    }
    let mut response = Node::map([]);
    if !common.children().is_empty() {
        response.set("common_config", common);
    }
    for key in ["disable_on_etag_header", "remove_accept_encoding_header"] {
        take(&mut old, key, &mut response, key);
    }
    if !response.children().is_empty() {
        node.set("response_direction_config", response);
    }
    let mut library = Node::typed(LIBRARY);
    for key in ["memory_level", "compression_level", "compression_strategy", "window_bits", "chunk_size"] {
        take(&mut old, key, &mut library, key);
    }
    renamed(&mut library, "compression_level", |old| match old {
        "DEFAULT" => Some("DEFAULT_COMPRESSION"),
        "BEST" => Some("BEST_COMPRESSION"),
        "SPEED" => Some("BEST_SPEED"),
        _ => None,
    });
    renamed(&mut library, "compression_strategy", |old| match old {
        "DEFAULT" => Some("DEFAULT_STRATEGY"),
        "HUFFMAN" => Some("HUFFMAN_ONLY"),
        _ => None,
    });
    node.set(
        "compressor_library",
        Node::map([("name", Node::text("text_optimized")), ("typed_config", library)]),
    );
    // What is left is nothing that we know; left where it was, it will be told.
    for child in old.edit().map(std::mem::take).unwrap_or_default() {
        node.edit().expect("it was made as a mapping").push(child);
    }
}

fn take(from: &mut Node, key: &str, to: &mut Node, new: &str) {
    if let Some(entry) = from.remove(key) {
        let made = Child::entry(new, entry.value);
        to.edit().expect("it was made as a mapping").push(Child {
            before: entry.before,
            comment: entry.comment,
            line: entry.line,
            ..made
        });
    }
}

fn renamed(node: &mut Node, key: &str, name: impl Fn(&str) -> Option<&'static str>) {
    if let Some(value) = node.get_mut(key) {
        let new = value.as_text().and_then(|old| name(&old.to_ascii_uppercase()));
        if let Some(new) = new {
            value.set_text(new);
        }
    }
}
