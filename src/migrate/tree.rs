//! A configuration as it is written: a tree that keeps comments, anchors, quotes and gaps, and can be
//! changed.
//!
//! Comes in: from `read`, or made here node by node. Goes out: to `write`. Keeps the invariant that
//! what nobody changed is written as it was read, at whatever depth it ends up; so all changes of
//! collections go through the methods of [`Node`], which remember them.

mod copies;
mod made;

use std::collections::{HashMap, HashSet};

use made::quoted;

/// A value.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub form: Form,
    /// `&anchor` and `!tag`, as they stand before it.
    pub props: Props,
    /// The line of the source where it begins, from 1; 0 if it was made up.
    pub line: u32,
    /// The text of a collection in brackets or braces.
    pub(super) flow: Option<Vec<String>>,
    /// How far the children of a block collection stand to the right of what holds it.
    pub(super) step: Option<usize>,
    /// Comments behind the last child of a block collection.
    pub(super) tail: Vec<String>,
    changed: bool,
}

/// What stands before a value.
#[derive(Clone, Debug, Default)]
pub struct Props {
    /// The anchor's name without `&`.
    pub anchor: Option<String>,
    /// The anchor's number in the file.
    pub id: usize,
    /// The tag, as written.
    pub tag: Option<String>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Form {
    /// A text, number, truth value, or nothing.
    Scalar(Scalar),
    /// `*name`, and the number of its anchor.
    Alias(String, usize),
    /// Entries.
    Map(Vec<Child>),
    /// Elements; their keys are empty.
    List(Vec<Child>),
}

/// A scalar.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// As written; further lines relative to the column of the key or dash.
    pub(super) lines: Vec<String>,
    /// What it says.
    pub text: String,
    /// Whether it stands without quotes, so that it may be a number.
    pub plain: bool,
}

/// An entry of a mapping or an element of a list.
#[derive(Clone, Debug)]
pub struct Child {
    /// The key's text; empty in a list.
    pub key: String,
    /// The key as written.
    pub(super) key_raw: String,
    /// Comment lines and blank lines above it.
    pub before: Vec<String>,
    /// The comment at the end of its line, with the blanks before it.
    pub comment: Option<String>,
    /// How many blanks stand between the colon or dash and the value.
    pub(super) gap: usize,
    /// The line of the source where it begins, from 1; 0 if it was made up.
    pub line: u32,
    /// The value.
    pub value: Node,
}

/// How deep a tree may be once its aliases are written out; so deep is nothing that Envoy reads.
pub(super) const MAX_DEPTH: usize = 200;

/// Anchored values by number.
pub type Anchors = HashMap<usize, Node>;

impl Node {
    pub(super) fn read(form: Form, props: Props, line: u32) -> Node {
        Node { form, props, line, flow: None, step: None, tail: Vec::new(), changed: false }
    }

    /// Whether something in it differs from what was read.
    pub(super) fn is_changed(&self) -> bool {
        self.changed || self.children().iter().any(|child| child.value.is_changed())
    }

    /// The entries or elements.
    pub fn children(&self) -> &[Child] {
        match &self.form {
            Form::Map(children) | Form::List(children) => children,
            _ => &[],
        }
    }

    /// The entries or elements, to look for something to change inside of them. To add, remove or
    /// rename, use the other methods.
    pub fn children_mut(&mut self) -> &mut [Child] {
        match &mut self.form {
            Form::Map(children) | Form::List(children) => children,
            _ => &mut [],
        }
    }

    /// All children, to be changed at will.
    pub fn edit(&mut self) -> Option<&mut Vec<Child>> {
        self.changed = true;
        match &mut self.form {
            Form::Map(children) | Form::List(children) => Some(children),
            _ => None,
        }
    }

    /// Whether it is a mapping.
    pub fn is_map(&self) -> bool {
        matches!(self.form, Form::Map(_))
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.form, Form::List(_))
    }

    /// The value under this key; null counts as absent. The last of equal keys counts.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let child = self.entries().iter().rev().find(|child| is_key(child, key))?;
        (!child.value.is_null()).then_some(&child.value)
    }

    /// As [`Node::get`], to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let Form::Map(children) = &mut self.form else { return None };
        let child = children.iter_mut().rev().find(|child| is_key(child, key))?;
        (!child.value.is_null()).then_some(&mut child.value)
    }

    /// The value at the end of a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Whether there is such a key, null or not.
    pub fn has(&self, key: &str) -> bool {
        self.entries().iter().any(|child| is_key(child, key))
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> &[Child] {
        match &self.form {
            Form::Map(children) => children,
            _ => &[],
        }
    }

    /// The elements of a list; of anything else but null, itself: Envoy takes one value for a list.
    pub fn elements(&self) -> Vec<&Node> {
        match &self.form {
            Form::List(children) => children.iter().map(|child| &child.value).collect(),
            _ if self.is_null() => Vec::new(),
            _ => vec![self],
        }
    }

    /// As [`Node::elements`], to change them.
    pub fn elements_mut(&mut self) -> Vec<&mut Node> {
        if self.is_null() {
            return Vec::new();
        }
        match &mut self.form {
            Form::List(_) => self.children_mut().iter_mut().map(|child| &mut child.value).collect(),
            _ => vec![self],
        }
    }

    /// The elements with all that belongs to them, taken out of where they stood.
    pub fn into_items(mut self) -> Vec<Child> {
        if self.is_null() {
            return Vec::new();
        }
        let tail = std::mem::take(&mut self.tail);
        match self.form {
            Form::List(mut children) => {
                if let Some(last) = children.last_mut() {
                    last.value.take_tail(tail);
                }
                children
            }
            _ => vec![Child::item(self)],
        }
    }

    /// The same with everything that stands about a child that is gone.
    pub fn items_of(entry: Child) -> Vec<Child> {
        let mut lines = entry.before;
        lines.extend(entry.comment.map(|comment| comment.trim_start().to_owned()));
        let mut items = entry.value.into_items();
        if let Some(first) = items.first_mut() {
            first.before.splice(0..0, lines);
        }
        items
    }

    /// Gives comments a home at the end of this value, as far as it can have one.
    fn take_tail(&mut self, lines: Vec<String>) {
        if self.flow.is_none() && (self.is_map() || self.is_list()) {
            self.tail.extend(lines);
        }
    }

    /// The text of a scalar that is not null.
    pub fn as_text(&self) -> Option<&str> {
        match &self.form {
            Form::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// The text under a key.
    pub fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// Whether it is null: nothing, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        matches!(&self.form, Form::Scalar(scalar)
            if scalar.plain && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Takes an entry out, with its comments.
    pub fn remove(&mut self, key: &str) -> Option<Child> {
        let Form::Map(children) = &mut self.form else { return None };
        let at = children.iter().rposition(|child| is_key(child, key))?;
        self.changed = true;
        Some(children.remove(at))
    }

    /// Takes an entry out for good; its comments stay where they were.
    pub fn discard(&mut self, key: &str) -> Option<Child> {
        let at = self.entries().iter().rposition(|child| is_key(child, key))?;
        let child = self.remove(key)?;
        let mut lines = child.before.clone();
        lines.extend(child.comment.iter().map(|comment| comment.trim_start().to_owned()));
        match self.children_mut().get_mut(at) {
            Some(next) => drop(next.before.splice(0..0, lines)),
            None => self.tail.splice(0..0, lines).for_each(drop),
        }
        Some(child)
    }

    /// Takes out the entries whose key stands further down again. Merges are no twins: each brings its own keys.
    pub fn remove_overruled(&mut self) -> Vec<Child> {
        let mut later = HashSet::new();
        let is_last = |child: &Child| child.key == "<<" || later.insert(child.key.clone());
        let mut counts: Vec<bool> = self.entries().iter().rev().map(is_last).collect();
        if counts.iter().all(|counts| *counts) {
            return Vec::new();
        }
        let Some(children) = self.edit() else { return Vec::new() };
        let overruled = |_: &mut Child| counts.pop() == Some(false);
        children.extract_if(.., overruled).collect()
    }

    /// Gives an entry another key.
    pub fn rename(&mut self, key: &str, to: &str) {
        let Form::Map(children) = &mut self.form else { return };
        if let Some(child) = children.iter_mut().rev().find(|child| is_key(child, key)) {
            child.key = to.to_owned();
            child.key_raw = quoted(to);
            self.changed = true;
        }
    }

    /// Sets the value of a key, in its place or at the end.
    pub fn set(&mut self, key: &str, value: Node) {
        self.changed = true;
        let Form::Map(children) = &mut self.form else { return };
        match children.iter_mut().rev().find(|child| is_key(child, key)) {
            Some(child) => child.value = value,
            None => children.push(Child::entry(key, value)),
        }
    }

    /// Puts an entry behind the one with another key, or at the beginning.
    pub fn insert_behind(&mut self, key: &str, entry: Child) {
        self.changed = true;
        let Form::Map(children) = &mut self.form else { return };
        let at = children.iter().position(|child| is_key(child, key)).map_or(0, |at| at + 1);
        children.insert(at, entry);
    }

    /// The mapping under a key, made if there is none; what is no mapping itself becomes one.
    pub fn map_at(&mut self, key: &str) -> &mut Node {
        if !self.is_map() {
            *self = Node::map([]);
        }
        if self.get(key).is_none_or(|node| !node.is_map()) {
            self.set(key, Node::map([]));
        }
        self.get_mut(key).expect("it was set just now")
    }

    /// Adds an element to the list under a key; a single value there becomes a list.
    pub fn push_at(&mut self, key: &str, child: Child) {
        match self.get_mut(key) {
            Some(node) => {
                if !node.is_list() {
                    let line = node.line;
                    let single = std::mem::replace(node, Node::list([]));
                    node.line = line;
                    node.edit().expect("a list was put there").push(Child::item(single));
                }
                node.edit().expect("it is a list").push(child);
            }
            None => self.set(key, Node::list_of(vec![child])),
        }
    }

    /// Changes a scalar.
    pub fn set_text(&mut self, text: &str) {
        let line = self.line;
        *self = Node::text(text);
        self.line = line;
    }
}

fn is_key(child: &Child, key: &str) -> bool {
    child.key == key || is_camel_of(&child.key, key)
}

/// Whether `camel` is the camelCase spelling of `snake`.
fn is_camel_of(camel: &str, snake: &str) -> bool {
    let mut camel = camel.chars();
    let mut parts = snake.split('_');
    let mut is_first = true;
    let fits = parts.all(|part| {
        let mut chars = part.chars();
        let head = chars.next().map(|c| if is_first { c } else { c.to_ascii_uppercase() });
        is_first = false;
        head.into_iter().chain(chars).all(|c| camel.next() == Some(c))
    });
    fits && camel.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_both_spellings() {
        assert!(is_camel_of("connectTimeout", "connect_timeout"));
        assert!(is_camel_of("name", "name"));
        assert!(!is_camel_of("connecttimeout", "connect_timeout"));
        assert!(!is_camel_of("connectTimeoutX", "connect_timeout"));
    }
}
