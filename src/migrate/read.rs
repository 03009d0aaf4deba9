//! Text to tree: the events of the parser, and between them what the parser drops.
//!
//! Comes in: the text of a file. Goes out: its first document as a [`Node`] with comments, anchors
//! and gaps, or the first thing that is wrong with it. Placeholders stay as they are: the parser is
//! shown stand-ins of the same length.

mod nodes;

use std::borrow::Cow;
use std::iter::Peekable;

use super::placeholders;
use super::tree::{Anchors, Node, Props};
use crate::diagnostic::{Position, Severity, Span};
use crate::load::events::{Event, Events};
use crate::load::yaml::{Issue, Style};

/// The first document of a file.
#[derive(Debug)]
pub struct Document {
    /// Its content.
    pub root: Node,
    /// What stands above it.
    pub head: Vec<String>,
    /// Its anchors.
    pub anchors: Anchors,
    /// The line of a further document, which nobody reads.
    pub more: Option<u32>,
}

/// Something that keeps a file from being read.
#[derive(Debug)]
pub struct Unreadable {
    /// Where.
    pub at: Position,
    /// What, and what to do.
    pub message: String,
}

/// Reads a text.
///
/// # Errors
/// The first thing that is wrong with it as YAML or JSON.
pub fn read(text: &str) -> Result<Document, Unreadable> {
    read_as(text, true)
}

/// As [`read`], of what is no template: what looks like a placeholder means itself.
pub fn read_literally(text: &str) -> Result<Document, Unreadable> {
    read_as(text, false)
}

fn read_as(text: &str, is_template: bool) -> Result<Document, Unreadable> {
    let (bare, mark) = match text.strip_prefix('\u{feff}') {
        Some(bare) => (bare, '\u{feff}'.len_utf8()),
        None => (text, 0),
    };
    let shown = if is_template { Cow::Owned(placeholders::stand_ins(bare)) } else { Cow::Borrowed(bare) };
    let mut reader = Reader { is_template, ..Reader::new(bare, &shown) };
    let result = reader.document();
    result.map_err(|issue| {
        let at = Position::of(text, issue.span.start + u32::try_from(mark).unwrap_or(0));
        let message = match issue.hint {
            Some(hint) => format!("{} ({hint})", issue.message),
            None => issue.message,
        };
        Unreadable { at, message }
    })
}

struct Reader<'t> {
    text: &'t str,
    /// Whether the parser is shown something else where placeholders are.
    is_template: bool,
    events: Peekable<Events<'t>>,
    /// Behind the last thing that was taken.
    at: usize,
    /// Where each line begins.
    lines: Vec<usize>,
    anchors: Anchors,
    depth: usize,
}

type Read<T> = Result<T, Issue>;

/// What lies between two things.
#[derive(Default)]
struct Trivia {
    /// The comment on the line of the first, with the blanks before it.
    beside: Option<String>,
    /// Whole lines, with their indentation.
    lines: Vec<String>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, shown: &'t str) -> Reader<'t> {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let events = Events::new(shown).peekable();
        Reader { text, is_template: true, events, at: 0, lines, anchors: Anchors::new(), depth: 0 }
    }

    fn document(&mut self) -> Read<Document> {
        let head = self.document_head();
        if self.is_at_end()? {
            let message = "there is nothing in this file".to_owned();
            return Err(issue(0, message));
        }
        let (mut trivia, props) = self.lead_in()?;
        let mut root = self.node(props, 0)?;
        let mut lines = head;
        if let Some(beside) = trivia.beside.take() {
            lines.push(beside.trim_start().to_owned());
        }
        if root.flow.is_none() && !root.children().is_empty() {
            // What stands right above the first key belongs to it.
            let split = trivia.lines.iter().rposition(|line| line.trim().is_empty()).map_or(0, |at| at + 1);
            let own = trivia.lines.split_off(split);
            if let Some(first) = root.children_mut().first_mut() {
                first.before.splice(0..0, own);
            }
        }
        lines.append(&mut trivia.lines);
        let rest = self.trivia(self.document_end());
        let left = self.close(&mut root, rest);
        root.tail.extend(left);
        let more = self.more()?;
        let line = |at| Position::of(self.text, u32::try_from(at).unwrap_or(u32::MAX)).line;
        let more = more.map(|at| u32::try_from(line(at)).unwrap_or(0));
        Ok(Document { root, head: lines, anchors: std::mem::take(&mut self.anchors), more })
    }

    /// Skips directives and `---`; gives the comments among them.
    fn document_head(&mut self) -> Vec<String> {
        let mut head = Vec::new();
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let bare = line.trim_end();
            at += line.len();
            if bare.starts_with("---") {
                self.at = at - line.len() + 3;
                return head;
            }
            if !(bare.is_empty() || bare.starts_with('#') || bare.starts_with('%')) {
                break;
            }
            if !bare.starts_with('%') {
                head.push(bare.to_owned());
            }
        }
        Vec::new()
    }

    fn is_at_end(&mut self) -> Read<bool> {
        match self.events.peek() {
            None => Ok(true),
            Some(Err(_)) => Err(self.take_issue()),
            Some(Ok((Event::DocumentEnd, _))) => Ok(true),
            Some(Ok((Event::Scalar { text, style: Style::Plain, .. }, span))) => {
                Ok(text.is_empty() || span.start == span.end)
            }
            Some(Ok(_)) => Ok(false),
        }
    }

    /// Where the document's text ends.
    fn document_end(&self) -> usize {
        let rest = &self.text[self.at..];
        let mut at = self.at;
        for line in rest.split_inclusive('\n') {
            let is_start = at != self.at && (line.starts_with("---") || line.starts_with("..."));
            if is_start {
                return at;
            }
            at += line.len();
        }
        at
    }

    /// Where there is a second document, whatever is in it.
    fn more(&mut self) -> Read<Option<usize>> {
        // The end of this document, then anything.
        let next = match self.events.next() {
            Some(Ok((Event::DocumentEnd, _))) => self.events.next(),
            other => other,
        };
        match next {
            None => Ok(None),
            Some(Ok((Event::Scalar { text, style: Style::Plain, .. }, _))) if text.is_empty() => Ok(None),
            Some(Ok((_, span))) => Ok(Some(span.start as usize)),
            // What is wrong in another document keeps nobody from this one; Envoy stops here, too.
            Some(Err(issue)) => {
                let from = self.at.saturating_sub(1);
                let until = self.text.get(from..issue.span.start as usize).unwrap_or_default();
                match until.rfind("\n---") {
                    Some(at) => Ok(Some(from + at + 1)),
                    None => Err(issue),
                }
            }
        }
    }

    fn take_issue(&mut self) -> Issue {
        match self.events.next() {
            Some(Err(issue)) => issue,
            _ => issue(self.at, "the file ends too early".to_owned()),
        }
    }

    fn peek(&mut self) -> Read<&(Event<'t>, Span)> {
        if !matches!(self.events.peek(), Some(Ok(_))) {
            return Err(self.take_issue());
        }
        match self.events.peek() {
            Some(Ok(event)) => Ok(event),
            _ => Err(issue(self.at, "the file ends too early".to_owned())),
        }
    }

    /// Takes blanks, comments, an anchor and a tag up to the next thing. In front of a block
    /// collection, properties on the line of its first child are left to that child.
    fn lead_in(&mut self) -> Read<(Trivia, Props)> {
        let (is_block, start) = match self.peek()? {
            (Event::MappingStart(_), span) => (span.start == span.end, span.start as usize),
            (_, span) => (false, span.start as usize),
        };
        let mut trivia = self.blanks();
        let mut props = Props::default();
        loop {
            let rest = &self.text[self.at..];
            if !rest.starts_with(['&', '!']) || self.at >= start.max(self.at + usize::from(!is_block)) {
                return Ok((trivia, props));
            }
            if is_block && self.line_of(self.at) == self.line_of(start) {
                return Ok((trivia, props));
            }
            let end =
                rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len());
            let word = &rest[..end];
            match word.strip_prefix('&') {
                Some(name) => props.anchor = Some(name.to_owned()),
                None => props.tag = Some(word.to_owned()),
            }
            self.at += end;
            let mut more = self.blanks();
            trivia.lines.append(&mut more.lines);
            if more.beside.is_some() {
                trivia.beside = more.beside;
            }
        }
    }

    /// Takes blanks and comments.
    fn blanks(&mut self) -> Trivia {
        let end = self.skip_blanks(self.at);
        self.trivia(end)
    }

    fn skip_blanks(&self, mut at: usize) -> usize {
        loop {
            let rest = &self.text[at..];
            let next = rest.len() - rest.trim_start().len();
            at += next;
            let may_comment = at == 0 || self.text[..at].ends_with(char::is_whitespace);
            if !(may_comment && self.text[at..].starts_with('#')) {
                return at;
            }
            at += self.text[at..].find('\n').unwrap_or(self.text.len() - at);
        }
    }

    /// What lies between here and `end`; goes there.
    fn trivia(&mut self, end: usize) -> Trivia {
        let between = &self.text[self.at.min(end)..end];
        self.at = self.at.max(end);
        let mut trivia = Trivia::default();
        let mut lines = between.split('\n');
        let beside = lines.next().unwrap_or_default().trim_end();
        if beside.trim_start().starts_with('#') {
            trivia.beside = Some(beside.to_owned());
        }
        let mut whole: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
        // Behind the last line end stands the indentation of what follows.
        if whole.last().is_some_and(|last| last.is_empty()) {
            whole.pop();
        }
        trivia.lines = whole;
        trivia
    }

    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    fn line_number(&self, at: usize) -> u32 {
        u32::try_from(self.line_of(at)).unwrap_or(u32::MAX)
    }

    fn column(&self, at: usize) -> usize {
        at - self.lines[self.line_of(at) - 1]
    }
}

fn issue(at: usize, message: String) -> Issue {
    Issue {
        severity: Severity::Error,
        code: "yaml-syntax",
        span: Span::new(at, at),
        message,
        hint: None,
        related: None,
    }
}
