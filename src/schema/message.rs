//! Messages: their fields, and the types that JSON writes in a form of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::{Categories, Def, Properties, Schema, any_of, described, with};
use crate::envoy_api::{FieldType, MessageId, MessageType, Shape, ValueType, WellKnown, comment};

impl Schema<'_> {
    /// A message as a mapping of its fields; in an `Any`, `@type` is one more key.
    pub(super) fn message(&mut self, id: MessageId, categories: Categories, in_any: bool) -> Json {
        let ty = self.api.message_type(id);
        if let Some(known) = ty.well_known {
            return self.well_known(ty, known, categories);
        }
        self.fields(ty, categories, in_any)
    }

    pub(super) fn fields(&mut self, ty: &MessageType, categories: Categories, in_any: bool) -> Json {
        let mut offered = Properties::new();
        let mut taken = Taken::default();
        for field in &ty.fields {
            let schema = self.field(field, categories);
            let said = comment(&format!("{}.{}", ty.name, field.name));
            if field.deprecated || field.disallowed || said.is_hidden {
                taken.add(
                    &with(described(schema, said.words), [("deprecated", true.into())]),
                    [&field.name, &field.json_name],
                );
                continue;
            }
            if field.name != field.json_name {
                taken.add(&schema, [&field.json_name]);
            }
            offered.insert(field.name.to_string(), described(schema, said.words));
        }
        if in_any {
            taken.add(&Json::Bool(true), ["@type"]);
        }
        let schema =
            json!({ "type": ["object", "null"], "properties": offered, "additionalProperties": false });
        let schema = with(schema, taken.keyword());
        described(schema, comment(&ty.name).words)
    }

    /// What a field holds. An extension in an inner message is of the categories of the field.
    pub(super) fn field(&mut self, field: &FieldType, categories: Categories) -> Json {
        let is_any = self.is_any(field.value);
        let categories = match field.categories {
            [] if is_any => categories,
            own => own,
        };
        let def = match field.value {
            ValueType::Message(_) if is_any => {
                let may_be_empty = field.shape == Shape::Single && !field.name.contains("typed_");
                Def::Any(categories, may_be_empty)
            }
            value => Schema::value(value, categories),
        };
        self.refer(match field.shape {
            Shape::Single => def,
            Shape::List { .. } => Def::List(Box::new(def)),
            Shape::Map(_) => Def::Map(Box::new(def)),
        })
    }

    fn is_any(&self, value: ValueType) -> bool {
        matches!(value, ValueType::Message(id) if self.api.message_type(id).well_known == Some(WellKnown::Any))
    }

    fn well_known(&mut self, ty: &MessageType, known: WellKnown, categories: Categories) -> Json {
        // Each is also taken as a mapping of its fields.
        let text = |schema: &mut Self, pattern: Option<&str>, words: &str| {
            let mut fields = schema.fields(ty, &[], false);
            fields["type"] = json!(["string", "object", "null"]);
            let fields = described(fields, words);
            match pattern {
                Some(pattern) => with(fields, [("pattern", pattern.into())]),
                None => fields,
            }
        };
        match known {
            WellKnown::Any => self.any(categories, false),
            WellKnown::Value => Json::Bool(true),
            WellKnown::Struct => json!({ "type": ["object", "null"] }),
            WellKnown::ListValue => json!({ "type": ["array", "object", "null"] }),
            WellKnown::Empty => self.fields(ty, &[], false),
            WellKnown::Duration => text(
                self,
                Some("^-?[0-9]{1,12}(?:\\.[0-9]{1,9})?s$|\\$\\{"),
                "A number of seconds and `s`, such as 0.25s or 300s.",
            ),
            WellKnown::Timestamp => text(
                self,
                Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}T|\\$\\{"),
                "A point in time, such as 2026-01-31T12:00:00Z.",
            ),
            WellKnown::FieldMask => text(self, None, "Names of fields, separated by commas."),
            WellKnown::Wrapper(scalar) => {
                let (scalar, mapping) = (self.refer(Def::Scalar(scalar)), self.fields(ty, &[], false));
                json!({ "if": { "type": "object" }, "then": mapping, "else": scalar })
            }
        }
    }
}

/// Keys that are taken and not offered, by the schema of their values.
#[derive(Default)]
pub(super) struct Taken(BTreeMap<String, (Json, BTreeSet<String>)>);

impl Taken {
    pub(super) fn add<'n>(
        &mut self,
        schema: &Json,
        names: impl IntoIterator<Item = &'n (impl AsRef<str> + ?Sized + 'n)>,
    ) {
        let (_, keys) = self.0.entry(schema.to_string()).or_insert_with(|| (schema.clone(), BTreeSet::new()));
        keys.extend(names.into_iter().map(|name| name.as_ref().to_owned()));
    }

    /// `patternProperties`, if there are any.
    pub(super) fn keyword(self) -> Option<(&'static str, Json)> {
        let patterns: Map<String, Json> =
            self.0.into_values().map(|(schema, keys)| (any_of(&keys), schema)).collect();
        (!patterns.is_empty()).then(|| ("patternProperties", patterns.into()))
    }
}
