//! Judges values by the constraints of Envoy's API, and says in words what is wrong with them.
//!
//! Comes in: what the decoder has written of a field, or that it has written nothing. Goes out:
//! findings on the offending value, or on the message that lacks one. Means what Envoy's own
//! generated checks mean: what is absent counts as the default, but for messages (wrappers too),
//! which are judged only where they are given. A value that is right costs a comparison, no more.

use std::collections::HashSet;

use super::complaints::{Complaint, complaint, count_complaint};
use super::decode::Decoder;
use super::suggest;
use super::written::{Entries, Form, Values, Written};
use super::yaml::{Entry, Node, Value};
use crate::diagnostic::Span;
use crate::envoy_api::{Check, FieldType, ListRules, MapRules, MessageType, Shape, ValueType};

/// Findings of the API's own rules.
const CODE: &str = "constraint";

/// A message with more alternatives than this is better explained by its documentation.
const SHOWN_MEMBERS: usize = 6;

impl<'a> Decoder<'a> {
    /// Judges a field that was given; `bytes` is what was written of it.
    pub(super) fn judge_given(
        &mut self,
        ty: &MessageType,
        field: &FieldType,
        entry: &Entry<'_>,
        bytes: &[u8],
    ) {
        let Some(check) = field.rules.as_ref().and_then(|rules| rules.check.as_ref()) else { return };
        match (check, field.shape) {
            (Check::List(rules), Shape::List { .. }) => self.judge_list(ty, field, rules, entry, bytes),
            (Check::Map(rules), Shape::Map(_)) => self.judge_map(ty, field, rules, entry, bytes),
            (check, _) => {
                let written = Values::of(self.api, field, bytes).next();
                let written = written.unwrap_or_else(|| Form::of(self.api, field.value).default());
                if let Some(complaint) = complaint(check, written, |number| self.name_of(field, number)) {
                    let message = format!("`{}` {complaint}", field.name);
                    self.constraint(ty, &field.name, entry.value.span, message);
                }
            }
        }
    }

    fn judge_list(
        &mut self,
        ty: &MessageType,
        field: &FieldType,
        rules: &ListRules,
        entry: &Entry<'_>,
        bytes: &[u8],
    ) {
        let count = Values::of(self.api, field, bytes).count();
        if count == 0 && rules.ignore_empty {
            return;
        }
        if let Some(complaint) = count_complaint(count, rules.min, rules.max, "element") {
            self.constraint(ty, &field.name, entry.value.span, format!("`{}` {complaint}", field.name));
        }
        let mut seen = HashSet::new();
        for (at, written) in Values::of(self.api, field, bytes).enumerate() {
            // Of messages only the texts of wrappers and the like could be compared; no API asks for it.
            if rules.unique && !seen.insert(format!("{written:?}")) && written != Written::Message {
                let message =
                    format!("the elements of `{}` must differ, and this one stands before", field.name);
                self.constraint(ty, &field.name, place_of(&entry.value, at), message);
            }
            let check = rules.items.as_ref().and_then(|items| items.check.as_ref());
            let complaint = check.and_then(|check| complaint(check, written, |n| self.name_of(field, n)));
            if let Some(complaint) = complaint {
                let message = format!("an element of `{}` {complaint}", field.name);
                self.constraint(ty, &field.name, place_of(&entry.value, at), message);
            }
        }
    }

    fn judge_map(
        &mut self,
        ty: &MessageType,
        field: &FieldType,
        rules: &MapRules,
        entry: &Entry<'_>,
        bytes: &[u8],
    ) {
        let Shape::Map(key) = field.shape else { return };
        let count = Entries::of(self.api, field, key, bytes).count();
        if count == 0 && rules.ignore_empty {
            return;
        }
        if let Some(complaint) = count_complaint(count, rules.min, rules.max, "entry") {
            self.constraint(ty, &field.name, entry.value.span, format!("`{}` {complaint}", field.name));
        }
        for (key, value) in Entries::of(self.api, field, key, bytes) {
            for (is_key, rules, written) in [(true, &rules.keys, key), (false, &rules.values, value)] {
                let Some(check) = rules.as_ref().and_then(|rules| rules.check.as_ref()) else { continue };
                if let Some(complaint) = complaint(check, written, |n| self.name_of(field, n)) {
                    let what = if is_key { "a key" } else { "a value" };
                    let message = format!("{what} of `{}` {complaint}", field.name);
                    self.constraint(ty, &field.name, place_in_map(&entry.value, key, is_key), message);
                }
            }
        }
    }

    /// Judges what a message lacks. `is_given` tells of each field by its index.
    pub(super) fn judge_absent(
        &mut self,
        ty: &MessageType,
        node: &Node<'_>,
        is_given: impl Fn(usize) -> bool,
    ) {
        if self.unjudged {
            return;
        }
        for oneof in &ty.required_oneofs {
            let mut members = ty.fields.iter().enumerate().filter(|(_, field)| field.oneof == Some(*oneof));
            if !members.any(|(index, _)| is_given(index))
                && !is_misspelt(ty, node, |field| field.oneof == Some(*oneof))
            {
                self.missing_member(ty, *oneof, node);
            }
        }
        for index in &ty.judged_absent {
            if is_given(*index as usize) {
                continue;
            }
            let field = &ty.fields[*index as usize];
            if self.is_default_disallowed(field) {
                self.disallowed_default(ty, field, node);
                continue;
            }
            let Some(rules) = &field.rules else { continue };
            let complaint = match &rules.check {
                _ if rules.required => Some(Complaint::Borrowed("")),
                None => None,
                Some(Check::List(rules)) => count_complaint(0, rules.min, None, "element"),
                Some(Check::Map(rules)) => count_complaint(0, rules.min, None, "entry"),
                Some(check) => {
                    let default = Form::of(self.api, field.value).default();
                    complaint(check, default, |number| self.name_of(field, number))
                }
            };
            let is_this = |other: &FieldType| other.number == field.number;
            if let Some(complaint) = complaint.filter(|_| !is_misspelt(ty, node, is_this)) {
                let why = if complaint.is_empty() { String::new() } else { format!(", which {complaint}") };
                let message = format!("this {} needs `{}`{why}", suggest::short(&ty.name), field.name);
                self.constraint(ty, &field.name, node.span, message);
            }
        }
    }

    fn is_default_disallowed(&self, field: &FieldType) -> bool {
        let (Shape::Single, false, ValueType::Enum(id)) = (field.shape, field.presence, field.value) else {
            return false;
        };
        self.api.enum_type(id).by_number(0).is_some_and(|value| value.disallowed)
    }

    fn disallowed_default(&mut self, ty: &MessageType, field: &FieldType, node: &Node<'_>) {
        let ValueType::Enum(id) = field.value else { return };
        let message = format!(
            "this {} needs `{}`: its default is no longer possible",
            suggest::short(&ty.name),
            field.name
        );
        let values =
            self.api.enum_type(id).values.iter().filter(|value| !value.deprecated && !value.disallowed);
        let hint = suggest::possible(values.map(|value| &*value.name));
        let span = self.findings.head(node.span);
        self.findings.error("disallowed-value", span, message).hint = hint;
    }

    fn missing_member(&mut self, ty: &MessageType, oneof: u32, node: &Node<'_>) {
        let members = ty.fields.iter().filter(|field| field.oneof == Some(oneof) && !field.deprecated);
        let mut names: Vec<String> = members.map(|field| format!("`{}`", field.name)).collect();
        let count = names.len();
        if count > SHOWN_MEMBERS {
            names.truncate(SHOWN_MEMBERS);
            names.push("…".to_owned());
        }
        let choice = if count == 1 { "needs" } else { "needs one of" };
        let message = format!("this {} {choice} {}", suggest::short(&ty.name), names.join(", "));
        self.constraint(ty, &ty.oneofs[oneof as usize], node.span, message);
    }

    fn constraint(&mut self, ty: &MessageType, field: &str, span: Span, message: String) {
        let span = self.findings.head(span);
        self.findings.add_constraint(CODE, &ty.name, field, span, message);
    }

    /// How the API calls a value of a field's enum; `None` if it does not know the value.
    fn name_of(&self, field: &FieldType, number: i32) -> Option<&'a str> {
        let ValueType::Enum(id) = field.value else { return None };
        self.api.enum_type(id).by_number(number).map(|value| &*value.name)
    }
}

/// Whether an unknown key is probably one of these fields: then that has been said, and is enough.
fn is_misspelt(ty: &MessageType, node: &Node<'_>, is_meant: impl Fn(&FieldType) -> bool) -> bool {
    let is_unknown = |entry: &&Entry<'_>| entry.key != "@type" && ty.field(&entry.key).is_none();
    let unknown = node.entries().unwrap_or_default().iter().filter(is_unknown);
    unknown.filter_map(|entry| suggest::meant_field(ty, &entry.key)).any(is_meant)
}

/// Where the element with this index stands; lists in lists count as one list, as when they are read.
fn place_of(node: &Node<'_>, index: usize) -> Span {
    fn find<'n, 't>(node: &'n Node<'t>, left: &mut usize) -> Option<&'n Node<'t>> {
        if let Value::Sequence(elements) = &node.value {
            return elements.iter().find_map(|element| find(element, left));
        }
        if *left == 0 {
            return Some(node);
        }
        *left -= 1;
        None
    }
    find(node, &mut { index }).map_or(node.span, |element| element.span)
}

/// Where a key, or what it leads to, stands in a map.
fn place_in_map(node: &Node<'_>, key: Written<'_>, is_key: bool) -> Span {
    let is_it = |entry: &&Entry<'_>| match key {
        Written::Text(text) => entry.key == text,
        Written::Signed(number) => entry.key.parse() == Ok(number),
        Written::Unsigned(number) => entry.key.parse() == Ok(number),
        Written::Bool(value) => entry.key.parse() == Ok(value),
        _ => false,
    };
    let entry = node.entries().unwrap_or_default().iter().find(is_it);
    entry.map_or(node.span, |entry| if is_key { entry.key_span } else { entry.value.span })
}
