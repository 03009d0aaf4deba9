//! Tree to text.
//!
//! Comes in: nodes, and the anchors of the file they are from. Goes out: YAML in block style, where
//! what was not changed looks as it did. Keeps the invariant that what is written stands on its own:
//! where an anchor is not in the same text, its first alias becomes the anchor.

use std::collections::HashMap;

use super::tree::{Anchors, Child, Form, MAX_DEPTH, Node};

/// Writes values into one text.
pub struct Writer<'a> {
    out: String,
    anchors: &'a Anchors,
    defined: HashMap<String, usize>,
    budget: usize,
    depth: usize,
}

/// Longest line that a changed flow collection is written as.
const MAX_LINE: usize = 100;

/// How many nodes the aliases of one text may expand to.
const BUDGET: usize = 1_000_000;

impl<'a> Writer<'a> {
    /// Begins a text.
    pub fn new(anchors: &'a Anchors) -> Writer<'a> {
        Writer { out: String::new(), anchors, defined: HashMap::new(), budget: BUDGET, depth: 0 }
    }

    /// The text, or nothing if its aliases grew without bound.
    pub fn finish(self) -> Option<String> {
        (self.budget > 0).then_some(self.out)
    }

    /// Writes lines as they are.
    pub fn lines(&mut self, lines: &[String]) {
        for line in lines {
            self.line(0, line);
        }
    }

    fn line(&mut self, column: usize, text: &str) {
        if !text.is_empty() {
            self.out.extend(std::iter::repeat_n(' ', column));
            self.out.push_str(text);
        }
        self.out.push('\n');
    }

    /// Writes the entries or elements of a collection in this column.
    pub fn children(&mut self, node: &Node, column: usize) {
        self.note(node);
        for child in node.children() {
            self.child(child, column, node.is_list());
        }
        for line in &node.tail {
            self.line(column, line);
        }
    }

    /// Writes one entry or element.
    pub fn child(&mut self, child: &Child, column: usize, in_list: bool) {
        for line in &child.before {
            self.line(column, line);
        }
        self.out.extend(std::iter::repeat_n(' ', column));
        self.head(child, column, in_list);
    }

    fn head(&mut self, child: &Child, column: usize, in_list: bool) {
        if in_list {
            self.out.push('-');
        } else {
            self.out.push_str(&child.key_raw);
            self.out.push(':');
        }
        self.value(child, column, in_list);
    }

    fn value(&mut self, child: &Child, column: usize, in_list: bool) {
        if self.budget == 0 || self.depth >= MAX_DEPTH {
            self.budget = 0;
            return self.line(0, " ~");
        }
        self.budget -= 1;
        self.depth += 1;
        self.value_inside(child, column, in_list);
        self.depth -= 1;
    }

    fn value_inside(&mut self, child: &Child, column: usize, in_list: bool) {
        let node = &child.value;
        if let Form::Alias(name, id) = &node.form {
            if self.defined.get(name) != Some(id)
                && let Some(target) = self.anchors.get(id)
            {
                let copy = Child {
                    value: target.clone(),
                    comment: child.comment.clone(),
                    ..Child::item(Node::plain(""))
                };
                return self.value(&copy, column, in_list);
            }
            self.out.push_str(&format!(" *{name}"));
            return self.end_line(child);
        }
        for word in node.props.anchor.iter().map(|anchor| format!("&{anchor}")).chain(node.props.tag.clone())
        {
            self.out.push(' ');
            self.out.push_str(&word);
        }
        match &node.form {
            Form::Scalar(scalar) => self.raw(&scalar.lines, child, column),
            Form::Map(children) | Form::List(children) => {
                if let (Some(raw), true) = (&node.flow, self.can_stay(node)) {
                    self.note_all(node);
                    return self.raw(raw, child, column);
                }
                if let Some(line) = self.one_line(node).filter(|line| line.len() <= MAX_LINE) {
                    return self.raw(&[line], child, column);
                }
                if children.is_empty() {
                    let empty = if node.is_list() { "[]" } else { "{}" };
                    return self.raw(&[empty.to_owned()], child, column);
                }
                self.collection(child, column, in_list);
            }
            Form::Alias(..) => {}
        }
        self.note(node);
    }

    /// A block collection behind its key or dash.
    fn collection(&mut self, child: &Child, column: usize, in_list: bool) {
        let node = &child.value;
        let first = node.children().first();
        let is_beside = in_list
            && child.comment.is_none()
            && node.props.anchor.is_none()
            && node.props.tag.is_none()
            && first.is_some_and(|first| first.before.is_empty());
        if is_beside {
            let inner = column + 1 + child.gap;
            self.out.extend(std::iter::repeat_n(' ', child.gap));
            for (at, child) in node.children().iter().enumerate() {
                match at {
                    0 => self.head(child, inner, node.is_list()),
                    _ => self.child(child, inner, node.is_list()),
                }
            }
            for line in &node.tail {
                self.line(inner, line);
            }
            return;
        }
        self.end_line(child);
        let usual = if node.is_list() && !in_list { 0 } else { 2 };
        let step = match node.step {
            // As it was; but what was in a list, or a list, may now stand elsewhere.
            Some(step) if step > 0 || (node.is_list() && !in_list) => step,
            _ => usual,
        };
        self.children(node, column + step);
    }

    /// Text behind a key or dash, further lines indented.
    fn raw(&mut self, lines: &[String], child: &Child, column: usize) {
        let first = lines.first().map_or("", |line| line);
        if !first.is_empty() {
            self.out.extend(std::iter::repeat_n(' ', child.gap));
            self.out.push_str(first);
        }
        let mut rest = lines.iter().skip(1).peekable();
        if rest.peek().is_none() {
            return self.end_line(child);
        }
        // The comment stands behind the last line of a flow collection or quoted text.
        let is_block = first.starts_with(['|', '>']);
        if is_block {
            self.end_line(child);
        } else {
            self.out.push('\n');
        }
        while let Some(line) = rest.next() {
            if !line.is_empty() {
                self.out.extend(std::iter::repeat_n(' ', column));
                self.out.push_str(line);
            }
            match rest.peek() {
                None if !is_block => self.end_line(child),
                _ => self.out.push('\n'),
            }
        }
    }

    fn end_line(&mut self, child: &Child) {
        if let Some(comment) = &child.comment {
            let is_apart = comment.starts_with([' ', '\t']);
            self.out.push_str(if is_apart { "" } else { "  " });
            self.out.push_str(comment);
        }
        self.out.push('\n');
    }

    /// A collection that stood in brackets, with small changes, as one line.
    fn one_line(&self, node: &Node) -> Option<String> {
        let is_plain = |child: &Child| {
            child.before.is_empty() && child.comment.is_none() && child.value.props.anchor.is_none()
        };
        match &node.form {
            _ if node.props.tag.is_some() => None,
            Form::Scalar(scalar) if scalar.lines.len() == 1 => scalar.lines.first().cloned(),
            Form::Map(children) | Form::List(children)
                if node.flow.is_some() && children.iter().all(is_plain) =>
            {
                let parts = children.iter().map(|child| {
                    let value = self.one_line(&child.value)?;
                    Some(if node.is_list() { value } else { format!("{}: {value}", child.key_raw) })
                });
                let parts = parts.collect::<Option<Vec<String>>>()?.join(", ");
                Some(if node.is_list() { format!("[{parts}]") } else { format!("{{ {parts} }}") })
            }
            _ => None,
        }
    }

    /// Whether a flow collection can be written as it was.
    fn can_stay(&self, node: &Node) -> bool {
        !node.is_changed() && self.knows_aliases(node, &mut Vec::new())
    }

    fn knows_aliases<'n>(&self, node: &'n Node, inside: &mut Vec<(&'n str, usize)>) -> bool {
        if let Some(name) = &node.props.anchor {
            inside.push((name, node.props.id));
        }
        match &node.form {
            Form::Alias(name, id) => {
                let here = inside.iter().rev().find(|(known, _)| known == name);
                here.map_or(self.defined.get(name) == Some(id), |(_, known)| known == id)
            }
            _ => node.children().iter().all(|child| self.knows_aliases(&child.value, inside)),
        }
    }

    fn note(&mut self, node: &Node) {
        if let Some(name) = &node.props.anchor {
            self.defined.insert(name.clone(), node.props.id);
        }
    }

    fn note_all(&mut self, node: &Node) {
        self.note(node);
        for child in node.children() {
            self.note_all(&child.value);
        }
    }
}

/// A document as a text.
pub fn document(head: &[String], root: &Node, anchors: &Anchors) -> Option<String> {
    let mut writer = Writer::new(anchors);
    writer.lines(head);
    if root.children().is_empty() || root.flow.is_some() && writer.can_stay(root) {
        let child = Child { value: root.clone(), gap: 0, ..Child::item(Node::plain("")) };
        writer.value(&child, 0, false);
    } else {
        writer.children(root, 0);
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::read::read;
    use super::*;

    fn again(text: &str) -> String {
        let read = read(text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        document(&read.head, &read.root, &read.anchors).expect("bounded")
    }

    #[test]
    fn what_is_not_changed_is_written_as_it_was() {
        let text = r#"# Top of the file.

# About a.
a: &x {b: 1, c: 'd'}  # beside a
l:
  # first
- &y
  k: |
    text

      more
  z: "q\n"
-   - n

    - *x
  # behind the inner list
e:
# nothing in e
!ignore i: 1
"s": >-
  fold

  x
deep:
    port: ${PORT}
    addresses: [ { address: ${HOST}, port_value: 80 },  # one
                 { address: b } ]
    multi: a plain
      text
    list:
      - name: one    # a name
        value: 1
        # - name: two
      # behind the list

last: "x"
# The end.
"#;
        assert_eq!(again(text), text);
    }

    #[test]
    fn an_alias_without_its_anchor_becomes_one() {
        let read = read("x: &a {k: [1]}\ny: {u: *a, v: *a}\n").expect("YAML");
        let mut writer = Writer::new(&read.anchors);
        writer.child(&read.root.children()[1], 0, false);
        assert_eq!(writer.finish().expect("bounded"), "y:\n  u: &a {k: [1]}\n  v: *a\n");
    }

    #[test]
    fn aliases_cannot_nest_without_bound() {
        let nested = |inner: &str| format!("{}{inner}{}", "[".repeat(80), "]".repeat(80));
        let mut text = format!("a0: &a0 {}\n", nested("x"));
        for n in 1..200 {
            text.push_str(&format!("a{n}: &a{n} {}\n", nested(&format!("*a{}", n - 1))));
        }
        let read = read(&text).expect("YAML");
        assert!(read.root.expanded(&read.anchors, &mut 1_000_000).is_none());
        let mut writer = Writer::new(&read.anchors);
        writer.child(&read.root.children()[199], 0, false);
        assert!(writer.finish().is_none());
    }

    #[test]
    fn aliases_of_aliases_do_not_grow_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        let read = read(&format!("{text}b: *a8\n")).expect("YAML");
        let copy = read.root.expanded(&read.anchors, &mut 100_000);
        assert!(copy.is_none());
    }
}
