//! Map fields: keys of any type, entries in the order of their keys.

use std::collections::BTreeMap;

use prost::encoding::encode_key;

use super::decode::Decoder;
use super::scalars::wire_type;
use super::wire;
use super::yaml::{Entry, Node, Value};
use crate::envoy_api::{FieldType, Scalar, ValueType, WellKnown};

/// A map's key, ordered as canonical encoding wants it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum MapKey<'n> {
    Signed(i64),
    Unsigned(u64),
    Text(&'n str),
}

impl<'a> Decoder<'a> {
    /// Appends the entries of a map field.
    pub(super) fn map(
        &mut self,
        field: &'a FieldType,
        key_type: Scalar,
        value: &Node<'_>,
        out: &mut Vec<u8>,
    ) {
        let Value::Mapping(entries) = &value.value else {
            self.findings.wrong_type(value, "a mapping");
            return;
        };
        let mut sorted: BTreeMap<MapKey<'_>, Vec<u8>> = BTreeMap::new();
        for entry in entries {
            let before = self.findings.enter_key(&entry.key);
            if let Some(key) = self.map_key(key_type, entry) {
                let mut bytes = Vec::new();
                encode_map_key(key_type, &key, &mut bytes);
                self.map_value(field, &entry.value, &mut bytes);
                sorted.insert(key, bytes);
            }
            self.findings.back(before);
        }
        for bytes in sorted.values() {
            wire::bytes(field.number, bytes, out);
        }
    }

    fn map_key<'n>(&mut self, key_type: Scalar, entry: &'n Entry<'_>) -> Option<MapKey<'n>> {
        let text = &*entry.key;
        let (key, expected) = match key_type {
            Scalar::Bool => {
                let key = match text {
                    "true" => Some(1),
                    "false" => Some(0),
                    _ => None,
                };
                (key.map(MapKey::Unsigned), "true or false")
            }
            Scalar::Uint64 | Scalar::Fixed64 => {
                (text.parse().ok().map(MapKey::Unsigned), "an unsigned integer")
            }
            Scalar::Uint32 | Scalar::Fixed32 => (
                text.parse::<u32>().ok().map(|key| MapKey::Unsigned(key.into())),
                "an unsigned 32-bit integer",
            ),
            Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => {
                (text.parse().ok().map(MapKey::Signed), "an integer")
            }
            Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
                (text.parse::<i32>().ok().map(|key| MapKey::Signed(key.into())), "a 32-bit integer")
            }
            Scalar::String | Scalar::Bytes | Scalar::Double | Scalar::Float => {
                (Some(MapKey::Text(text)), "a text")
            }
        };
        if key.is_none() {
            let message = format!("expected {expected} as key, got {}", self.findings.quote(text));
            self.findings.error("wrong-type", entry.key_span, message);
        }
        key
    }

    fn map_value(&mut self, field: &'a FieldType, value: &Node<'_>, out: &mut Vec<u8>) {
        const VALUE: u32 = 2;
        let start = out.len();
        match field.value {
            ValueType::Message(id) => {
                let ty = self.api.message_type(id);
                let at = wire::begin(VALUE, out);
                if !value.is_null() || ty.well_known == Some(WellKnown::Value) {
                    self.message(ty, value, out);
                } else if !self.findings.secret {
                    // The path would show the key, which may be the secret itself.
                    self.judge_absent(ty, value, |_| false);
                }
                wire::end(at, out);
            }
            _ if value.is_null() => {}
            ValueType::Enum(id) => {
                let number = self.enumeration(field, id, value);
                if number != 0 {
                    wire::varint(VALUE, i64::from(number) as u64, out);
                }
            }
            ValueType::Scalar(scalar) => {
                encode_key(VALUE, wire_type(scalar), out);
                if !self.scalar(scalar, value, out) {
                    out.truncate(start);
                }
            }
        }
    }
}

/// A map entry's key, field 1; a default is left out.
fn encode_map_key(key_type: Scalar, key: &MapKey<'_>, out: &mut Vec<u8>) {
    const KEY: u32 = 1;
    match *key {
        MapKey::Text("") | MapKey::Signed(0) | MapKey::Unsigned(0) => {}
        MapKey::Text(text) => wire::bytes(KEY, text.as_bytes(), out),
        MapKey::Signed(value) => {
            encode_key(KEY, wire_type(key_type), out);
            wire::signed(key_type, value, out);
        }
        MapKey::Unsigned(value) => {
            encode_key(KEY, wire_type(key_type), out);
            wire::unsigned(key_type, value, out);
        }
    }
}
