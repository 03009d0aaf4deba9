//! Draws findings for people: the source line with a caret, the path, the advice.
//!
//! Shows source text, but for the places that are hidden from everyone; logs show none
//! ([`Located`](super::Located) has a line for those). Nothing in a file can control the terminal, and a
//! line of any length costs the same.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::place::{Lines, Texts, floor_boundary, visible, visible_lines};
use super::{Diagnostic, Located, Severity, Span};

/// Longest line that is handed to the drawing as a whole, in bytes. The drawing itself trims to the
/// width of a terminal, but reads all of it to do so.
const WHOLE_LINE: usize = 2000;

/// How much is kept before and behind the place in a longer line, in bytes.
const AROUND: usize = 60;

/// Stands for the file's name while the true column is not known to the drawing.
const PLACEHOLDER: char = '\u{f8ff}';

/// All findings, by file and place, as text with a blank line between them.
///
/// `source` gives the text of a file, if it is at hand, and `hidden` the places in it that nobody is to be
/// shown, in order and apart; with `colour` there are ANSI escapes.
pub fn human<'t>(
    diagnostics: &[Diagnostic],
    source: impl Fn(&str) -> Option<&'t str>,
    hidden: impl Fn(&str) -> &'t [Span],
    colour: bool,
) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut texts = Texts::new(source);
    let mut drawn = String::new();
    for finding in texts.located(diagnostics) {
        if !drawn.is_empty() {
            drawn.push('\n');
        }
        drawn.push_str(&draw(&finding, &mut texts, &hidden, &renderer));
        drawn.push('\n');
    }
    drawn
}

/// One finding with its related places.
fn draw<'a, 't, F: Fn(&str) -> Option<&'t str>>(
    finding: &Located<'a>,
    texts: &mut Texts<'a, 't, F>,
    hidden: &dyn Fn(&str) -> &'t [Span],
    renderer: &Renderer,
) -> String {
    let diagnostic = finding.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(visible_lines(&diagnostic.message)).id(diagnostic.code);
    let place = Place::of(&diagnostic.file, diagnostic.span, texts, hidden);
    let mut group = place.add_to(Group::with_title(title));
    if !diagnostic.path.is_empty() {
        group = group.element(Level::NOTE.with_name("at").message(visible(&diagnostic.path)));
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(visible_lines(hint)));
    }
    let mut drawn = place.with_true_column(renderer.render(&[group]));
    for (related, _) in &finding.related {
        let place = Place::of(&related.file, Some(related.span), texts, hidden);
        let group =
            place.add_to(Group::with_title(Level::NOTE.secondary_title(visible_lines(&related.message))));
        drawn.push('\n');
        drawn.push_str(&place.with_true_column(renderer.render(&[group])));
    }
    drawn
}

/// What is shown of a place.
struct Place {
    file: String,
    line: Option<Line>,
}

/// The line, or the part of it, that is shown.
struct Line {
    number: usize,
    text: String,
    /// What is underlined in `text`.
    mark: Range<usize>,
    /// If `text` is only a part: the column that the drawing would show, and the true one.
    columns: Option<(usize, usize)>,
}

impl Place {
    fn of<'a, 't, F: Fn(&str) -> Option<&'t str>>(
        file: &'a str,
        span: Option<Span>,
        texts: &mut Texts<'a, 't, F>,
        hidden: &dyn Fn(&str) -> &'t [Span],
    ) -> Place {
        let line = span.and_then(|span| Some(Line::around(texts.lines(file)?, span, hidden(file))));
        Place { file: visible(file), line }
    }

    fn add_to<'g>(&'g self, group: Group<'g>) -> Group<'g> {
        let Some(line) = &self.line else {
            return group.element(Origin::path(&*self.file));
        };
        let path = if line.columns.is_some() { PLACEHOLDER.to_string() } else { self.file.clone() };
        let mark = AnnotationKind::Primary.span(line.mark.clone());
        group.element(Snippet::source(&*line.text).path(path).line_start(line.number).annotation(mark))
    }

    /// The drawing counts columns in what it was given; in a part of a line that is not the truth.
    fn with_true_column(&self, drawn: String) -> String {
        let Some(Line { number, columns: Some((shown, column)), .. }) = &self.line else { return drawn };
        let header = format!("{PLACEHOLDER}:{number}:{shown}");
        drawn.replacen(&header, &format!("{}:{number}:{column}", self.file), 1)
    }
}

impl Line {
    /// The first line of a span.
    fn around(lines: &Lines<'_>, span: Span, hidden: &[Span]) -> Line {
        let position = lines.position(span.start as usize);
        let (line_start, text) = lines.line(position.line);
        let start = floor_boundary(text, (span.start as usize).saturating_sub(line_start));
        let end = floor_boundary(text, (span.end as usize).saturating_sub(line_start)).max(start);
        if text.len() <= WHOLE_LINE {
            // A byte order mark is no character to an editor, so it must not count as a column.
            let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8().min(start) } else { 0 };
            let (text, mark) =
                masked(&text[skipped..], line_start + skipped, start - skipped..end - skipped, hidden);
            return Line { number: position.line, text, mark, columns: None };
        }
        let from = floor_boundary(text, start.saturating_sub(AROUND));
        let to = floor_boundary(text, start + AROUND);
        let (before, behind) = (if from > 0 { "…" } else { "" }, if to < text.len() { "…" } else { "" });
        let shown = before.chars().count() + text[from..start].chars().count() + 1;
        let (part, mark) =
            masked(&text[from..to], line_start + from, start - from..end.min(to) - from, hidden);
        Line {
            number: position.line,
            text: format!("{before}{part}{behind}"),
            mark: before.len() + mark.start..before.len() + mark.end,
            columns: Some((shown, position.column)),
        }
    }
}

/// A part of a text that begins at `base`, with a star for each hidden character; and where `mark` is in it.
fn masked(part: &str, base: usize, mark: Range<usize>, hidden: &[Span]) -> (String, Range<usize>) {
    let first = hidden.partition_point(|span| span.end as usize <= base);
    let mut hidden = hidden[first..].iter().peekable();
    if hidden.peek().is_none_or(|span| span.start as usize >= base + part.len()) {
        return (part.to_owned(), mark);
    }
    let mut shown = String::with_capacity(part.len());
    let mut moved = mark.clone();
    for (at, character) in part.char_indices() {
        for (old, new) in [(mark.start, &mut moved.start), (mark.end, &mut moved.end)] {
            if old == at {
                *new = shown.len();
            }
        }
        while hidden.next_if(|span| span.end as usize <= base + at).is_some() {}
        let hide = hidden.peek().is_some_and(|span| span.start as usize <= base + at);
        shown.push(if hide { '*' } else { character });
    }
    for (old, new) in [(mark.start, &mut moved.start), (mark.end, &mut moved.end)] {
        if old >= part.len() {
            *new = shown.len();
        }
    }
    (shown, moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "listeners:\n- name: a\n  adress:\n    socket_address: {}\n- name: a\n";

    fn finding(start: usize, end: usize) -> Diagnostic {
        Diagnostic::new(
            Severity::Error,
            "unknown-field",
            "l.yaml".into(),
            "unknown field \"adress\" in envoy.config.listener.v3.Listener",
        )
        .at(Span::new(start, end), "listeners[0]")
        .with_hint("did you mean \"address\"?")
    }

    fn plain(findings: &[Diagnostic], text: &str) -> String {
        human(findings, |file| (file == "l.yaml").then_some(text), |_| &[], false)
    }

    #[test]
    fn hidden_places_are_stars_and_columns_stay_true() {
        let text = "a: { k: hün\u{fffd}ter2, x: 1 }\nb: more\n";
        let (start, end) = (text.find("hün").expect("there"), text.find(", x").expect("there"));
        let hidden = [Span::new(start, end), Span::new(end + 20, end + 30)];
        let shown = |finding: Diagnostic| human(&[finding], |_| Some(text), |_| &hidden, false);
        let after = shown(finding(end + 2, end + 3));
        assert!(
            after.contains("--> l.yaml:1:19\n") && after.contains("| a: { k: ********, x: 1 }\n"),
            "{after}"
        );
        assert!(after.contains("|                   ^\n"), "{after}");
        let inside = shown(finding(start + 1, end));
        assert!(inside.contains("--> l.yaml:1:10\n") && inside.contains("|          ^^^^^^^\n"), "{inside}");
        let long = format!("{}{text}", "x".repeat(3000));
        let hidden = [Span::new(3000 + start, 3000 + end)];
        let shown = human(&[finding(3000 + end + 2, 3000 + end + 3)], |_| Some(&long), |_| &hidden, false);
        assert!(shown.contains("k: ********, x: 1 }") && !shown.contains("ter2"), "{shown}");
        assert!(shown.contains("--> l.yaml:1:3019\n"), "{shown}");
    }

    #[test]
    fn a_finding_shows_its_line_path_and_hint() {
        assert_eq!(
            plain(&[finding(23, 29)], TEXT),
            r#"error[unknown-field]: unknown field "adress" in envoy.config.listener.v3.Listener
 --> l.yaml:3:3
  |
3 |   adress:
  |   ^^^^^^
  |
  = at: listeners[0]
  = help: did you mean "address"?
"#
        );
    }

    #[test]
    fn related_places_follow_and_findings_are_sorted_and_apart() {
        let double =
            Diagnostic::new(Severity::Warning, "duplicate", "l.yaml".into(), "the name \"a\" is taken")
                .at(Span::new(62, 63), "")
                .with_related("l.yaml".into(), Span::new(19, 20), "first used here")
                .with_related("gone.yaml".into(), Span::new(1, 2), "and here");
        let whole = Diagnostic::new(Severity::Note, "bootstrap-only", "l.yaml".into(), "left alone: admin");
        assert_eq!(
            plain(&[double, whole], TEXT),
            "\
note[bootstrap-only]: left alone: admin
--> l.yaml

warning[duplicate]: the name \"a\" is taken
 --> l.yaml:5:9
  |
5 | - name: a
  |         ^
note: first used here
 --> l.yaml:2:9
  |
2 | - name: a
  |         ^
note: and here
--> gone.yaml
"
        );
    }

    #[test]
    fn of_a_very_long_line_only_the_part_around_the_place_is_shown() {
        let text = format!("[{}, ß\u{1b}[2J bad, {}]", "1,".repeat(1_000_000), "2,".repeat(1_000_000));
        let at = text.find("bad").expect("it is there");
        let column = text[..at].chars().count() + 1;
        let shown = plain(&[finding(at, at + 3)], &text);
        assert!(shown.contains(&format!("--> l.yaml:1:{column}\n")), "{shown}");
        assert!(shown.contains("ß␛[2J bad, 2,2,") && shown.contains("^^^\n"), "{shown}");
        assert!(shown.len() < 700, "{}", shown.len());
    }

    #[test]
    fn nothing_in_a_file_reaches_the_terminal_as_a_command() {
        let evil = "\u{1b}]0;pwned\u{7}\u{202e}";
        let text = format!("a: {evil}\n");
        let finding =
            Diagnostic::new(Severity::Error, "x", format!("{evil}.yaml").into(), format!("no {evil}"))
                .at(Span::new(3, 5), evil)
                .with_hint(evil)
                .with_related(evil.into(), Span::new(3, 4), evil);
        for shown in [
            human(std::slice::from_ref(&finding), |_| Some(&text), |_| &[], false),
            super::super::located(&[finding], |_| None)[0].to_string(),
        ] {
            assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
        }
    }

    #[test]
    fn spans_of_several_lines_or_beyond_the_end_show_what_there_is() {
        assert!(plain(&[finding(23, 60)], TEXT).contains("3 |   adress:\n  |   ^^^^^^^\n"));
        assert!(plain(&[finding(65, 65)], TEXT).contains("--> l.yaml:6:1"));
        assert!(plain(&[finding(1 << 30, 1 << 31)], TEXT).contains("--> l.yaml:6:1"));
        assert!(plain(&[finding(0, 0)], "").contains("--> l.yaml:1:1"));
        assert!(
            plain(&[finding(3, 7)], "\u{feff}name: x\r\n")
                .contains("--> l.yaml:1:1\n  |\n1 | name: x\n  | ^^^^\n")
        );
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        let findings = [finding(23, 29)];
        assert!(human(&findings, |_| Some(TEXT), |_| &[], true).contains("\u{1b}[1m"));
        assert!(!human(&findings, |_| Some(TEXT), |_| &[], false).contains('\u{1b}'));
    }

    #[test]
    fn a_thousand_findings_in_megabytes_are_drawn_in_a_moment() {
        let text = "- name: cluster\n".repeat(200_000);
        let findings: Vec<_> = (0..1000).map(|at| finding(at * 3200 + 2, at * 3200 + 6)).collect();
        let start = std::time::Instant::now();
        let shown = plain(&findings, &text);
        assert_eq!(shown.matches("^^^^").count(), 1000);
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}
