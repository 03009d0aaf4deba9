//! The top of a fragment: lists by kind, `nodes:`, `ttls:`, an Envoy bootstrap, Envoy's filesystem-xDS file.

use serde_json::{Value as Json, json};

use super::message::Taken;
use super::{Def, Properties, Schema, described, with};
use crate::envoy_api::comment;
use crate::load::XDS_ENVELOPE;
use crate::resource::Kind;

const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";
const XDS_RESOURCE: &str = "envoy.service.discovery.v3.Resource";

impl Schema<'_> {
    pub(super) fn top(&mut self) -> Json {
        let mut offered = Properties::new();
        let mut taken = Taken::default();
        for kind in Kind::ALL {
            let Some(list) = self.list_of(kind) else { continue };
            let key = kind.fragment_key();
            taken.add(&list, (camel(key) != key).then(|| camel(key)).as_ref());
            offered.insert(key.to_owned(), described(list, comment(kind.message()).words));
        }
        offered.insert("nodes".into(), nodes());
        offered.insert("ttls".into(), ttls());
        offered.insert("resources".into(), self.resources());
        offered.insert("static_resources".into(), self.static_resources());
        taken.add(&offered["static_resources"].clone(), ["staticResources"]);
        self.bootstrap(&mut taken);
        taken.add(&Json::Bool(true), ["x-.*"]);
        let envelope = XDS_ENVELOPE.iter().filter(|key| !self.is_of_bootstrap(key));
        let envelope: Vec<&str> = envelope.copied().collect();
        taken.add(&described(json!({}), "Of the file's transport; it is ignored."), &envelope);
        let needs = envelope.iter().map(|key| ((*key).to_owned(), json!(["resources"])));
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Fragment of xds-bridge",
            "type": ["object", "null"],
            "properties": offered,
            "additionalProperties": false,
            "dependentRequired": needs.collect::<Properties>(),
        });
        with(schema, taken.keyword())
    }

    fn list_of(&mut self, kind: Kind) -> Option<Json> {
        let id = self.api.message_id(kind.message())?;
        Some(self.refer(Def::List(Box::new(Def::Message(id, &[])))))
    }

    fn static_resources(&mut self) -> Json {
        let mut properties = Properties::new();
        for kind in [Kind::Listener, Kind::Cluster, Kind::Secret] {
            properties.extend(self.list_of(kind).map(|list| (kind.fragment_key().to_owned(), list)));
        }
        json!({
            "description": "The static resources of an Envoy bootstrap: all of them are served.",
            "type": ["object", "null"],
            "properties": properties,
            "additionalProperties": false,
        })
    }

    /// What else a bootstrap may hold: it is checked, and not offered, since nothing comes of it.
    fn bootstrap(&mut self, taken: &mut Taken) {
        let Some(ty) = self.api.message(BOOTSTRAP) else { return };
        for field in ty.fields.iter().filter(|field| &*field.name != "static_resources") {
            let words = comment(&format!("{BOOTSTRAP}.{}", field.name)).words;
            taken.add(&described(self.field(field, &[]), words), [&field.name, &field.json_name]);
        }
    }

    fn is_of_bootstrap(&self, key: &str) -> bool {
        self.api.message(BOOTSTRAP).is_some_and(|ty| ty.field(key).is_some())
    }

    /// The `resources:` of a filesystem-xDS file.
    fn resources(&mut self) -> Json {
        let kinds = Kind::ALL.iter().map(|kind| kind.message()).chain([XDS_RESOURCE]);
        let urls: Vec<String> = kinds.map(|name| format!("type.googleapis.com/{name}")).collect();
        let pattern = urls.iter().map(|url| url["type.googleapis.com/".len()..].replace('.', "\\."));
        let pattern = format!("/(?:{})$|\\$\\{{", pattern.collect::<Vec<_>>().join("|"));
        let content = self.refer(Def::Content);
        let resource = json!({
            "type": "object",
            "required": ["@type"],
            "properties": { "@type": {
                "description": "The type of this resource.",
                "anyOf": [{ "enum": urls }, { "type": "string", "pattern": pattern }],
            } },
            "if": { "required": ["@type"] },
            "then": content,
        });
        json!({
            "description": "The resources of Envoy's filesystem-xDS file, with `@type` each.",
            "items": resource,
            "if": { "type": ["array", "null"] },
            "else": resource,
        })
    }
}

/// Who receives the fragment.
fn nodes() -> Json {
    let glob = |words: &str| json!({ "type": ["string", "integer", "boolean"], "minLength": 1, "description": words });
    let locality = json!({
        "type": "object",
        "description": "Where the Envoy says that it runs.",
        "properties": { "region": glob("Its region."), "zone": glob("Its zone."), "sub_zone": glob("Its sub-zone.") },
        "patternProperties": { "^subZone$": glob("Its sub-zone.") },
        "additionalProperties": false,
    });
    let entry = json!({
        "type": "object",
        "properties": {
            "id": glob("Its `node.id`; `*` and `?` stand for anything."),
            "cluster": glob("Its `node.cluster`; `*` and `?` stand for anything."),
            "locality": locality,
            "metadata": {
                "type": "object",
                "description": "Paths into its `node.metadata`, and what stands there; `*` and `?` stand for anything.",
            },
        },
        "additionalProperties": false,
    });
    json!({
        "description": "The Envoys that receive this: those that match any entry, in all that it says. Without `nodes`: all.",
        "type": ["array", "object"],
        "minItems": 1,
        "items": entry,
        "if": { "type": "object" },
        "then": entry,
    })
}

/// How long resources are valid.
fn ttls() -> Json {
    json!({
        "description": "Names of resources with the time after which an Envoy forgets them, unless this bridge says otherwise.",
        "type": ["object", "null"],
        "additionalProperties": { "type": ["string", "object"], "pattern": "^[0-9]{1,12}(?:\\.[0-9]{1,9})?s$|\\$\\{" },
    })
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| {
        let mut letters = word.chars();
        all + &letters.next().map(|c| c.to_ascii_uppercase().to_string()).unwrap_or_default()
            + letters.as_str()
    })
}
