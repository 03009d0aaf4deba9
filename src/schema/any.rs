//! Extensions: messages that say by `@type` which one they are.
//!
//! Which `@type` is offered depends on the place; what may stand beside it follows from it alone, so that
//! part is shared. It is found in two steps, by the beginning and the end of the type's name: an editor
//! then compares with some hundred types and not with all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{Def, Schema, with};
use crate::envoy_api::{categories_of, types_in};
use crate::resource::Kind;

/// What a type's URL begins with, by everybody's habit.
const URL: &str = "type.googleapis.com/";

/// So many parts of a type's name are compared first, as in `envoy.extensions.filters.http`.
const FIRST_PARTS: usize = 4;

/// Packages of Envoy's and its friends in which there are messages that are no configuration by themselves.
const OURS: [&str; 9] =
    ["envoy", "google", "xds", "udpa", "validate", "opentelemetry", "io", "cel", "xds_bridge"];

/// Messages that name another type and hold its content.
const TYPED_STRUCTS: [&str; 2] = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];

impl Schema<'_> {
    /// An `Any` in a place for extensions of some categories.
    pub(super) fn any(&mut self, categories: &[&str], may_be_empty: bool) -> Json {
        let all: Vec<String>;
        let offered: Vec<&str> = if categories.is_empty() {
            all = self.extension_types();
            all.iter().map(String::as_str).collect()
        } else {
            types_in(categories).into_iter().filter(|name| self.api.message_id(name).is_some()).collect()
        };
        let urls: Vec<String> = offered.iter().map(|name| format!("{URL}{name}")).collect();
        let known = self.refer(Def::TypeUrl);
        let url = if urls.is_empty() { known } else { json!({ "anyOf": [{ "enum": urls }, known] }) };
        let content = self.refer(Def::Content);
        let schema = json!({
            "type": ["object", "null"],
            "properties": { "@type": with(url, [("description", "The type of this configuration.".into())]) },
            "if": { "required": ["@type"] },
            "then": content,
        });
        if may_be_empty {
            with(schema, [("else", json!({ "maxProperties": 0 }))])
        } else {
            with(schema, [("required", json!(["@type"]))])
        }
    }

    /// Types that configure something by themselves.
    fn extension_types(&self) -> Vec<String> {
        let is_one = |name: &&str| {
            let nested = name.split('.').rev().skip(1).any(|part| part.starts_with(char::is_uppercase));
            let own = !OURS.contains(&name.split('.').next().unwrap_or_default());
            !nested && (own || name.starts_with("envoy.extensions."))
                || !categories_of(name).is_empty()
                || TYPED_STRUCTS.contains(name)
        };
        let mut names: Vec<String> = self.api.message_names().filter(is_one).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Types whose content is looked at, by how their names begin.
    fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let kinds = Kind::ALL.iter().map(|kind| kind.message().to_owned());
        let wrapper = ["envoy.service.discovery.v3.Resource".to_owned()];
        let forms = self.api.message_names().filter(|name| name.starts_with("google.protobuf."));
        let forms = forms.filter(|name| self.api.message(name).is_some_and(|ty| ty.well_known.is_some()));
        let forms = forms.map(str::to_owned);
        let all = self.extension_types().into_iter().chain(kinds).chain(wrapper).chain(forms);
        let all: BTreeSet<String> = all.collect();
        for name in all.into_iter().filter(|name| self.api.message_id(name).is_some()) {
            let parts: Vec<&str> = name.split('.').take(FIRST_PARTS).collect();
            groups.entry(parts.join(".")).or_default().push(name);
        }
        groups
    }

    pub(super) fn content(&mut self) -> Json {
        let groups: Vec<String> = self.groups().into_keys().collect();
        let branch = |prefix: String| {
            let pattern = format!("/{}(?:\\.|$)", escaped(&prefix));
            json!({ "if": of_type(&pattern), "then": self.refer(Def::ContentOf(prefix)) })
        };
        json!({ "allOf": groups.into_iter().map(branch).collect::<Vec<_>>() })
    }

    pub(super) fn content_of(&mut self, prefix: &str) -> Json {
        let names = self.groups().remove(prefix).unwrap_or_default();
        let branch = |name: &String| {
            let id = self.api.message_id(name)?;
            let pattern = format!("{}$", escaped(&name[prefix.len()..]));
            Some(json!({ "if": of_type(&pattern), "then": self.refer(Def::InAny(id)) }))
        };
        json!({ "allOf": names.iter().filter_map(branch).collect::<Vec<_>>() })
    }

    /// A message in an `Any`. A type whose JSON is no mapping of fields stands under `value`.
    pub(super) fn in_any(&mut self, id: crate::envoy_api::MessageId) -> Json {
        let ty = self.api.message_type(id);
        if ty.well_known.is_none() {
            return self.fields(ty, &[], true);
        }
        let value = self.refer(Def::Message(id, &[]));
        json!({ "properties": { "@type": true, "value": value }, "additionalProperties": false })
    }

    pub(super) fn type_url(&mut self) -> Json {
        let mut names: Vec<&str> = self.api.message_names().collect();
        names.sort_unstable();
        let names: Vec<Vec<&str>> = names.iter().map(|name| name.split('.').collect()).collect();
        json!({ "type": "string", "pattern": format!("/{}$|\\$\\{{", alternatives(&names)) })
    }
}

fn of_type(pattern: &str) -> Json {
    json!({ "properties": { "@type": { "type": "string", "pattern": pattern } } })
}

fn escaped(name: &str) -> String {
    name.replace('.', "\\.")
}

/// A pattern for any of these names, parts that several begin with written once.
fn alternatives(names: &[Vec<&str>]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = names;
    while let Some(first) = rest.first().and_then(|name| name.first()) {
        let same = rest.iter().take_while(|name| name.first() == Some(first)).count();
        let (inner, after) = rest.split_at(same);
        let ends = inner.iter().any(|name| name.len() == 1);
        let inner: Vec<Vec<&str>> =
            inner.iter().filter(|name| name.len() > 1).map(|name| name[1..].to_vec()).collect();
        parts.push(match (inner.is_empty(), ends) {
            (true, _) => (*first).to_owned(),
            (false, true) => format!("{first}(?:\\.{})?", alternatives(&inner)),
            (false, false) => format!("{first}\\.{}", alternatives(&inner)),
        });
        rest = after;
    }
    match &parts[..] {
        [one] => one.clone(),
        many => format!("(?:{})", many.join("|")),
    }
}
