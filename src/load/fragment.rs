//! The shapes of a fragment: lists by kind, a bootstrap, Envoy's filesystem-xDS file, mixed at will.
//!
//! Comes in: the text of a file. Goes out: its resources, with who receives them, and all findings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::any::Named;
use super::decode::{Decoder, StaticSecrets};
use super::fill::Fill;
use super::findings::Findings;
use super::inputs::Inputs;
use super::outline::Outline;
use super::scalar::Seconds;
use super::substitute::Template;
use super::suggest;
use super::yaml::{self, Entry, Node, Value};
use super::{Item, Loaded, Severities};
use crate::diagnostic::{Severity, Span};
use crate::envoy_api::{Api, MessageType};
use crate::resource::{Kind, Name, Selector};

pub(super) const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";
const XDS_RESOURCE: &str = "envoy.service.discovery.v3.Resource";

/// Keys of Envoy's filesystem-xDS file that say nothing to us, and are nothing without `resources`.
pub const XDS_ENVELOPE: [&str; 9] = [
    "version_info",
    "versionInfo",
    "type_url",
    "typeUrl",
    "nonce",
    "canary",
    "control_plane",
    "controlPlane",
    "resource_errors",
];

/// Reads one file.
pub(super) struct Reader<'a> {
    pub decoder: Decoder<'a>,
    pub bootstrap: Option<&'a MessageType>,
    pub items: Vec<Item>,
    /// Where each name was first defined, by who receives it.
    pub defined: HashMap<(Kind, Name, Option<Arc<Selector>>), Span>,
    /// All names so far: a cluster and its endpoints have one, and hold it once.
    pub names: HashSet<Name>,
}

/// What one document says about all its resources.
#[derive(Default)]
pub(super) struct Scope {
    pub nodes: Option<Arc<Selector>>,
    pub ttls: HashMap<String, Ttl>,
}

/// An entry of `ttls:`.
pub(super) struct Ttl {
    pub duration: Duration,
    pub key_span: Span,
    pub is_used: bool,
}

/// Reads a fragment.
pub(super) fn load(api: &Api, file: &Arc<str>, text: &str, inputs: &Inputs<'_>) -> Loaded {
    let template = Template::new(text, inputs.variables);
    let mut fill = Fill::new(file, &template, inputs);
    let parsed = yaml::parse_filled(template.masked(), &mut fill);
    let mut reader = Reader::new(api, inputs.severities, file, text, inputs.now);
    if let Some(cut_off) = &parsed.cut_off {
        let mut judge = Reader::new(api, inputs.severities, file, text, None);
        judge.document(cut_off);
        judge.decoder.findings.sensitive.mark_suspects(cut_off);
        reader.decoder.findings.sensitive.cut_off(judge.decoder.findings.sensitive, parsed.read_to, text);
    }
    let outline = Outline::of(file, text, &parsed, inputs.variables);
    let left_alone = reader.behind_bootstrap(&parsed.documents, text);
    for issue in parsed.issues {
        match left_alone.filter(|from| *from <= issue.span.start) {
            Some(_) if issue.severity != Severity::Error => {}
            Some(from) => reader.extra_document(Span { start: from, end: from + 3 }),
            None => reader.decoder.findings.add_issue(issue, &parsed.documents),
        }
    }
    if template.stuck {
        let message = "the file uses every private-use character (U+E000 to U+F8FF), so that variables cannot be replaced";
        reader.decoder.findings.error("too-many-characters", Span::default(), message);
    }
    let is_blank = parsed.documents.iter().all(Node::is_null);
    reader.documents(&parsed.documents, text);
    let sensitive = reader.decoder.findings.sensitive.spans();
    let diagnostics = reader.decoder.findings.finish();
    let items: Arc<[Item]> = reader.items.into();
    let decoded = items.len();
    let mut loaded =
        Loaded { items, diagnostics, sensitive, drawn: fill.drawn, is_blank, decoded, outline: None };
    loaded.outline = outline.and_then(|outline| outline.kept_for(&loaded));
    loaded
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        api: &'a Api,
        severities: &'a Severities,
        file: &'a Arc<str>,
        text: &'a str,
        now: Option<i64>,
    ) -> Reader<'a> {
        let mut decoder = Decoder::new(api, Findings::new(severities, file, text));
        decoder.certificates.are_checked = true;
        decoder.certificates.now = now;
        decoder.static_secrets = StaticSecrets::Elsewhere;
        let (items, defined, names) = (Vec::new(), HashMap::new(), HashSet::new());
        Reader { decoder, bootstrap: api.message(BOOTSTRAP), items, defined, names }
    }

    fn documents(&mut self, documents: &[Node<'_>], text: &str) {
        let filled: Vec<&Node<'_>> = documents.iter().filter(|document| !document.is_null()).collect();
        let Some(first) = filled.first() else {
            if self.decoder.findings.errors() == 0 {
                let span = Span::new(0, text.lines().next().map_or(0, str::len));
                let message = "there is nothing in this file but comments and blanks";
                self.decoder.findings.add(Severity::Note, "empty-fragment", span, message);
            }
            return;
        };
        if self.is_bootstrap(first) {
            if let Some(second) = filled.get(1) {
                self.extra_document(self.decoder.findings.head(second.span));
            }
            return self.document(first);
        }
        for document in filled {
            self.document(document);
        }
    }

    fn extra_document(&mut self, span: Span) {
        let message = "only the first document of a bootstrap counts, as for Envoy; this one is left alone";
        self.decoder.findings.add(Severity::Note, "extra-document", span, message);
    }

    /// Where the second document begins if the first one is a bootstrap: what is wrong from there on, Envoy does
    /// not read.
    fn behind_bootstrap(&self, documents: &[Node<'_>], text: &str) -> Option<u32> {
        let first = documents.iter().find(|document| !document.is_null())?;
        let end = first.span.end as usize;
        let rest = text.get(end..).filter(|_| self.is_bootstrap(first))?;
        let at = if rest.starts_with("---") { 0 } else { rest.find("\n---")? + 1 };
        u32::try_from(end + at).ok()
    }

    fn is_bootstrap(&self, document: &Node<'_>) -> bool {
        let Some(bootstrap) = self.bootstrap else { return false };
        document.entries().unwrap_or_default().iter().any(|entry| bootstrap.field(&entry.key).is_some())
    }

    fn document(&mut self, document: &Node<'_>) {
        let Value::Mapping(entries) = &document.value else {
            return self.no_mapping(document);
        };
        if self.is_foreign(entries) {
            return;
        }
        let mut scope = Scope::default();
        for entry in entries {
            let before = self.decoder.findings.enter(&entry.key);
            match &*entry.key {
                "nodes" => scope.nodes = self.nodes(entry),
                "ttls" => scope.ttls = self.ttls(&entry.value),
                _ => {}
            }
            self.decoder.findings.back(before);
        }
        let mut left_alone: Vec<&Entry<'_>> = Vec::new();
        let mut ignored: Vec<&Entry<'_>> = Vec::new();
        let is_xds_file = entries.iter().any(|entry| entry.key == "resources");
        for entry in entries {
            self.section(entry, is_xds_file, &mut scope, &mut left_alone, &mut ignored);
        }
        self.note_keys(
            "bootstrap-only",
            &left_alone,
            "only an Envoy's own bootstrap can hold this; it is left alone",
        );
        self.note_keys(
            "xds-envelope",
            &ignored,
            "this belongs to the file's transport, not to a resource; it is ignored",
        );
        self.check_ttls(&scope);
    }

    /// One top-level key.
    pub(super) fn section<'n, 't>(
        &mut self,
        entry: &'n Entry<'t>,
        is_xds_file: bool,
        scope: &mut Scope,
        left_alone: &mut Vec<&'n Entry<'t>>,
        ignored: &mut Vec<&'n Entry<'t>>,
    ) {
        let key = &*entry.key;
        if matches!(key, "nodes" | "ttls") || key.starts_with("x-") {
            return;
        }
        if let Some(kind) = kind_of_key(key) {
            return self.list(kind, entry, scope);
        }
        if key == "resources" {
            return self.xds_resources(&entry.value, scope);
        }
        if is_xds_file && XDS_ENVELOPE.contains(&key) {
            return ignored.push(entry);
        }
        let Some((bootstrap, field)) = self.bootstrap.and_then(|ty| Some((ty, ty.field(key)?))) else {
            return self.unknown_key(entry);
        };
        if &*field.name == "static_resources" {
            self.static_resources(entry, scope);
        } else {
            self.bootstrap_only(bootstrap, field, entry);
            left_alone.push(entry);
        }
    }

    /// The items of a list by kind.
    pub(super) fn list(&mut self, kind: Kind, entry: &Entry<'_>, scope: &mut Scope) {
        let is_list = matches!(entry.value.value, Value::Sequence(_));
        let elements = entry.value.elements();
        if kind == Kind::Secret
            && (elements.is_empty() || elements.iter().any(|node| node.entries().is_none()))
        {
            self.decoder.findings.sensitive.mark_entry(entry);
        }
        let before = self.decoder.findings.enter(kind.fragment_key());
        for (index, node) in entry.value.elements().iter().enumerate() {
            let inside = self.decoder.findings.enter_index(index);
            if !is_list {
                self.decoder.findings.back(inside);
            }
            self.item(kind, node, false, None, scope);
            self.decoder.findings.back(inside);
        }
        self.decoder.findings.back(before);
    }

    /// The `resources:` of a filesystem-xDS file.
    fn xds_resources(&mut self, value: &Node<'_>, scope: &mut Scope) {
        let before = self.decoder.findings.enter("resources");
        for (index, node) in value.elements().iter().enumerate() {
            let inside = self.decoder.findings.enter_index(index);
            if let Some(named) = self.decoder.any_type(node) {
                if &*named.ty.name == XDS_RESOURCE {
                    self.wrapped_resource(named.ty, node, scope);
                } else {
                    self.xds_resource(&named, node, None, scope);
                }
            }
            self.decoder.findings.back(inside);
        }
        self.decoder.findings.back(before);
    }

    fn xds_resource(
        &mut self,
        named: &Named<'_, '_>,
        node: &Node<'_>,
        ttl: Option<Duration>,
        scope: &mut Scope,
    ) {
        if let Some(kind) = Kind::from_message(&named.ty.name) {
            return self.item(kind, node, true, ttl, scope);
        }
        let message = format!("{} is no type of resource that is served", named.ty.name);
        let hint = if &*named.ty.name == BOOTSTRAP {
            "put the content of the bootstrap at the top of the file".to_owned()
        } else {
            let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| suggest::short(kind.message())).collect();
            format!("the types that are served: {}", kinds.join(", "))
        };
        self.decoder.findings.error("not-a-resource", named.span, message).hint = Some(hint);
    }

    /// A `Resource` of the protocol: the resource itself stands inside.
    fn wrapped_resource(&mut self, ty: &'a MessageType, node: &Node<'_>, scope: &mut Scope) {
        let ttl = node.get(&["ttl"]).and_then(|value| self.ttl(value));
        for entry in node.entries().unwrap_or_default() {
            match ty.field(&entry.key) {
                _ if entry.key == "@type" || entry.value.is_null() => {}
                Some(field) if &*field.name == "resource" => {
                    let before = self.decoder.findings.enter("resource");
                    if let Some(named) = self.decoder.any_type(&entry.value) {
                        self.xds_resource(&named, &entry.value, ttl, scope);
                    }
                    self.decoder.findings.back(before);
                }
                Some(field) if &*field.name == "ttl" => {}
                Some(field) => self.decoder.field(ty, field, entry, &mut Vec::new()),
                None => self.decoder.unknown_field(ty, node, entry),
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry<'_>) {
        let own = ["nodes", "ttls", "resources"];
        let kinds = Kind::ALL.iter().map(|kind| kind.fragment_key());
        let fields = self.bootstrap.map(|ty| &ty.fields[..]).unwrap_or_default();
        let names = own.into_iter().chain(kinds).chain(fields.iter().map(|field| &*field.name));
        let near = if self.decoder.findings.is_full() { None } else { suggest::nearest(&entry.key, names) };
        let hint = match near {
            Some(name) => format!("did you mean `{name}`?"),
            None => "resources stand under `listeners`, `clusters`, `routes` …; a key that begins with `x-` may hold anything"
                .to_owned(),
        };
        let message = format!("a fragment has no key `{}`", entry.key);
        let before = self.decoder.findings.enter_key(&entry.key);
        self.decoder.findings.error("unknown-key", entry.key_span, message).hint = Some(hint);
        self.decoder.findings.sensitive.mark_suspects(&entry.value);
        self.decoder.findings.back(before);
    }

    /// One note for several keys, at the first of them.
    fn note_keys(&mut self, code: &'static str, entries: &[&Entry<'_>], what: &str) {
        let Some(first) = entries.first() else { return };
        let keys: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.key)).collect();
        let message = format!("{}: {what}", keys.join(", "));
        self.decoder.findings.add(Severity::Note, code, first.key_span, message);
    }

    fn ttls(&mut self, value: &Node<'_>) -> HashMap<String, Ttl> {
        let mut ttls = HashMap::new();
        if value.is_null() {
            return ttls;
        }
        let Value::Mapping(entries) = &value.value else {
            self.decoder.findings.wrong_type(value, "a mapping from names of resources to durations");
            return ttls;
        };
        for entry in entries {
            let before = self.decoder.findings.enter_key(&entry.key);
            if let Some(duration) = self.ttl(&entry.value) {
                let ttl = Ttl { duration, key_span: entry.key_span, is_used: false };
                ttls.insert(entry.key.to_string(), ttl);
            }
            self.decoder.findings.back(before);
        }
        ttls
    }

    fn ttl(&mut self, value: &Node<'_>) -> Option<Duration> {
        let Seconds { seconds, nanos } = self.decoder.duration(value)?;
        let ttl = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        if ttl.is_zero() {
            let message = "a time to live must be greater than 0s";
            self.decoder.findings.error("bad-ttl", value.span, message);
            return None;
        }
        Some(ttl)
    }

    fn check_ttls(&mut self, scope: &Scope) {
        // Comparing each name with each would take its time in a file of many thousands.
        const COMPARED: usize = 1_000;
        let unused: Vec<(&String, &Ttl)> = scope.ttls.iter().filter(|(_, ttl)| !ttl.is_used).collect();
        if unused.is_empty() {
            return;
        }
        let mut names: Vec<Name> = self.defined.keys().map(|(_, name, _)| name.clone()).collect();
        names.sort();
        names.truncate(COMPARED);
        let before = self.decoder.findings.enter("ttls");
        for (name, ttl) in unused {
            let inside = self.decoder.findings.enter_key(name);
            let message = format!("no resource of this file is named `{name}`");
            let near = suggest::nearest(name, names.iter().map(|name| &**name));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            self.decoder.findings.error("unknown-resource", ttl.key_span, message).hint = hint;
            self.decoder.findings.back(inside);
        }
        self.decoder.findings.back(before);
    }
}

/// The kind of a list, by its key in either spelling.
pub(super) fn kind_of_key(key: &str) -> Option<Kind> {
    Kind::from_fragment_key(key).or(match key {
        "scopedRoutes" => Some(Kind::ScopedRoute),
        "virtualHosts" => Some(Kind::VirtualHost),
        "extensionConfigs" => Some(Kind::ExtensionConfig),
        _ => None,
    })
}
