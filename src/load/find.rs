//! Where something stands in a fragment that another program speaks of.
//!
//! Comes in: a text, the place of a resource in it, and a path or words. Goes out: the place of what is
//! meant, with its path. Nothing is judged.

use super::findings::path_to;
use super::inputs::Variables;
use super::substitute::Template;
use super::yaml::{self, Node, Value};
use crate::diagnostic::Span;

/// A step from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of this field.
    Field(String),
    /// To this element of a list.
    Index(usize),
}

/// What is looked for in the resource that stands at `within`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The way to it, as far as it is known and holds.
    pub steps: Vec<Step>,
    /// Keys or values, the most telling first.
    pub words: Vec<String>,
}

/// The place of what is wanted, and its path in the file; `None` if nothing of it is there.
pub fn find(text: &str, within: Span, wanted: &Wanted) -> Option<(Span, String)> {
    let template = Template::new(text, &Variables::new::<&str, &str>([]));
    let parsed = yaml::parse(template.masked());
    let resource = parsed.documents.iter().find_map(|document| locate(document, within))?;
    let (at, place) = follow(resource, &wanted.steps);
    // A word is looked for where the path ends, and then anywhere.
    let word = |node| wanted.words.iter().find_map(|word| named(node, word));
    let span = word(at).or(place).or_else(|| word(resource))?;
    Some((span, path_to(&parsed.documents, span)))
}

fn locate<'n, 't>(node: &'n Node<'t>, within: Span) -> Option<&'n Node<'t>> {
    if node.span == within {
        return Some(node);
    }
    let holds = |inner: &Node<'_>| inner.span.start <= within.start && within.end <= inner.span.end;
    match &node.value {
        Value::Sequence(nodes) => nodes.iter().filter(|inner| holds(inner)).find_map(|n| locate(n, within)),
        Value::Mapping(entries) => {
            entries.iter().map(|e| &e.value).filter(|inner| holds(inner)).find_map(|n| locate(n, within))
        }
        _ => None,
    }
}

/// As far as the steps can be gone, and the place of the last one.
fn follow<'n, 't>(mut node: &'n Node<'t>, steps: &[Step]) -> (&'n Node<'t>, Option<Span>) {
    let mut place = None;
    for step in steps {
        let next = match (step, &node.value) {
            (Step::Field(name), Value::Mapping(entries)) => {
                entries.iter().find(|entry| is_field(&entry.key, name)).map(|e| (&e.value, e.key_span))
            }
            (Step::Index(index), Value::Sequence(nodes)) => nodes.get(*index).map(|node| (node, node.span)),
            // One object in place of a list.
            (Step::Index(0), _) => Some((node, place.unwrap_or(node.span))),
            _ => None,
        };
        let Some((inner, at)) = next else { break };
        (node, place) = (inner, Some(at));
    }
    (node, place)
}

/// Where this word stands as a key or as a whole value.
fn named(node: &Node<'_>, word: &str) -> Option<Span> {
    match &node.value {
        Value::Scalar(text, _) => (text == word).then_some(node.span),
        Value::Sequence(nodes) => nodes.iter().find_map(|node| named(node, word)),
        Value::Mapping(entries) => entries.iter().find_map(|entry| {
            if is_field(&entry.key, word) { Some(entry.key_span) } else { named(&entry.value, word) }
        }),
        _ => None,
    }
}

/// Whether a key is this field, in either spelling.
fn is_field(key: &str, name: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect::<String>();
    key == name || plain(key) == plain(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "clusters:\n- name: a\n  x: ${X}\n- name: b\n  maglevLbConfig: { tableSize: 9 }\n  list:\n    k: [CONNECT]\n";

    fn found(steps: &[Step], words: &[&str]) -> Option<(String, String)> {
        let parsed = yaml::parse(TEXT);
        let within = parsed.documents[0].get(&["clusters"]).unwrap().elements()[1].span;
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let (span, path) = find(TEXT, within, &Wanted { steps: steps.to_vec(), words })?;
        Some((TEXT[span.start as usize..span.end as usize].to_owned(), path))
    }

    #[test]
    fn a_path_is_followed_as_far_as_it_goes_and_words_narrow_it() {
        let field = |name: &str| Step::Field(name.to_owned());
        let at = |text: &str, path: &str| Some((text.to_owned(), path.to_owned()));
        assert_eq!(
            found(&[field("maglev_lb_config"), field("table_size")], &[]),
            at("tableSize", "clusters[1].maglevLbConfig.tableSize")
        );
        assert_eq!(
            found(&[field("maglev_lb_config"), field("gone")], &["tableSize"]),
            at("tableSize", "clusters[1].maglevLbConfig.tableSize")
        );
        assert_eq!(found(&[field("list"), Step::Index(0), field("k")], &[]), at("k", "clusters[1].list.k"));
        assert_eq!(found(&[], &["nothing", "CONNECT"]), at("CONNECT", "clusters[1].list.k[0]"));
        assert_eq!(found(&[], &["a"]), None, "another resource is not looked at");
    }
}
