//! Keys that stand twice in one mapping: the last one counts, for Envoy too.
//!
//! Comes in: a source as it was read. Goes out: the same without the entries that count for nothing, and a
//! remark for each. They must not stay: where what counts is taken out or gets another key, they would begin
//! to count.

use super::read::Document;
use super::report::Report;
use super::tree::Node;

/// Leaves out what a later entry overrules.
pub(super) fn leave_out(document: &mut Document, report: &mut Report) {
    look(&mut document.root, &mut |line, key| {
        let message =
            format!("`{key}` stands further down again, and the last one counts: this one is left out");
        report.changed(line, message);
    });
    // What aliases stand for is kept beside the tree; it was told of above.
    for node in document.anchors.values_mut() {
        look(node, &mut |_, _| {});
    }
}

fn look(node: &mut Node, tell: &mut impl FnMut(u32, &str)) {
    for child in node.remove_overruled() {
        tell(child.line, &child.key);
    }
    for child in node.children_mut() {
        look(&mut child.value, tell);
    }
}
