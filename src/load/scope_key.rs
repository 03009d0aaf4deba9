//! The key of a scope, by which an Envoy finds its routes: one scope of an Envoy can have it.
//!
//! Comes in: the canonical encoding of a scope, so however it was written. Goes out: what stands for its key.

use prost::Message;

use crate::resource::Claim;

/// What of `envoy.config.route.v3.ScopedRouteConfiguration` is the key.
#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes, optional, tag = "3")]
    key: Option<Vec<u8>>,
}

/// What stands for the key of a scope.
pub(super) fn scope_key(scope: &[u8]) -> Option<Claim> {
    let key = Scope::decode(scope).ok()?.key?;
    Some(Claim::of([key.as_slice()]))
}

#[cfg(test)]
mod tests {
    use crate::envoy_api::Api;
    use crate::load::{Inputs, Severities, Variables, load_filled};

    #[test]
    fn scopes_with_one_key_claim_the_same_whatever_else_they_say() {
        let api = Api::embedded().expect("the shipped set is whole");
        let (variables, severities) = (Variables::default(), Severities::default());
        let inputs = Inputs { variables: &variables, files: &|_| None, now: None, severities: &severities };
        let claims = |scope: &str| {
            let text = format!("scoped_routes:\n- {{{scope}}}\n");
            let loaded = load_filled(&api, &"a.yaml".into(), text.as_bytes(), &inputs);
            assert!(loaded.is_sound(), "{text}: {:?}", loaded.diagnostics);
            loaded.items[0].resource.claims().to_vec()
        };
        let key = |parts: &str| format!("key: {{fragments: [{parts}]}}");
        let (a, ab) = (key("{string_key: a}"), key("{string_key: a}, {string_key: b}"));
        let one = claims(&format!("name: x, route_configuration_name: r, {a}"));
        assert_eq!(one.len(), 1);
        assert_eq!(claims(&format!("{a}, name: z, onDemand: true, route_configuration_name: q")), one);
        assert_ne!(claims(&format!("name: x, route_configuration_name: r, {ab}")), one);
    }
}
