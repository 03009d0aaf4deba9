//! Headers that routes add, and texts with `%COMMANDS%`.

use super::super::decode::Decoder;
use super::super::yaml::{Node, Value};
use super::{child, elements};
use crate::diagnostic::{Severity, Span};

/// Fields that add headers, and those that remove some.
const ADDED: [&str; 2] = ["request_headers_to_add", "response_headers_to_add"];
const REMOVED: [&str; 2] = ["request_headers_to_remove", "response_headers_to_remove"];

impl Decoder<'_> {
    /// The headers that a route, a virtual host or a whole route configuration changes.
    pub(super) fn lint_headers(&mut self, node: &Node<'_>) {
        for field in ADDED {
            for (index, option) in elements(node, field).iter().enumerate() {
                let Some(header) = child(option, "header") else { continue };
                if let Some(key) = child(header, "key").filter(|key| key.text().is_some_and(is_fixed)) {
                    self.fixed_header(&format!("{field}[{index}].header.key"), key.span, "changed");
                }
                if let Some(value) = child(header, "value") {
                    self.lint_format(&format!("{field}[{index}].header.value"), value);
                }
            }
        }
        for field in REMOVED {
            for (index, name) in elements(node, field).iter().enumerate() {
                if name.text().is_some_and(is_fixed) {
                    self.fixed_header(&format!("{field}[{index}]"), name.span, "removed");
                }
            }
        }
    }

    fn fixed_header(&mut self, place: &str, span: Span, what: &str) {
        let message = format!("headers that begin with `:`, and `host`, cannot be {what} here");
        self.findings.add_under(place, Severity::Error, "bad-header", span, message).hint = Some(
            "a route's `host_rewrite_literal` and `prefix_rewrite` change the host and the path".to_owned(),
        );
    }

    /// The texts of an access log's format and the like, in these fields.
    pub(super) fn lint_formats(&mut self, node: &Node<'_>, fields: &[&str]) {
        for field in fields {
            if let Some(value) = child(node, field) {
                let text = child(value, "inline_string").filter(|_| *field == "text_format_source");
                self.lint_format(field, text.unwrap_or(value));
            }
        }
    }

    /// A text, or all texts in a structure.
    fn lint_format(&mut self, place: &str, node: &Node<'_>) {
        match &node.value {
            Value::Mapping(entries) => entries.iter().for_each(|entry| self.lint_format(place, &entry.value)),
            Value::Sequence(elements) => elements.iter().for_each(|element| self.lint_format(place, element)),
            Value::File(_) | Value::Unknown => {}
            Value::Scalar(text, _) => {
                let Some(at) = broken_command(text) else { return };
                let message = format!("the `%` at position {at} begins no command");
                let span = self.findings.head(node.span);
                self.findings.add_under(place, Severity::Error, "bad-format", span, message).hint = Some(
                    "commands look like %REQ(:path)% or %START_TIME%; write %% for a plain percent sign"
                        .to_owned(),
                );
            }
        }
    }
}

/// Whether a header is part of how a request is routed.
fn is_fixed(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

/// Where a `%` stands that neither begins a command nor is doubled.
fn broken_command(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('%') {
        let start = at + found;
        match command_len(&text[start..]) {
            Some(len) => at = start + len,
            None => return Some(start),
        }
    }
    None
}

/// The length of the command at the beginning of a text: `%%`, `%NAME%`, `%NAME(…)%`, `%NAME(…):5%`.
fn command_len(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('%')?;
    if rest.starts_with('%') {
        return Some(2);
    }
    let name = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
    let behind = &rest[name..];
    if name == 0 {
        return None;
    }
    // What stands between the parentheses may hold both parentheses and percent signs.
    let ends = behind.match_indices(')').map(|(at, _)| at + 1);
    let inner = behind.starts_with('(').then_some(ends).into_iter().flatten();
    let end = std::iter::once(0).chain(inner).find_map(|at| Some(at + tail_len(&behind[at..])?))?;
    Some(1 + name + end)
}

/// The length of `%` or `:5%`.
fn tail_len(text: &str) -> Option<usize> {
    let Some(rest) = text.strip_prefix(':') else { return text.starts_with('%').then_some(1) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && rest[digits..].starts_with('%')).then_some(digits + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_stray_percent_signs_as_envoy_does() {
        for good in [
            "",
            "%%",
            "%REQ(X)%",
            "%REQ(X):5%",
            "%REQ(a%b)%",
            "%START_TIME(%Y)%",
            "a%%b%PROTOCOL%c",
            "%A(b(c))%",
        ] {
            assert_eq!(broken_command(good), None, "{good}");
        }
        let bad = [
            ("50% off", 2),
            ("100%", 3),
            ("%REQ(X)", 0),
            ("%req(x)%", 0),
            ("% %", 0),
            ("%REQ(X):a%", 0),
            ("%REQ(X)x%", 0),
            ("%REQ(X)%%", 8),
            ("a%b%c", 1),
            ("%-1%", 0),
            ("ä%", 2),
        ];
        for (text, at) in bad {
            assert_eq!(broken_command(text), Some(at), "{text}");
        }
    }
}
