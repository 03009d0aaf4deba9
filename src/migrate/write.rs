//! Tree to text.
//!
//! Comes in: nodes, and the anchors of the file they are from. Goes out: YAML in block style, where
//! what was not changed looks as it did. Keeps the invariant that what is written stands on its own:
//! where an anchor is not in the same text, its first alias becomes the anchor. What is taken out of a file
//! keeps no anchor that nothing names any more.

use std::collections::{HashMap, HashSet};

use super::tree::{Anchors, Child, Form, MAX_DEPTH, Node};

/// Writes values into one text.
pub struct Writer<'a> {
    out: String,
    anchors: &'a Anchors,
    /// Anchors by name: their number in the file, and which of those written here they are.
    defined: HashMap<String, (usize, usize)>,
    /// Which of the anchors written here an alias behind them names.
    used: Vec<bool>,
    /// Which of them are left out.
    left_out: HashSet<usize>,
    budget: usize,
    depth: usize,
}

/// Longest line that a changed flow collection is written as.
const MAX_LINE: usize = 100;

/// How many nodes the aliases of one text may expand to.
const BUDGET: usize = 1_000_000;

/// A text that is part of what was read: without the anchors that nothing in it names. Nothing if its aliases grew
/// without bound.
pub fn part(anchors: &Anchors, write: impl Fn(&mut Writer<'_>)) -> Option<String> {
    let mut writer = Writer::new(anchors);
    write(&mut writer);
    let unused = writer.unused();
    if unused.is_empty() {
        return writer.finish();
    }
    // Whether an anchor is named shows only behind it.
    let mut writer = Writer { left_out: unused, ..Writer::new(anchors) };
    write(&mut writer);
    writer.finish()
}

impl<'a> Writer<'a> {
    fn new(anchors: &'a Anchors) -> Writer<'a> {
        Writer {
            out: String::new(),
            anchors,
            defined: HashMap::new(),
            used: Vec::new(),
            left_out: HashSet::new(),
            budget: BUDGET,
            depth: 0,
        }
    }

    fn unused(&self) -> HashSet<usize> {
        self.used.iter().enumerate().filter(|(_, used)| !**used).map(|(at, _)| at).collect()
    }

    fn finish(self) -> Option<String> {
        (self.budget > 0).then_some(self.out)
    }

    /// Writes a whole document.
    pub fn document(&mut self, head: &[String], root: &Node) {
        self.lines(head);
        if root.children().is_empty() || root.flow.is_some() && self.can_stay(root) {
            let child = Child { value: root.clone(), gap: 0, ..Child::item(Node::plain("")) };
            self.value(&child, 0, false);
        } else {
            self.children(root, 0);
        }
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
    fn children(&mut self, node: &Node, column: usize) {
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
            if let Some(at) = self.find(name, *id) {
                self.used[at] = true;
            } else if let Some(target) = self.anchors.get(id) {
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
        let is_anchor = self.anchor(node);
        if let Some(tag) = &node.props.tag {
            self.out.push(' ');
            self.out.push_str(tag);
        }
        match &node.form {
            Form::Scalar(scalar) => self.raw(&scalar.lines, child, column),
            Form::Map(children) | Form::List(children) => {
                if let (Some(raw), true) = (&node.flow, self.can_stay(node)) {
                    self.note_inside(node);
                    return self.raw(raw, child, column);
                }
                if let Some(line) = self.one_line(node).filter(|line| line.len() <= MAX_LINE) {
                    return self.raw(&[line], child, column);
                }
                if children.is_empty() {
                    let empty = if node.is_list() { "[]" } else { "{}" };
                    return self.raw(&[empty.to_owned()], child, column);
                }
                self.collection(child, column, in_list, is_anchor);
            }
            Form::Alias(..) => {}
        }
    }

    /// Writes the anchor of a value, if it has one that is not left out.
    fn anchor(&mut self, node: &Node) -> bool {
        let Some(name) = &node.props.anchor else { return false };
        let at = self.note(name, node.props.id);
        let is_written = !self.left_out.contains(&at);
        if is_written {
            self.out.push_str(&format!(" &{name}"));
        }
        is_written
    }

    /// A block collection behind its key or dash.
    fn collection(&mut self, child: &Child, column: usize, in_list: bool, is_anchor: bool) {
        let node = &child.value;
        let first = node.children().first();
        let is_beside = in_list
            && child.comment.is_none()
            && !is_anchor
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
                here.map_or(self.find(name, *id).is_some(), |(_, known)| known == id)
            }
            _ => node.children().iter().all(|child| self.knows_aliases(&child.value, inside)),
        }
    }

    /// Which of the anchors written here the alias names, if it does.
    fn find(&self, name: &str, id: usize) -> Option<usize> {
        self.defined.get(name).filter(|(known, _)| *known == id).map(|(_, at)| *at)
    }

    /// An anchor is written here; gives which it is.
    fn note(&mut self, name: &str, id: usize) -> usize {
        let at = self.used.len();
        self.used.push(false);
        self.defined.insert(name.to_owned(), (id, at));
        at
    }

    /// What is written as it was has the anchors and aliases that it had.
    fn note_inside(&mut self, node: &Node) {
        for Child { value, .. } in node.children() {
            if let Some(name) = &value.props.anchor {
                let at = self.note(name, value.props.id);
                self.used[at] = true;
            }
            if let Form::Alias(name, id) = &value.form
                && let Some(at) = self.find(name, *id)
            {
                self.used[at] = true;
            }
            self.note_inside(value);
        }
    }
}

/// A document as a text.
pub fn document(head: &[String], root: &Node, anchors: &Anchors) -> Option<String> {
    let mut writer = Writer::new(anchors);
    writer.document(head, root);
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
        let text = part(&read.anchors, |writer| writer.child(&read.root.children()[1], 0, false));
        assert_eq!(text.expect("bounded"), "y:\n  u: &a {k: [1]}\n  v: *a\n");
    }

    #[test]
    fn a_part_has_no_anchor_that_nothing_in_it_names() {
        let text = "\
- &a
  k: 1
- <<: *a
  n: &b [2]
- { m: *b, &s x: y }
- <<: *a
  o: &a { p: *b }
  q: [*a]
";
        let read = read(text).expect("YAML");
        let parts = |from: usize, to: usize| {
            let children = &read.root.children()[from..to];
            part(&read.anchors, |writer| children.iter().for_each(|child| writer.child(child, 0, true)))
                .expect("bounded")
        };
        assert_eq!(parts(0, 1), "- k: 1\n");
        assert_eq!(parts(1, 2), "- <<:\n    k: 1\n  n: [2]\n");
        assert_eq!(parts(1, 3), "- <<:\n    k: 1\n  n: &b [2]\n- { m: *b, &s x: y }\n");
        assert_eq!(parts(0, 2), "- &a\n  k: 1\n- <<: *a\n  n: [2]\n");
        assert_eq!(parts(3, 4), "- <<:\n    k: 1\n  o: &a\n    p: [2]\n  q: [*a]\n");
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
        assert!(part(&read.anchors, |writer| writer.child(&read.root.children()[199], 0, false)).is_none());
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
