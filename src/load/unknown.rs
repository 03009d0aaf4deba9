//! Keys that are no fields where they stand, and where they would be some.
//!
//! Comes in: a key and the message in which it was found. Goes out: a finding whose hint says where the key
//! belongs: most such keys are slips in a name, or stand in a column too far left or right.

use super::decode::Decoder;
use super::fragment::BOOTSTRAP;
use super::sensitive::looks_like_a_field;
use super::suggest;
use super::yaml::{Entry, Node};
use crate::envoy_api::{FieldType, MessageType, Shape, ValueType};
use crate::resource::Kind;

/// How many fields are named at most.
const NAMED: usize = 3;

/// Names that so many messages have that it says nothing.
const COMMON: [&str; 6] = ["config", "id", "key", "name", "type", "value"];

impl Decoder<'_> {
    /// A key that is no field.
    pub(super) fn unknown_field(&mut self, ty: &MessageType, node: &Node<'_>, entry: &Entry<'_>) {
        if self.findings.secret && !looks_like_a_field(entry) {
            // This may be the secret itself, in the wrong place.
            self.findings.sensitive.add(entry.key_span);
            let message =
                format!("{} has no such field (not shown, it is sensitive)", suggest::short(&ty.name));
            self.findings.error("unknown-field", entry.key_span, message).hint = suggest::field_hint(ty, "");
            return;
        }
        self.findings.sensitive.mark_suspects(&entry.value);
        let before = self.findings.enter(&entry.key);
        let message = format!("{} has no field `{}`", suggest::short(&ty.name), entry.key);
        let hint = if self.findings.is_full() { None } else { self.hint(ty, node, &entry.key) };
        self.findings.error("unknown-field", entry.key_span, message).hint = hint;
        self.findings.back(before);
    }

    /// What to do about it.
    fn hint(&self, ty: &MessageType, node: &Node<'_>, key: &str) -> Option<String> {
        if suggest::is_old_field(ty, key) {
            return suggest::field_hint(ty, key);
        }
        if let Some(outside) = self.outside(key) {
            return Some(outside);
        }
        if suggest::meant_field(ty, key).is_some() {
            return suggest::field_hint(ty, key);
        }
        if COMMON.contains(&key) {
            return suggest::field_hint(ty, key);
        }
        let inside = self.inside(ty, key, None).or_else(|| self.in_extension(node, key));
        let beside = || {
            let around = self.within.last()?;
            let is_this =
                |field: &&FieldType| self.message_of(field).is_some_and(|inner| inner.name == ty.name);
            let instead = around.fields.iter().find(is_this).and_then(|field| field.oneof);
            Some(format!("{}, beside this", self.inside(around, key, instead)?))
        };
        let at_the_top = || {
            let is_key = Kind::from_fragment_key(key).is_some()
                || self.api.message(BOOTSTRAP).is_some_and(|ty| ty.field(key).is_some());
            is_key.then(|| format!("`{key}` stands at the top of a file, not here"))
        };
        inside.or_else(beside).or_else(at_the_top).or_else(|| suggest::field_hint(ty, key))
    }

    /// Which message around this has such a field.
    fn outside(&self, key: &str) -> Option<String> {
        let levels = ["one level", "two levels"];
        let mut around = self.within.iter().rev().zip(levels);
        let (ty, far) = around.find(|(ty, _)| has_field(ty, key))?;
        Some(format!("{} has this field, {far} further out", suggest::short(&ty.name)))
    }

    /// Which fields of a message have such a field, but for those of a oneof.
    fn inside(&self, ty: &MessageType, key: &str, but: Option<u32>) -> Option<String> {
        let has = |field: &&FieldType| {
            let is_map = matches!(field.shape, Shape::Map(_));
            let is_possible = !field.deprecated && !is_map && (but.is_none() || field.oneof != but);
            let inner = self.message_of(field).filter(|inner| is_possible && inner.name != ty.name);
            inner.is_some_and(|inner| has_field(inner, key))
        };
        let having: Vec<&FieldType> = ty.fields.iter().filter(has).collect();
        if having.is_empty() || having.len() > NAMED {
            return None;
        }
        let place = |field: &&FieldType| match field.shape {
            Shape::List { .. } => format!("in an entry of `{}`", field.name),
            _ => format!("under `{}`", field.name),
        };
        let places: Vec<String> = having.iter().map(place).collect();
        Some(format!("there is such a field {}", places.join(" and ")))
    }

    fn message_of(&self, field: &FieldType) -> Option<&MessageType> {
        let ValueType::Message(id) = field.value else { return None };
        Some(self.api.message_type(id))
    }

    /// Whether what stands beside the key is an extension with such a field.
    fn in_extension(&self, node: &Node<'_>, key: &str) -> Option<String> {
        let typed =
            node.entries()?.iter().find(|entry| matches!(&*entry.key, "typed_config" | "typedConfig"))?;
        let name = typed.value.get(&["@type"])?.text()?.rsplit('/').next()?;
        let has = self.api.message(name).is_some_and(|ty| has_field(ty, key));
        has.then(|| format!("there is such a field under `{}`", typed.key))
    }
}

/// Whether something may be written under this key.
fn has_field(ty: &MessageType, key: &str) -> bool {
    ty.well_known.is_none() && ty.field(key).is_some_and(|field| !field.deprecated)
}
