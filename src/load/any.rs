//! `google.protobuf.Any`: a message that says itself, by `@type`, which one it is.

use super::decode::Decoder;
use super::scalar::{Typed, typed};
use super::suggest;
use super::wire;
use super::yaml::{Entry, Node, Value};
use crate::diagnostic::{Severity, Span};
use crate::envoy_api::{MessageType, type_of_name};

/// What an `@type` says.
pub(super) struct Named<'a, 'n> {
    /// The type URL as it is written.
    pub url: &'n str,
    /// The message type.
    pub ty: &'a MessageType,
    /// Where it is written.
    pub span: Span,
}

impl<'a> Decoder<'a> {
    /// Appends an `Any` without tag and length. Its content is canonical as all else.
    pub(super) fn any(&mut self, node: &Node<'_>, out: &mut Vec<u8>) {
        let Some(named) = self.any_type(node) else { return };
        wire::bytes(1, named.url.as_bytes(), out);
        let start = out.len();
        let at = wire::begin(2, out);
        self.any_content(named.ty, node, out);
        if out.len() == at {
            out.truncate(start);
        } else {
            wire::end(at, out);
        }
    }

    /// Appends the message in an `Any`.
    pub(super) fn any_content(&mut self, ty: &'a MessageType, node: &Node<'_>, out: &mut Vec<u8>) {
        if ty.well_known.is_none() || ty.fields.is_empty() && node.get(&["value"]).is_none() {
            return self.fields(ty, node, true, out);
        }
        // A type whose JSON is no mapping of fields stands under `value`.
        for entry in node.entries().unwrap_or_default() {
            match &*entry.key {
                "value" => {
                    let before = self.findings.enter("value");
                    self.message(ty, &entry.value, out);
                    self.findings.back(before);
                }
                "@type" => {}
                key => {
                    let message = format!("`{key}` is not possible beside a {}", ty.name);
                    let finding = self.findings.error("unknown-field", entry.key_span, message);
                    finding.hint = Some("put the content under `value:`".to_owned());
                }
            }
        }
    }

    /// What a `TypedStruct` holds is free-form on the wire, but Envoy reads it as the message that it
    /// names: so it is checked as one here, and what it refers to counts.
    pub(super) fn typed_struct(&mut self, node: &Node<'_>) {
        let url = node.get(&["type_url", "typeUrl"]);
        let name = url.and_then(Node::text).and_then(|url| url.rsplit('/').next());
        let ty = name.and_then(|name| self.api.message(name));
        if let (Some(url), Some(name), None) = (url, name, ty) {
            // A type of an Envoy of one's own is in a package of one's own.
            if name.starts_with("envoy.") || !name.contains('.') && !name.is_empty() {
                let before = self.findings.enter("type_url");
                self.unknown_type_as(Severity::Warning, name, url.span);
                self.findings.back(before);
            }
        }
        if let (Some(ty), Some(value)) = (ty.filter(|ty| ty.well_known.is_none()), node.get(&["value"])) {
            let before = self.findings.enter("value");
            self.fields(ty, value, false, &mut Vec::new());
            self.findings.back(before);
        }
    }

    /// The type that `@type` names; with a finding if it is missing or unknown.
    pub(super) fn any_type<'n>(&mut self, node: &'n Node<'_>) -> Option<Named<'a, 'n>> {
        let Value::Mapping(entries) = &node.value else {
            self.findings.wrong_type(node, "a mapping with \"@type\"");
            return None;
        };
        let Some(entry) = entries.iter().find(|entry| entry.key == "@type") else {
            self.findings.hide_unknown(node);
            self.missing_type(node, entries);
            return None;
        };
        let before = self.findings.enter_key("@type");
        let named = self.named(entry);
        self.findings.back(before);
        if named.is_none() {
            self.findings.hide_unknown(node);
        }
        named
    }

    fn named<'n>(&mut self, entry: &'n Entry<'_>) -> Option<Named<'a, 'n>> {
        let span = entry.value.span;
        let (Some(Typed::Text(_)), Some(url)) = (typed(&entry.value), entry.value.text()) else {
            self.findings.wrong_type(&entry.value, "a type, such as type.googleapis.com/…");
            return None;
        };
        let Some((_, name)) = url.rsplit_once('/').filter(|(host, _)| !host.is_empty()) else {
            let message = format!("{} is no type URL", self.findings.quote(url));
            let hint = if self.findings.secret { "…" } else { url.trim_start_matches('/') };
            self.findings.error("bad-type-url", span, message).hint =
                Some(format!("write type.googleapis.com/{hint}"));
            return None;
        };
        let api = self.api;
        let Some(ty) = api.message(name) else {
            self.unknown_type(name, span);
            return None;
        };
        if ty.deprecated {
            let message = format!("{name} is deprecated");
            self.findings.add(Severity::Warning, "deprecated-type", span, message);
        }
        Some(Named { url, ty, span })
    }

    fn missing_type(&mut self, node: &Node<'_>, entries: &[Entry<'_>]) {
        let span = self.findings.head(node.span);
        let message = "there is no \"@type\" here, so it is unknown what this configures";
        let hint = if entries.is_empty() {
            "an extension needs its own configuration, even if it is only \"@type\"".to_owned()
        } else {
            let near =
                entries.iter().find(|entry| matches!(&*entry.key, "type" | "@Type" | "type_url" | "@typ"));
            match near {
                Some(entry) => format!("write \"@type\" instead of `{}`", entry.key),
                None => "add \"@type\": type.googleapis.com/<the message's full name>".to_owned(),
            }
        };
        let severity = self.findings.severity_of_types();
        self.findings.add(severity, "missing-type", span, message).hint = Some(hint);
    }

    /// An extension that is given by its name alone: Envoy goes by the type of its configuration, and
    /// refuses it unless it is said to be optional.
    pub(super) fn check_extension(&mut self, ty: &MessageType, node: &Node<'_>) {
        // `config` is the old name, and a finding by itself.
        const KEYS: [&str; 5] =
            ["typed_config", "typedConfig", "config_discovery", "configDiscovery", "config"];
        if !EXTENSION_POINTS.contains(&&*ty.name) || node.get(&KEYS).is_some() {
            return;
        }
        let optional = node.get(&["is_optional", "isOptional"]).and_then(typed);
        let (None | Some(Typed::Bool(false))) = optional else { return };
        let name = node.get(&["name"]);
        // Where the API asks for a name, that has been said.
        if name.is_none() && ty.field("name").is_none_or(|field| field.rules.is_some()) {
            return;
        }
        let message = match name {
            Some(_) => {
                "this extension has a name but no `typed_config`, and the name alone means nothing to Envoy"
            }
            None => "this is an extension without `typed_config`, which is none to Envoy",
        };
        let severity = self.findings.severity_of_types();
        let span = name.map_or_else(|| self.findings.head(node.span), |name| name.span);
        self.findings.add(severity, "missing-typed-config", span, message).hint =
            Some(match usual_type(ty, name.and_then(Node::text).unwrap_or_default()) {
                Some(usual) => {
                    format!(
                        "add `typed_config: {{\"@type\": type.googleapis.com/{usual}}}`, which has this name"
                    )
                }
                None => "add `typed_config` with at least its \"@type\"".to_owned(),
            });
    }

    pub(super) fn unknown_type(&mut self, name: &str, span: Span) {
        self.unknown_type_as(self.findings.severity_of_types(), name, span);
    }

    fn unknown_type_as(&mut self, severity: Severity, name: &str, span: Span) {
        let hint = if is_v2(name) {
            "this is a name of Envoy's old v2 API; `xds-bridge import` converts whole files".to_owned()
        } else {
            match self.meant_type(name) {
                Some(near) if !self.findings.secret => format!("did you mean `{near}`?"),
                _ => "if your Envoys know it, tell with --descriptors-from /path/to/envoy, or with --descriptors FILE"
                    .to_owned(),
            }
        };
        let message = format!("the type {} is not known", self.findings.quote(name));
        self.findings.add(severity, "unknown-type", span, message).hint = Some(hint);
    }

    /// The type that was probably meant. The same name often comes many times, and there are thousands
    /// of types to compare with, so the answer is kept.
    fn meant_type(&mut self, name: &str) -> Option<String> {
        if self.findings.is_full() {
            return None;
        }
        if let Some(known) = self.meant_types.get(name) {
            return known.clone();
        }
        let meant = match self.api.finished(name) {
            Some(finished) => Some(finished.name.to_string()),
            None => nearest_type(name, &self.api.message_names().collect::<Vec<_>>()).map(str::to_owned),
        };
        self.meant_types.insert(name.to_owned(), meant.clone());
        meant
    }
}

/// Messages that stand for an extension: its name and its configuration.
const EXTENSION_POINTS: [&str; 13] = [
    "envoy.config.accesslog.v3.AccessLog",
    "envoy.config.cluster.v3.Filter",
    "envoy.config.core.v3.HealthCheck.CustomHealthCheck",
    "envoy.config.core.v3.TransportSocket",
    "envoy.config.listener.v3.Filter",
    "envoy.config.listener.v3.ListenerFilter",
    "envoy.config.metrics.v3.StatsSink",
    "envoy.config.overload.v3.ResourceMonitor",
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate",
    "envoy.config.route.v3.RetryPolicy.RetryPriority",
    "envoy.config.trace.v3.Tracing.Http",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    "envoy.extensions.filters.network.thrift_proxy.v3.ThriftFilter",
];

/// The type that configures the extension of this name in this place.
fn usual_type(ty: &MessageType, name: &str) -> Option<&'static str> {
    type_of_name(ty.field("typed_config")?.categories, name)
}

/// Whether a name belongs to the API that was removed from Envoy in 2021.
fn is_v2(name: &str) -> bool {
    name.starts_with("envoy.api.v2.")
        || (name.starts_with("envoy.")
            && name.split('.').any(|part| part == "v2" || part.starts_with("v2alpha")))
}

/// The type that was probably meant: the only one with its last part, or one with nearly this name.
fn nearest_type<'n>(name: &str, all: &[&'n str]) -> Option<&'n str> {
    const SLIPS: usize = 3;
    let bare = suggest::short(name);
    let mut same_end = all.iter().filter(|candidate| suggest::short(candidate) == bare);
    if let (Some(only), None) = (same_end.next(), same_end.next()) {
        return Some(only);
    }
    let near = all.iter().filter(|candidate| candidate.len().abs_diff(name.len()) <= SLIPS);
    near.map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= SLIPS)
        .min()
        .map(|(_, candidate)| candidate)
}
