//! A resource as it may be shown: its content as JSON without secrets, and the version that covers all.
//!
//! Comes in: a resource, or what a daemon tells of one. Goes out: a [`Shown`], to be compared with others.
//! Keeps the invariant that nothing in it tells one secret from another but the version.

use super::compare::{describe, shown as without_numbers};
use super::message::{self, Malformed, Secrets};
use super::tree::{Child, Form, Node};
use crate::envoy_api::Api;
use crate::resource::{Kind, Resource, Selector};

/// A resource without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Who receives it, in words; nothing: every Envoy.
    pub nodes: Option<String>,
    /// The digest of its content, secrets included.
    pub version: String,
    /// How long it is valid at its receiver, if that is limited.
    pub ttl: Option<String>,
    /// Its content.
    pub content: serde_json::Value,
}

/// Shows a resource.
///
/// # Errors
/// If it is not of this API.
pub fn show(api: &Api, resource: &Resource, nodes: Option<&Selector>) -> Result<Shown, Malformed> {
    let kind = resource.kind();
    let ty = api.message(kind.message()).ok_or_else(|| Malformed(kind.message().to_owned()))?;
    let tree = message::redacted(api, ty, resource.body(), kind == Kind::Secret, &mut Secrets::default())?;
    Ok(Shown {
        kind,
        name: resource.name().to_string(),
        nodes: nodes.map(describe),
        version: resource.digest().to_string(),
        ttl: ttl(resource),
        content: json(&tree, without_numbers),
    })
}

/// How long a resource is valid, in words.
pub(super) fn ttl(resource: &Resource) -> Option<String> {
    resource.ttl().map(|ttl| format!("{}s", ttl.as_secs_f64()))
}

impl Shown {
    /// Its content as a tree.
    pub(super) fn tree(&self) -> Node {
        tree(&self.content)
    }
}

/// A message as JSON, its texts as `text` gives them.
pub(super) fn json(node: &Node, text: fn(&str) -> String) -> serde_json::Value {
    match &node.form {
        Form::Scalar(scalar) if scalar.plain => {
            // Numbers, truth values and null; all else is text without quotes.
            serde_json::from_str(&scalar.text).unwrap_or_else(|_| scalar.text.clone().into())
        }
        Form::Scalar(scalar) => text(&scalar.text).into(),
        // A message is made without aliases.
        Form::Alias(name, _) => name.clone().into(),
        Form::List(children) => children.iter().map(|child| json(&child.value, text)).collect(),
        Form::Map(children) => {
            let entry = |child: &Child| (child.key.clone(), json(&child.value, text));
            serde_json::Value::Object(children.iter().map(entry).collect())
        }
    }
}

/// JSON as a tree.
pub(super) fn tree(value: &serde_json::Value) -> Node {
    match value {
        serde_json::Value::String(text) if is_duration(text) => Node::plain(text),
        serde_json::Value::String(text) => Node::text(text),
        serde_json::Value::Array(elements) => Node::list(elements.iter().map(tree)),
        serde_json::Value::Object(entries) => {
            Node::map(entries.iter().map(|(key, value)| (key.as_str(), tree(value))))
        }
        other => Node::plain(&other.to_string()),
    }
}

/// Whether it is a duration as Envoy writes it, which needs no quotes.
fn is_duration(text: &str) -> bool {
    let number = text.strip_suffix('s').unwrap_or_default();
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Difference, compare_shown};
    use super::*;
    use crate::load;

    fn shown(api: &Api, text: &str) -> Vec<Shown> {
        let loaded = load::load_file(api, &"x".into(), text.as_bytes());
        assert!(loaded.is_sound(), "{:?}", loaded.diagnostics);
        let show = |item: &load::Item| show(api, &item.resource, item.nodes.as_deref()).expect("of this API");
        loaded.items.iter().map(show).collect()
    }

    fn changes(before: &str, after: &str) -> Vec<String> {
        let api = Api::embedded().expect("linked");
        let mut lines = Vec::new();
        for Difference { name, change, .. } in compare_shown(&shown(&api, before), &shown(&api, after)) {
            match change {
                Change::Added => lines.push(format!("+ {name}")),
                Change::Removed => lines.push(format!("- {name}")),
                Change::Changed(fields) => lines.extend(
                    fields.into_iter().map(|f| format!("{name} {}: {:?} -> {:?}", f.path, f.before, f.after)),
                ),
            }
        }
        lines
    }

    #[test]
    fn what_is_shown_differs_where_it_does_and_no_secret_is_in_it() {
        let before = "clusters: [{name: a, connect_timeout: 1s}, {name: b}]";
        let after = "clusters: [{name: a, connect_timeout: 2.5s}, {name: c}]";
        assert_eq!(
            changes(before, after),
            ["a connect_timeout: Some(\"1s\") -> Some(\"2.5s\")", "- b", "+ c"]
        );
        let secret = |text: &str| {
            format!("secrets: [{{name: s, generic_secret: {{secret: {{inline_string: {text}}}}}}}]")
        };
        assert_eq!(
            changes(&secret("hush"), &secret("quiet")),
            ["s (a secret value): Some(\"[redacted]\") -> Some(\"[redacted]\")"]
        );
        assert_eq!(changes(&secret("hush"), &secret("hush")), [""; 0]);
        let api = Api::embedded().expect("linked");
        let all = format!("{:?}", shown(&api, &secret("hush")));
        assert!(all.contains("[redacted]\"") && !all.contains("hush"), "{all}");
    }
}
