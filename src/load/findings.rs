//! The findings of one file while it is read: where the reader is, and what may be said there.
//!
//! Keeps the path to the message that is being read, and the invariants that no text of a sensitive
//! value gets into a finding, and that a file has at most [`MAX_FINDINGS`] of each severity: warnings
//! never crowd out an error.

use std::fmt::Write;
use std::sync::Arc;

use super::Severities;
use super::scalar::{Typed, typed};
use super::sensitive::{Sensitive, overlaps};
use super::yaml::{Issue, Node, Value};
use crate::diagnostic::{Diagnostic, Related, Severity, Span};

/// More findings of one severity than this help nobody, and would make the report larger than the file.
pub(super) const MAX_FINDINGS: usize = 1_000;

/// How much of a value is shown.
const SHOWN_CHARS: usize = 120;

/// Collects findings.
pub(super) struct Findings<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    list: Vec<Diagnostic>,
    /// How many there are, by severity, shown or not.
    counts: [usize; 3],
    /// Takes the findings that are not shown.
    spare: Option<Diagnostic>,
    /// Takes the findings that the user has turned off.
    unwanted: Option<Diagnostic>,
    severities: &'a Severities,
    /// Takes the findings about what is not known, which is no one's mistake.
    unsaid: Option<Diagnostic>,
    path: String,
    /// Values are sensitive here.
    pub secret: bool,
    /// Where they stand.
    pub sensitive: Sensitive,
    /// What is read here is not served, so what only concerns its meaning is no error.
    pub unserved: bool,
}

impl<'a> Findings<'a> {
    pub(super) fn new(severities: &'a Severities, file: &'a Arc<str>, text: &'a str) -> Findings<'a> {
        Findings {
            file,
            text,
            list: Vec::new(),
            counts: [0; 3],
            spare: None,
            unwanted: None,
            severities,
            unsaid: None,
            path: String::new(),
            secret: false,
            sensitive: Sensitive::default(),
            unserved: false,
        }
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        self.counts[Severity::Error as usize]
    }

    /// Whether further errors will not be shown: then it is not worth to look for advice.
    pub(super) fn is_full(&self) -> bool {
        self.errors() >= MAX_FINDINGS
    }

    /// Takes a finding back of which more is to be said.
    pub(super) fn retract(&mut self, code: &str, span: Span) {
        let is_it = |finding: &Diagnostic| finding.code == code && finding.span == Some(span);
        if let Some(at) = self.list.iter().rposition(is_it) {
            let finding = self.list.remove(at);
            self.counts[finding.severity as usize] -= 1;
        }
    }

    /// What it is that a type is missing or unknown: no harm where nothing is served.
    pub(super) fn severity_of_types(&self) -> Severity {
        if self.unserved { Severity::Warning } else { Severity::Error }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &Arc<str> {
        self.file
    }

    /// All findings, in the order of their places.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.hide_sensitive();
        if self.spare.is_some() {
            let message = "there are more findings in this file than are shown here";
            self.list.push(Diagnostic::new(Severity::Note, "too-many-findings", self.file.clone(), message));
        }
        self.list.sort_by(|a, b| a.span.cmp(&b.span).then_with(|| a.code.cmp(b.code)));
        self.list
    }

    /// Hides what may be sensitive in a value of unknown type.
    pub(super) fn hide_unknown(&mut self, node: &Node<'_>) {
        match self.secret {
            true => self.sensitive.add(node.span),
            false => self.sensitive.mark_suspects(node),
        }
    }

    /// What is wrong as YAML is said before anyone knows what is sensitive.
    fn hide_sensitive(&mut self) {
        let sensitive = self.sensitive.spans();
        for finding in &mut self.list {
            let is_yaml = matches!(finding.code, "duplicate-key" | "unknown-alias");
            if is_yaml && finding.span.is_some_and(|span| overlaps(&sensitive, span)) {
                let mut parts = finding.message.split('`');
                let (start, end) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
                finding.message = format!("{start}`…`{end} (not shown, it is sensitive)");
                finding.path.clear();
            }
        }
    }

    /// Adds a finding at a place under the current path; what it returns takes hints.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let finding = Diagnostic::new(severity, code, self.file.clone(), message).at(span, self.path.clone());
        self.push(finding)
    }

    /// A second place in this file that explains a finding.
    pub(super) fn here(&self, span: Span, message: &str) -> Related {
        Related { file: self.file.clone(), span, message: message.to_owned() }
    }

    /// Adds a finding at a place further inside than the current path.
    pub(super) fn add_under(
        &mut self,
        inside: &str,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let before = self.path.len();
        if !inside.is_empty() {
            self.enter(inside);
        }
        let finding = Diagnostic::new(severity, code, self.file.clone(), message).at(span, self.path.clone());
        self.back(before);
        self.push(finding)
    }

    /// Adds that a value breaks a constraint of the API, at a place under the current path.
    pub(super) fn add_constraint(
        &mut self,
        code: &'static str,
        message_type: &str,
        field: &str,
        span: Span,
        message: String,
    ) {
        let severity = self.severities.of_constraint(code, message_type, field);
        let finding = Diagnostic::new(Severity::Error, code, self.file.clone(), message);
        self.push_as(severity, finding.at(span, self.path.clone()));
    }

    /// Adds an error at a place under the current path.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message)
    }

    /// Adds what is wrong with the file as YAML; `root` finds the path to the place.
    pub(super) fn add_issue(&mut self, issue: Issue, roots: &[Node<'_>]) {
        let is_shown = self.counts[issue.severity as usize] < MAX_FINDINGS;
        let path = if is_shown { path_to(roots, issue.span) } else { String::new() };
        let finding = Diagnostic::new(issue.severity, issue.code, self.file.clone(), issue.message);
        let mut finding = finding.at(issue.span, path);
        finding.hint = issue.hint;
        if let Some((span, message)) = issue.related {
            finding = finding.with_related(self.file.clone(), span, message);
        }
        self.push(finding);
    }

    fn push(&mut self, finding: Diagnostic) -> &mut Diagnostic {
        let severity = self.severities.of(finding.code, finding.severity);
        self.push_as(severity, finding)
    }

    fn push_as(&mut self, severity: Option<Severity>, mut finding: Diagnostic) -> &mut Diagnostic {
        let Some(severity) = severity else { return self.unwanted.insert(finding) };
        finding.severity = severity;
        let count = &mut self.counts[finding.severity as usize];
        *count += 1;
        if *count > MAX_FINDINGS {
            return self.spare.insert(finding);
        }
        self.list.push(finding);
        self.list.last_mut().expect("a finding was just pushed")
    }

    /// Goes to a field; give the result to [`Findings::back`].
    pub(super) fn enter(&mut self, field: &str) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(field);
        before
    }

    /// Goes to an element of a list.
    pub(super) fn enter_index(&mut self, index: usize) -> usize {
        let before = self.path.len();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "[{index}]");
        before
    }

    /// Goes to an entry of a map.
    pub(super) fn enter_key(&mut self, key: &str) -> usize {
        let before = self.path.len();
        push_map_key(&mut self.path, key);
        before
    }

    /// Goes back to where `enter` was called.
    pub(super) fn back(&mut self, before: usize) {
        self.path.truncate(before);
    }

    /// What stands in the file, which is not what it means if it refers to variables.
    pub(super) fn written(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The first line of a value: a finding about a whole mapping need not underline it all.
    pub(super) fn head(&self, span: Span) -> Span {
        let shown = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        match shown.find(['\n', '\r']) {
            Some(0) | None => span,
            Some(end) => Span { start: span.start, end: span.start + u32::try_from(end).unwrap_or(0) },
        }
    }

    /// A text as it may be shown.
    pub(super) fn quote(&self, text: &str) -> String {
        if self.secret {
            return "this text (not shown, it is sensitive)".to_owned();
        }
        let mut shown: String =
            text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if shown.len() < text.len() && text.chars().count() > SHOWN_CHARS {
            shown.push('…');
        }
        format!("`{shown}`")
    }

    /// What a value is, in words.
    pub(super) fn describe(&self, node: &Node<'_>) -> String {
        match &node.value {
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::File(_) if typed(node).is_none() => "a file that is not UTF-8 text".to_owned(),
            Value::File(_) => "the content of a file".to_owned(),
            Value::Unknown => "something that is not known".to_owned(),
            Value::Scalar(text, _) => match typed(node) {
                Some(Typed::Null) | None => "nothing".to_owned(),
                Some(Typed::Bool(_)) if self.secret => "a boolean".to_owned(),
                Some(Typed::Number(_)) if self.secret => "a number".to_owned(),
                Some(Typed::Text(_)) if self.secret => "a text".to_owned(),
                Some(Typed::Bool(_)) => format!("the boolean {}", self.quote(text)),
                Some(Typed::Number(_)) => format!("the number {}", self.quote(text)),
                Some(Typed::Text(_)) if text.is_empty() => "an empty text".to_owned(),
                Some(Typed::Text(_)) => format!("the text {}", self.quote(text)),
            },
        }
    }

    /// "expected …, got …".
    pub(super) fn wrong_type(&mut self, node: &Node<'_>, expected: &str) -> &mut Diagnostic {
        let message = format!("expected {expected}, got {}", self.describe(node));
        let span = self.head(node.span);
        if matches!(node.value, Value::Unknown) {
            let unsaid = Diagnostic::new(Severity::Note, "wrong-type", self.file.clone(), message);
            return self.unsaid.insert(unsaid);
        }
        if self.secret && !matches!(node.value, Value::Scalar(..)) {
            // Nobody knows what these keys are.
            self.sensitive.add(node.span);
        }
        self.error("wrong-type", span, message)
    }
}

fn push_map_key(path: &mut String, key: &str) {
    let simple = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if simple {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(path, "[{key:?}]");
    }
}

/// The path to what stands at a place. Findings about YAML are rare, so it is looked for afterwards.
pub(super) fn path_to(roots: &[Node<'_>], span: Span) -> String {
    let holds = |outer: Span| outer.start <= span.start && span.end <= outer.end;
    let mut path = String::new();
    let mut at = roots.iter().find(|root| holds(root.span));
    while let Some(node) = at {
        at = match &node.value {
            Value::Scalar(..) | Value::File(_) | Value::Unknown => None,
            Value::Sequence(nodes) => {
                let found = nodes.iter().enumerate().find(|(_, node)| holds(node.span));
                found.map(|(index, node)| {
                    // Writing to a String cannot fail.
                    let _ = write!(path, "[{index}]");
                    node
                })
            }
            Value::Mapping(entries) => {
                let found = entries.iter().find(|e| holds(e.key_span) || holds(e.value.span));
                found.and_then(|entry| {
                    push_map_key(&mut path, &entry.key);
                    (!holds(entry.key_span)).then_some(&entry.value)
                })
            }
        };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_do_not_hide_an_error() {
        let file = Arc::from("a.yaml");
        let severities = Severities::default();
        let mut findings = Findings::new(&severities, &file, "");
        for _ in 0..MAX_FINDINGS * 2 {
            findings.add(Severity::Warning, "deprecated-field", Span::new(0, 1), "old");
        }
        findings.error("unknown-field", Span::new(5, 6), "wrong");
        assert_eq!(findings.errors(), 1);
        let list = findings.finish();
        assert_eq!(list.len(), MAX_FINDINGS + 2);
        assert_eq!(list.iter().filter(|finding| finding.is_error()).count(), 1);
        assert!(list.iter().any(|finding| finding.code == "too-many-findings"));
    }

    #[test]
    fn nothing_of_a_secret_is_quoted() {
        let file = Arc::from("a.yaml");
        let severities = Severities::default();
        let mut findings = Findings::new(&severities, &file, "");
        assert_eq!(findings.quote("hunter2"), "`hunter2`");
        findings.secret = true;
        assert!(!findings.quote("hunter2").contains("hunter2"));
        let parsed = super::super::yaml::parse("[hunter2, 12, yes]");
        for element in parsed.documents[0].elements() {
            let described = findings.describe(element);
            assert!(["a text", "a number", "a boolean"].contains(&&*described), "{described}");
        }
    }
}
