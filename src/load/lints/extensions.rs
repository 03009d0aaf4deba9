//! Extensions: what stands in a place must be made for it.

use super::super::decode::Decoder;
use super::super::yaml::{Entry, Node};
use super::{child, elements, entry, is_true, type_of};
use crate::envoy_api::{FieldType, MessageType, categories_of};

/// Envoy takes the first of these that it knows.
const POLICY: &str = "envoy.config.cluster.v3.LoadBalancingPolicy.Policy";

/// Among these is one whose configuration is `google.protobuf.Empty`.
const FILTER_OF_CLUSTER: &str = "envoy.config.cluster.v3.Filter";

impl Decoder<'_> {
    /// Looks whether the extensions in a field are of one of its categories. What is optional may be of none.
    pub(in super::super) fn lint_extension(
        &mut self,
        ty: &MessageType,
        field: &FieldType,
        node: &Node<'_>,
        entry: &Entry<'_>,
    ) {
        if &*ty.name == POLICY || is_true(child(node, "is_optional")) {
            return;
        }
        let before = self.findings.enter(&field.name);
        for any in entry.value.elements().iter().filter_map(any_in) {
            match misfit(field.categories, any) {
                Some(Misfit::Nothing) => self.nameless_struct(any),
                Some(Misfit::Other("google.protobuf.Empty")) if &*ty.name == FILTER_OF_CLUSTER => {}
                Some(Misfit::Other(name)) => self.wrong_extension(field.categories, name, any),
                None => {}
            }
        }
        self.findings.back(before);
    }

    /// A list of policies to balance by: one of them must be a policy.
    pub(super) fn lint_policies(&mut self, node: &Node<'_>) {
        const POLICIES: [&str; 1] = ["envoy.load_balancing_policies"];
        let policies = elements(node, "policies");
        let config = |policy| child(policy, "typed_extension_config");
        // Where only the type is missing, that has been said.
        let fits = |config| any_in(config).is_none_or(|any| misfit(&POLICIES, any).is_none());
        let is_one = |policy| config(policy).is_some_and(fits);
        if node.entries().is_none() || policies.iter().any(is_one) {
            return;
        }
        let Some((index, other, name)) = policies.iter().enumerate().find_map(|(index, policy)| {
            let any = any_in(config(policy)?)?;
            Some((index, any, type_of(any)?))
        }) else {
            let span = entry(node, "policies").map_or(node.span, |entry| entry.key_span);
            let hint = "add `policies: [{ typed_extension_config: { name: …, typed_config: … } }]`";
            return self.missing_part(self.findings.head(span), "here is no policy to balance by", hint);
        };
        let before = self.findings.enter(&format!("policies[{index}].typed_extension_config"));
        self.wrong_extension(&POLICIES, name, other);
        self.findings.back(before);
    }

    fn wrong_extension(&mut self, wanted: &[&str], name: &str, any: &Node<'_>) {
        let severity = self.findings.severity_of_types();
        let span = any.get(&["@type"]).map_or(any.span, |node| node.span);
        let message = format!("{name} is not made for this place");
        let categories = categories_of(name);
        let belongs = match categories {
            [] => "it configures no extension".to_owned(),
            _ => format!("it belongs to {}", categories.join(", ")),
        };
        let hint = format!("{belongs}; here stands something of {}", wanted.join(", "));
        self.findings.add(severity, "wrong-extension", span, message).hint = Some(hint);
    }

    fn nameless_struct(&mut self, any: &Node<'_>) {
        let severity = self.findings.severity_of_types();
        let span = any.get(&["@type"]).map_or(any.span, |node| node.span);
        let message = "this TypedStruct has no `type_url`, so it is unknown what it configures";
        self.findings.add(severity, "missing-type", span, message).hint =
            Some("add `type_url: type.googleapis.com/<the message's full name>`".to_owned());
    }
}

/// Why something is no extension for a place.
enum Misfit<'n> {
    /// It does not say what it is.
    Nothing,
    /// It is something else. What a newer Envoy or another build may have is never meant.
    Other(&'n str),
}

fn misfit<'n>(wanted: &[&str], any: &'n Node<'_>) -> Option<Misfit<'n>> {
    let name = type_of(any)?;
    if name.is_empty() {
        return Some(Misfit::Nothing);
    }
    let categories = categories_of(name);
    if categories.is_empty() && !name.starts_with("google.protobuf.") {
        return None;
    }
    let fits = categories.iter().any(|known| wanted.contains(known));
    (!fits).then_some(Misfit::Other(name))
}

/// What configures an extension: itself, or in its `typed_config`.
fn any_in<'n, 't>(element: &'n Node<'t>) -> Option<&'n Node<'t>> {
    if element.get(&["@type"]).is_some() { Some(element) } else { child(element, "typed_config") }
}
