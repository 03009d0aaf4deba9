//! Secrets in a `TypedStruct`: free-form on the wire, but Envoy reads it as the message that it names.
//!
//! Comes in: a `TypedStruct` as a tree. Goes out: the same with the sensitive fields of that message
//! hidden, as they are in an `Any`. Of a type that is not known nothing is hidden.

use super::Reader;
use crate::envoy_api::{MessageType, Shape, ValueType, WellKnown};
use crate::migrate::tree::{Form, Node};
use crate::migrate::typed::{any_type, is_typed_struct, type_of};

impl Reader<'_> {
    /// Hides what is sensitive in the message that a `TypedStruct` holds.
    pub(super) fn hide_in_typed_struct(&mut self, node: &mut Node, is_secret: bool) {
        let api = self.api;
        let inner = node.text_at("type_url").and_then(|url| api.message(type_of(url)));
        if let (Some(inner), Some(value)) = (inner, node.get_mut("value")) {
            self.hide_in_message(inner, value, is_secret);
        }
    }

    fn hide_in_message(&mut self, ty: &MessageType, node: &mut Node, is_secret: bool) {
        match ty.well_known {
            Some(WellKnown::Any) => {
                let Some(inner) = any_type(self.api, node) else { return self.hide_if(is_secret, node) };
                match (inner.well_known, node.get_mut("value")) {
                    (None, _) => self.hide_in_message(inner, node, is_secret),
                    (Some(_), Some(value)) => self.hide_in_message(inner, value, is_secret),
                    (Some(_), None) => {}
                }
            }
            None if is_typed_struct(&ty.name) => self.hide_in_typed_struct(node, is_secret),
            None if node.is_map() => self.hide_in_fields(ty, node, is_secret),
            _ => self.hide_if(is_secret, node),
        }
    }

    fn hide_in_fields(&mut self, ty: &MessageType, node: &mut Node, is_secret: bool) {
        let api = self.api;
        for child in node.children_mut().iter_mut().filter(|child| child.key != "@type") {
            let Some(field) = ty.field(&child.key) else {
                self.hide_if(is_secret, &mut child.value);
                continue;
            };
            let is_secret = field.sensitive || (is_secret && &*field.name != "name");
            let ValueType::Message(id) = field.value else {
                self.hide_if(is_secret, &mut child.value);
                continue;
            };
            let inner = api.message_type(id);
            match field.shape {
                Shape::Single => self.hide_in_message(inner, &mut child.value, is_secret),
                Shape::List { .. } => {
                    for element in child.value.elements_mut() {
                        self.hide_in_message(inner, element, is_secret);
                    }
                }
                Shape::Map(_) if !child.value.is_map() => self.hide_if(is_secret, &mut child.value),
                Shape::Map(_) => {
                    for entry in child.value.children_mut() {
                        self.hide_in_message(inner, &mut entry.value, is_secret);
                    }
                }
            }
        }
    }

    /// Hides all scalars in a value, numbers too: a field of text takes them.
    fn hide_if(&mut self, is_secret: bool, node: &mut Node) {
        if !is_secret || node.is_null() {
            return;
        }
        if let Form::Scalar(scalar) = &node.form {
            if let Some(hidden) = self.hidden(scalar.text.as_bytes()) {
                *node = hidden;
            }
            return;
        }
        for child in node.children_mut() {
            self.hide_if(true, &mut child.value);
        }
    }
}
