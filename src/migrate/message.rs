//! Encoded messages to trees: protobuf read by Envoy's API, as proto3 JSON with the names of the API.
//!
//! Comes in: the type and bytes of a message. Goes out: a [`Node`], and on request one in which
//! secrets are only numbered. Keeps the invariant that reading the tree again gives the same bytes.

mod typed_struct;
mod well_known;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::tree::{Child, Node};
use super::typed::is_typed_struct;
use crate::envoy_api::{Api, EnumId, FieldType, MessageId, MessageType, Scalar, Shape, ValueType};

/// How deep messages may nest, those in `Any`s included.
const MAX_DEPTH: usize = 200;

/// Bytes that are no message of their type; they cannot come from `load`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no {0}")]
pub struct Malformed(pub String);

/// Numbers for secrets, so that they can be compared without being shown.
#[derive(Debug, Default)]
pub struct Secrets(HashMap<Vec<u8>, usize>);

/// What stands in place of a secret, before its number.
pub const REDACTED: &str = "[redacted]";

/// Reads a message.
pub fn decode(api: &Api, ty: &MessageType, bytes: &[u8]) -> Result<Node, Malformed> {
    Reader { api, secrets: None, depth: 0 }.message(ty, bytes, false)
}

/// Reads a message with secrets numbered; `is_secret`: all of it but names is one.
pub fn redacted(
    api: &Api,
    ty: &MessageType,
    bytes: &[u8],
    is_secret: bool,
    secrets: &mut Secrets,
) -> Result<Node, Malformed> {
    Reader { api, secrets: Some(secrets), depth: 0 }.message(ty, bytes, is_secret)
}

struct Reader<'a> {
    api: &'a Api,
    secrets: Option<&'a mut Secrets>,
    depth: usize,
}

/// A field as it stands on the wire.
enum Raw<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

type Read<T> = Result<T, Malformed>;

impl<'a> Reader<'a> {
    fn message(&mut self, ty: &MessageType, bytes: &[u8], is_secret: bool) -> Read<Node> {
        let bad = || Malformed(ty.name.to_string());
        if self.depth >= MAX_DEPTH {
            return Err(bad());
        }
        self.depth += 1;
        let fields = split(bytes).ok_or_else(bad)?;
        let node = match ty.well_known {
            None => self.fields(ty, &fields, is_secret),
            Some(form) => self.well_known(form, ty, &fields, is_secret),
        };
        self.depth -= 1;
        node
    }

    fn fields(&mut self, ty: &MessageType, raw: &[(u32, Raw<'_>)], is_secret: bool) -> Read<Node> {
        let mut by_number: HashMap<u32, Vec<&Raw<'_>>> = HashMap::new();
        for (number, value) in raw {
            by_number.entry(*number).or_default().push(value);
        }
        let mut node = Node::map([]);
        for field in &ty.fields {
            let Some(values) = by_number.remove(&field.number) else { continue };
            let name = &*field.name;
            let is_secret = field.sensitive || (is_secret && name != "name");
            let value = self.field(ty, field, &values, is_secret)?;
            node.set(name, value);
        }
        // What this API does not know was not made by it.
        if !by_number.is_empty() {
            return Err(Malformed(ty.name.to_string()));
        }
        // In a secret all texts of it are hidden already.
        if self.secrets.is_some() && !is_secret && is_typed_struct(&ty.name) {
            self.hide_in_typed_struct(&mut node, false);
        }
        Ok(node)
    }

    fn field(
        &mut self,
        ty: &MessageType,
        field: &FieldType,
        values: &[&Raw<'_>],
        is_secret: bool,
    ) -> Read<Node> {
        let bad = || Malformed(ty.name.to_string());
        match field.shape {
            Shape::Single => {
                let last = values.last().ok_or_else(bad)?;
                self.value(field.value, last, is_secret)
            }
            Shape::List { .. } => {
                let mut elements = Vec::new();
                for value in values {
                    match (value, field.value) {
                        (Raw::Bytes(packed), ValueType::Enum(_)) => {
                            for number in unpacked(Scalar::Int32, packed).ok_or_else(bad)? {
                                elements.push(self.value(field.value, &Raw::Number(number), is_secret)?);
                            }
                        }
                        (Raw::Bytes(packed), ValueType::Scalar(scalar))
                            if !matches!(scalar, Scalar::String | Scalar::Bytes) =>
                        {
                            for number in unpacked(scalar, packed).ok_or_else(bad)? {
                                elements.push(self.value(field.value, &Raw::Number(number), is_secret)?);
                            }
                        }
                        _ => elements.push(self.value(field.value, value, is_secret)?),
                    }
                }
                Ok(Node::list(elements))
            }
            Shape::Map(key_type) => self.map(key_type, field, values, is_secret).ok_or_else(bad)?,
        }
    }

    fn map(
        &mut self,
        key_type: Scalar,
        field: &FieldType,
        values: &[&Raw<'_>],
        is_secret: bool,
    ) -> Option<Read<Node>> {
        let mut entries = Vec::new();
        for value in values {
            let Raw::Bytes(bytes) = value else { return None };
            let parts = split(bytes)?;
            let part = |number: u32| parts.iter().rev().find(|(at, _)| *at == number).map(|(_, raw)| raw);
            let key = match (key_type, part(1)) {
                (_, Some(Raw::Bytes(text))) => String::from_utf8(text.to_vec()).ok()?,
                (Scalar::Bool, number) => matches!(number, Some(Raw::Number(1))).to_string(),
                (_, Some(Raw::Number(number))) => signed(key_type, *number).to_string(),
                (Scalar::String, None) => String::new(),
                (_, None) => "0".to_owned(),
            };
            let value = match (part(2), field.value) {
                (Some(raw), _) => self.value(field.value, raw, is_secret),
                (None, ValueType::Message(_) | ValueType::Scalar(Scalar::String | Scalar::Bytes)) => {
                    self.value(field.value, &Raw::Bytes(&[]), is_secret)
                }
                (None, _) => self.value(field.value, &Raw::Number(0), is_secret),
            };
            match value {
                Ok(value) => entries.push(Child::entry(&key, value)),
                Err(malformed) => return Some(Err(malformed)),
            }
        }
        let mut node = Node::map([]);
        node.edit()?.extend(entries);
        Some(Ok(node))
    }

    fn value(&mut self, ty: ValueType, raw: &Raw<'_>, is_secret: bool) -> Read<Node> {
        match (ty, raw) {
            (ValueType::Message(id), Raw::Bytes(bytes)) => self.inner(id, bytes, is_secret),
            (ValueType::Enum(id), Raw::Number(number)) => Ok(self.enumeration(id, *number)),
            (ValueType::Scalar(scalar), raw) => {
                self.scalar(scalar, raw, is_secret).ok_or_else(|| Malformed(format!("{scalar:?}")))
            }
            _ => Err(Malformed("field of its type".to_owned())),
        }
    }

    fn inner(&mut self, id: MessageId, bytes: &[u8], is_secret: bool) -> Read<Node> {
        let api = self.api;
        self.message(api.message_type(id), bytes, is_secret)
    }

    fn enumeration(&self, id: EnumId, number: u64) -> Node {
        let number = number as i32;
        match self.api.enum_type(id).by_number(number) {
            Some(value) => Node::text(&value.name),
            None => Node::plain(&number.to_string()),
        }
    }

    fn scalar(&mut self, scalar: Scalar, raw: &Raw<'_>, is_secret: bool) -> Option<Node> {
        Some(match (scalar, raw) {
            (Scalar::String | Scalar::Bytes, Raw::Bytes(bytes)) => {
                if is_secret && let Some(hidden) = self.hidden(bytes) {
                    return Some(hidden);
                }
                match scalar {
                    Scalar::String => Node::long_text(std::str::from_utf8(bytes).ok()?),
                    _ => Node::text(&STANDARD.encode(bytes)),
                }
            }
            (Scalar::Bool, Raw::Number(number)) => Node::plain(if *number == 0 { "false" } else { "true" }),
            (Scalar::Double, Raw::Number(bits)) => float(f64::from_bits(*bits)),
            (Scalar::Float, Raw::Number(bits)) => {
                let value = f32::from_bits(*bits as u32);
                if value.is_finite() { Node::plain(&value.to_string()) } else { float(value.into()) }
            }
            (Scalar::Uint32 | Scalar::Uint64 | Scalar::Fixed32 | Scalar::Fixed64, Raw::Number(number)) => {
                Node::plain(&number.to_string())
            }
            (_, Raw::Number(number)) => Node::plain(&signed(scalar, *number).to_string()),
            (_, Raw::Bytes(_)) => return None,
        })
    }

    /// The number that stands for a secret, if secrets are to be hidden.
    fn hidden(&mut self, secret: &[u8]) -> Option<Node> {
        let secrets = self.secrets.as_deref_mut()?;
        if secret == REDACTED.as_bytes() {
            // An Envoy did not tell it: it may be any.
            return Some(Node::text(REDACTED));
        }
        let next = secrets.0.len() + 1;
        let number = secrets.0.entry(secret.to_vec()).or_insert(next);
        Some(Node::text(&format!("{REDACTED} {number}")))
    }
}

/// The fields of a message in the order of the wire.
fn split(mut bytes: &[u8]) -> Option<Vec<(u32, Raw<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).ok()?;
        let raw = match wire {
            WireType::Varint => Raw::Number(decode_varint(&mut bytes).ok()?),
            WireType::SixtyFourBit => {
                let (value, rest) = bytes.split_first_chunk::<8>()?;
                bytes = rest;
                Raw::Number(u64::from_le_bytes(*value))
            }
            WireType::ThirtyTwoBit => {
                let (value, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                Raw::Number(u32::from_le_bytes(*value).into())
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Raw::Bytes(value)
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        fields.push((number, raw));
    }
    Some(fields)
}

/// The elements of a packed list, as they would stand alone.
fn unpacked(scalar: Scalar, mut bytes: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        numbers.push(match scalar {
            Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => {
                let (value, rest) = bytes.split_first_chunk::<8>()?;
                bytes = rest;
                u64::from_le_bytes(*value)
            }
            Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => {
                let (value, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                u32::from_le_bytes(*value).into()
            }
            _ => decode_varint(&mut bytes).ok()?,
        });
    }
    Some(numbers)
}

fn signed(scalar: Scalar, number: u64) -> i64 {
    match scalar {
        Scalar::Sint32 | Scalar::Sint64 => ((number >> 1) as i64) ^ -((number & 1) as i64),
        Scalar::Sfixed32 => i64::from(number as u32 as i32),
        _ => number as i64,
    }
}

fn float(value: f64) -> Node {
    if value.is_finite() {
        Node::plain(&value.to_string())
    } else if value.is_nan() {
        Node::text("NaN")
    } else {
        Node::text(if value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use std::sync::Arc;

    const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

    #[test]
    fn what_is_written_reads_as_the_same_bytes() {
        let api = Api::embedded().expect("linked");
        let file: Arc<str> = "x".into();
        let text = r#"
name: "yes"
type: STRICT_DNS
connect_timeout: 0.25s
per_connection_buffer_limit_bytes: 0
lb_policy: RING_HASH
ring_hash_lb_config: { minimum_ring_size: 1024, hash_function: MURMUR_HASH_2 }
metadata:
  filter_metadata:
    a.b: { n: null, t: "1", x: 1, y: 1.5, b: false, l: [1, [], {}], "": "" }
health_checks:
- { timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1,
    http_health_check: { path: /, expected_statuses: [{start: 200, end: 299}] } }
outlier_detection: { consecutive_5xx: 3 }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http2_protocol_options: {} }
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    common_tls_context:
      alpn_protocols: ["open", "a\nb\n"]
      tls_certificates: [ { certificate_chain: { filename: /a.pem }, private_key: { inline_bytes: c2VjcmV0 } } ]
"#;
        let (bytes, findings) = load::load_message(&api, CLUSTER, &file, text.as_bytes());
        let bytes = bytes.unwrap_or_else(|| panic!("{findings:?}"));
        let ty = api.message(CLUSTER).expect("known");
        let node = decode(&api, ty, &bytes).expect("well formed");
        let written = super::super::write::document(&[], &node, &Default::default()).expect("bounded");
        let (again, findings) = load::load_message(&api, CLUSTER, &file, written.as_bytes());
        assert_eq!(again.as_deref(), Some(&*bytes), "{findings:?}\n{written}");

        let mut secrets = Secrets::default();
        let node = redacted(&api, ty, &bytes, false, &mut secrets).expect("well formed");
        let shown = super::super::write::document(&[], &node, &Default::default()).expect("bounded");
        assert!(
            !shown.contains("c2VjcmV0") && shown.contains("[redacted] 1") && shown.contains("open"),
            "{shown}"
        );
    }

    #[test]
    fn a_typed_struct_hides_what_the_message_in_it_hides() {
        let api = Api::embedded().expect("linked");
        let shown = |config: &str| {
            let text = format!("name: x\ntyped_config: {config}\n");
            let name = "envoy.config.core.v3.TypedExtensionConfig";
            let (bytes, findings) = load::load_message(&api, name, &"x".into(), text.as_bytes());
            let bytes = bytes.unwrap_or_else(|| panic!("{findings:?}"));
            let ty = api.message(name).expect("known");
            let node = redacted(&api, ty, &bytes, false, &mut Secrets::default()).expect("well formed");
            super::super::write::document(&[], &node, &Default::default()).expect("bounded")
        };
        let prefix = "type.googleapis.com/envoy.extensions";
        let basic_auth = format!("{prefix}.filters.http.basic_auth.v3.BasicAuth");
        let plain = shown(&format!("{{\"@type\": {basic_auth}, users: {{inline_string: SEKRIT}}}}"));
        assert!(plain.contains("[redacted] 1") && !plain.contains("SEKRIT"), "{plain}");
        let struct_of = |ty: &str, url: &str, value: &str| {
            format!("{{\"@type\": type.googleapis.com/{ty}.TypedStruct, type_url: {url}, value: {value}}}")
        };
        let users = "{users: {inlineString: SEKRIT}, forward_username_header: seen}";
        for ty in ["xds.type.v3", "udpa.type.v1"] {
            let text = shown(&struct_of(ty, &basic_auth, users));
            assert!(!text.contains("SEKRIT") && text.contains("[redacted] 1"), "{text}");
            assert!(text.contains("seen") && text.contains("BasicAuth"), "{text}");
            // Another one inside, in a list of `Any`s.
            let inner = struct_of(ty, &basic_auth, "{users: {inline_string: SEKRIT}}");
            let router =
                format!("{{name: r, typed_config: {{\"@type\": {prefix}.filters.http.router.v3.Router}}}}");
            let outer = format!(
                "{{stat_prefix: s, route_config: {{}}, http_filters: [{{name: f, typed_config: {inner}}}, {router}]}}"
            );
            let manager =
                format!("{prefix}.filters.network.http_connection_manager.v3.HttpConnectionManager");
            let text = shown(&struct_of(ty, &manager, &outer));
            assert!(!text.contains("SEKRIT") && text.contains("[redacted] 1"), "{text}");
            // Nobody knows what this is.
            let text = shown(&struct_of(ty, "type.googleapis.com/unknown.v1.X", users));
            assert!(text.contains("SEKRIT"), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let api = Api::embedded().expect("linked");
        let ty = api.message(CLUSTER).expect("known");
        for bytes in [b"\x0a\x05x".as_slice(), b"\xff", b"\x0a", b"\xf8\xff\xff\x7f\x01", b"\x0a\x01\xff"] {
            assert!(decode(&api, ty, bytes).is_err(), "{bytes:?}");
        }
    }
}
