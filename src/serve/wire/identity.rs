//! Who a client says it is: `envoy.config.core.v3.Node` as far as it is used.

use prost::Message;
use prost_types::value::Kind as ValueKind;

use crate::resource::Node;

/// `envoy.config.core.v3.Node`, what is used of it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireNode {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub cluster: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<prost_types::Struct>,
    #[prost(message, optional, tag = "4")]
    pub locality: Option<Locality>,
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
    #[prost(string, tag = "7")]
    pub user_agent_version: String,
    #[prost(message, optional, tag = "8")]
    pub user_agent_build_version: Option<BuildVersion>,
    #[prost(string, repeated, tag = "10")]
    pub client_features: Vec<String>,
}

/// `envoy.config.core.v3.Locality`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Locality {
    #[prost(string, tag = "1")]
    pub region: String,
    #[prost(string, tag = "2")]
    pub zone: String,
    #[prost(string, tag = "3")]
    pub sub_zone: String,
}

/// `envoy.config.core.v3.BuildVersion` without its metadata.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BuildVersion {
    #[prost(message, optional, tag = "1")]
    pub version: Option<SemanticVersion>,
}

/// `envoy.type.v3.SemanticVersion`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SemanticVersion {
    #[prost(uint32, tag = "1")]
    pub major: u32,
    #[prost(uint32, tag = "2")]
    pub minor: u32,
    #[prost(uint32, tag = "3")]
    pub patch: u32,
}

/// What a client announces that understands TTLs.
const SUPPORTS_TTL: &str = "xds.config.supports-resource-ttl";

/// Who a client says it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// What decides which resources it receives.
    pub node: Node,
    /// Program, such as `envoy` or `gRPC Python`.
    pub agent: String,
    /// The program's version, empty when it is not told.
    pub agent_version: String,
    /// `client_features`, such as `xds.config.supports-resource-ttl`.
    pub features: Vec<String>,
}

impl Identity {
    /// Whether the client understands that a resource is valid for a time only.
    pub fn supports_ttl(&self) -> bool {
        self.features.iter().any(|feature| feature == SUPPORTS_TTL)
    }
}

impl From<WireNode> for Identity {
    fn from(wire: WireNode) -> Identity {
        let locality = wire.locality.unwrap_or_default();
        let build = wire.user_agent_build_version.and_then(|build| build.version);
        let agent_version = match build {
            Some(v) if wire.user_agent_version.is_empty() => format!("{}.{}.{}", v.major, v.minor, v.patch),
            _ => wire.user_agent_version,
        };
        let metadata = wire.metadata.unwrap_or_default().fields;
        Identity {
            node: Node {
                id: wire.id,
                cluster: wire.cluster,
                region: locality.region,
                zone: locality.zone,
                sub_zone: locality.sub_zone,
                metadata: metadata.into_iter().map(|(key, value)| (key, json(value))).collect(),
            },
            agent: wire.user_agent_name,
            agent_version,
            features: wire.client_features,
        }
    }
}

/// Depth is bounded by prost's own recursion limit while decoding.
fn json(value: prost_types::Value) -> serde_json::Value {
    match value.kind {
        None | Some(ValueKind::NullValue(_)) => serde_json::Value::Null,
        Some(ValueKind::BoolValue(value)) => value.into(),
        Some(ValueKind::NumberValue(value)) => value.into(),
        Some(ValueKind::StringValue(value)) => value.into(),
        Some(ValueKind::ListValue(list)) => list.values.into_iter().map(json).collect(),
        Some(ValueKind::StructValue(map)) => {
            map.fields.into_iter().map(|(key, value)| (key, json(value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_version_is_read_from_either_field() {
        let version = SemanticVersion { major: 1, minor: 40, patch: 2 };
        let build = WireNode {
            user_agent_build_version: Some(BuildVersion { version: Some(version) }),
            ..WireNode::default()
        };
        assert_eq!(Identity::from(build).agent_version, "1.40.2");
        let text = WireNode { user_agent_version: "1.80".into(), ..WireNode::default() };
        assert_eq!(Identity::from(text).agent_version, "1.80");
    }
}
