//! `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$${`: found in the text, replaced in scalars.
//!
//! Comes in: the text of a fragment. [`Template`] gives it back with a stand-in of the same length for
//! each reference, so that YAML parses whatever braces and colons a reference holds, and every place
//! stays exact. Goes out, scalar by scalar: the text with the values in it. Keeps the invariants that a
//! value is never looked at as YAML nor for further references, and that a fragment grows by at most
//! [`MAX_INSERTED`].

use std::borrow::Cow;
use std::ops::Range;

use super::env_file::is_name;
use super::inputs::{Drawn, VariableUse, Variables};
use super::legible::StandIns;
use super::yaml::Issue;
use crate::diagnostic::{Severity, Span};

/// What all values, and likewise all files, that one fragment draws on may come to, in bytes.
pub(super) const MAX_INSERTED: usize = 64 << 20;

/// How deep references may stand in the defaults of others.
const MAX_NESTING: usize = 8;

/// A stand-in begins with one of these, one that the text does not use, and goes on with `FILLER`.
const PRIVATE_USE: Range<u32> = 0xE000..0xF900;
const LEAD_BYTES: usize = 3;
const FILLER: char = 'x';

/// A text whose references are hidden from YAML.
pub(super) struct Template<'t> {
    original: &'t str,
    masked: Cow<'t, str>,
    /// In the order of the text.
    references: Vec<Reference>,
    lead: char,
    stand_ins: StandIns,
    /// References are there but cannot be told from the text.
    pub stuck: bool,
}

/// A stretch of text that does not mean itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reference {
    all: Range<usize>,
    meaning: Meaning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// This part of it, literally.
    Literal(Range<usize>),
    /// A variable.
    Variable { name: Range<usize>, otherwise: Otherwise },
}

/// What to do without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Otherwise {
    Fail,
    FailWith(Range<usize>),
    Default(Range<usize>),
}

impl<'t> Template<'t> {
    /// Finds the references to variables that are to be replaced.
    pub(super) fn new(text: &'t str, variables: &Variables) -> Template<'t> {
        let references = if variables.touches_any() { find(text, variables) } else { Vec::new() };
        let stand_ins = StandIns::of(text);
        let masked = stand_ins.mask(text);
        let mut template =
            Template { original: text, masked, references, lead: '\0', stand_ins, stuck: false };
        if template.references.is_empty() {
            return template;
        }
        let legible = std::mem::take(&mut template.masked);
        let Some(lead) = unused_character(&legible) else {
            template.masked = legible;
            template.references.clear();
            template.stuck = true;
            return template;
        };
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for reference in &template.references {
            masked.push_str(&legible[end..reference.all.start]);
            masked.push(lead);
            masked.extend(std::iter::repeat_n(FILLER, reference.all.len() - LEAD_BYTES));
            end = reference.all.end;
        }
        masked.push_str(&legible[end..]);
        template.masked = Cow::Owned(masked);
        template.lead = lead;
        template
    }

    /// What is to be parsed; as long as the original, with the same lines.
    pub(super) fn masked(&self) -> &str {
        &self.masked
    }

    /// The references in a scalar that stands here. The place of a block is its content, without its header.
    fn references_in(&self, span: Span) -> &[Reference] {
        let first = self.references.partition_point(|known| known.all.start < span.start as usize);
        let len = self.references[first..].partition_point(|known| known.all.start < span.end as usize);
        &self.references[first..first + len]
    }
}

/// Replaces the references of one text.
pub(super) struct Substitution<'a> {
    template: &'a Template<'a>,
    variables: &'a Variables,
    inserted: usize,
}

impl<'a> Substitution<'a> {
    pub(super) fn new(template: &'a Template<'a>, variables: &'a Variables) -> Substitution<'a> {
        Substitution { template, variables, inserted: 0 }
    }

    /// The text of a scalar with its values in it.
    pub(super) fn scalar<'t>(
        &mut self,
        text: Cow<'t, str>,
        span: Span,
        drawn: &mut Drawn,
        issues: &mut Vec<Issue>,
    ) -> Cow<'t, str> {
        let text = self.template.stand_ins.restore(text);
        if self.variables.touches_any() && text.contains('$') {
            self.complain(&text, span, issues);
        }
        if self.template.references.is_empty() || !text.contains(self.template.lead) {
            return text;
        }
        let mut references = self.template.references_in(span).iter();
        let mut filled = String::with_capacity(text.len());
        let mut rest = &*text;
        while let Some(at) = rest.find(self.template.lead) {
            let Some(reference) = references.next() else { break };
            filled.push_str(&rest[..at]);
            let mut target = Target { drawn, issues, out: Some(&mut filled) };
            self.reference(self.template.original, 0, reference, 0, &mut target);
            rest = rest.get(at + reference.all.len()..).unwrap_or_default();
        }
        filled.push_str(rest);
        Cow::Owned(filled)
    }

    /// Appends what a reference stands for; `base` is where `text` stands in the file.
    fn reference(
        &mut self,
        text: &str,
        base: usize,
        reference: &Reference,
        depth: usize,
        target: &mut Target<'_>,
    ) {
        let (name, otherwise) = match &reference.meaning {
            Meaning::Literal(range) => return self.insert(&text[range.clone()], reference, base, target),
            Meaning::Variable { name, otherwise } => (&text[name.clone()], otherwise),
        };
        let span = Span::new(base + reference.all.start, base + reference.all.end);
        let value = self.variables.get(name).cloned();
        let default = match otherwise {
            Otherwise::Default(range) => Some(range.clone()),
            _ => None,
        };
        let usage = VariableUse {
            name: name.into(),
            span,
            default: default.clone().map(|range| text[range].into()),
            is_set: value.is_some(),
        };
        target.drawn.note_variable(usage, value.as_ref());
        let needs_text = !matches!(otherwise, Otherwise::Fail);
        match (value.filter(|value| !(needs_text && value.is_empty())), otherwise) {
            (Some(value), _) => self.insert(&value, reference, base, target),
            (None, Otherwise::Default(range)) => {
                return self.default(&text[range.clone()], base + range.start, depth, target);
            }
            (None, Otherwise::FailWith(range)) => {
                target.unset(
                    &format!("`{name}` is not set or empty"),
                    name,
                    text[range.clone()].trim(),
                    span,
                );
            }
            (None, Otherwise::Fail) => target.unset(&format!("`{name}` is not set"), name, "", span),
        }
        if let Some(range) = default {
            // Not needed now, but what it names is to be known.
            let mut unused = Target { drawn: target.drawn, issues: target.issues, out: None };
            self.default(&text[range.clone()], base + range.start, depth, &mut unused);
        }
    }

    /// Appends a default, which may hold references itself.
    fn default(&mut self, text: &str, base: usize, depth: usize, target: &mut Target<'_>) {
        let nested = if depth < MAX_NESTING { find(text, self.variables) } else { Vec::new() };
        let mut end = 0;
        for reference in &nested {
            self.push(&text[end..reference.all.start], target);
            self.reference(text, base, reference, depth + 1, target);
            end = reference.all.end;
        }
        self.push(&text[end..], target);
    }

    fn push(&mut self, text: &str, target: &mut Target<'_>) {
        if let Some(out) = &mut target.out {
            out.push_str(text);
        }
    }

    /// Appends a value, as long as all of them together are not too much.
    fn insert(&mut self, value: &str, reference: &Reference, base: usize, target: &mut Target<'_>) {
        let Some(out) = &mut target.out else { return };
        let before = self.inserted;
        self.inserted = self.inserted.saturating_add(value.len());
        if self.inserted <= MAX_INSERTED {
            out.push_str(value);
        } else if before <= MAX_INSERTED {
            let span = Span::new(base + reference.all.start, base + reference.all.end);
            let message =
                format!("the values of all variables up to here come to more than {MAX_INSERTED} bytes");
            let mut issue = Issue::new(Severity::Error, "too-much-inserted", span, message);
            issue.hint = Some("split the file, or insert less".to_owned());
            target.issues.push(issue);
        }
    }

    /// Says where something looks like a reference and is none.
    fn complain(&self, text: &str, span: Span, issues: &mut Vec<Issue>) {
        let start = span.start as usize;
        let Some(source) = self.template.masked.get(start..span.end as usize) else { return };
        if let Some(name) = bare_reference(text).filter(|name| self.variables.touches(name)) {
            let message = format!("`${name}` is not replaced: only references in braces are");
            let mut issue = Issue::new(Severity::Warning, "bare-variable", span, message);
            issue.hint = Some(format!("write ${{{name}}}"));
            return issues.push(issue);
        }
        let suspects = source.match_indices("${").map(|(at, _)| at);
        let mistake = suspects.filter(|at| *at == 0 || source.as_bytes()[at - 1] != b'$');
        if let Some((at, hint)) = mistake.filter_map(|at| Some((at, self.mistake(&source[at..])?))).next() {
            let width = source[at..].find(['}', '\n', '\r']).map_or(2, |end| end + 1).min(80);
            let width = (0..=width).rev().find(|end| source.is_char_boundary(at + end)).unwrap_or(2);
            let span = Span::new(start + at, start + at + width);
            let message = "this looks like a reference to a variable, but is none: it is left as it is";
            let mut issue = Issue::new(Severity::Warning, "bad-variable", span, message.to_owned());
            issue.hint = Some(hint);
            issues.push(issue);
        }
    }

    /// What was probably meant by a text that begins with `${`.
    fn mistake(&self, text: &str) -> Option<String> {
        let inner = &text[2..];
        let length = inner.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let (name, rest) = inner.split_at(length);
        if name.is_empty() || (is_name(name) && !self.variables.touches(name)) {
            return None;
        }
        let line = rest.lines().next().unwrap_or_default();
        Some(if !is_name(name) {
            "the name of a variable does not begin with a digit; write $${ for a literal ${".to_owned()
        } else if !line.contains('}') || line.starts_with(":-") || line.starts_with(":?") {
            format!("close the reference, ${{{name}}}; braces in a default must be balanced")
        } else if line.starts_with(['-', '?']) || line.starts_with(":=") || line.starts_with('=') {
            let sign = if line.starts_with('?') { '?' } else { '-' };
            format!("write ${{{name}:{sign}…}}")
        } else {
            format!("write ${{{name}}}, ${{{name}:-default}} or ${{{name}:?message}}; $${{ for a literal ${{")
        })
    }
}

/// Where results go.
struct Target<'t> {
    drawn: &'t mut Drawn,
    issues: &'t mut Vec<Issue>,
    /// Nothing is written, and nothing missed, if this is `None`.
    out: Option<&'t mut String>,
}

impl Target<'_> {
    fn unset(&mut self, what: &str, name: &str, said: &str, span: Span) {
        if self.out.is_none() {
            return;
        }
        let message = match said {
            "" => format!("the variable {what}"),
            said => format!("the variable {what}: {said}"),
        };
        let mut issue = Issue::new(Severity::Error, "unset-variable", span, message);
        issue.hint = Some(format!(
            "set it in the environment of xds-bridge or in an --env-file, or give it a default: ${{{name}:-…}}"
        ));
        self.issues.push(issue);
    }
}

/// `$NAME` and nothing else, in capitals: a text that envsubst would have replaced.
fn bare_reference(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    (is_name(name) && !name.bytes().any(|byte| byte.is_ascii_lowercase())).then_some(name)
}

/// The first private-use character that neither the text holds nor an escape in it makes.
fn unused_character(text: &str) -> Option<char> {
    let mut used = vec![false; PRIVATE_USE.len()];
    let mut mark = |code: u32| {
        if PRIVATE_USE.contains(&code) {
            used[(code - PRIVATE_USE.start) as usize] = true;
        }
    };
    for at in memchr::memchr2_iter(0xEE, 0xEF, text.as_bytes()) {
        mark(text[at..].chars().next().map_or(0, u32::from));
    }
    for at in memchr::memchr_iter(b'\\', text.as_bytes()) {
        for digits in [at + 2..at + 6, at + 2..at + 10] {
            mark(text.get(digits).and_then(|code| u32::from_str_radix(code, 16).ok()).unwrap_or(0));
        }
    }
    let free = used.iter().position(|used| !used)?;
    char::from_u32(PRIVATE_USE.start + u32::try_from(free).ok()?)
}

/// All references of a text, in order. Each stands on one line.
fn find(text: &str, variables: &Variables) -> Vec<Reference> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut line_end, mut closing) = (0, Vec::new());
    let mut done = 0;
    for at in memchr::memmem::find_iter(bytes, "${") {
        if at < done {
            continue;
        }
        if at >= line_end {
            line_end = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |end| at + end);
            closing = matching_braces(bytes, at..line_end);
        }
        let is_escaped = at > done && bytes[at - 1] == b'$';
        let reference = match is_escaped {
            true => escape(text, at, &closing, variables),
            false => reference(text, at, &closing, variables),
        };
        done = reference.as_ref().map_or(at + 2, |reference| reference.all.end);
        found.extend(reference);
    }
    found
}

/// For each `${` in the range, in order, the `}` that closes it.
fn matching_braces(bytes: &[u8], range: Range<usize>) -> Vec<(usize, usize)> {
    let mut open = Vec::new();
    let mut pairs = Vec::new();
    for at in range {
        match bytes[at] {
            b'{' => open.push(at),
            b'}' => {
                let opened = open.pop().filter(|brace| *brace > 0 && bytes[brace - 1] == b'$');
                pairs.extend(opened.map(|brace| (brace - 1, at)));
            }
            _ => {}
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The reference that begins with this `${`.
fn reference(text: &str, at: usize, closing: &[(usize, usize)], variables: &Variables) -> Option<Reference> {
    let index = closing.binary_search_by_key(&at, |(open, _)| *open).ok()?;
    let inner = at + 2..closing[index].1;
    let all = at..inner.end + 1;
    let length = text[inner.clone()].find(':').unwrap_or(inner.len());
    let name = inner.start..inner.start + length;
    if !is_name(&text[name.clone()]) {
        return None;
    }
    let word = (name.end + 2).min(inner.end)..inner.end;
    let otherwise = match text[name.end..inner.end].get(..2) {
        _ if name.end == inner.end => Otherwise::Fail,
        Some(":-") => Otherwise::Default(word),
        Some(":?") => Otherwise::FailWith(word),
        _ => return None,
    };
    let meaning = if variables.touches(&text[name.clone()]) {
        Meaning::Variable { name, otherwise }
    } else {
        // Not ours to touch; but its braces are no YAML either.
        Meaning::Literal(all.clone())
    };
    Some(Reference { all, meaning })
}

/// `$${`, whose `${` is at this place. With it all that would be a reference, so that its braces are no YAML.
fn escape(text: &str, at: usize, closing: &[(usize, usize)], variables: &Variables) -> Option<Reference> {
    let end = match reference(text, at, closing, variables) {
        Some(Reference { meaning: Meaning::Literal(_), .. }) => return None,
        Some(Reference { all, .. }) if !text[at + 2..all.end].contains('$') => all.end,
        None if !variables.touches_all() => return None,
        _ => at + 2,
    };
    Some(Reference { all: at - 1..end, meaning: Meaning::Literal(at..end) })
}
