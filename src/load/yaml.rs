//! YAML (and so JSON) as trees of [`Node`]s that know their places.
//!
//! Comes in: the text of one file. Goes out: its documents, and what is wrong with them as YAML.
//! Aliases and merge keys are resolved here, keys tagged `!ignore` are gone, of equal keys the last
//! one is left. Keeps the invariants that a tree is never deeper than [`MAX_DEPTH`] and never larger
//! than the text plus [`ALIAS_BUDGET`], so that walking it is bounded in time and stack.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::events::{Event, Events, Properties};
use super::fill::{FILE_TAG, Fill};
use super::findings::MAX_FINDINGS;
pub use super::node::{Entry, Node, Style, Value};
use crate::diagnostic::{Severity, Span};

/// How deep mappings and lists may nest: what Envoy's own JSON reader takes.
pub const MAX_DEPTH: usize = 100;

/// How much all aliases of a file together may expand to, in nodes (long texts count as several).
pub const ALIAS_BUDGET: u64 = 1_000_000;

/// Something wrong with a file as YAML.
#[derive(Debug)]
pub struct Issue {
    /// How much it matters.
    pub severity: Severity,
    /// The rule.
    pub code: &'static str,
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// A second place, with what is to be seen there.
    pub related: Option<(Span, &'static str)>,
}

impl Issue {
    pub(super) fn new(severity: Severity, code: &'static str, span: Span, message: String) -> Issue {
        Issue { severity, code, span, message, hint: None, related: None }
    }
}

/// A parsed file.
#[derive(Debug, Default)]
pub struct Parsed<'t> {
    /// The documents that were complete before the first syntax error.
    pub documents: Vec<Node<'t>>,
    /// What is wrong, in the order of the file.
    pub issues: Vec<Issue>,
    /// After a syntax error, the document in which it is, as far as it was read, and all that follows
    /// as the value that was to come: to judge what may be shown, not to be served.
    pub cut_off: Option<Node<'t>>,
    /// Where the first thing begins that was not read because of a syntax error.
    pub read_to: u32,
    /// How much was copied to be there for aliases; nothing if there are no anchors.
    pub kept: u64,
}

/// Reads all documents of a text.
pub fn parse(text: &str) -> Parsed<'_> {
    Builder::default().read(text)
}

/// Reads all documents of a text, with what its scalars draw on.
pub(super) fn parse_filled<'t>(text: &'t str, fill: &mut Fill<'_>) -> Parsed<'t> {
    Builder { fill: Some(fill), ..Builder::default() }.read(text)
}

/// What an anchor stands for.
struct Anchored<'t> {
    node: Node<'t>,
    weight: u64,
    height: usize,
}

/// A mapping or list that is still open.
struct Frame<'t> {
    open: Open<'t>,
    start: Span,
    end: u32,
    properties: Properties,
    weight: u64,
    height: usize,
}

enum Open<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping { entries: Vec<Entry<'t>>, merges: Vec<Node<'t>>, key: Option<Key<'t>> },
}

/// A key whose value has not been seen yet.
enum Key<'t> {
    Text(Cow<'t, str>, Span),
    Merge,
    Dropped,
}

#[derive(Default)]
struct Builder<'t, 'f, 'i> {
    parsed: Parsed<'t>,
    /// What fills the scalars, if anything does.
    fill: Option<&'f mut Fill<'i>>,
    stack: Vec<Frame<'t>>,
    anchors: HashMap<usize, Anchored<'t>>,
    root: Option<Node<'t>>,
    /// What all aliases so far expand to.
    expanded: u64,
    /// How much there is in all.
    seen: u64,
    /// How many issues there are, by severity.
    reported: [usize; 3],
}

/// A node that counts one for each of this many bytes of a text that had to be copied.
const BYTES_PER_WEIGHT: usize = 64;

impl<'t> Builder<'t, '_, '_> {
    fn read(mut self, text: &'t str) -> Parsed<'t> {
        let mut read_to = 0;
        let is_json = self.fill.as_ref().is_some_and(|fill| fill.is_json);
        for event in if is_json { Events::of_json(text) } else { Events::new(text) } {
            let stop = match event {
                Ok((event, span)) => {
                    read_to = span.end.max(read_to);
                    self.take(event, span).err()
                }
                Err(issue) => Some(issue),
            };
            if let Some(issue) = stop {
                self.report(issue);
                self.cut_off(Span { start: read_to, end: Span::new(0, text.len()).end });
                break;
            }
        }
        self.parsed
    }

    /// Closes all that is open, as if `rest` were the value that is due.
    fn cut_off(&mut self, rest: Span) {
        self.parsed.read_to = rest.start;
        let mut node = Node { value: Value::Scalar(Cow::Borrowed(""), Style::Quoted), span: rest, tag: None };
        while let Some(frame) = self.stack.pop() {
            let span = Span { start: frame.start.start, end: rest.end };
            let value = match frame.open {
                Open::Sequence(mut nodes) => {
                    nodes.push(node);
                    Value::Sequence(nodes)
                }
                Open::Mapping { mut entries, key, .. } => {
                    if let Some(Key::Text(key, key_span)) = key {
                        entries.push(Entry { key, key_span, value: node });
                    }
                    Value::Mapping(entries)
                }
            };
            node = Node { value, span, tag: None };
        }
        self.parsed.cut_off = Some(self.root.take().unwrap_or(node));
    }

    /// What a scalar stands for in the end.
    fn fill(&mut self, text: Cow<'t, str>, style: Style, span: Span, tag: Option<&str>) -> Value<'t> {
        let Some(fill) = &mut self.fill else { return Value::Scalar(text, style) };
        let mut issues = Vec::new();
        let value = fill.scalar(text, style, span, tag, &mut issues);
        for issue in issues {
            self.report(issue);
        }
        value
    }

    /// Takes one event; an error ends the reading.
    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), Issue> {
        match event {
            Event::Scalar { text, style, properties } => {
                let value = self.fill(text, style, span, properties.tag.as_deref());
                let length = match &value {
                    Value::Scalar(text, _) => text.len(),
                    Value::File(bytes) => bytes.len(),
                    _ => 0,
                };
                let weight = 1 + (length / BYTES_PER_WEIGHT) as u64;
                let node = Node { value, span, tag: properties.tag };
                self.seen += weight;
                self.complete(node, properties.anchor, weight, 0)?;
            }
            Event::SequenceStart(properties) => {
                self.open(Open::Sequence(Vec::new()), span, properties)?;
            }
            Event::MappingStart(properties) => {
                let open = Open::Mapping { entries: Vec::new(), merges: Vec::new(), key: None };
                self.open(open, span, properties)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnknownAlias(name) => {
                self.issue("unknown-alias", span, format!("no anchor `&{name}` stands before this alias"));
                self.complete(null(span), 0, 1, 0)?;
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                self.parsed.documents.extend(self.root.take());
            }
        }
        Ok(())
    }

    fn issue(&mut self, code: &'static str, span: Span, message: String) {
        self.report(Issue::new(Severity::Error, code, span, message));
    }

    /// Keeps an issue, unless there are more of its severity than will be shown.
    fn report(&mut self, issue: Issue) {
        let count = &mut self.reported[issue.severity as usize];
        *count += 1;
        if *count <= MAX_FINDINGS + 1 {
            self.parsed.issues.push(issue);
        }
    }

    fn open(&mut self, open: Open<'t>, start: Span, properties: Properties) -> Result<(), Issue> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(start));
        }
        if self.fill.is_some() && properties.tag.as_deref() == Some(FILE_TAG) {
            self.issue("unreadable-file", start, "`!file` takes the path of a file, as a text".to_owned());
        }
        self.stack.push(Frame { open, start, end: start.end, properties, weight: 1, height: 0 });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Issue> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        // In block style the end is only known by what follows, comments and blank lines included.
        let end = if span.end > span.start { span.end } else { frame.end };
        let value = match frame.open {
            Open::Sequence(nodes) => Value::Sequence(nodes),
            Open::Mapping { entries, merges, .. } => {
                let mut entries = self.last_of_equal_keys(entries);
                if !merges.is_empty() {
                    self.merge(&mut entries, merges);
                }
                Value::Mapping(entries)
            }
        };
        let span = Span { start: frame.start.start, end: end.max(frame.start.start) };
        let node = Node { value, span, tag: frame.properties.tag };
        self.complete(node, frame.properties.anchor, frame.weight, frame.height + 1)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Issue> {
        let Some(anchored) = self.anchors.get(&id) else {
            self.issue("recursive-alias", span, "this alias stands inside of what it refers to".to_owned());
            return self.complete(null(span), 0, 1, 0);
        };
        self.expanded = self.expanded.saturating_add(anchored.weight);
        if self.expanded > ALIAS_BUDGET {
            return Err(alias_bomb(span));
        }
        if self.stack.len() + anchored.height > MAX_DEPTH {
            return Err(too_deep(span));
        }
        let (mut node, weight, height) = (anchored.node.clone(), anchored.weight, anchored.height);
        if matches!(self.stack.last(), Some(Frame { open: Open::Mapping { key: None, .. }, .. })) {
            node.span = span;
        }
        self.place(node, weight, height, span.end);
        Ok(())
    }

    /// A node is finished: remember it if it has an anchor, and put it into what it stands in.
    fn complete(&mut self, node: Node<'t>, anchor: usize, weight: u64, height: usize) -> Result<(), Issue> {
        if anchor != 0 {
            // Anchors within anchors within anchors … each keep a copy of all that is inside.
            self.parsed.kept = self.parsed.kept.saturating_add(weight);
            if self.parsed.kept > ALIAS_BUDGET.saturating_add(self.seen.saturating_mul(2)) {
                return Err(alias_bomb(node.span));
            }
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight, height });
        }
        let end = node.span.end;
        self.place(node, weight, height, end);
        Ok(())
    }

    /// Puts a node into what it stands in; `end` is where its use, an alias perhaps, ends.
    fn place(&mut self, node: Node<'t>, weight: u64, height: usize, end: u32) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.weight = frame.weight.saturating_add(weight);
        frame.height = frame.height.max(height);
        frame.end = frame.end.max(end);
        match &mut frame.open {
            Open::Sequence(nodes) => nodes.push(node),
            Open::Mapping { entries, merges, key } => match key.take() {
                None => {
                    let (taken, complaint) = as_key(node);
                    *key = Some(taken);
                    if let Some(complaint) = complaint {
                        self.report(complaint);
                    }
                }
                Some(Key::Text(key, key_span)) => entries.push(Entry { key, key_span, value: node }),
                Some(Key::Merge) => merges.push(node),
                Some(Key::Dropped) => {}
            },
        }
    }

    /// Of equal keys the last one counts, as in Envoy; the others are worth a warning.
    fn last_of_equal_keys(&mut self, mut entries: Vec<Entry<'t>>) -> Vec<Entry<'t>> {
        let doubled = if entries.len() <= 8 {
            (1..entries.len()).any(|at| entries[..at].iter().any(|entry| entry.key == entries[at].key))
        } else {
            let mut seen = HashSet::with_capacity(entries.len());
            !entries.iter().all(|entry| seen.insert(&*entry.key))
        };
        if !doubled {
            return entries;
        }
        let mut first: HashMap<Cow<'t, str>, Span> = HashMap::new();
        let mut last: HashMap<Cow<'t, str>, Span> = HashMap::new();
        for entry in &entries {
            if let Some(before) = first.get(&entry.key) {
                let message =
                    format!("the key `{}` stands here a second time; the last one counts", entry.key);
                let mut issue = Issue::new(Severity::Warning, "duplicate-key", entry.key_span, message);
                issue.hint = Some("remove one of them".to_owned());
                issue.related = Some((*before, "first defined here"));
                self.report(issue);
            } else {
                first.insert(entry.key.clone(), entry.key_span);
            }
            last.insert(entry.key.clone(), entry.key_span);
        }
        entries.retain(|entry| last.get(&entry.key) == Some(&entry.key_span));
        entries
    }

    /// YAML 1.1's `<<`: what is there already wins, of several merged mappings the first one.
    fn merge(&mut self, entries: &mut Vec<Entry<'t>>, merges: Vec<Node<'t>>) {
        let mut known: HashSet<Cow<'t, str>> = entries.iter().map(|entry| entry.key.clone()).collect();
        let sources = merges.into_iter().flat_map(|merge| match merge.value {
            _ if merge.is_null() => Vec::new(),
            Value::Sequence(nodes) => nodes,
            _ => vec![merge],
        });
        for source in sources {
            if let Value::Mapping(more) = source.value {
                entries.extend(more.into_iter().filter(|entry| known.insert(entry.key.clone())));
            } else {
                self.issue(
                    "bad-merge",
                    source.span,
                    "`<<` merges a mapping, or a list of mappings".to_owned(),
                );
            }
        }
    }
}

fn as_key(node: Node<'_>) -> (Key<'_>, Option<Issue>) {
    if node.tag.as_deref() == Some("!ignore") {
        return (Key::Dropped, None);
    }
    match node.value {
        // A null key is the text `null`, for yaml-cpp.
        _ if node.is_null() => (Key::Text(Cow::Borrowed("null"), node.span), None),
        Value::Scalar(text, Style::Plain) if text == "<<" && node.tag.is_none() => (Key::Merge, None),
        Value::Scalar(text, _) => (Key::Text(text, node.span), None),
        Value::Unknown => (Key::Dropped, None),
        value => {
            let message = "a key must be a simple text, not a list or a mapping".to_owned();
            let mut issue = Issue::new(Severity::Error, "bad-key", node.span, message);
            issue.hint = Some(match value {
                Value::Mapping(_) => {
                    "if `{{ … }}` is the placeholder of a template, fill it in before, or quote it".to_owned()
                }
                _ => "quote a text that begins with `[`".to_owned(),
            });
            (Key::Dropped, Some(issue))
        }
    }
}

fn null<'t>(span: Span) -> Node<'t> {
    Node { value: Value::Scalar(Cow::Borrowed("~"), Style::Plain), span, tag: None }
}

fn alias_bomb(span: Span) -> Issue {
    let message = format!("the aliases up to here expand to more than {ALIAS_BUDGET} values");
    let mut issue = Issue::new(Severity::Error, "alias-bomb", span, message);
    issue.hint = Some("repeat less by aliases of aliases, or split the file".to_owned());
    issue
}

fn too_deep(span: Span) -> Issue {
    let message = format!("mappings and lists nest deeper than {MAX_DEPTH} levels");
    let mut issue = Issue::new(Severity::Error, "nesting-too-deep", span, message);
    issue.hint = Some("Envoy reads no more levels than that either".to_owned());
    issue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Node<'_> {
        let mut parsed = parse(text);
        assert!(parsed.issues.is_empty(), "{:?}", parsed.issues);
        assert_eq!(parsed.documents.len(), 1);
        parsed.documents.remove(0)
    }

    fn shown(text: &str, span: Span) -> &str {
        &text[span.start as usize..span.end as usize]
    }

    #[test]
    fn spans_are_the_very_text_of_keys_and_values() {
        let text =
            "\u{feff}# é\r\na: 'x'\r\nlist:\r\n  - b: { c: é }   # end\r\n\r\n  - |\r\n    block\r\nz: ~\r\n";
        let root = only(text);
        let entries = root.entries().unwrap();
        assert_eq!(shown(text, entries[0].key_span), "a");
        assert_eq!(shown(text, entries[0].value.span), "'x'");
        let list = &entries[1].value;
        assert_eq!(shown(text, entries[1].key_span), "list");
        assert_eq!(shown(text, list.elements()[0].span), "b: { c: é }");
        assert_eq!(shown(text, list.elements()[0].get(&["b"]).unwrap().span), "{ c: é }");
        assert_eq!(list.elements()[1].text(), Some("block\n"));
        assert!(entries[2].value.is_null());
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let root = only("a: plain\nb: 'quoted'\nc: \"double\"\n");
        for entry in root.entries().unwrap() {
            assert!(matches!(&entry.value.value, Value::Scalar(Cow::Borrowed(_), _)), "{entry:?}");
        }
    }

    #[test]
    fn a_used_alias_counts_with_all_that_it_stands_for() {
        let hundred = "x, ".repeat(100);
        let fits = format!("a: &a [{hundred}]\nb: [{}]\n", "*a, ".repeat(9_000));
        only(&fits);
        let too_much = format!("a: &a [{hundred}]\nb: [{}]\n", "*a, ".repeat(10_000));
        let issues = parse(&too_much).issues;
        assert_eq!(issues.len(), 1);
        assert_eq!(issues[0].code, "alias-bomb");
    }

    #[test]
    fn a_long_text_weighs_by_its_length() {
        let text = format!("a: &a \"{}\\n\"\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(100));
        assert_eq!(parse(&text).issues[0].code, "alias-bomb");
    }

    #[test]
    fn anchors_inside_of_anchors_are_bounded_too() {
        let inside = "[1, 2, 3], ".repeat(5_000);
        let nested: String = (0..90).map(|level| format!("&a{level} [")).collect();
        let text = format!("x: {nested}{inside}{}\n", "]".repeat(90));
        assert_eq!(parse(&text).issues[0].code, "alias-bomb");
        only(&format!("x: &all [{inside}]\ny: 1\n"));
    }

    #[test]
    fn depth_counts_through_aliases() {
        let half = |name: &str, inside: &str| {
            format!("{name}: &{name} {}{inside}{}\n", "[".repeat(50), "]".repeat(50))
        };
        let text = half("a", "1") + &half("b", "*a");
        assert_eq!(parse(&text).issues[0].code, "nesting-too-deep");
        only(&half("a", "1"));
    }

    #[test]
    fn a_syntax_error_keeps_the_documents_before_it() {
        let parsed = parse("a: 1\n---\nb: [\n");
        assert_eq!(parsed.documents.len(), 1);
        assert_eq!(parsed.issues[0].code, "yaml-syntax");
    }
}
