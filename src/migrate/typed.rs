//! Walks a tree by Envoy's API: which message stands where.

use crate::envoy_api::{Api, MessageType, Shape, ValueType, WellKnown};

use super::tree::{Child, Form, Node};

/// Calls `visit` for every message in a tree, the outer ones first; for an `Any` once as such, and
/// once as what is in it. What a visit changes is seen by the visits further in.
pub fn walk(api: &Api, message: &str, node: &mut Node, visit: &mut dyn FnMut(&MessageType, &mut Node)) {
    if let Some(ty) = api.message(message) {
        one(api, ty, node, visit);
    }
}

/// As [`walk`], only to look. Aliases are not seen through: expand them before.
pub fn look(api: &Api, message: &str, node: &Node, see: &mut dyn FnMut(&MessageType, &Node)) {
    // A copy costs less than the same walk written twice.
    walk(api, message, &mut node.clone(), &mut |ty, node| see(ty, node));
}

fn one(api: &Api, ty: &MessageType, node: &mut Node, visit: &mut dyn FnMut(&MessageType, &mut Node)) {
    if matches!(node.form, Form::Scalar(_) | Form::Alias(..)) && ty.well_known.is_none() {
        return;
    }
    visit(ty, node);
    match ty.well_known {
        Some(WellKnown::Any) => {
            let Some(inner) = any_type(api, node) else { return };
            match inner.well_known {
                None => one(api, inner, node, visit),
                Some(_) => {
                    if let Some(value) = node.get_mut("value") {
                        one(api, inner, value, visit);
                    }
                }
            }
        }
        Some(_) => {}
        None if is_typed_struct(&ty.name) => {
            let inner = node.text_at("type_url").and_then(|url| api.message(type_of(url)));
            if let (Some(inner), Some(value)) = (inner, node.get_mut("value")) {
                one(api, inner, value, visit);
            }
        }
        None => fields(api, ty, node, visit),
    }
}

fn fields(api: &Api, ty: &MessageType, node: &mut Node, visit: &mut dyn FnMut(&MessageType, &mut Node)) {
    if !node.is_map() {
        return;
    }
    for child in node.children_mut() {
        let Some(field) = ty.field(&child.key) else { continue };
        let ValueType::Message(id) = field.value else { continue };
        let inner = api.message_type(id);
        match field.shape {
            Shape::Single => one(api, inner, &mut child.value, visit),
            Shape::List { .. } => {
                for element in child.value.elements_mut() {
                    one(api, inner, element, visit);
                }
            }
            Shape::Map(_) => {
                for Child { value, .. } in child.value.children_mut() {
                    one(api, inner, value, visit);
                }
            }
        }
    }
}

/// The message in an `Any`, if it says which, and if it is known.
pub fn any_type<'a>(api: &'a Api, node: &Node) -> Option<&'a MessageType> {
    api.message(type_of(node.text_at("@type")?))
}

/// The name in a type URL.
pub fn type_of(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// Whether this is a free-form message that names another one.
pub fn is_typed_struct(name: &str) -> bool {
    matches!(name, "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct")
}
