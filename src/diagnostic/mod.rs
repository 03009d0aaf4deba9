//! Findings as data: code, severity, message, place, hint.
//!
//! Rules anywhere in the program return [`Diagnostic`]s; nothing here knows which rule spoke or
//! where the finding will be printed. Drawing them for people and for machines is `draw`'s part.

use std::fmt;
use std::sync::Arc;

mod draw;
mod machine;
mod place;

pub use draw::human;
pub use machine::{json, sarif};
pub use place::{Located, located};

/// How much a finding matters, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Note,
    /// Probably not what was meant; it is served all the same.
    Warning,
    /// It is not served.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// A range of bytes in a source text, end excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The span from one offset to another, in bytes; offsets beyond 4 GiB are capped.
    pub fn new(start: usize, end: usize) -> Span {
        let cap = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { start: cap(start), end: cap(end) }
    }
}

/// One-based line and column (in characters, as editors count) of a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// Where `offset` lies in `text`; an offset inside a character counts as that character.
    pub fn of(text: &str, offset: u32) -> Position {
        let offset = (offset as usize).min(text.len());
        let before = &text.as_bytes()[..offset];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let is_char_start = |byte: &&u8| (**byte & 0xC0) != 0x80;
        let mut column = before[line_start..].iter().filter(is_char_start).count() + 1;
        if line == 1 && text.starts_with('\u{feff}') && offset > 0 {
            column -= 1;
        }
        Position { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A second place that explains a finding, such as "first defined here".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Related {
    /// The file, as people name it.
    pub file: Arc<str>,
    /// Where in it.
    pub span: Span,
    /// What is to be seen there.
    pub message: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// The file it is about, as people name it.
    pub file: Arc<str>,
    /// The very key or value, if the finding is about one and not about the whole file.
    pub span: Option<Span>,
    /// How much it matters.
    pub severity: Severity,
    /// Stable, documented name of the rule, in kebab case: `unknown-field`.
    pub code: &'static str,
    /// The path inside the message, such as `listeners[0].filter_chains[0]`; empty for the whole file.
    pub path: String,
    /// What is wrong, in plain words, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Further places that explain it.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// A finding about a file as a whole; narrow it with the `with_` and `at` methods.
    pub fn new(
        severity: Severity,
        code: &'static str,
        file: Arc<str>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            file,
            span: None,
            severity,
            code,
            path: String::new(),
            message: message.into(),
            hint: None,
            related: Vec::new(),
        }
    }

    /// The same finding about one key or value.
    #[must_use]
    pub fn at(mut self, span: Span, path: impl Into<String>) -> Diagnostic {
        self.span = Some(span);
        self.path = path.into();
        self
    }

    /// The same finding with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// The same finding with a second place.
    #[must_use]
    pub fn with_related(mut self, file: Arc<str>, span: Span, message: impl Into<String>) -> Diagnostic {
        self.related.push(Related { file, span, message: message.into() });
        self
    }

    /// Whether it keeps something from being served.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
