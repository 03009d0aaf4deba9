//! Placeholders of other tools, which nobody fills in once a file is imported: `$PORT`, a bare `PORT`
//! for `sed`, `{{ port }}`.
//!
//! Comes in: a tree for today's API. Goes out: a remark for each place where such a one must be, since
//! it is no number where a number must stand, or a whole value in double braces.

use super::placeholders;
use super::report::Report;
use super::tree::{Form, Node};
use super::typed;
use crate::envoy_api::{Api, MessageType, Scalar, ValueType, WellKnown};
use crate::load::scalar;

/// Tells of them.
pub(super) fn note(api: &Api, message: &str, node: &Node, report: &mut Report) {
    typed::look(api, message, node, &mut |ty, node| match ty.well_known {
        Some(WellKnown::Wrapper(kind)) => value(ValueType::Scalar(kind), node, report),
        Some(WellKnown::Duration) => {
            let text = node.as_text().filter(|text| scalar::duration(text).is_none());
            tell(text.and_then(word), node, report);
        }
        Some(_) => {}
        None => fields(ty, node, report),
    });
}

fn fields(ty: &MessageType, node: &Node, report: &mut Report) {
    for child in node.entries() {
        let Some(field) = ty.field(&child.key) else { continue };
        for element in child.value.elements() {
            value(field.value, element, report);
        }
    }
}

fn value(ty: ValueType, node: &Node, report: &mut Report) {
    let Form::Scalar(_) = node.form else { return };
    let Some(text) = node.as_text().map(str::trim).filter(|text| !placeholders::has_any(text)) else {
        return;
    };
    let name = match ty {
        ValueType::Scalar(Scalar::String) => braced(text),
        ValueType::Scalar(Scalar::Bool | Scalar::Bytes) | ValueType::Message(_) | ValueType::Enum(_) => None,
        ValueType::Scalar(_) => word(text),
    };
    tell(name, node, report);
}

fn tell(name: Option<&str>, node: &Node, report: &mut Report) {
    if let (Some(name), Some(text)) = (name, node.as_text()) {
        report.decide(
            node.line,
            format!("`{text}` is filled in by another tool: write `${{{name}}}`, and the bridge fills it in"),
        );
    }
}

/// The name in a text that is nothing but double braces about one.
fn braced(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    named(inner.trim().trim_start_matches('.'))
}

/// The name for which a text stands that should be a number.
fn word(text: &str) -> Option<&str> {
    if scalar::double(text).is_some() || scalar::signed(text).is_ok() || scalar::unsigned(text).is_ok() {
        return None;
    }
    braced(text).or_else(|| named(text.trim_start_matches('$').trim_matches('@').trim_matches('_')))
}

fn named(text: &str) -> Option<&str> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::bootstrap::BOOTSTRAP;
    use crate::migrate::read;

    fn told(text: &str) -> Vec<u32> {
        let api = Api::embedded().expect("linked");
        let mut report = Report::default();
        note(&api, BOOTSTRAP, &read::read(text).expect("YAML").root, &mut report);
        report.finish().into_iter().map(|remark| remark.line).collect()
    }

    #[test]
    fn what_another_tool_fills_in_is_told_and_nothing_else() {
        let address = |port: &str, host: &str| {
            format!(
                "admin:\n  address:\n    socket_address:\n      address: {host}\n      port_value: {port}\n"
            )
        };
        for port in ["$PORT", "PORT", "\"{{ port }}\"", "\"{{.Port}}\"", "__PORT__", "\"@PORT@\""] {
            assert_eq!(told(&address(port, "x")), [5], "{port}");
        }
        assert_eq!(told(&address("1", "\"{{ host }}\"")), [4]);
        for fine in ["1", "\"80\"", "0x1F", "${PORT}", "\"${PORT:-80}\"", "1e3", "null", "[1]", "80 81"] {
            assert_eq!(told(&address(fine, "$HOST")), [0_u32; 0], "{fine}");
        }
        assert_eq!(told("stats_flush_interval: $WAIT"), [1]);
        assert_eq!(told("stats_flush_interval: 5s"), [0_u32; 0]);
    }
}
