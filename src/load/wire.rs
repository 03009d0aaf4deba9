//! Protobuf's wire format, as far as the decoder writes it by itself.
//!
//! Length-delimited values are written in place: [`begin`] leaves one byte for the length, [`end`]
//! puts it in and moves the value if the length needs more. So a nested message costs no buffer of
//! its own.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::envoy_api::Scalar;

/// Writes the tag of a length-delimited field and room for its length; give the result to [`end`].
pub(super) fn begin(number: u32, out: &mut Vec<u8>) -> usize {
    encode_key(number, WireType::LengthDelimited, out);
    out.push(0);
    out.len()
}

/// Puts in the length of what was written since `begin`.
pub(super) fn end(start: usize, out: &mut Vec<u8>) {
    let len = out.len() - start;
    let width = encoded_len_varint(len as u64);
    if width > 1 {
        out.resize(out.len() + width - 1, 0);
        out.copy_within(start..start + len, start + width - 1);
    }
    let mut length: &mut [u8] = &mut out[start - 1..start - 1 + width];
    encode_varint(len as u64, &mut length);
}

/// A whole length-delimited field.
pub(super) fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A whole varint field; negative numbers take ten bytes, as protobuf has it.
pub(super) fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value, out);
}

/// A signed integer of this type, without tag.
pub(super) fn signed(scalar: Scalar, value: i64, out: &mut Vec<u8>) {
    match scalar {
        Scalar::Sint32 | Scalar::Sint64 => encode_varint(((value << 1) ^ (value >> 63)) as u64, out),
        Scalar::Sfixed32 => out.extend_from_slice(&(value as i32).to_le_bytes()),
        Scalar::Sfixed64 => out.extend_from_slice(&value.to_le_bytes()),
        _ => encode_varint(value as u64, out),
    }
}

/// An unsigned integer of this type, without tag.
pub(super) fn unsigned(scalar: Scalar, value: u64, out: &mut Vec<u8>) {
    match scalar {
        Scalar::Fixed32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
        Scalar::Fixed64 => out.extend_from_slice(&value.to_le_bytes()),
        _ => encode_varint(value, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_any_width_are_put_in_place() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let payload = vec![7_u8; len];
            let mut whole = b"before".to_vec();
            bytes(5, &payload, &mut whole);
            let mut piecewise = b"before".to_vec();
            let start = begin(5, &mut piecewise);
            piecewise.extend_from_slice(&payload);
            end(start, &mut piecewise);
            assert!(whole == piecewise, "{len}");
        }
    }
}
