//! Extensions: what stands in a place must be made for it.

use super::super::decode::Decoder;
use super::super::yaml::Node;
use super::{child, type_of};
use crate::envoy_api::{FieldType, categories_of};

impl Decoder<'_> {
    /// Looks whether the extensions in a field are of one of its categories.
    pub(in super::super) fn lint_extension(&mut self, field: &FieldType, value: &Node<'_>) {
        for element in value.elements() {
            let any = if element.get(&["@type"]).is_some() {
                Some(element)
            } else {
                child(element, "typed_config")
            };
            let Some(any) = any else { continue };
            let Some(name) = type_of(any) else { continue };
            let categories = categories_of(name);
            if categories.is_empty() || categories.iter().any(|known| field.categories.contains(known)) {
                continue;
            }
            let severity = self.findings.severity_of_types();
            let span = any.get(&["@type"]).map_or(any.span, |node| node.span);
            let message = format!("{name} is not made for this place");
            let hint = format!(
                "it belongs to {}; here stands something of {}",
                categories.join(", "),
                field.categories.join(", ")
            );
            self.findings.add(severity, "wrong-extension", span, message).hint = Some(hint);
        }
    }
}
