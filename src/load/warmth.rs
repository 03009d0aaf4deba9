//! Which clusters are not warm yet when an Envoy has taken them: they resolve names, check health, or are
//! of a kind that does what it likes first.
//!
//! Comes in: the canonical encoding of a cluster, so however it was written. Goes out: yes or no.

use prost::Message;

/// What of `envoy.config.cluster.v3.Cluster` decides.
#[derive(Clone, PartialEq, Message)]
struct Warmth {
    /// 0 STATIC, 1 STRICT_DNS, 2 LOGICAL_DNS, 3 EDS, 4 ORIGINAL_DST.
    #[prost(int32, tag = "2")]
    discovery: i32,
    #[prost(message, repeated, tag = "8")]
    health_checks: Vec<Present>,
    #[prost(message, optional, tag = "38")]
    cluster_type: Option<Present>,
}

/// A message of which it matters only that it is there.
#[derive(Clone, PartialEq, Message)]
struct Present {}

/// Whether an ACK does not say that this cluster can be used.
pub(super) fn is_slow(cluster: &[u8]) -> bool {
    // What the decoder wrote is protobuf; if it were not, waiting a moment would do no harm.
    Warmth::decode(cluster).map_or(true, |cluster| {
        matches!(cluster.discovery, 1 | 2)
            || !cluster.health_checks.is_empty()
            || cluster.cluster_type.is_some()
    })
}

#[cfg(test)]
mod tests {
    use crate::envoy_api::Api;
    use crate::load::{Inputs, Severities, Variables, load_filled};

    #[test]
    fn names_to_resolve_and_health_to_check_take_time() {
        let api = Api::embedded().expect("the shipped set is whole");
        let (variables, severities) = (Variables::default(), Severities::default());
        let inputs = Inputs { variables: &variables, files: &|_| None, now: None, severities: &severities };
        let slow = |cluster: &str| {
            let text = format!("clusters:\n- {{name: c, {cluster}}}\n");
            let loaded = load_filled(&api, &"a.yaml".into(), text.as_bytes(), &inputs);
            assert!(loaded.is_sound(), "{text}: {:?}", loaded.diagnostics);
            loaded.items[0].resource.warms_slowly()
        };
        let at = |address: &str| {
            format!(
                "load_assignment: {{cluster_name: c, endpoints: [{{lb_endpoints: [\
                 {{endpoint: {{address: {{socket_address: {{address: {address}, port_value: 1}}}}}}}}]}}]}}"
            )
        };
        let check = "health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, \
                     tcp_health_check: {}}]";
        for resolving in ["STRICT_DNS", "logical_dns", "1"] {
            assert!(slow(&format!("type: {resolving}, {}", at("a.example"))), "{resolving}");
        }
        assert!(slow(&format!("type: STATIC, {check}, {}", at("127.0.0.1"))));
        assert!(!slow(&at("127.0.0.1")));
        assert!(!slow("type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED"));
    }
}
