//! From a [`Node`] to the canonical encoding of a message, by Envoy's API tables.
//!
//! Comes in: a tree of YAML and the type that it should be. Goes out: protobuf bytes, findings about
//! all that is wrong, and what the message refers to. Keeps the invariant that the bytes are
//! canonical (fields by number, map entries by key, no explicit defaults, also inside of `Any`), so
//! that equal configuration has equal bytes however it is written. The bytes are worth something
//! only if no error was found.

use std::collections::{HashMap, HashSet};

use prost::encoding::{WireType, encode_key, encode_varint};

use super::certificates::Certificates;
use super::findings::Findings;
use super::references::{self, Mention};
use super::scalars::{default_scalar, wire_type};
use super::suggest;
use super::wire;
use super::yaml::{Entry, Node, Value};
use crate::diagnostic::Severity;
use crate::envoy_api::{Api, FieldType, MessageType, Shape, ValueType, WellKnown};

/// Messages that name a type and hold its content as a `Struct`.
const TYPED_STRUCTS: [&str; 2] = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];

/// Reads values by the API's tables.
pub(super) struct Decoder<'a> {
    pub api: &'a Api,
    pub findings: Findings<'a>,
    /// What the current item names.
    pub mentions: Vec<Mention>,
    /// What is known of the current item's certificates.
    pub certificates: Certificates,
    /// Where secrets are that are named without a source.
    pub static_secrets: StaticSecrets,
    /// For types that are not known, the one that was probably meant.
    pub meant_types: HashMap<String, Option<String>>,
    /// The field that names the item whose message comes next; that it is there is judged with the item.
    pub own_name: Option<&'static str>,
    /// Inside of a message whose constraints do not count.
    pub unjudged: bool,
    /// The messages in whose fields this is, from the outside.
    pub within: Vec<&'a MessageType>,
}

/// Where secrets are that are named without a source.
pub(super) enum StaticSecrets {
    /// A message is read by itself: nobody asks.
    NotAsked,
    /// In the bootstraps of those who receive a fragment. Nothing is known of them.
    Elsewhere,
    /// In the bootstrap that is being read, which has those of these names.
    Here(HashSet<String>),
}

/// A field that is given a value.
struct Given<'n, 't> {
    index: usize,
    entry: &'n Entry<'t>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(api: &'a Api, findings: Findings<'a>) -> Decoder<'a> {
        Decoder {
            api,
            findings,
            mentions: Vec::new(),
            certificates: Certificates::default(),
            static_secrets: StaticSecrets::NotAsked,
            meant_types: HashMap::new(),
            own_name: None,
            unjudged: false,
            within: Vec::new(),
        }
    }

    /// Appends a message without tag and length.
    pub(super) fn message(&mut self, ty: &'a MessageType, node: &Node<'_>, out: &mut Vec<u8>) {
        match ty.well_known {
            Some(known) => self.well_known(ty, known, node, out),
            None => self.fields(ty, node, false, out),
        }
    }

    /// Appends a message that is written as a mapping of its fields. In an `Any`, `@type` is one more key.
    pub(super) fn fields(&mut self, ty: &'a MessageType, node: &Node<'_>, in_any: bool, out: &mut Vec<u8>) {
        let own_name = self.own_name.take();
        let Value::Mapping(entries) = &node.value else {
            let expected = format!("a mapping with the fields of {}", suggest::short(&ty.name));
            self.findings.wrong_type(node, &expected);
            return;
        };
        let mut given: Vec<Given<'_, '_>> = Vec::with_capacity(entries.len());
        for entry in entries {
            let index = ty.field_index(&entry.key);
            if !self.findings.secret && index.is_some_and(|index| ty.fields[index].sensitive) {
                self.findings.sensitive.mark_entry(entry);
            }
            match index {
                Some(index) if !self.is_absent(&ty.fields[index], &entry.value) => {
                    given.push(Given { index, entry });
                }
                Some(_) => {}
                None if in_any && entry.key == "@type" => {}
                None => self.unknown_field(ty, node, entry),
            }
        }
        self.within.push(ty);
        given.sort_by_key(|given| given.index);
        self.check_members(ty, &mut given);
        for Given { index, entry } in &given {
            let field = &ty.fields[*index];
            if own_name == Some(&*field.name) {
                self.field(ty, field, entry, out);
            } else {
                self.judged_field(ty, field, entry, out);
            }
        }
        self.within.pop();
        self.judge_absent(ty, node, |index| {
            given.iter().any(|given| given.index == index) || own_name == Some(&*ty.fields[index].name)
        });
        self.mentions.extend(references::of_message(ty, node));
        for Given { index, entry } in
            given.iter().filter(|given| !ty.fields[given.index].categories.is_empty())
        {
            self.lint_extension(ty, &ty.fields[*index], node, entry);
        }
        self.check_extension(ty, node);
        self.lint(ty, node);
        if TYPED_STRUCTS.contains(&&*ty.name) {
            self.typed_struct(node);
        }
        self.check_certificates(ty, node);
        self.complete_secret(ty, node, out);
    }

    /// Null means absent, but for a `google.protobuf.Value`, where it is a value.
    fn is_absent(&self, field: &FieldType, value: &Node<'_>) -> bool {
        let is_value = |id| self.api.message_type(id).well_known == Some(WellKnown::Value);
        value.is_null()
            && !matches!((field.shape, field.value), (Shape::Single, ValueType::Message(id)) if is_value(id))
    }

    /// A field may be given once, in one spelling; of a oneof's members one.
    fn check_members(&mut self, ty: &MessageType, given: &mut Vec<Given<'_, '_>>) {
        for at in (1..given.len()).rev() {
            if given[at - 1].index == given[at].index {
                let (first, second) = (given[at - 1].entry, given[at].entry);
                let message =
                    format!("`{}` and `{}` are the same field; the last one counts", first.key, second.key);
                let severity = match ty.fields[given[at].index].oneof {
                    Some(_) => Severity::Error,
                    None => Severity::Warning,
                };
                self.finding_with_first("duplicate-key", severity, second, first, message);
                given.remove(at - 1);
            }
        }
        if ty.oneofs.is_empty() {
            return;
        }
        for (at, one) in given.iter().enumerate() {
            let Some(oneof) = ty.fields[one.index].oneof else { continue };
            let other = given[..at].iter().find(|other| ty.fields[other.index].oneof == Some(oneof));
            if let Some(other) = other {
                let (mut first, mut second) = (other.entry, one.entry);
                if first.key_span > second.key_span {
                    std::mem::swap(&mut first, &mut second);
                }
                let message = format!("only one of `{}` and `{}` may be given", first.key, second.key);
                self.finding_with_first("oneof-conflict", Severity::Error, second, first, message);
            }
        }
    }

    fn finding_with_first(
        &mut self,
        code: &'static str,
        severity: Severity,
        second: &Entry<'_>,
        first: &Entry<'_>,
        message: String,
    ) {
        let before = self.findings.enter(&second.key);
        let file = self.findings.file().clone();
        let related = crate::diagnostic::Related {
            file,
            span: first.key_span,
            message: format!("`{}` is given here", first.key),
        };
        let finding = self.findings.add(severity, code, second.key_span, message);
        finding.hint = Some("remove one of them".to_owned());
        finding.related.push(related);
        self.findings.back(before);
    }

    /// Appends one field with its tag, and judges what was written.
    pub(super) fn judged_field(
        &mut self,
        ty: &'a MessageType,
        field: &'a FieldType,
        entry: &Entry<'_>,
        out: &mut Vec<u8>,
    ) {
        let Some(rules) = field.rules.as_deref().filter(|_| !self.unjudged) else {
            return self.field(ty, field, entry, out);
        };
        let (start, errors) = (out.len(), self.findings.errors());
        self.unjudged = rules.skip;
        self.field(ty, field, entry, out);
        self.unjudged = false;
        // What could not be read has been complained about, and something else stands in its place.
        let is_known = |node: &Node<'_>| !matches!(node.value, Value::Unknown);
        if self.findings.errors() == errors && entry.value.elements().iter().all(is_known) {
            let before = self.findings.enter(&field.name);
            self.judge_given(ty, field, entry, &out[start..]);
            self.findings.back(before);
        }
    }

    /// Appends one field with its tag.
    pub(super) fn field(
        &mut self,
        ty: &'a MessageType,
        field: &'a FieldType,
        entry: &Entry<'_>,
        out: &mut Vec<u8>,
    ) {
        let before = self.findings.enter(&field.name);
        if field.disallowed {
            let message = format!(
                "`{}` of {} is no longer possible: newer Envoys refuse it",
                field.name,
                suggest::short(&ty.name)
            );
            self.findings.add(Severity::Warning, "disallowed-field", entry.key_span, message);
        } else if field.deprecated {
            let message = format!("`{}` of {} is deprecated", field.name, suggest::short(&ty.name));
            self.findings.add(Severity::Warning, "deprecated-field", entry.key_span, message);
        }
        let secret = self.findings.secret;
        self.findings.secret = secret || field.sensitive;
        match field.shape {
            Shape::Single => self.single(field, &entry.value, out),
            Shape::List { packed } => self.list(field, packed, &entry.value, out),
            Shape::Map(key) => self.map(field, key, &entry.value, out),
        }
        if let Some(kind) = references::of_field(ty, field) {
            let carries_traffic = references::carries_traffic(&ty.name);
            let names = entry.value.elements().iter();
            self.mentions.extend(names.filter_map(|name| Mention::of(name, kind, carries_traffic)));
        }
        self.findings.secret = secret;
        self.findings.back(before);
    }

    fn single(&mut self, field: &'a FieldType, value: &Node<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        match field.value {
            ValueType::Message(id) => {
                let ty = self.api.message_type(id);
                let at = wire::begin(field.number, out);
                if !is_empty_any(ty, field, value) {
                    self.message(ty, value, out);
                }
                wire::end(at, out);
            }
            ValueType::Enum(id) => {
                let number = self.enumeration(field, id, value);
                if number != 0 || field.presence {
                    wire::varint(field.number, i64::from(number) as u64, out);
                }
            }
            ValueType::Scalar(scalar) => {
                encode_key(field.number, wire_type(scalar), out);
                let is_default = !self.scalar(scalar, value, out);
                if is_default && !field.presence {
                    out.truncate(start);
                }
            }
        }
    }

    fn list(&mut self, field: &'a FieldType, packed: bool, value: &Node<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let at = if packed { wire::begin(field.number, out) } else { 0 };
        self.elements(field, packed, value, out);
        if !packed {
            return;
        }
        if out.len() == at {
            out.truncate(start);
        } else {
            wire::end(at, out);
        }
    }

    /// As Envoy's reader has it: one value counts as a list of it, lists in lists are one list.
    fn elements(&mut self, field: &'a FieldType, packed: bool, value: &Node<'_>, out: &mut Vec<u8>) {
        let is_list_type = matches!(field.value, ValueType::Message(id)
            if matches!(self.api.message_type(id).well_known, Some(WellKnown::Value | WellKnown::ListValue)));
        let Value::Sequence(elements) = &value.value else {
            return self.element(field, packed, value, out);
        };
        for (index, element) in elements.iter().enumerate() {
            let before = self.findings.enter_index(index);
            if matches!(element.value, Value::Sequence(_)) && !is_list_type {
                self.elements(field, packed, element, out);
            } else {
                self.element(field, packed, element, out);
            }
            self.findings.back(before);
        }
    }

    fn element(&mut self, field: &'a FieldType, packed: bool, value: &Node<'_>, out: &mut Vec<u8>) {
        let is_value = matches!(field.value, ValueType::Message(id)
            if self.api.message_type(id).well_known == Some(WellKnown::Value));
        let is_empty = value.is_null() && !is_value;
        if is_empty {
            let message = "an empty list entry, which stands for a default value";
            let finding = self.findings.add(Severity::Warning, "empty-entry", value.span, message);
            finding.hint = Some("remove the dash if nothing is meant".to_owned());
        }
        match field.value {
            ValueType::Message(id) => {
                let at = wire::begin(field.number, out);
                let ty = self.api.message_type(id);
                if is_empty {
                    self.judge_absent(ty, value, |_| false);
                    self.check_extension(ty, value);
                } else {
                    self.message(ty, value, out);
                }
                wire::end(at, out);
            }
            ValueType::Enum(id) => {
                let number = if is_empty { 0 } else { self.enumeration(field, id, value) };
                if !packed {
                    encode_key(field.number, WireType::Varint, out);
                }
                encode_varint(i64::from(number) as u64, out);
            }
            ValueType::Scalar(scalar) => {
                if !packed {
                    encode_key(field.number, wire_type(scalar), out);
                }
                if is_empty {
                    default_scalar(scalar, out);
                } else {
                    self.scalar(scalar, value, out);
                }
            }
        }
    }
}

/// `{}` for an `Any` is possible where it is data, as for a Wasm module, but an extension is nothing
/// without its type; the API calls the fields of extensions `typed_config` and the like.
fn is_empty_any(ty: &MessageType, field: &FieldType, value: &Node<'_>) -> bool {
    ty.well_known == Some(WellKnown::Any)
        && !field.name.contains("typed_")
        && value.entries().is_some_and(<[Entry<'_>]>::is_empty)
}
