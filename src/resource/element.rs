//! A resource as an element of a response: protobuf field 2, an `Any` of type URL and body.
//!
//! Comes in: a kind and a body. Goes out: what stands before the body on the wire, and the digest of the whole.
//! Keeps the invariant that nothing is stored that follows from the two.

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use xxhash_rust::xxh3::Xxh3;

use super::{Digest, Kind};

/// Room for the longest type URL, three keys and three lengths.
const MAX_HEAD: usize = 128;

/// Length of a field with a number below 16 and content of this length.
fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

/// Length of the element of a body of this length.
pub(super) fn len(kind: Kind, body: usize) -> usize {
    field_len(any_len(kind, body))
}

/// Length of `Any{type_url, value}`; an empty value is left out, as canonical protobuf has it.
fn any_len(kind: Kind, body: usize) -> usize {
    field_len(kind.type_url().len()) + if body == 0 { 0 } else { field_len(body) }
}

/// What stands before a body of this length in its element: `0x12 len Any{type_url, value…`.
pub(super) fn put_head(kind: Kind, body: usize, out: &mut impl BufMut) {
    let type_url = kind.type_url();
    encode_key(2, WireType::LengthDelimited, out);
    encode_varint(any_len(kind, body) as u64, out);
    encode_key(1, WireType::LengthDelimited, out);
    encode_varint(type_url.len() as u64, out);
    out.put_slice(type_url.as_bytes());
    if body > 0 {
        encode_key(2, WireType::LengthDelimited, out);
        encode_varint(body as u64, out);
    }
}

/// The digest of the element, which is made nowhere as a whole.
pub(super) fn digest(kind: Kind, body: &[u8]) -> Digest {
    let mut head = [0; MAX_HEAD];
    let mut rest = &mut head[..];
    put_head(kind, body.len(), &mut rest);
    let unused = rest.len();
    let mut hash = Xxh3::new();
    hash.update(&(len(kind, body.len()) as u64).to_le_bytes());
    hash.update(&head[..MAX_HEAD - unused]);
    hash.update(body);
    Digest(hash.digest128())
}
