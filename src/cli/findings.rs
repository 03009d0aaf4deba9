//! Findings with the texts that they point into.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::app::Look;
use crate::diagnostic::{self, Diagnostic, Severity, Span};

/// Finds the text of a file by the name that findings use.
pub struct Texts<'a>(HashMap<&'a str, File<'a>>);

/// Of many files there is nothing to say: the text is fetched when it is asked for.
struct File<'a> {
    text: OnceCell<Option<Cow<'a, str>>>,
    look: Option<&'a Look>,
    /// What nobody is to be shown.
    sensitive: &'a [Span],
}

impl File<'_> {
    fn text(&self) -> Option<&str> {
        self.text.get_or_init(|| self.look.and_then(Look::text).map(Cow::Owned)).as_deref()
    }
}

impl<'a> Texts<'a> {
    /// The texts of these files.
    pub fn of(looks: impl IntoIterator<Item = &'a Arc<Look>>) -> Texts<'a> {
        let file = |look: &'a Arc<Look>| {
            let file =
                File { text: OnceCell::new(), look: Some(look), sensitive: &look.loaded.sensitive[..] };
            (&*look.path, file)
        };
        Texts(looks.into_iter().map(file).collect())
    }

    /// These texts, each with the places in it that nobody is to be shown.
    pub fn given(texts: impl IntoIterator<Item = (&'a str, &'a str, &'a [Span])>) -> Texts<'a> {
        let file = |(file, text, sensitive): (&'a str, &'a str, &'a [Span])| {
            (file, File { text: OnceCell::from(Some(Cow::Borrowed(text))), look: None, sensitive })
        };
        Texts(texts.into_iter().map(file).collect())
    }

    fn text(&self, file: &str) -> Option<&str> {
        self.0.get(file)?.text()
    }

    /// For a terminal; sensitive values are hidden.
    pub fn human(&self, findings: &[Diagnostic], colour: bool) -> String {
        let hidden = |file: &str| self.0.get(file).map_or(&[][..], |file| file.sensitive);
        diagnostic::human(findings, |file| self.text(file), hidden, colour)
    }

    /// One line each, with severity.
    pub fn lines(&self, findings: &[Diagnostic]) -> Vec<(Severity, String)> {
        let located = diagnostic::located(findings, |file| self.text(file));
        located.iter().map(|finding| (finding.diagnostic.severity, finding.to_string())).collect()
    }

    /// For scripts.
    pub fn json(&self, findings: &[Diagnostic]) -> serde_json::Value {
        diagnostic::json(findings, |file| self.text(file))
    }

    /// For code hosts.
    pub fn sarif(&self, findings: &[Diagnostic]) -> serde_json::Value {
        diagnostic::sarif(findings, |file| self.text(file))
    }
}

/// `2 errors, 1 warning`; notes are not counted.
pub fn count(findings: &[Diagnostic]) -> String {
    let number = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let part = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{count} {noun}s")),
    };
    let parts = [part(number(Severity::Error), "error"), part(number(Severity::Warning), "warning")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no errors".into() } else { parts.join(", ") }
}
