//! The room `schema`: Envoy's API in, a JSON Schema (2020-12) of fragments out, for editors.
//!
//! What `load` takes without a warning is valid by it, and what `load` calls an unknown key or an unknown
//! value of an enum is not. Editors complete by what stands under `properties` and `enum`; what is taken
//! but better not written (camel case, deprecated fields) stands in patterns, which they only check by.
//! Each type has one definition, and only keywords of the standard are used.

mod any;
mod message;
mod plain;
mod top;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use crate::envoy_api::{Api, EnumId, MessageId, Scalar, ValueType, WellKnown};

/// The schema of a fragment.
pub fn fragment(api: &Api) -> Json {
    let mut schema = Schema { api, defs: BTreeMap::new(), known: BTreeSet::new(), open: Vec::new() };
    let mut top = schema.top();
    while let Some((name, def)) = schema.open.pop() {
        let content = schema.define(&def);
        schema.defs.insert(name, content);
    }
    top["$defs"] = schema.defs.into_iter().collect::<Map<_, _>>().into();
    top
}

/// Extensions that belong to a place; empty: any.
type Categories = &'static [&'static str];

/// Something that has a definition of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Def {
    Scalar(Scalar),
    Enum(EnumId),
    /// A message whose extension is of these categories.
    Message(MessageId, Categories),
    /// A message with `@type` among its keys.
    InAny(MessageId),
    /// An `Any` for an extension of these categories; whether it may be `{}`.
    Any(Categories, bool),
    /// What is in an `Any`, by its `@type`.
    Content,
    /// The same for types that begin so.
    ContentOf(String),
    /// The URL of any type that is known.
    TypeUrl,
    /// A list of it, or one of it.
    List(Box<Def>),
    /// A mapping from texts to it.
    Map(Box<Def>),
}

/// A schema that is being made.
struct Schema<'a> {
    api: &'a Api,
    defs: BTreeMap<String, Json>,
    /// Names that have a definition, or will have.
    known: BTreeSet<String>,
    /// Definitions that are yet to be made.
    open: Vec<(String, Def)>,
}

impl Schema<'_> {
    /// `{"$ref": …}` to a definition, which will be made if it is not yet.
    fn refer(&mut self, def: Def) -> Json {
        let name = self.name(&def);
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        if self.known.insert(name.clone()) {
            self.open.push((name, def));
        }
        reference
    }

    fn name(&self, def: &Def) -> String {
        match def {
            Def::Scalar(scalar) => format!("{scalar:?}").to_lowercase(),
            Def::Enum(id) => short(&self.api.enum_type(*id).name).to_owned(),
            Def::Message(id, []) => short(&self.api.message_type(*id).name).to_owned(),
            Def::Message(id, categories) => {
                format!("{}:{}", short(&self.api.message_type(*id).name), key_of(categories))
            }
            Def::InAny(id) => format!("any:{}", short(&self.api.message_type(*id).name)),
            Def::Any(categories, may_be_empty) => {
                format!("extension{}:{}", if *may_be_empty { "?" } else { "" }, key_of(categories))
            }
            Def::Content => "any".to_owned(),
            Def::ContentOf(prefix) => format!("any:{prefix}*"),
            Def::TypeUrl => "type-url".to_owned(),
            Def::List(inner) => format!("list:{}", self.name(inner)),
            Def::Map(inner) => format!("map:{}", self.name(inner)),
        }
    }

    fn define(&mut self, def: &Def) -> Json {
        match def {
            Def::Scalar(scalar) => plain::scalar(*scalar),
            Def::Enum(id) => plain::enumeration(self.api.enum_type(*id)),
            Def::Message(id, categories) => self.message(*id, categories, false),
            Def::InAny(id) => self.in_any(*id),
            Def::Any(categories, may_be_empty) => self.any(categories, *may_be_empty),
            Def::Content => self.content(),
            Def::ContentOf(prefix) => self.content_of(prefix),
            Def::TypeUrl => self.type_url(),
            Def::List(inner) => self.list(inner),
            Def::Map(inner) => {
                let inner = self.refer((**inner).clone());
                json!({ "type": ["object", "null"], "additionalProperties": inner })
            }
        }
    }

    /// As the loader has it: one value counts as a list of it, lists in lists are one list.
    fn list(&mut self, inner: &Def) -> Json {
        let one = self.refer(inner.clone());
        let is_list_type = matches!(inner, Def::Message(id, _) if matches!(
            self.api.message_type(*id).well_known,
            Some(WellKnown::Value | WellKnown::ListValue | WellKnown::Struct)
        ));
        if is_list_type {
            return json!({ "if": { "type": "array" }, "then": { "items": one }, "else": one });
        }
        let all = self.refer(Def::List(Box::new(inner.clone())));
        let items = json!({ "if": { "type": "array" }, "then": all, "else": one });
        // Editors offer the list first, as nothing is there yet.
        json!({ "items": items, "if": { "type": ["array", "null"] }, "else": one })
    }

    /// What a field, a list's element or a map's value is.
    fn value(value: ValueType, categories: Categories) -> Def {
        match value {
            ValueType::Scalar(scalar) => Def::Scalar(scalar),
            ValueType::Enum(id) => Def::Enum(id),
            ValueType::Message(id) => Def::Message(id, categories),
        }
    }
}

/// Full names without what nearly all of them begin with.
fn short(name: &str) -> &str {
    name.strip_prefix("envoy.").unwrap_or(name)
}

fn key_of(categories: &[&str]) -> String {
    categories.iter().map(|name| short(name)).collect::<Vec<_>>().join("+")
}

/// Adds to an object.
fn with(mut schema: Json, more: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    if let Json::Object(map) = &mut schema {
        map.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
    schema
}

/// The same with a description, if there is one.
fn described(schema: Json, words: &str) -> Json {
    if words.is_empty() { schema } else { with(schema, [("description", words.into())]) }
}

/// A pattern that matches any of these words and nothing else.
fn any_of(words: &BTreeSet<String>) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        [one] => format!("^{one}$"),
        many => format!("^(?:{})$", many.join("|")),
    }
}

/// A place for values that share their schema.
type Properties = Map<String, Json>;
