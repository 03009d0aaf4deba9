//! Requests of either variant, as they came.
//!
//! Comes in: the bytes of one message. Goes out: a [`Request`]. Clients that come again bring ten thousand names
//! and versions, nearly all of which are as they should be: so lists stay in the bytes in which they came, with a
//! fingerprint, and are read where they are looked at. What is wrong inside of a list is told then.

use std::str::Utf8Error;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::super::fingerprint::Fingerprint;
use super::identity::{Identity, WireNode};
use super::{Variant, put_len, put_string};

/// Why bytes are no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no discovery request: {0}")]
pub struct Malformed(String);

impl From<prost::DecodeError> for Malformed {
    fn from(error: prost::DecodeError) -> Malformed {
        Malformed(error.to_string())
    }
}

impl From<Utf8Error> for Malformed {
    fn from(error: Utf8Error) -> Malformed {
        Malformed(format!("a text is not UTF-8: {error}"))
    }
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
        subscribe: NameList,
        /// Names to drop.
        unsubscribe: NameList,
        /// What the client holds from an earlier stream.
        initial: Versions,
    },
    /// The whole list of a state-of-the-world subscription.
    Sotw(NameList),
}

impl Default for Names {
    fn default() -> Self {
        Names::Sotw(NameList::default())
    }
}

/// A field that may come many times, in the message in which it came.
#[derive(Clone, Debug, Default)]
struct Repeated {
    message: Bytes,
    number: u32,
    tally: Tally,
}

/// How much there is of a field.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    len: usize,
    fingerprint: Fingerprint,
}

impl Tally {
    fn add(&mut self, value: &[u8]) {
        self.len += 1;
        self.fingerprint = self.fingerprint + Fingerprint::of(value);
    }
}

impl Repeated {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        // The message was read to its end before: no field is broken.
        let values = Fields(&self.message).flatten().filter(|(number, _)| *number == self.number);
        values.filter_map(|(_, value)| value).take(self.tally.len)
    }
}

/// A list of names.
#[derive(Clone, Debug, Default)]
pub struct NameList(Repeated);

impl NameList {
    /// How many there are, those that are there twice included.
    pub fn len(&self) -> usize {
        self.0.tally.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.tally.len == 0
    }

    /// Of all names.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.0.tally.fingerprint
    }

    /// Each name.
    pub fn iter(&self) -> impl Iterator<Item = Result<&str, Malformed>> {
        self.0.iter().map(|name| Ok(std::str::from_utf8(name)?))
    }
}

/// Names and the versions in which a client holds them, as texts.
#[derive(Clone, Debug, Default)]
pub struct Versions(Repeated);

impl Versions {
    /// How many there are, those that are there twice included: of them the last one counts.
    pub fn len(&self) -> usize {
        self.0.tally.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.tally.len == 0
    }

    /// Of all entries as [`put`](Versions::put) writes them.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.0.tally.fingerprint
    }

    /// Each name and its version.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&str, &str), Malformed>> {
        self.0.iter().map(|entry| {
            let (mut name, mut version): (&[u8], &[u8]) = Default::default();
            for field in Fields(entry) {
                match field? {
                    (1, Some(value)) => name = value,
                    (2, Some(value)) => version = value,
                    (number @ (1 | 2), None) => return Err(no_text(number)),
                    _ => {}
                }
            }
            Ok((std::str::from_utf8(name)?, std::str::from_utf8(version)?))
        })
    }

    /// Writes one entry, as everybody does: another order of its fields would be as right.
    pub(crate) fn put(name: &str, version: &str, entry: &mut Vec<u8>) {
        put_string(1, name, entry);
        put_string(2, version, entry);
    }
}

impl<T: AsRef<str>> FromIterator<T> for NameList {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> NameList {
        let (mut message, mut tally) = (Vec::new(), Tally::default());
        for name in names {
            put_string(1, name.as_ref(), &mut message);
            tally.add(name.as_ref().as_bytes());
        }
        NameList(Repeated { message: message.into(), number: 1, tally })
    }
}

impl<T: AsRef<str>> From<Vec<T>> for NameList {
    fn from(names: Vec<T>) -> NameList {
        names.into_iter().collect()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Versions {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(versions: I) -> Versions {
        let (mut message, mut tally) = (Vec::new(), Tally::default());
        for (name, version) in versions {
            let mut entry = Vec::new();
            Versions::put(name.as_ref(), version.as_ref(), &mut entry);
            tally.add(&entry);
            put_len(1, entry.len(), &mut message);
            message.append(&mut entry);
        }
        Versions(Repeated { message: message.into(), number: 1, tally })
    }
}

/// The fields of a message: number, and content if it has a length.
struct Fields<'m>(&'m [u8]);

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u32, Option<&'m [u8]>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            // Nothing behind it can be trusted.
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'m> Fields<'m> {
    fn read(&mut self) -> Result<(u32, Option<&'m [u8]>), Malformed> {
        // Nearly all are short, and have a small number: key and length take a byte each.
        if let [key @ 0x08..=0x7f, len @ ..=0x7f, rest @ ..] = self.0
            && key & 7 == WireType::LengthDelimited as u8
            && let Some((value, rest)) = rest.split_at_checked(usize::from(*len))
        {
            self.0 = rest;
            return Ok((u32::from(key >> 3), Some(value)));
        }
        let (number, wire_type) = decode_key(&mut self.0)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, number, &mut self.0, DecodeContext::default())?;
            return Ok((number, None));
        }
        let len = usize::try_from(decode_varint(&mut self.0)?).unwrap_or(usize::MAX);
        let parts = self.0.split_at_checked(len);
        let (value, rest) = parts.ok_or_else(|| Malformed(format!("field {number} is cut off")))?;
        self.0 = rest;
        Ok((number, Some(value)))
    }
}

/// `google.rpc.Status` without its details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The fields of a request, by what they mean.
#[derive(Clone, Copy)]
enum Field {
    Node,
    /// Of the type, as the client has it: says nothing that its nonce does not.
    Version,
    TypeUrl,
    /// Names to add, or the whole list.
    Wanted,
    Unwanted,
    Initial,
    Nonce,
    Error,
}

/// `DeltaDiscoveryRequest`, `DiscoveryRequest`.
fn field_of(variant: Variant, number: u32) -> Option<Field> {
    Some(match (variant, number) {
        (Variant::Delta, 1) | (Variant::Sotw, 2) => Field::Node,
        (Variant::Sotw, 1) => Field::Version,
        (Variant::Delta, 2) | (Variant::Sotw, 4) => Field::TypeUrl,
        (Variant::Delta | Variant::Sotw, 3) => Field::Wanted,
        (Variant::Delta, 4) => Field::Unwanted,
        (Variant::Delta, 5) => Field::Initial,
        (Variant::Delta, 6) | (Variant::Sotw, 5) => Field::Nonce,
        (Variant::Delta, 7) | (Variant::Sotw, 6) => Field::Error,
        _ => return None,
    })
}

fn no_text(number: u32) -> Malformed {
    Malformed(format!("field {number} is of another type"))
}

impl Request {
    /// Reads a message of this variant.
    pub fn read(variant: Variant, message: &Bytes) -> Result<Request, Malformed> {
        let mut request = Request::default();
        let (mut node, mut status): (Option<WireNode>, Option<RpcStatus>) = Default::default();
        let [mut wanted, mut unwanted, mut initial] = [Tally::default(); 3];
        for field in Fields(message) {
            let (number, value) = field?;
            let Some(field) = field_of(variant, number) else { continue };
            let value = value.ok_or_else(|| no_text(number))?;
            match field {
                Field::Node => node.get_or_insert_default().merge(value)?,
                Field::Error => status.get_or_insert_default().merge(value)?,
                Field::TypeUrl => request.type_url = std::str::from_utf8(value)?.to_owned(),
                Field::Nonce => request.nonce = std::str::from_utf8(value)?.to_owned(),
                Field::Version => drop(std::str::from_utf8(value)?),
                Field::Wanted => wanted.add(value),
                Field::Unwanted => unwanted.add(value),
                Field::Initial => initial.add(value),
            }
        }
        request.identity = node.map(Identity::from);
        request.error = status.map(|status| status.message);
        let list = |number, tally| Repeated { message: message.clone(), number, tally };
        request.names = match variant {
            Variant::Delta => Names::Delta {
                subscribe: NameList(list(3, wanted)),
                unsubscribe: NameList(list(4, unwanted)),
                initial: Versions(list(5, initial)),
            },
            Variant::Sotw => Names::Sotw(NameList(list(3, wanted))),
        };
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The same messages, read by prost.
    #[derive(Clone, PartialEq, Message)]
    struct Delta {
        #[prost(message, optional, tag = "1")]
        node: Option<WireNode>,
        #[prost(string, tag = "2")]
        type_url: String,
        #[prost(string, repeated, tag = "3")]
        resource_names_subscribe: Vec<String>,
        #[prost(string, repeated, tag = "4")]
        resource_names_unsubscribe: Vec<String>,
        #[prost(btree_map = "string, string", tag = "5")]
        initial_resource_versions: BTreeMap<String, String>,
        #[prost(string, tag = "6")]
        response_nonce: String,
        #[prost(message, optional, tag = "7")]
        error_detail: Option<RpcStatus>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Sotw {
        #[prost(string, tag = "1")]
        version_info: String,
        #[prost(message, optional, tag = "2")]
        node: Option<WireNode>,
        #[prost(string, repeated, tag = "3")]
        resource_names: Vec<String>,
        #[prost(string, tag = "4")]
        type_url: String,
        #[prost(string, tag = "5")]
        response_nonce: String,
        #[prost(message, optional, tag = "6")]
        error_detail: Option<RpcStatus>,
    }

    /// A request with its lists taken apart.
    type Read = (Option<String>, [String; 2], Option<String>, [Vec<String>; 2], BTreeMap<String, String>);

    fn read(variant: Variant, message: &[u8]) -> Result<Read, Malformed> {
        let request = Request::read(variant, &Bytes::copy_from_slice(message))?;
        let list =
            |list: NameList| list.iter().map(|name| Ok(name?.to_owned())).collect::<Result<_, Malformed>>();
        let (lists, initial) = match request.names {
            Names::Delta { subscribe, unsubscribe, initial } => {
                let entry = |entry: Result<(&str, &str), _>| entry.map(|(n, v)| (n.to_owned(), v.to_owned()));
                ([list(subscribe)?, list(unsubscribe)?], initial.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Names::Sotw(names) => ([list(names)?, Vec::new()], BTreeMap::new()),
        };
        let node = request.identity.map(|identity| identity.node.id);
        Ok((node, [request.type_url, request.nonce], request.error, lists, initial))
    }

    fn prost_read(variant: Variant, message: &[u8]) -> Result<Read, prost::DecodeError> {
        let id = |node: Option<WireNode>| node.map(|node| node.id);
        let error = |status: Option<RpcStatus>| status.map(|status| status.message);
        Ok(match variant {
            Variant::Delta => {
                let wire = Delta::decode(message)?;
                let lists = [wire.resource_names_subscribe, wire.resource_names_unsubscribe];
                let texts = [wire.type_url, wire.response_nonce];
                (id(wire.node), texts, error(wire.error_detail), lists, wire.initial_resource_versions)
            }
            Variant::Sotw => {
                let wire = Sotw::decode(message)?;
                let texts = [wire.type_url, wire.response_nonce];
                let lists = [wire.resource_names, Vec::new()];
                (id(wire.node), texts, error(wire.error_detail), lists, BTreeMap::new())
            }
        })
    }

    fn text() -> impl Strategy<Value = String> {
        "[a-zü/*]{0,9}"
    }

    prop_compose! {
        fn delta()(
            id in prop::option::of(text()), texts in [text(), text()], error in prop::option::of(text()),
            lists in [prop::collection::vec(text(), 0..5), prop::collection::vec(text(), 0..5)],
            initial in prop::collection::btree_map(text(), text(), 0..5),
        ) -> Delta {
            let [type_url, response_nonce] = texts;
            let [resource_names_subscribe, resource_names_unsubscribe] = lists;
            Delta {
                node: id.map(|id| WireNode { id, ..WireNode::default() }),
                type_url,
                resource_names_subscribe,
                resource_names_unsubscribe,
                initial_resource_versions: initial,
                response_nonce,
                error_detail: error.map(|message| RpcStatus { code: 3, message }),
            }
        }
    }

    proptest! {
        #[test]
        fn requests_are_read_as_prost_reads_them_also_several_in_one(one in delta(), other in delta()) {
            // Messages one behind the other are one message in which fields come several times.
            let both = [one.encode_to_vec(), other.encode_to_vec()].concat();
            for message in [&one.encode_to_vec(), &both] {
                let expected = prost_read(Variant::Delta, message).expect("a good message");
                prop_assert_eq!(read(Variant::Delta, message), Ok(expected));
            }
            let sotw = Sotw {
                version_info: one.type_url.clone(),
                node: one.node,
                resource_names: one.resource_names_subscribe,
                type_url: one.type_url,
                response_nonce: one.response_nonce,
                error_detail: one.error_detail,
            };
            let message = sotw.encode_to_vec();
            let expected = prost_read(Variant::Sotw, &message).expect("a good message");
            prop_assert_eq!(read(Variant::Sotw, &message), Ok(expected));
        }

        #[test]
        fn broken_requests_are_refused_where_prost_refuses_them(
            good in delta(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut message = good.encode_to_vec();
            if !message.is_empty() {
                let at = at.index(message.len());
                if cut { message.truncate(at) } else { message[at] = byte }
            }
            for variant in [Variant::Delta, Variant::Sotw] {
                let expected = prost_read(variant, &message);
                prop_assert_eq!(read(variant, &message).ok(), expected.ok());
            }
        }
    }
}
