//! Settings from where they are given: the file, then variables, then flags, the later the stronger.
//!
//! Comes in: the texts. Goes out: for each setting its value and where that came from, and all that is
//! wrong, each thing at its place, those too that something stronger makes void. Knows no setting by name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::kind::Kind;
use super::table::Entry;
use crate::diagnostic::{Diagnostic, Position, Severity, Span};
use crate::load::nearest;
use crate::load::yaml::{self, Node};

/// How all variables of ours begin.
pub const PREFIX: &str = "XDS_BRIDGE_";

/// The settings file as it was read.
#[derive(Debug, Default)]
pub struct Text {
    /// Its name.
    pub name: Arc<str>,
    /// What it says; empty if there is none.
    pub text: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// This variable that systemd sets.
    Systemd(&'static str),
    /// The settings file.
    File(Arc<str>, Position),
    /// This variable.
    Variable(String),
    /// This flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Systemd(name) => write!(f, "systemd ({name})"),
            Origin::File(name, position) => write!(f, "{name}:{position}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// The value of a setting and where it comes from.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    /// What it is.
    pub value: T,
    /// Weaker first; several only where the values of all count.
    pub from: Vec<Origin>,
}

impl<T> Setting<T> {
    /// Whether somebody gave it.
    pub fn is_given(&self) -> bool {
        self.from != [Origin::Default]
    }
}

/// What is wrong with the settings file, with the path to where the reader is.
pub struct Findings<'f> {
    file: &'f Arc<str>,
    path: String,
    list: Vec<Diagnostic>,
}

impl Findings<'_> {
    fn push(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let finding = Diagnostic::new(Severity::Error, code, self.file.clone(), message);
        self.list.push(finding.at(span, self.path.clone()));
        self.list.last_mut().expect("one was just pushed")
    }

    /// The value, if there is one; else what is wrong becomes a finding.
    pub fn take<T>(&mut self, span: Span, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.push("wrong-setting", span, message)).ok()
    }

    /// Something else was expected.
    pub fn wrong_type(&mut self, node: &Node<'_>, expected: &str, got: &str) {
        self.push("wrong-type", node.span, format!("expected {expected}, got {got}"));
    }

    /// A key that is not known here; `known` are those that are.
    pub fn unknown_key<'n>(&mut self, span: Span, key: &str, known: impl IntoIterator<Item = &'n str>) {
        let known: Vec<&str> = known.into_iter().collect();
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.path.is_empty() => "`xds-bridge settings` lists them all".to_owned(),
            None => format!("possible here: `{}`", known.join("`, `")),
        };
        self.push("unknown-setting", span, format!("there is no setting `{key}`")).hint = Some(hint);
    }

    /// An element of a list is the same as one before.
    pub fn twice(&mut self, index: usize, span: Span, first: Span) {
        let file = self.file.clone();
        self.at_index(index, |findings| {
            let finding = findings.push("duplicate-value", span, "this stands here a second time");
            *finding =
                finding.clone().with_hint("remove one of them").with_related(file, first, "first here");
        });
    }

    /// Does something inside of an element.
    pub fn at_index<T>(&mut self, index: usize, inside: impl FnOnce(&mut Self) -> T) -> T {
        self.inside(&format!("[{index}]"), inside)
    }

    /// Does something inside of a key.
    pub fn at_key<T>(&mut self, key: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let part = if self.path.is_empty() { key.to_owned() } else { format!(".{key}") };
        self.inside(&part, inside)
    }

    fn inside<T>(&mut self, part: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        self.path.push_str(part);
        let done = inside(self);
        self.path.truncate(before);
        done
    }
}

/// The three places where settings are given, while they are read.
pub struct Reader<'r> {
    /// By the name of the setting.
    flags: &'r BTreeMap<&'static str, Vec<String>>,
    environment: &'r BTreeMap<String, String>,
    text: &'r Text,
    root: Option<Node<'r>>,
    findings: Findings<'r>,
}

impl<'r> Reader<'r> {
    /// Begins to read.
    pub fn new(
        flags: &'r BTreeMap<&'static str, Vec<String>>,
        environment: &'r BTreeMap<String, String>,
        text: &'r Text,
    ) -> Reader<'r> {
        let mut findings = Findings { file: &text.name, path: String::new(), list: Vec::new() };
        let parsed = yaml::parse(&text.text);
        for issue in parsed.issues {
            // What is only a trap in a fragment, since Envoy takes it, is a mistake here.
            let message = match issue.code {
                // Of a fragment it says which of them counts.
                "duplicate-key" => "this key stands here a second time".to_owned(),
                _ => issue.message,
            };
            let finding = findings.push(issue.code, issue.span, message);
            finding.hint = issue.hint;
            if let Some((span, message)) = issue.related {
                *finding = finding.clone().with_related(text.name.clone(), span, message);
            }
        }
        let mut documents = parsed.documents.into_iter();
        let root = documents.next().filter(|root| !root.is_null());
        if let Some(second) = documents.next() {
            findings.push(
                "extra-document",
                second.span,
                "the settings are one document; here begins another",
            );
        }
        if let Some(root) = root.as_ref().filter(|root| root.entries().is_none()) {
            findings.wrong_type(root, "a mapping of settings to values", "something else");
        }
        Reader { flags, environment, text, root, findings }
    }

    /// The value of one setting: the strongest that was given, or its default.
    pub fn take<T: Kind>(
        &mut self,
        entry: &'static Entry,
        default: impl FnOnce() -> T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Setting<T> {
        let mut given = self.read_file(entry, &check).into_iter().collect::<Vec<_>>();
        let variables = [entry.also.map(str::to_owned), Some(entry.variable())];
        for name in variables.into_iter().flatten() {
            let Some(text) = self.environment.get(&name) else { continue };
            if text.is_empty() && !T::EMPTY_COUNTS {
                continue;
            }
            let texts: Vec<String> = match entry.split {
                Some(sign) => text.split(sign).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
                None => vec![text.clone()],
            };
            given.extend(self.read_texts(&texts, &name, &check).map(|value| (value, Origin::Variable(name))));
        }
        if let Some(texts) = self.flags.get(entry.name) {
            let name = format!("--{}", entry.flag());
            given.extend(self.read_texts(texts, &name, &check).map(|value| (value, Origin::Flag(name))));
        }
        if given.is_empty() {
            given.extend(self.read_systemd(entry));
        }
        let mut given = given.into_iter();
        let Some((first, origin)) = given.next() else {
            return Setting { value: default(), from: vec![Origin::Default] };
        };
        given.fold(Setting { value: first, from: vec![origin] }, |weaker, (value, origin)| {
            let mut from = if T::ADDS { weaker.from } else { Vec::new() };
            from.push(origin);
            Setting { value: value.over(weaker.value), from }
        })
    }

    fn read_file<T: Kind>(
        &mut self,
        entry: &Entry,
        check: &impl Fn(&T) -> Result<(), String>,
    ) -> Option<(T, Origin)> {
        let found = self.root.as_ref()?.entries()?.iter().find(|found| found.key == entry.name)?;
        if found.value.is_null() {
            return None;
        }
        let span = found.value.span;
        let value = self.findings.at_key(entry.name, |findings| {
            let value = T::from_node(&found.value, findings)?;
            findings.take(span, check(&value).map(|()| value))
        })?;
        let place = Position::of(&self.text.text, found.key_span.start);
        Some((value, Origin::File(self.text.name.clone(), place)))
    }

    fn read_texts<T: Kind>(
        &mut self,
        texts: &[String],
        name: &str,
        check: &impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let value =
            T::from_texts(texts).and_then(|value| check(&value).map(|()| value).map_err(|wrong| vec![wrong]));
        let wrong = |message| Diagnostic::new(Severity::Error, "wrong-setting", name.into(), message);
        value.map_err(|messages| self.findings.list.extend(messages.into_iter().map(wrong))).ok()
    }

    /// systemd may give several directories, separated by colons.
    fn read_systemd<T: Kind>(&self, entry: &Entry) -> Option<(T, Origin)> {
        let name = entry.systemd?;
        let first = self.environment.get(name)?.split(':').find(|part| !part.is_empty())?;
        let path = if entry.credential.is_empty() {
            first.to_owned()
        } else {
            format!("{first}/{}", entry.credential)
        };
        if !entry.credential.is_empty() && !Path::new(&path).exists() {
            return None;
        }
        Some((T::from_texts(&[path]).ok()?, Origin::Systemd(name)))
    }

    /// All that is wrong, once every setting of `table` has been taken.
    pub fn finish(mut self, table: &'static [Entry]) -> Vec<Diagnostic> {
        let entries = self.root.iter().filter_map(Node::entries).flatten();
        for entry in entries.filter(|entry| table.iter().all(|known| known.name != entry.key)) {
            self.findings.unknown_key(entry.key_span, &entry.key, table.iter().map(|known| known.name));
        }
        let known: Vec<String> = table.iter().map(Entry::variable).collect();
        let ours = self.environment.keys().filter_map(|name| name.strip_prefix(PREFIX));
        for rest in ours.filter(|rest| *rest != "SETTINGS") {
            let known = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
            if known.clone().any(|name| name == rest) {
                continue;
            }
            // Others make variables of this name, too: Kubernetes does for a service `xds-bridge`.
            if let Some(near) = nearest(rest, known) {
                let message = "no setting has this variable; it is ignored";
                let name = format!("{PREFIX}{rest}");
                let finding = Diagnostic::new(Severity::Warning, "unknown-variable", name.into(), message);
                self.findings.list.push(finding.with_hint(format!("did you mean {PREFIX}{near}?")));
            }
        }
        self.findings.list
    }
}
