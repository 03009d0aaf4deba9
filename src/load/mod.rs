//! The room `load`: the text of a fragment in, resources and findings out.
//!
//! A pure function of the text and of Envoy's API: no disk, environment, clock or clients, so its
//! result may be kept for as long as the text is the same. Inside: [`yaml`] makes a tree that knows
//! its places, `fragment` knows the shapes of files, `decode` walks the tree by the API's tables and
//! writes canonical protobuf.
//!
//! Invariants: all findings of a file come at once; the bytes of a resource depend on what is
//! configured, not on how it is written; time and memory are bounded by the size of the text.

mod any;
mod bootstrap;
mod catalog;
mod certificates;
mod complaints;
mod constraints;
mod decode;
mod env_file;
pub mod events;
mod fill;
mod find;
mod findings;
mod foreign;
mod fragment;
mod inputs;
mod item;
mod legible;
mod lints;
mod loose;
mod maps;
mod moved;
pub mod naming;
mod node;
mod nodes;
mod outline;
mod references;
pub mod scalar;
mod scalars;
mod scope_key;
mod sensitive;
mod severities;
mod splice;
mod substitute;
mod suggest;
mod unknown;
mod unresolved;
mod warmth;
mod well_known;
mod wire;
mod written;
pub mod yaml;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::envoy_api::Api;
use crate::resource::{Resource, Selector};

pub(crate) use catalog::differing;
pub use catalog::{Catalog, Home, Key};
pub use env_file::{EnvFileError, parse_env_file};
pub use fill::is_json;
pub use find::{Step, Wanted, find};
pub use fragment::XDS_ENVELOPE;
pub use inputs::{Drawn, FileContent, Files, Inputs, VariableUse, Variables};
pub use lints::{ListenAddress, Protocol};
pub use loose::LooseEnds;
pub use references::Mentioned;
pub use severities::Severities;
pub use suggest::nearest;
pub use unresolved::{Dangling, References};

use decode::Decoder;
use fill::Fill;
use findings::Findings;
use outline::Outline;
use references::Mention;
use substitute::Template;

/// What one file gives.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The resources that could be read. If there is an error among the findings, they are not all.
    pub items: Arc<[Item]>,
    /// What is to be said, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Where sensitive values stand, in order and apart: nobody is to be shown the text there.
    pub sensitive: Vec<Span>,
    /// What it drew on besides its text.
    pub drawn: Drawn,
    /// Whether there is nothing in it but comments and blanks.
    pub is_blank: bool,
    /// How many of the items were read; the others are those of an earlier look.
    pub decoded: usize,
    /// How parts of it can be read alone, if they can.
    pub(crate) outline: Option<Box<Outline>>,
}

impl Loaded {
    /// Whether the file can be served: nothing in it is wrong or yet to be read.
    pub fn is_sound(&self) -> bool {
        !self.drawn.is_waiting() && !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// A resource and where it comes from.
#[derive(Clone, Debug)]
pub struct Item {
    /// The resource.
    pub resource: Arc<Resource>,
    /// Who receives it; `None`: every Envoy.
    pub nodes: Option<Arc<Selector>>,
    /// Where it stands in its file.
    pub span: Span,
    /// Where its name stands, or its beginning if its name was made up.
    pub name_span: Span,
    /// What else is known of it; of many there is nothing.
    facts: Option<Arc<Facts>>,
}

/// What is known of an item beside its resource. The tables that need it share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What it names, in the order of the file; nothing if that goes without saying ([`references::mentioned`]).
    mentions: Box<[Mention]>,
    rare: Option<Box<RareFacts>>,
}

/// What is known of few items only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RareFacts {
    /// The addresses that it opens, if it is a listener, and where in it they stand.
    addresses: Box<[(ListenAddress, Span)]>,
    /// When the first of its certificates expires, in seconds since 1970.
    expires: Option<i64>,
}

impl Facts {
    /// Nothing where nothing is known.
    fn shared(self) -> Option<Arc<Facts>> {
        (self != Facts::default()).then(|| Arc::new(self))
    }

    fn addresses(&self) -> &[(ListenAddress, Span)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.addresses)
    }
}

impl Item {
    /// The addresses that it opens, if it is a listener, and where in it they stand.
    pub fn addresses(&self) -> &[(ListenAddress, Span)] {
        self.facts.as_ref().map_or(&[], |facts| facts.addresses())
    }

    /// When the first of its certificates expires, in seconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        self.facts.as_ref()?.rare.as_ref()?.expires
    }

    /// What it names, in the order of the file.
    pub fn mentions(&self) -> impl Iterator<Item = Mentioned<'_>> {
        references::mentioned(&self.resource, self.facts.as_deref())
    }

    /// Where in the file something of this item stands. In the item places are counted from its
    /// beginning, so that they stay as they are when the item moves. What came by an alias may stand
    /// before it.
    pub fn place(&self, inside: Span) -> Span {
        let from = self.span.start;
        Span { start: inside.start.wrapping_add(from), end: inside.end.wrapping_add(from) }
    }
}

/// Reads a fragment as it stands: references to variables and `!file` are left alone. `file` is its
/// name as people name it, used in findings only.
pub fn load_file(api: &Api, file: &Arc<str>, text: &[u8]) -> Loaded {
    let inputs = Inputs {
        variables: &Variables::default(),
        files: &|_| None,
        now: None,
        severities: &Severities::default(),
    };
    load_filled(api, file, text, &inputs)
}

/// Reads a fragment with the variables and files that it names. `file` is its name as people name it;
/// the paths of files are relative to its directory.
pub fn load_filled(api: &Api, file: &Arc<str>, text: &[u8], inputs: &Inputs<'_>) -> Loaded {
    match utf8(file, text) {
        Ok(text) => fragment::load(api, file, text, inputs),
        Err(finding) => {
            // What stands before it tells what of the line nobody is to be shown.
            let end = finding.span.map_or(0, |span| span.start as usize);
            let before = std::str::from_utf8(&text[..end]).unwrap_or_default();
            let Loaded { sensitive, .. } = fragment::load(api, file, before, inputs);
            Loaded { diagnostics: vec![*finding], sensitive, ..Loaded::default() }
        }
    }
}

/// The same where an earlier text of this file is known, with what it gave by the same API and severities:
/// gives what [`load_filled`] gives, and reads only what changed where that is certain to be the same.
pub fn load_changed(
    api: &Api,
    file: &Arc<str>,
    text: &[u8],
    inputs: &Inputs<'_>,
    before: (&[u8], &Loaded),
) -> Loaded {
    let text_of_now = std::str::from_utf8(text).ok();
    let changed = text_of_now.and_then(|text| splice::load(api, file, text, inputs, before));
    changed.unwrap_or_else(|| load_filled(api, file, text, inputs))
}

/// Reads a text as one message of the type with this full name: its canonical encoding, `None` if
/// anything is wrong with it, and the findings. By the name of the file it is JSON or YAML.
pub fn load_message(
    api: &Api,
    full_name: &str,
    file: &Arc<str>,
    text: &[u8],
) -> (Option<Vec<u8>>, Vec<Diagnostic>) {
    load_message_as(api, &Severities::default(), full_name, file, text)
}

/// The same where somebody has said how much each rule matters.
pub fn load_message_as(
    api: &Api,
    severities: &Severities,
    full_name: &str,
    file: &Arc<str>,
    text: &[u8],
) -> (Option<Vec<u8>>, Vec<Diagnostic>) {
    let text = match utf8(file, text) {
        Ok(text) => text,
        Err(finding) => return (None, vec![*finding]),
    };
    let mut decoder = Decoder::new(api, Findings::new(severities, file, text));
    let (variables, template) = (Variables::default(), Template::new(text, &Variables::default()));
    let inputs = Inputs { variables: &variables, files: &|_| None, now: None, severities };
    let parsed = match is_json(file) {
        // Only with the name of the file it is known that all numbers are numbers.
        true => yaml::parse_filled(template.masked(), &mut Fill::new(file, &template, &inputs)),
        false => yaml::parse(text),
    };
    for issue in parsed.issues {
        decoder.findings.add_issue(issue, &parsed.documents);
    }
    let mut out = Vec::new();
    match (api.message(full_name), parsed.documents.first()) {
        (None, _) => decoder.unknown_type(full_name, Span::default()),
        (Some(ty), Some(root)) => decoder.message(ty, root, &mut out),
        (Some(_), None) => {}
    }
    let is_sound = decoder.findings.errors() == 0;
    (is_sound.then_some(out), decoder.findings.finish())
}

/// The paths to what stands at these places of a text, such as `clusters[0].name`.
pub fn paths_at(text: &str, spans: impl IntoIterator<Item = Span>) -> Vec<(Span, String)> {
    let mut spans = spans.into_iter().peekable();
    if spans.peek().is_none() {
        return Vec::new();
    }
    let template = Template::new(text, &Variables::new::<&str, &str>([]));
    let parsed = yaml::parse(template.masked());
    spans.map(|span| (span, findings::path_to(&parsed.documents, span))).collect()
}

fn utf8<'t>(file: &Arc<str>, text: &'t [u8]) -> Result<&'t str, Box<Diagnostic>> {
    std::str::from_utf8(text).map_err(|error| {
        let at = error.valid_up_to();
        let is_utf16 = matches!(text, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        let (message, hint) = if is_utf16 {
            ("the file is UTF-16, not UTF-8", "save it as UTF-8")
        } else {
            ("the file is not UTF-8 text from here on", "save it as UTF-8; is it a text file at all?")
        };
        let finding = Diagnostic::new(Severity::Error, "not-utf8", file.clone(), message);
        let width = error.error_len().unwrap_or(1);
        Box::new(finding.at(Span::new(at, at + width), "").with_hint(hint))
    })
}
