//! The discovery messages on the wire, as far as this server reads and writes them.
//!
//! Requests are read into [`Request`], one shape for both variants (`request`), and who sends them into
//! [`Identity`] (`identity`). Responses are written here, from resources that are already encoded: no message
//! is built, bytes are only put side by side. Field numbers are those of Envoy's `discovery.proto`.

mod identity;
mod items;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::resource::{Digest, Name, Resource};

pub use identity::Identity;
pub use items::{Encoded, Items};
pub use request::{Malformed, NameList, Names, Request, Versions};

/// Which of the two transport variants a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// Incremental.
    Delta,
    /// State of the world.
    Sotw,
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
    pub items: Items,
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
        let items = self.items.encoded_len(self.variant);
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
        let element = self.resource.as_ref().map_or(0, |r| r.element_len());
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
            resource.put_element(out);
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
            (Some(resource), None) => resource.put_element(out),
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
            (Some(resource), None) => resource.element_len(),
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
            ]
            .into(),
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
}
