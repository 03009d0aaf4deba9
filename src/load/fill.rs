//! What stands in a scalar in the end: the values of variables, the content of a file.
//!
//! Comes in: each scalar as the parser met it. Goes out: its value, and what is wrong with what it draws
//! on. `!file PATH` becomes the file's bytes, whatever the place; PATH is relative to the directory of
//! the fragment and may hold references. What cannot be found out is [`Value::Unknown`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::inputs::{Drawn, Inputs};
use super::scalar::json_number;
use super::substitute::{MAX_INSERTED, Substitution, Template};
use super::yaml::{Issue, Style, Value};
use crate::diagnostic::{Severity, Span};

/// The tag of a scalar that names a file.
pub(super) const FILE_TAG: &str = "!file";

/// Fills the scalars of one fragment.
pub(super) struct Fill<'a> {
    substitution: Substitution<'a>,
    inputs: &'a Inputs<'a>,
    /// Whether the fragment is JSON, where all numbers are numbers.
    pub is_json: bool,
    /// The directory of the fragment.
    base: &'a Path,
    inserted: usize,
    /// What the fragment drew on so far.
    pub drawn: Drawn,
}

impl<'a> Fill<'a> {
    pub(super) fn new(file: &'a str, template: &'a Template<'a>, inputs: &'a Inputs<'a>) -> Fill<'a> {
        Fill {
            substitution: Substitution::new(template, inputs.variables),
            inputs,
            is_json: is_json(file),
            base: Path::new(file).parent().unwrap_or(Path::new("")),
            inserted: 0,
            drawn: Drawn::default(),
        }
    }

    /// The value of a scalar.
    pub(super) fn scalar<'t>(
        &mut self,
        text: Cow<'t, str>,
        style: Style,
        span: Span,
        tag: Option<&str>,
        issues: &mut Vec<Issue>,
    ) -> Value<'t> {
        let before = issues.len();
        let filled = self.substitution.scalar(text, span, &mut self.drawn, issues);
        if issues[before..].iter().any(|issue| issue.severity == Severity::Error) {
            return Value::Unknown;
        }
        if tag != Some(FILE_TAG) {
            // What came from outside never means what only YAML's own signs mean.
            let is_number = self.is_json && style == Style::Plain && json_number(&filled).is_some();
            let style = if is_number { Style::Number } else { style };
            let is_merge = filled == "<<" && matches!(filled, Cow::Owned(_)) && style == Style::Plain;
            return Value::Scalar(filled, if is_merge { Style::Quoted } else { style });
        }
        let path = self.base.join(&*filled);
        if filled.is_empty() || filled.contains('\0') {
            let message = "`!file` names no file".to_owned();
            let mut issue = Issue::new(Severity::Error, "unreadable-file", span, message);
            issue.hint =
                Some("write !file and a path, relative to the directory of this fragment".to_owned());
            issues.push(issue);
            return Value::Unknown;
        }
        self.file(path, span, issues)
    }

    fn file<'t>(&mut self, path: PathBuf, span: Span, issues: &mut Vec<Issue>) -> Value<'t> {
        let shown = path.display().to_string();
        match self.drawn.file(path, self.inputs.files) {
            None => Value::Unknown,
            Some(Err(problem)) => {
                let message = format!("the file {shown} cannot be read: {problem}");
                issues.push(Issue::new(Severity::Error, "unreadable-file", span, message));
                Value::Unknown
            }
            Some(Ok(bytes)) => {
                let before = self.inserted;
                self.inserted = self.inserted.saturating_add(bytes.len());
                if self.inserted <= MAX_INSERTED {
                    return Value::File(bytes);
                }
                if before <= MAX_INSERTED {
                    let message =
                        format!("all files named up to here come to more than {MAX_INSERTED} bytes");
                    let mut issue = Issue::new(Severity::Error, "too-much-inserted", span, message);
                    issue.hint = Some("split the fragment; is this the right file?".to_owned());
                    issues.push(issue);
                }
                Value::Unknown
            }
        }
    }
}

/// Whether Envoy reads a file of this name as JSON; any other one it reads as YAML, whatever is in it.
pub fn is_json(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}
