//! Messages as stable text: fields by number, map entries by key, `Any` opened.

#![allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]

use std::fmt::Write;

use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, ReflectMessage, Value};

use crate::pool::BUILT_IN;

/// Appends a message of this type, one field a line, indented by `depth`.
pub fn show_message(descriptor: &MessageDescriptor, bytes: &[u8], depth: usize, out: &mut String) {
    let message = DynamicMessage::decode(descriptor.clone(), bytes).expect("a decodable message");
    show_fields(&message, depth, out);
}

fn show_fields(message: &DynamicMessage, depth: usize, out: &mut String) {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        return show_any(message, depth, out);
    }
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(|(field, _)| field.number());
    for (field, value) in fields {
        match value {
            Value::List(values) => {
                for value in values {
                    show_value(field.name(), value, depth, out);
                }
            }
            Value::Map(entries) => {
                let mut entries: Vec<(String, &Value)> =
                    entries.iter().map(|(key, value)| (key_text(key), value)).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                for (key, value) in entries {
                    show_value(&format!("{}[{key}]", field.name()), value, depth, out);
                }
            }
            value => {
                let shown = match (value, field.kind()) {
                    (Value::EnumNumber(number), prost_reflect::Kind::Enum(kind)) => kind
                        .get_value(*number)
                        .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
                    _ => String::new(),
                };
                if shown.is_empty() {
                    show_value(field.name(), value, depth, out);
                } else {
                    writeln!(out, "{}{}: {shown}", "  ".repeat(depth), field.name()).unwrap();
                }
            }
        }
    }
}

fn show_any(any: &DynamicMessage, depth: usize, out: &mut String) {
    let url = any.get_field_by_name("type_url").unwrap().as_str().unwrap().to_owned();
    if url.is_empty() {
        return;
    }
    writeln!(out, "{}@type: {url}", "  ".repeat(depth)).unwrap();
    let full_name = url.rsplit('/').next().unwrap();
    show_message(
        &BUILT_IN.get_message_by_name(full_name).expect("a known type"),
        any.get_field_by_name("value").unwrap().as_bytes().unwrap(),
        depth,
        out,
    );
}

fn show_value(name: &str, value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Message(message) => {
            writeln!(out, "{indent}{name}:").unwrap();
            show_fields(message, depth + 1, out);
        }
        Value::String(text) => writeln!(out, "{indent}{name}: {text:?}").unwrap(),
        Value::Bytes(bytes) => writeln!(out, "{indent}{name}: bytes {bytes:?}").unwrap(),
        Value::Bool(value) => writeln!(out, "{indent}{name}: {value}").unwrap(),
        Value::I32(value) => writeln!(out, "{indent}{name}: {value}").unwrap(),
        Value::I64(value) => writeln!(out, "{indent}{name}: {value}").unwrap(),
        Value::U32(value) => writeln!(out, "{indent}{name}: {value}").unwrap(),
        Value::U64(value) => writeln!(out, "{indent}{name}: {value}").unwrap(),
        Value::F32(value) => writeln!(out, "{indent}{name}: {value:?}").unwrap(),
        Value::F64(value) => writeln!(out, "{indent}{name}: {value:?}").unwrap(),
        Value::EnumNumber(number) => writeln!(out, "{indent}{name}: {number}").unwrap(),
        Value::List(_) | Value::Map(_) => unreachable!("lists and maps are shown by their fields"),
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
