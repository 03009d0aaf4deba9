//! Values, keys and collections, and which comment belongs to which of them.

use super::{Read, Reader, Trivia, issue};
use crate::diagnostic::Span;
use crate::load::events::{Event, Properties};
use crate::load::yaml::{MAX_DEPTH, Style};
use crate::migrate::placeholders;
use crate::migrate::tree::{Child, Form, Node, Props, Scalar};

impl Reader<'_> {
    /// Reads a value; `base` is the column of the key or dash that it belongs to.
    pub(super) fn node(&mut self, mut props: Props, base: usize) -> Read<Node> {
        if self.depth > MAX_DEPTH {
            return Err(issue(self.at, format!("mappings and lists nest deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let Some(Ok((event, span))) = self.events.next() else { return Err(self.take_issue()) };
        let id = |properties: &Properties| properties.anchor;
        let line = self.line_number(self.at);
        let node = match event {
            Event::Scalar { text, style, properties } => {
                props.id = id(&properties);
                self.scalar(&text, style, span, props, base)?
            }
            Event::Alias(alias) => {
                let end = span.end as usize;
                let name = self.text[self.at..end].trim().trim_start_matches('*').to_owned();
                self.at = end;
                Node::read(Form::Alias(name, alias), props, line)
            }
            Event::UnknownAlias(name) => {
                return Err(issue(
                    span.start as usize,
                    format!("no anchor `&{name}` stands before this alias"),
                ));
            }
            Event::SequenceStart(properties) | Event::MappingStart(properties) if span.end > span.start => {
                props.id = id(&properties);
                self.flow(props, base)?
            }
            Event::SequenceStart(properties) => {
                props.id = id(&properties);
                self.block_list(props, line, base)?
            }
            Event::MappingStart(properties) => {
                props.id = id(&properties);
                self.block_map(props, line, base)?
            }
            Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd => {
                return Err(issue(self.at, "the file ends too early".to_owned()));
            }
        };
        self.depth -= 1;
        if node.props.id != 0 {
            self.anchors.insert(node.props.id, node.clone());
        }
        Ok(node)
    }

    fn scalar(&mut self, text: &str, style: Style, span: Span, props: Props, base: usize) -> Read<Node> {
        let line = self.line_number(self.at);
        let (start, end) = (span.start as usize, span.end as usize);
        let is_absent = style == Style::Plain && (text.is_empty() || start == end);
        let (raw, end) = match style {
            _ if is_absent => ("", self.at),
            Style::Block => {
                let rest = &self.text[self.at..];
                if !rest.starts_with(['|', '>']) {
                    return Err(issue(self.at, "this block text cannot be followed".to_owned()));
                }
                let header = rest.split('\n').next().unwrap_or_default();
                let body_end = end.max(self.at + header.len());
                let keep = header.split('#').next().unwrap_or_default().contains('+');
                let raw = &self.text[self.at..body_end];
                // The span reaches to where the next thing begins.
                let raw = match raw.rfind('\n') {
                    Some(at) if raw[at..].trim().is_empty() => &raw[..at],
                    _ => raw,
                };
                let raw = if keep { raw } else { raw.trim_end() };
                (raw, self.at + raw.len())
            }
            _ => (&self.text[start..end], end),
        };
        // With a placeholder in it, the parser has seen something else than what is there.
        let said = if self.is_template && !is_absent && style != Style::Block && placeholders::has_any(raw) {
            match style {
                Style::Quoted => raw.get(1..raw.len().saturating_sub(1)).unwrap_or(raw).to_owned(),
                _ => raw.to_owned(),
            }
        } else {
            text.to_owned()
        };
        let plain = style == Style::Plain;
        let scalar = Scalar { lines: self.relative(raw, base), text: said, plain };
        self.at = end;
        Ok(Node::read(Form::Scalar(scalar), props, line))
    }

    /// The lines of something, those behind the first one relative to a column.
    fn relative(&self, raw: &str, base: usize) -> Vec<String> {
        let mut lines = raw.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let first = lines.next().unwrap_or_default().to_owned();
        std::iter::once(first).chain(lines.map(|line| unindented(line, base).to_owned())).collect()
    }

    fn flow(&mut self, props: Props, base: usize) -> Read<Node> {
        let start = self.at;
        let line = self.line_number(start);
        let is_map = self.text[start..].starts_with('{');
        self.at += 1;
        let mut children = Vec::new();
        loop {
            let mut trivia = self.blanks();
            if self.text[self.at..].starts_with(',') {
                self.at += 1;
                let more = self.blanks();
                trivia.lines.extend(more.beside);
                trivia.lines.extend(more.lines);
            }
            if let (Event::SequenceEnd | Event::MappingEnd, span) = self.peek()? {
                let end = span.end as usize;
                self.events.next();
                self.at = end;
                break;
            }
            let mut child = if is_map { self.flow_entry(base)? } else { self.flow_item(base)? };
            let comments = trivia.beside.into_iter().chain(trivia.lines);
            child.before =
                comments.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
            children.push(child);
        }
        let raw = self.relative(&self.text[start..self.at], base);
        let form = if is_map { Form::Map(children) } else { Form::List(children) };
        let mut node = Node::read(form, props, line);
        node.flow = Some(raw);
        Ok(node)
    }

    fn flow_entry(&mut self, base: usize) -> Read<Child> {
        let (mut child, _) = self.key(base)?;
        let blanks = self.skip_blanks(self.at);
        if self.text[blanks..].starts_with(':') {
            self.at = blanks + 1;
        }
        let (_, props) = self.lead_in()?;
        child.value = self.node(props, base)?;
        Ok(child)
    }

    fn flow_item(&mut self, base: usize) -> Read<Child> {
        let (_, props) = self.lead_in()?;
        let line = self.line_number(self.at);
        let value = self.node(props, base)?;
        Ok(Child { line, ..Child::item(value) })
    }

    /// Reads a key, up to the colon; gives the column of where it begins, too.
    fn key(&mut self, base: usize) -> Read<(Child, usize)> {
        let start = self.at;
        let is_explicit = self.text[start..].starts_with("? ");
        if is_explicit {
            self.at += 2;
        }
        let (_, props) = self.lead_in()?;
        let tag = props.tag.clone();
        let node = self.node(props, base)?;
        let Form::Scalar(scalar) = &node.form else {
            let mut issue = issue(start, "a key must be a simple text, not a list or a mapping".to_owned());
            if self.text[..start].trim_end().ends_with('{') {
                let hint = "`{{ … }}` is a template's: run its engine first and import what comes out";
                issue.hint = Some(hint.to_owned());
            }
            return Err(issue);
        };
        let (key, raw) = match tag {
            Some(tag) => (format!("{tag} {}", scalar.text), format!("{tag} {}", scalar.lines.join(" "))),
            None => (scalar.text.clone(), scalar.lines.join(" ")),
        };
        let raw = match &node.props.anchor {
            Some(anchor) => format!("&{anchor} {raw}"),
            None => raw,
        };
        let mut child = Child::item(Node::plain(""));
        child.line = self.line_number(start);
        child.key = key;
        child.key_raw = raw;
        Ok((child, self.column(start)))
    }

    fn block_list(&mut self, props: Props, line: u32, base: usize) -> Read<Node> {
        let mut children: Vec<Child> = Vec::new();
        let mut column = 0;
        while !matches!(self.peek()?.0, Event::SequenceEnd) {
            let trivia = self.blanks();
            if !self.text[self.at..].starts_with('-') {
                return Err(issue(self.at, "this list cannot be followed".to_owned()));
            }
            column = self.column(self.at);
            let start = self.at;
            self.at += 1;
            let before = self.share(&mut children, trivia, column);
            let mut child = Child { line: self.line_number(start), before, ..Child::item(Node::plain("")) };
            self.value(&mut child, column)?;
            children.push(child);
        }
        self.events.next();
        let mut node = Node::read(Form::List(children), props, line);
        node.step = Some(column.saturating_sub(base));
        Ok(node)
    }

    fn block_map(&mut self, props: Props, line: u32, base: usize) -> Read<Node> {
        let mut children: Vec<Child> = Vec::new();
        let mut column = 0;
        while !matches!(self.peek()?.0, Event::MappingEnd) {
            let trivia = self.blanks();
            column = self.column(self.at);
            let before = self.share(&mut children, trivia, column);
            let (mut child, _) = self.key(column)?;
            child.before = before;
            self.at = self.skip_blanks(self.at);
            if self.text[self.at..].starts_with(':') {
                self.at += 1;
            }
            self.value(&mut child, column)?;
            children.push(child);
        }
        self.events.next();
        let mut node = Node::read(Form::Map(children), props, line);
        node.step = Some(column.saturating_sub(base));
        Ok(node)
    }

    /// Reads the value of a child of a block collection, which stands in this column.
    fn value(&mut self, child: &mut Child, column: usize) -> Read<()> {
        let behind = self.at;
        if self.is_nothing()? {
            // Nothing stands there; what follows are the next one's comments.
            child.value = self.node(Props::default(), column)?;
            self.at = behind;
            return Ok(());
        }
        let (trivia, props) = self.lead_in()?;
        let between = &self.text[behind..self.at];
        if between.trim().is_empty() && !between.contains('\n') {
            child.gap = (self.at - behind).max(1);
        }
        child.value = self.node(props, column)?;
        child.comment = trivia.beside;
        let lines = trivia.lines;
        if child.value.flow.is_none() && !child.value.children().is_empty() {
            let column = child.value.step.unwrap_or(0) + column;
            if let Some(first) = child.value.children_mut().first_mut() {
                first.before.splice(0..0, lines.iter().map(|line| unindented(line, column).to_owned()));
            }
        } else {
            let comments = lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty());
            child.before.extend(comments);
        }
        Ok(())
    }

    /// Whether the next value is one that is not there.
    fn is_nothing(&mut self) -> Read<bool> {
        Ok(match self.peek()? {
            (Event::Scalar { text, style: Style::Plain, properties }, span) => {
                (text.is_empty() || span.start == span.end)
                    && properties.anchor == 0
                    && properties.tag.is_none()
            }
            _ => false,
        })
    }

    /// Gives what stands before a child its home: the line of the one before, the end of a deeper
    /// collection, or, what is left, the child itself.
    fn share(&mut self, children: &mut [Child], trivia: Trivia, column: usize) -> Vec<String> {
        let left = match children.last_mut() {
            Some(last) => close_child(last, trivia, column),
            None => loose(trivia),
        };
        left.iter().map(|line| unindented(line, column).to_owned()).collect()
    }

    /// As [`Reader::share`], for the end of the document.
    pub(super) fn close(&mut self, root: &mut Node, trivia: Trivia) -> Vec<String> {
        let is_block = root.flow.is_none();
        match root.children_mut().last_mut() {
            Some(last) if is_block => close_child(last, trivia, 0),
            _ => loose(trivia),
        }
    }
}

/// Puts what follows a child where it belongs; gives back the lines that belong behind it. The child
/// stands in `column`.
fn close_child(child: &mut Child, trivia: Trivia, column: usize) -> Vec<String> {
    let is_block = child.value.flow.is_none() && !child.value.children().is_empty();
    if !is_block {
        if trivia.beside.is_some() {
            child.comment = trivia.beside;
        }
        return trivia.lines;
    }
    let inner = column + child.value.step.unwrap_or(0);
    let depth = |line: &str| line.len() - line.trim_start().len();
    // Blank lines belong to what follows them.
    let belongs = |line: &String| !line.trim().is_empty() && depth(line) >= inner && inner > column;
    let mut lines = trivia.lines;
    let end = lines.iter().rposition(belongs).map_or(0, |at| at + 1);
    let is_run = lines[..end].iter().all(|line| line.trim().is_empty() || belongs(line));
    let rest = lines.split_off(if is_run { end } else { 0 });
    let mut left = Vec::new();
    if let Some(last) = child.value.children_mut().last_mut() {
        left = close_child(last, Trivia { beside: trivia.beside, lines }, inner);
    }
    child.value.tail.extend(left.iter().map(|line| unindented(line, inner).to_owned()));
    rest
}

/// All of it as lines.
fn loose(trivia: Trivia) -> Vec<String> {
    trivia.beside.iter().map(|beside| beside.trim_start().to_owned()).chain(trivia.lines).collect()
}

/// A line without so much of its indentation.
fn unindented(line: &str, columns: usize) -> &str {
    let blanks = line.len() - line.trim_start_matches(' ').len();
    &line[blanks.min(columns)..]
}
