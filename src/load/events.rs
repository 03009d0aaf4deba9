//! The seam to the YAML parser: text in, a stream of our own events out.
//!
//! Everything that names the parser crate is here, so that another parser can take its place. Gives
//! byte spans into the very text it was given, and a syntax error as an [`Issue`] in our words. Keeps
//! the invariant that the stream ends after the first error, and that no event stands for a comment.

use std::borrow::Cow;

use granit_parser::{ErrorKind, Event as Raw, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::yaml::{Issue, Style};
use crate::diagnostic::{Severity, Span};

/// What the parser met.
pub enum Event<'t> {
    /// A scalar with its text after YAML's own unescaping.
    Scalar {
        /// What it says.
        text: Cow<'t, str>,
        /// How it is written.
        style: Style,
        /// What stands before it.
        properties: Properties,
    },
    /// `[` or the first `-` of a list.
    SequenceStart(Properties),
    /// The end of a list; `true` in flow style, where the span is that of the bracket.
    SequenceEnd,
    /// `{` or the first key of a mapping.
    MappingStart(Properties),
    /// The end of a mapping.
    MappingEnd,
    /// `*name` of the anchor with this id.
    Alias(usize),
    /// `*name` of an anchor that does not exist.
    UnknownAlias(Cow<'t, str>),
    /// A document ends.
    DocumentEnd,
}

/// What may stand before a node.
pub struct Properties {
    /// The id of its anchor; 0 without one.
    pub anchor: usize,
    /// Its tag, resolved, such as `!ignore`.
    pub tag: Option<Box<str>>,
}

/// The events of a text.
pub struct Events<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
}

/// How deep collections may nest for the parser; [`super::yaml`] stops at less, with a better message.
const PARSER_DEPTH: usize = 250;

/// How long a key may be without `?` before it, in characters, as YAML has it.
const YAML_KEY: usize = 1024;

/// The parser keeps as much in memory as may still be a key.
const JSON_KEY: usize = 1 << 16;

impl<'t> Events<'t> {
    /// Begins to read.
    pub fn new(text: &'t str) -> Events<'t> {
        Events::with_keys(text, YAML_KEY)
    }

    /// The same for JSON, where a key has no limit; but this one.
    pub fn of_json(text: &'t str) -> Events<'t> {
        Events::with_keys(text, JSON_KEY)
    }

    fn with_keys(text: &'t str, longest: usize) -> Events<'t> {
        let options = granit_parser::options! {
            emit_unresolved_aliases: true,
            emit_comments: false,
            simple_key_max_lookahead: longest,
            flow_nesting_limit: PARSER_DEPTH,
            block_nesting_limit: PARSER_DEPTH,
        };
        Events { text, parser: Parser::new_from_str_with_options(text, options) }
    }
}

impl<'t> Iterator for Events<'t> {
    type Item = Result<(Event<'t>, Span), Issue>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (raw, span) = match self.parser.next_event()? {
                Ok(event) => event,
                Err(error) => return Some(Err(syntax_error(self.text, &error))),
            };
            let event = match raw {
                Raw::Scalar(text, style, anchor, tag) => Event::Scalar {
                    text,
                    style: style_of(style),
                    properties: properties(anchor, tag.as_deref()),
                },
                Raw::SequenceStart(_, anchor, tag) => {
                    Event::SequenceStart(properties(anchor, tag.as_deref()))
                }
                Raw::SequenceEnd => Event::SequenceEnd,
                Raw::MappingStart(_, anchor, tag) => Event::MappingStart(properties(anchor, tag.as_deref())),
                Raw::MappingEnd => Event::MappingEnd,
                Raw::Alias(id) => Event::Alias(id),
                Raw::UnresolvedAlias(name) => Event::UnknownAlias(name),
                Raw::DocumentEnd => Event::DocumentEnd,
                _ => continue,
            };
            let range = span.byte_range().unwrap_or(0..0);
            return Some(Ok((event, Span::new(range.start, range.end))));
        }
    }
}

fn properties(anchor: usize, tag: Option<&Tag>) -> Properties {
    let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()).into());
    Properties { anchor, tag }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

fn syntax_error(text: &str, error: &ScanError) -> Issue {
    let start = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let width = text[start..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let (message, hint) = words(error.kind());
    let mut issue =
        Issue::new(Severity::Error, "yaml-syntax", Span::new(start, start + width), message.into_owned());
    issue.hint = hint.map(str::to_owned);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line_start..start];
    if *error.kind() == ErrorKind::MappingValueNotAllowed && !before.contains(':') {
        issue.message = "this key is not in the column of the mapping that it belongs to".to_owned();
        issue.hint = Some(ALIGN.to_owned());
        // The parser stops at the colon.
        let key = before.trim_start_matches([' ', '-']);
        if !key.trim_end().is_empty() {
            let from = start - key.len();
            issue.span = Span::new(from, from + key.trim_end().len());
        }
    }
    if *error.kind() == ErrorKind::ExpectedBlockMappingKey && before.trim() == "-" {
        let dash = line_start + before.find('-').unwrap_or(0);
        issue.span = Span::new(dash, dash + 1);
        issue.message = "a list entry (`-`) stands here, where a mapping goes on".to_owned();
    }
    let line = text[line_start..].lines().next().unwrap_or_default();
    let is_statement =
        *error.kind() == (ErrorKind::UnexpectedCharacter { character: '%' }) && text[..start].ends_with('{');
    let opens = line.find("{{").filter(|at| line_start + at <= start);
    if is_statement || opens.is_some_and(|at| line[at..].contains("}}")) {
        let form = if is_statement { "{% … %}" } else { "{{ … }}" };
        issue.message = format!("this is a template (`{form}`), not yet YAML");
        issue.hint = Some("fill it in before it is put here".to_owned());
    }
    if let Some(tab) = tab_near(text, start) {
        issue.span = Span::new(tab, tab + 1);
        issue.message = "a tab is used as indentation, which YAML does not allow".to_owned();
        issue.hint = Some("indent with spaces".to_owned());
    }
    issue
}

/// A tab in the indentation of the line where the parser stopped, or of the one after it: parsers
/// report the place where the tab made the structure wrong, which is often the line before.
fn tab_near(text: &str, at: usize) -> Option<usize> {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let mut start = line_start;
    for line in text[line_start..].split_inclusive('\n').take(2) {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indentation].find('\t') {
            return Some(start + tab);
        }
        start += line.len();
    }
    None
}

const ALIGN: &str = "keys of one mapping, and dashes of one list, stand in the same column";

/// The parser's error in our words, with advice where there is some.
fn words(kind: &ErrorKind) -> (Cow<'static, str>, Option<&'static str>) {
    use ErrorKind as E;
    let fixed = |message: &'static str, hint: Option<&'static str>| (Cow::Borrowed(message), hint);
    let quote = Some("quote the text if these characters belong to it");
    let align = Some(ALIGN);
    match kind {
        E::UnexpectedEofFlowSequence | E::UnexpectedEofFlowMapping | E::UnexpectedEofImplicitFlowMapping => {
            fixed("the file ends inside `[ … ]` or `{ … }`", Some("close the bracket"))
        }
        E::UnclosedFlowCollection { open } => {
            (Cow::Owned(format!("this `{open}` is never closed")), Some("close the bracket"))
        }
        E::MismatchedFlowCollectionEnd { open, close } => {
            (Cow::Owned(format!("`{open}` is closed with `{close}`")), None)
        }
        E::MisplacedFlowCollectionEnd => fixed("a closing bracket that nothing opened", None),
        E::ExpectedFlowMappingSeparator => fixed(
            "expected `,` or `}` here",
            Some("close the `{ … }`, or quote the text if these characters belong to it"),
        ),
        E::ExpectedFlowSequenceSeparator => fixed(
            "expected `,` or `]` here",
            Some("close the `[ … ]`, or quote the text if these characters belong to it"),
        ),
        E::UnexpectedEof | E::UnexpectedEofBlockMapping | E::UnexpectedEofBlockSequence => {
            fixed("the file ends in the middle of a value", None)
        }
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            fixed("a quoted text is never closed", Some("add the closing quote"))
        }
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => fixed(
            "something follows the closing quote of a text",
            Some("quote the whole text, or none of it"),
        ),
        E::ExpectedBlockMappingKey => fixed("expected a key or the end of the mapping here", align),
        E::ExpectedBlockSequenceEntry => fixed("expected `-` or the end of the list here", align),
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            fixed("expected `:` after this key", Some("a key is followed by a colon and a space"))
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::MappingKeyNotAllowed => {
            fixed("a `:` is not allowed here", quote)
        }
        E::InvalidIndentation | E::InvalidFlowScalarIndent => {
            fixed("this line is not indented as the one that it continues", align)
        }
        E::InvalidQuotedScalarIndent => fixed(
            "a quoted text goes on in this line, which is not indented",
            Some("is the closing quote missing in a line before?"),
        ),
        E::InvalidBlockScalarIndent => {
            fixed("a line of this block text is indented less than its first line", None)
        }
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            fixed("a list entry (`-`) is not allowed here", align)
        }
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart
        | E::TabInPlainScalar => fixed("a tab is not allowed here", Some("use spaces")),
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidUnicodeEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate => fixed(
            "an unknown escape in a double-quoted text",
            Some("write a backslash twice, or use single quotes: '\\d+'"),
        ),
        E::RecursionLimitExceeded => fixed("the nesting is too deep", None),
        E::UnexpectedCharacter { character } if character.is_control() => {
            (Cow::Owned(format!("a control character (U+{:04X}) is not allowed", *character as u32)), None)
        }
        E::UnexpectedCharacter { character } => (
            Cow::Owned(format!("`{character}` cannot start a value")),
            Some("quote the text if it begins with this character"),
        ),
        E::BomInsideDocument => {
            fixed("a byte-order mark stands in the middle of the file", Some("remove it"))
        }
        E::MissingDocumentEndBeforeDirective | E::ExpectedDocumentStart => {
            fixed("something follows the end of the document", align)
        }
        E::UndeclaredTagHandle => fixed("a tag with an unknown prefix", quote),
        E::MissingAnchorOrAliasName => fixed("`&` or `*` without a name", quote),
        _ => fixed("this is not valid YAML", None),
    }
}
