//! Where findings lie, in lines and columns.
//!
//! Comes in: findings with byte offsets, and a way to the texts. Goes out: [`Located`] findings in
//! the order of files and places. A text is scanned once, however many findings it has.

use std::collections::HashMap;
use std::fmt;

use super::{Diagnostic, Position, Related, Span};

/// How many bytes may have to be counted again for one column.
const BLOCK: usize = 4096;

/// A text with its lines found.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line begins.
    starts: Vec<usize>,
    /// How many characters begin before each block; one more for the end.
    chars: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Lines<'t> {
        let bytes = text.as_bytes();
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|at| at + 1)).collect();
        let mut counted = 0;
        let mut chars = vec![0];
        chars.extend(bytes.chunks(BLOCK).map(|block| {
            counted += chars_beginning_in(block);
            counted
        }));
        Lines { text, starts, chars }
    }

    /// Line and column of an offset; one inside a character counts as that character's.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = floor_boundary(self.text, offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let mark = line == 1 && offset > 0 && self.text.starts_with('\u{feff}');
        let column = self.chars_before(offset) - self.chars_before(start) + 1 - usize::from(mark);
        Position { line, column }
    }

    /// The text of a line (counted from one) without its end, and where it begins.
    pub(super) fn line(&self, line: usize) -> (usize, &'t str) {
        let start = self.starts[line - 1];
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let text = &self.text[start..end];
        (start, text.strip_suffix('\r').unwrap_or(text))
    }

    fn chars_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        self.chars[block] + chars_beginning_in(&self.text.as_bytes()[block * BLOCK..offset])
    }
}

fn chars_beginning_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

/// The next place at or before `offset` where a character begins, or the end of the text.
pub(super) fn floor_boundary(text: &str, offset: usize) -> usize {
    let capped = offset.min(text.len());
    (0..=capped).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A finding with its place in lines and columns. Displayed, it is one line for logs:
/// `file:line:column: severity[code]: message (hint)`.
pub struct Located<'a> {
    /// The finding.
    pub diagnostic: &'a Diagnostic,
    /// Where it begins and ends (the end is behind the last character); nothing if it is about the
    /// whole file, or if the text is not at hand.
    pub range: Option<(Position, Position)>,
    /// Its further places with their ranges.
    pub related: Vec<(&'a Related, Option<(Position, Position)>)>,
}

/// The findings by file, place, and severity, each with its place in lines and columns.
///
/// `source` gives the text of a file, if it is at hand.
pub fn located<'a, 't>(
    diagnostics: &'a [Diagnostic],
    source: impl Fn(&str) -> Option<&'t str>,
) -> Vec<Located<'a>> {
    Texts::new(source).located(diagnostics)
}

/// Texts with their lines, each looked up and scanned once.
pub(super) struct Texts<'a, 't, F> {
    source: F,
    known: HashMap<&'a str, Option<Lines<'t>>>,
}

impl<'a, 't, F: Fn(&str) -> Option<&'t str>> Texts<'a, 't, F> {
    pub(super) fn new(source: F) -> Self {
        Texts { source, known: HashMap::new() }
    }

    pub(super) fn lines(&mut self, file: &'a str) -> Option<&Lines<'t>> {
        self.known.entry(file).or_insert_with(|| (self.source)(file).map(Lines::new)).as_ref()
    }

    pub(super) fn located(&mut self, diagnostics: &'a [Diagnostic]) -> Vec<Located<'a>> {
        let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
        sorted.sort();
        sorted
            .into_iter()
            .map(|diagnostic| Located {
                diagnostic,
                range: diagnostic.span.and_then(|span| self.range(&diagnostic.file, span)),
                related: diagnostic.related.iter().map(|at| (at, self.range(&at.file, at.span))).collect(),
            })
            .collect()
    }

    fn range(&mut self, file: &'a str, span: Span) -> Option<(Position, Position)> {
        let lines = self.lines(file)?;
        Some((lines.position(span.start as usize), lines.position(span.end.max(span.start) as usize)))
    }
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { file, severity, code, message, hint, .. } = self.diagnostic;
        write!(f, "{}:", visible(file))?;
        if let Some((start, _)) = self.range {
            write!(f, "{start}:")?;
        }
        write!(f, " {severity}[{code}]: {}", visible(message))?;
        match hint {
            Some(hint) => write!(f, " ({})", visible(hint)),
            None => Ok(()),
        }
    }
}

/// A text in which nothing can start a new line, move the cursor or turn the direction of writing.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                shown.extend(character.escape_unicode());
            }
            other if other.is_control() => shown.extend(other.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

/// The same with line breaks kept.
pub(super) fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_and_single_positions_agree(text in "(\u{feff})?[a-zä😀\r\n ]{0,40}") {
            let lines = Lines::new(&text);
            for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
                prop_assert_eq!(lines.position(offset), Position::of(&text, offset as u32));
            }
        }
    }

    #[test]
    fn columns_are_right_far_inside_a_long_line() {
        let text = format!("x\n{}!", "ä".repeat(10_000));
        let lines = Lines::new(&text);
        assert_eq!(lines.position(text.len() - 1), Position { line: 2, column: 10_001 });
        assert_eq!(lines.position(text.len()), Position { line: 2, column: 10_002 });
        // Offsets beyond the end, as a stale finding may have, are capped.
        assert_eq!(lines.position(usize::MAX), lines.position(text.len()));
        assert_eq!(lines.position(3), lines.position(2), "the second byte of ä");
    }

    #[test]
    fn findings_come_by_file_and_place_and_fit_on_one_line_each() {
        let finding = |file: &str, start, message: &str| {
            Diagnostic::new(Severity::Error, "some-rule", file.into(), message)
                .at(Span::new(start, start + 1), "p")
        };
        let whole = Diagnostic::new(Severity::Warning, "empty", "a.yaml".into(), "nothing\nin it");
        let findings = [
            finding("b.yaml", 0, "b"),
            finding("a.yaml", 5, "second"),
            finding("a.yaml", 1, "first \u{1b}[31m").with_hint("look\there"),
            whole,
            finding("gone.yaml", 5, "no text"),
        ];
        let source = |file: &str| (file != "gone.yaml").then_some("one\ntwo\n");
        let lines: Vec<String> = located(&findings, source).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "a.yaml: warning[empty]: nothing in it",
                "a.yaml:1:2: error[some-rule]: first \\u{1b}[31m (look\\there)",
                "a.yaml:2:2: error[some-rule]: second",
                "b.yaml:1:1: error[some-rule]: b",
                "gone.yaml: error[some-rule]: no text",
            ]
        );
    }
}
