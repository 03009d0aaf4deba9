//! The discovery messages on the wire, as far as this server reads and writes them.
//!
//! Requests are decoded into [`Request`], one shape for both variants. Responses are written from
//! resources that are already encoded: no message is built, bytes are only put side by side.
//! Field numbers are those of Envoy's `discovery.proto`; a test compares them with its descriptors.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use prost_types::value::Kind as ValueKind;

use crate::resource::{Digest, Name, Node, Resource};

/// Which of the two transport variants a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Incremental.
    Delta,
    /// State of the world.
    Sotw,
}

/// `DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaDiscoveryRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<WireNode>,
    #[prost(string, tag = "2")]
    pub type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<RpcStatus>,
}

/// `DiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    pub version_info: String,
    #[prost(message, optional, tag = "2")]
    pub node: Option<WireNode>,
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<RpcStatus>,
}

/// `google.rpc.Status` without its details.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

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

/// One request of either variant.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Only in a stream's first request.
    pub identity: Option<Identity>,
    /// Full type URL; may be empty on a single-type service.
    pub type_url: String,
    /// The nonce of the response that this answers; empty when it answers none.
    pub nonce: String,
    /// The client's complaint: this is a NACK.
    pub error: Option<String>,
    /// What the client asks for.
    pub names: Names,
}

/// The names in a request.
#[derive(Clone, Debug)]
pub enum Names {
    /// Changes of a delta subscription.
    Delta {
        /// Names to add.
        subscribe: Vec<String>,
        /// Names to drop.
        unsubscribe: Vec<String>,
        /// What the client holds from an earlier stream, name → version.
        initial: HashMap<String, String>,
    },
    /// The whole list of a state-of-the-world subscription.
    Sotw(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Names::Sotw(Vec::new())
    }
}

impl From<DeltaDiscoveryRequest> for Request {
    fn from(wire: DeltaDiscoveryRequest) -> Request {
        Request {
            identity: wire.node.map(Identity::from),
            type_url: wire.type_url,
            nonce: wire.response_nonce,
            error: wire.error_detail.map(|status| status.message),
            names: Names::Delta {
                subscribe: wire.resource_names_subscribe,
                unsubscribe: wire.resource_names_unsubscribe,
                initial: wire.initial_resource_versions,
            },
        }
    }
}

impl From<DiscoveryRequest> for Request {
    fn from(wire: DiscoveryRequest) -> Request {
        Request {
            identity: wire.node.map(Identity::from),
            type_url: wire.type_url,
            nonce: wire.response_nonce,
            error: wire.error_detail.map(|status| status.message),
            names: Names::Sotw(wire.resource_names),
        }
    }
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

/// One resource in a response.
#[derive(Clone, Debug)]
pub struct Item {
    /// The name under which it goes out.
    pub name: Name,
    /// Its version in the client's view.
    pub version: Digest,
    /// Its body; none says that the name (an alias) is known not to exist (VHDS), or with a TTL that
    /// what the client has goes on being valid.
    pub resource: Option<Arc<Resource>>,
    /// How long it is valid at the client; only for one that understands it.
    pub ttl: Option<Duration>,
}

/// One response, ready to be written.
#[derive(Clone, Debug)]
pub struct Response {
    /// How it is written.
    pub variant: Variant,
    /// The type URL of what it answers.
    pub type_url: Arc<str>,
    /// Version of the whole type.
    pub version: Digest,
    /// Nonce of this response on its stream.
    pub nonce: String,
    /// What it carries.
    pub items: Vec<Item>,
    /// Names that do not exist (any more); delta only.
    pub removed: Vec<Name>,
    /// Name, version and instance of this server.
    pub server: Arc<str>,
}

impl Response {
    /// Writes the message.
    pub fn encode(&self, out: &mut impl BufMut) {
        let version = self.version.to_string();
        put_string(1, &version, out);
        self.items.iter().for_each(|item| item.encode_as(self.variant, out));
        match self.variant {
            Variant::Delta => {
                put_string(4, &self.type_url, out);
                put_string(5, &self.nonce, out);
                for name in &self.removed {
                    put_string(6, name, out);
                }
                self.put_control_plane(7, out);
            }
            Variant::Sotw => {
                put_string(4, &self.type_url, out);
                put_string(5, &self.nonce, out);
                self.put_control_plane(6, out);
            }
        }
    }

    /// Length of what `encode` writes, in bytes.
    pub fn encoded_len(&self) -> usize {
        let items = Item::encoded_len_all(&self.items, self.variant);
        let removed: usize = match self.variant {
            Variant::Delta => self.removed.iter().map(|name| field_len(name.len())).sum(),
            Variant::Sotw => 0,
        };
        let texts = [VERSION_LEN, self.type_url.len(), self.nonce.len(), field_len(self.server.len())];
        items + removed + texts.into_iter().map(field_len).sum::<usize>()
    }

    fn put_control_plane(&self, number: u32, out: &mut impl BufMut) {
        put_len(number, field_len(self.server.len()), out);
        put_string(1, &self.server, out);
    }
}

/// Type URL of what carries a TTL in a state-of-the-world response.
const WRAPPER: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/// A version is written as 32 hexadecimal digits.
const VERSION_LEN: usize = 32;

impl Item {
    /// Length of the encoded `resources` element of a delta response, in bytes.
    pub fn encoded_len(&self) -> usize {
        field_len(self.body_len())
    }

    fn body_len(&self) -> usize {
        let ttl = self.ttl.map_or(0, |ttl| field_len(duration(ttl).encoded_len()));
        let aliases: usize = self.aliases().iter().map(|alias| field_len(alias.len())).sum();
        let element = self.resource.as_ref().map_or(0, |r| r.element().len());
        field_len(VERSION_LEN) + element + field_len(self.name.len()) + aliases + ttl
    }

    /// As an element of a response.
    pub(crate) fn encode_as(&self, variant: Variant, out: &mut impl BufMut) {
        match variant {
            Variant::Delta => self.encode(out),
            Variant::Sotw => self.encode_sotw(out),
        }
    }

    /// Length of all elements of a response, in bytes.
    pub(crate) fn encoded_len_all(items: &[Item], variant: Variant) -> usize {
        match variant {
            Variant::Delta => items.iter().map(Item::encoded_len).sum(),
            Variant::Sotw => items.iter().map(Item::encoded_len_sotw).sum(),
        }
    }

    /// As an element of a delta response.
    fn encode(&self, out: &mut impl BufMut) {
        put_len(2, self.body_len(), out);
        self.encode_body(out);
    }

    fn encode_body(&self, out: &mut impl BufMut) {
        put_string(1, &self.version.to_string(), out);
        if let Some(resource) = &self.resource {
            out.put_slice(resource.element());
        }
        put_string(3, &self.name, out);
        for alias in self.aliases() {
            put_string(4, alias, out);
        }
        if let Some(ttl) = self.ttl {
            let ttl = duration(ttl).encode_to_vec();
            put_len(6, ttl.len(), out);
            out.put_slice(&ttl);
        }
    }

    /// As an element of a state-of-the-world response: the resource itself, or where a TTL must be
    /// said, a `Resource` around it.
    fn encode_sotw(&self, out: &mut impl BufMut) {
        match (&self.resource, self.ttl) {
            (Some(resource), None) => out.put_slice(resource.element()),
            (_, Some(_)) => {
                put_len(2, self.wrapped_len(), out);
                put_string(1, WRAPPER, out);
                put_len(2, self.body_len(), out);
                self.encode_body(out);
            }
            (None, None) => {}
        }
    }

    fn encoded_len_sotw(&self) -> usize {
        match (&self.resource, self.ttl) {
            (Some(resource), None) => resource.element().len(),
            (_, Some(_)) => field_len(self.wrapped_len()),
            (None, None) => 0,
        }
    }

    fn wrapped_len(&self) -> usize {
        field_len(WRAPPER.len()) + field_len(self.body_len())
    }

    /// A bodiless answer names itself as its alias: that is what the waiting client looks for.
    fn aliases(&self) -> &[Name] {
        match &self.resource {
            Some(resource) => resource.aliases(),
            None if self.ttl.is_some() => &[],
            None => std::slice::from_ref(&self.name),
        }
    }
}

fn duration(value: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
    }
}

fn field_len(len: usize) -> usize {
    // All field numbers here are below 16: one byte of key.
    1 + encoded_len_varint(len as u64) + len
}

fn put_len(number: u32, len: usize, out: &mut impl BufMut) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

fn put_string(number: u32, text: &str, out: &mut impl BufMut) {
    put_len(number, text.len(), out);
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;

    fn response(variant: Variant) -> Response {
        let plain = Arc::new(Resource::new(Kind::Cluster, "a", b"\x0a\x01a"));
        let rich = Resource::new(Kind::VirtualHost, "r/h", &[9; 400]).with_ttl(Duration::from_millis(1500));
        let rich = Arc::new(rich.with_aliases(["r/x.example".into(), "r/*".into()]));
        let item = |resource: Arc<Resource>| Item {
            name: resource.name().clone(),
            version: resource.digest(),
            ttl: resource.ttl(),
            resource: Some(resource),
        };
        Response {
            variant,
            type_url: Kind::Cluster.type_url().into(),
            version: Digest(7),
            nonce: "n-1".into(),
            items: vec![
                item(plain),
                item(rich),
                Item { name: "r/unknown".into(), version: Digest(1), resource: None, ttl: None },
                Item {
                    name: "beat".into(),
                    version: Digest(1),
                    resource: None,
                    ttl: Some(Duration::from_secs(9)),
                },
            ],
            removed: if variant == Variant::Delta { vec!["gone".into(), "".into()] } else { Vec::new() },
            server: "xds-bridge/0.0 test".into(),
        }
    }

    #[test]
    fn the_length_told_is_the_length_written() {
        for variant in [Variant::Delta, Variant::Sotw] {
            let mut out = Vec::new();
            response(variant).encode(&mut out);
            assert_eq!(out.len(), response(variant).encoded_len());
        }
    }

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
