//! What differs between two configurations: added, changed field by field, removed.
//!
//! Comes in: the resources of both. Goes out: [`Difference`]s by kind and name. Secrets are compared
//! but never shown. A resource that goes to other nodes than before has changed, too.

use std::collections::BTreeMap;

use super::message::{self, Malformed, REDACTED, Secrets};
use super::shown::Shown;
use super::tree::{Form, Node};
use crate::envoy_api::Api;
use crate::resource::{Kind, NodePattern, Resource, Selector};

/// How a resource differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second configuration has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, and these fields differ.
    Changed(Vec<Field>),
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, such as `load_assignment.endpoints[0]`.
    pub path: String,
    /// What it was, as YAML on one line; nothing if it was not there.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// A resource that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Who receives it; nothing: every Envoy.
    pub nodes: Option<String>,
    /// How it differs.
    pub change: Change,
}

/// A resource and who receives it.
pub type Held<'r> = (&'r Resource, Option<&'r Selector>);

/// Compares two configurations. Resources of one name that go to different nodes are told apart.
///
/// # Errors
/// If a resource is not of this API.
pub fn compare<'r>(
    api: &Api,
    before: impl IntoIterator<Item = Held<'r>>,
    after: impl IntoIterator<Item = Held<'r>>,
) -> Result<Vec<Difference>, Malformed> {
    let sides = Sides {
        key: |one: &Held<'r>| (one.0.kind(), one.0.name().to_string()),
        nodes: |one: &Held<'r>| one.1.map(describe),
        fields: |one: &Held<'r>, other: &Held<'r>| changed_fields(api, one.0, other.0),
    };
    sides.compare(before, after)
}

/// Compares what two configurations show, secrets left out. That only a secret differs is found by the
/// version.
pub fn compare_shown(before: &[Shown], after: &[Shown]) -> Vec<Difference> {
    let sides = Sides {
        key: |one: &&Shown| (one.kind, one.name.clone()),
        nodes: |one: &&Shown| one.nodes.clone(),
        fields: |one: &&Shown, other: &&Shown| Ok(shown_fields(one, other)),
    };
    let differences: Result<_, std::convert::Infallible> = sides.compare(before, after);
    differences.unwrap_or_default()
}

/// How two configurations are compared: what a resource is found by, who receives it, what differs.
struct Sides<K, N, F> {
    key: K,
    nodes: N,
    fields: F,
}

impl<K, N, F> Sides<K, N, F> {
    fn compare<T, E>(
        &self,
        before: impl IntoIterator<Item = T>,
        after: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Difference>, E>
    where
        T: Copy,
        K: Fn(&T) -> (Kind, String),
        N: Fn(&T) -> Option<String>,
        F: Fn(&T, &T) -> Result<Vec<Field>, E>,
    {
        let (mut before, mut after) = (by_name(before, &self.key), by_name(after, &self.key));
        let mut differences = Vec::new();
        let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        for (kind, name) in keys {
            let mut old = before.remove(&(kind, name.clone())).unwrap_or_default();
            let mut new = after.remove(&(kind, name.clone())).unwrap_or_default();
            let mut add = |nodes: Option<String>, change| {
                differences.push(Difference { kind, name: name.clone(), nodes, change });
            };
            // First those for the same nodes, then what is left in the order of the files.
            let mut pairs = Vec::new();
            old.retain(|one| match new.iter().position(|other| (self.nodes)(other) == (self.nodes)(one)) {
                Some(at) => {
                    pairs.push((*one, new.remove(at)));
                    false
                }
                None => true,
            });
            let left = old.len().min(new.len());
            pairs.extend(old.drain(..left).zip(new.drain(..left)));
            for (one, other) in pairs {
                let mut fields = (self.fields)(&one, &other)?;
                let (was, is) = ((self.nodes)(&one), (self.nodes)(&other));
                if was != is {
                    fields.insert(0, Field { path: "nodes".into(), before: was, after: is.clone() });
                }
                if !fields.is_empty() {
                    add(is, Change::Changed(fields));
                }
            }
            for one in old {
                add((self.nodes)(&one), Change::Removed);
            }
            for one in new {
                add((self.nodes)(&one), Change::Added);
            }
        }
        Ok(differences)
    }
}

fn by_name<T>(
    held: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> (Kind, String),
) -> BTreeMap<(Kind, String), Vec<T>> {
    let mut all: BTreeMap<_, Vec<T>> = BTreeMap::new();
    for one in held {
        all.entry(key(&one)).or_default().push(one);
    }
    all
}

fn shown_fields(before: &Shown, after: &Shown) -> Vec<Field> {
    let mut fields = Vec::new();
    if before.version == after.version {
        return fields;
    }
    differ(&before.tree(), &after.tree(), &mut String::new(), &mut fields);
    if before.ttl != after.ttl {
        let (before, after) = (before.ttl.clone(), after.ttl.clone());
        fields.push(Field { path: "ttl".into(), before, after });
    }
    if fields.is_empty() {
        let hidden = || Some(REDACTED.to_owned());
        fields.push(Field { path: "(a secret value)".into(), before: hidden(), after: hidden() });
    }
    fields
}

fn changed_fields(api: &Api, before: &Resource, after: &Resource) -> Result<Vec<Field>, Malformed> {
    if before.digest() == after.digest() {
        return Ok(Vec::new());
    }
    let kind = before.kind();
    let ty = api.message(kind.message()).ok_or_else(|| Malformed(kind.message().to_owned()))?;
    let mut secrets = Secrets::default();
    let mut tree =
        |resource: &Resource| message::redacted(api, ty, resource.body(), kind == Kind::Secret, &mut secrets);
    let (old, new) = (tree(before)?, tree(after)?);
    let mut fields = Vec::new();
    differ(&old, &new, &mut String::new(), &mut fields);
    if before.ttl() != after.ttl() {
        fields.push(Field {
            path: "ttl".into(),
            before: super::shown::ttl(before),
            after: super::shown::ttl(after),
        });
    }
    Ok(fields)
}

fn differ(old: &Node, new: &Node, path: &mut String, fields: &mut Vec<Field>) {
    let length = path.len();
    match (&old.form, &new.form) {
        (Form::Map(_), Form::Map(_)) => {
            let added = new.entries().iter().filter(|child| !has(old, &child.key));
            let keys = old.entries().iter().chain(added).map(|child| &*child.key);
            for key in keys {
                push_key(path, key);
                side_by_side(value(old, key), value(new, key), path, fields);
                path.truncate(length);
            }
        }
        (Form::List(_), Form::List(_)) => list(&old.elements(), &new.elements(), path, fields),
        _ => {
            let (before, after) = (brief(old), brief(new));
            if before != after && !is_untold(&before, &after) {
                fields.push(Field {
                    path: path.clone(),
                    before: Some(shown(&before)),
                    after: Some(shown(&after)),
                });
            }
        }
    }
}

/// Whether one of these is a secret that an Envoy did not tell, and the other is one, too: whether they
/// differ is not known.
fn is_untold(before: &str, after: &str) -> bool {
    let untold = format!("\"{REDACTED}\"");
    let is_secret = |text: &str| text.starts_with(&format!("\"{REDACTED}"));
    is_secret(before) && is_secret(after) && (before == untold || after == untold)
}

/// Lists of named things are compared by name, others by what is at the same place from either end.
fn list(old: &[&Node], new: &[&Node], path: &mut String, fields: &mut Vec<Field>) {
    let length = path.len();
    let texts = |nodes: &[&Node]| nodes.iter().map(|node| brief(node)).collect::<Vec<_>>();
    let (a, b) = (texts(old), texts(new));
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - back, new.len() - back);
    let both = (old_end - front).min(new_end - front);
    for at in front..old_end.max(new_end) {
        path.push_str(&format!("[{at}]"));
        let one = (at < old_end).then(|| old[at]);
        let other = (at < new_end).then(|| new[at]);
        match at < front + both {
            true => side_by_side(one, other, path, fields),
            false => side_by_side(
                one.filter(|_| old_end > new_end),
                other.filter(|_| new_end > old_end),
                path,
                fields,
            ),
        }
        path.truncate(length);
    }
}

fn side_by_side(old: Option<&Node>, new: Option<&Node>, path: &mut String, fields: &mut Vec<Field>) {
    match (old, new) {
        (Some(old), Some(new)) => differ(old, new, path, fields),
        (None, None) => {}
        _ => {
            let text = |node: Option<&Node>| node.map(|node| shown(&brief(node)));
            fields.push(Field { path: path.clone(), before: text(old), after: text(new) });
        }
    }
}

fn has(node: &Node, key: &str) -> bool {
    value(node, key).is_some()
}

/// The value under exactly this key, null too.
fn value<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.entries().iter().find(|child| child.key == key).map(|child| &child.value)
}

fn push_key(path: &mut String, key: &str) {
    let simple =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@'));
    if simple {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push_str(&format!("[{}]", serde_json::Value::from(key)));
    }
}

/// A value on one line.
fn brief(node: &Node) -> String {
    match &node.form {
        Form::Scalar(scalar) if scalar.plain => scalar.text.clone(),
        Form::Scalar(scalar) => serde_json::Value::from(&*scalar.text).to_string(),
        Form::Alias(name, _) => format!("*{name}"),
        Form::List(children) => {
            let parts: Vec<String> = children.iter().map(|child| brief(&child.value)).collect();
            format!("[{}]", parts.join(", "))
        }
        Form::Map(children) => {
            let parts: Vec<String> =
                children.iter().map(|child| format!("{}: {}", child.key_raw, brief(&child.value))).collect();
            format!("{{{}}}", parts.join(", "))
        }
    }
}

/// The same without the numbers of secrets.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(REDACTED) {
        let (before, found) = rest.split_at(at + REDACTED.len());
        out.push_str(before);
        rest = found.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    }
    out.push_str(rest);
    out
}

/// A selector in the words of a fragment.
pub fn describe(selector: &Selector) -> String {
    let entry = |pattern: &NodePattern| {
        let parts = [
            ("id", &pattern.id),
            ("cluster", &pattern.cluster),
            ("region", &pattern.region),
            ("zone", &pattern.zone),
            ("sub_zone", &pattern.sub_zone),
        ];
        let mut words: Vec<String> = parts
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key} {value}")))
            .collect();
        words.extend(
            pattern.metadata.iter().map(|(path, value)| format!("metadata {} {value}", path.join("."))),
        );
        words.join(" and ")
    };
    selector.0.iter().map(entry).collect::<Vec<_>>().join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{self, Loaded};

    fn load(api: &Api, text: &str) -> Loaded {
        let loaded = load::load_file(api, &"x".into(), text.as_bytes());
        assert!(loaded.is_sound(), "{:?}", loaded.diagnostics);
        loaded
    }

    fn differences(before: &str, after: &str) -> Vec<Difference> {
        let api = Api::embedded().expect("linked");
        let (before, after) = (load(&api, before), load(&api, after));
        let held = |loaded: &'_ Loaded| -> Vec<_> {
            loaded.items.iter().map(|item| (item.resource.clone(), item.nodes.clone())).collect()
        };
        let (before, after) = (held(&before), held(&after));
        compare(
            &api,
            before.iter().map(|(resource, nodes)| (&**resource, nodes.as_deref())),
            after.iter().map(|(resource, nodes)| (&**resource, nodes.as_deref())),
        )
        .expect("of this API")
    }

    fn changed(before: &str, after: &str) -> Vec<String> {
        let [Difference { change: Change::Changed(fields), .. }] = &differences(before, after)[..] else {
            panic!("one changed resource")
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        fields.iter().map(|f| format!("{}: {} -> {}", f.path, text(&f.before), text(&f.after))).collect()
    }

    #[test]
    fn fields_are_told_by_their_paths() {
        let before = "clusters: [{name: c, connect_timeout: 1s, lb_policy: RANDOM}]";
        let after = "clusters: [{name: c, connect_timeout: 2s, alt_stat_name: x}]";
        assert_eq!(
            changed(before, after),
            ["connect_timeout: 1s -> 2s", "lb_policy: RANDOM -> -", "alt_stat_name: - -> x"]
        );
    }

    #[test]
    fn a_new_element_leaves_those_around_it_alone() {
        let text =
            |hosts: &str| format!("routes: [{{name: r, virtual_hosts: [{{name: v, domains: [{hosts}]}}]}}]");
        assert_eq!(changed(&text("a, c"), &text("a, b, c")), ["virtual_hosts[0].domains[1]: - -> b"]);
    }

    #[test]
    fn how_it_is_written_is_no_difference() {
        let a = "clusters: [{name: c, connect_timeout: 1s}, {name: d, connect_timeout: 1s}]";
        let b = "clusters:\n- {connectTimeout: '1.0s', name: d}\n- {name: c, connect_timeout: {seconds: 1}}";
        assert_eq!(differences(a, b), []);
    }

    #[test]
    fn a_secret_is_told_to_have_changed_and_not_shown() {
        let text = |key: &str| {
            format!("secrets: [{{name: s, generic_secret: {{secret: {{inline_string: {key}}}}}}}]")
        };
        let changes = changed(&text("hush"), &text("quiet"));
        assert_eq!(changes, ["generic_secret.secret.inline_string: \"[redacted]\" -> \"[redacted]\""]);
        assert_eq!(differences(&text("hush"), &text("\"[redacted]\"")), [], "an Envoy does not tell");
    }

    #[test]
    fn the_same_for_other_nodes_is_a_change() {
        let text = |id: &str| format!("nodes: [{{id: {id}}}]\nclusters: [{{name: c}}]");
        assert_eq!(changed(&text("a*"), &text("b*")), ["nodes: id a* -> id b*"]);
        assert!(matches!(
            differences("", "clusters: [{name: c}]")[..],
            [Difference { change: Change::Added, .. }]
        ));
        assert!(matches!(
            differences("clusters: [{name: c}]", "")[..],
            [Difference { change: Change::Removed, .. }]
        ));
    }
}
