//! Values that are made up: how they are quoted, and what they look like.

use super::{Child, Form, Node, Props, Scalar};
use crate::migrate::placeholders;

impl Child {
    /// An entry that was made up.
    pub fn entry(key: &str, value: Node) -> Child {
        Child { key_raw: quoted(key), key: key.to_owned(), ..Child::item(value) }
    }

    /// An element that was made up; it keeps the line of its value.
    pub fn item(value: Node) -> Child {
        let line = value.line;
        Child {
            key: String::new(),
            key_raw: String::new(),
            before: Vec::new(),
            comment: None,
            gap: 1,
            line,
            value,
        }
    }
}

impl Node {
    fn made(form: Form) -> Node {
        Node { changed: true, ..Node::read(form, Props::default(), 0) }
    }

    /// A text; quoted if it would be read as anything else otherwise.
    pub fn text(text: &str) -> Node {
        let raw = quoted(text);
        let plain = raw == text;
        Node::made(Form::Scalar(Scalar { lines: vec![raw], text: text.to_owned(), plain }))
    }

    /// A number, truth value or null, as written.
    pub fn plain(text: &str) -> Node {
        Node::made(Form::Scalar(Scalar { lines: vec![text.to_owned()], text: text.to_owned(), plain: true }))
    }

    /// A text of several lines as a block, if it can be one.
    pub fn long_text(text: &str) -> Node {
        let Some(lines) = block_lines(text) else { return Node::text(text) };
        Node::made(Form::Scalar(Scalar { lines, text: text.to_owned(), plain: false }))
    }

    /// Writes each `${` in it so that the bridge, which would fill in a variable, reads just that.
    pub fn escape_placeholders(&mut self) {
        if let Form::Scalar(scalar) = &mut self.form
            && placeholders::has_any(&scalar.text)
        {
            scalar.lines = block_lines(&doubled(&scalar.text)).unwrap_or_else(|| vec![escaped(&scalar.text)]);
            scalar.plain = false;
            self.changed = true;
        }
        for child in self.children_mut() {
            if placeholders::has_any(&child.key) {
                child.key_raw = escaped(&child.key);
            }
            child.value.escape_placeholders();
        }
    }

    /// A mapping.
    pub fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Node)>) -> Node {
        Node::made(Form::Map(entries.into_iter().map(|(key, value)| Child::entry(key, value)).collect()))
    }

    /// A list.
    pub fn list(elements: impl IntoIterator<Item = Node>) -> Node {
        Node::made(Form::List(elements.into_iter().map(Child::item).collect()))
    }

    /// A list of children that already are ones.
    pub fn list_of(children: Vec<Child>) -> Node {
        Node::made(Form::List(children))
    }

    /// `{"@type": …}` with more behind it.
    pub fn typed(full_name: &str) -> Node {
        Node::map([("@type", Node::text(&format!("type.googleapis.com/{full_name}")))])
    }
}

/// A text as YAML, plain if that says the same to every reader.
pub fn quoted(text: &str) -> String {
    let head = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/' | '.');
    let body = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    let is_word = text.starts_with(head) && text.chars().all(body);
    let is_taken = matches!(
        &*text.to_ascii_lowercase(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "." | "..."
    ) || text.starts_with('.');
    if is_word && !is_taken { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// The bridge's way to write what looks like a placeholder and is none.
fn doubled(text: &str) -> String {
    text.replace("${", "$${")
}

/// A text with `${` in it in quotes. What stands in a placeholder is taken as it is written, backslashes too: so
/// a text that needs them hides the sign itself.
fn escaped(text: &str) -> String {
    let raw = quoted(&doubled(text));
    match raw.contains('\\') {
        true => quoted(text).replace("${", "\\u0024{"),
        false => raw,
    }
}

/// The lines of a `|` block that says exactly this text.
fn block_lines(text: &str) -> Option<Vec<String>> {
    let body = text.trim_end_matches('\n');
    let is_printable = |c: char| c == '\n' || (!c.is_control() && c != '\u{feff}' && c != '\u{2028}');
    if !body.contains('\n') || body.starts_with([' ', '\n']) || !text.chars().all(is_printable) {
        return None;
    }
    let header = match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let indented = lines.map(|line| if line.is_empty() { String::new() } else { format!("  {line}") });
    Some(std::iter::once(header.to_owned()).chain(indented).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_when_it_would_be_something_else() {
        for plain in ["a", "envoy.filters.http.router", "type.googleapis.com/x.Y", "/etc/x", "STRICT_DNS"] {
            assert_eq!(quoted(plain), plain);
        }
        for other in ["", "yes", "Off", "1", "0x1", "a: b", "*", "-", "~", "null", "a b", "é", "@type", ".5"]
        {
            assert_eq!(quoted(other), serde_json::Value::from(other).to_string());
        }
    }
}
