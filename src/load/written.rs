//! Reads back values that the decoder has just written, so that rules judge what Envoy will receive,
//! however it was written in YAML.
//!
//! Comes in: canonical encoding. Goes out: plain values. Borrows; allocates nothing. Bytes that are
//! no protobuf, which the decoder does not write, end the reading.

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::envoy_api::{Api, FieldType, Scalar, Shape, ValueType, WellKnown};

/// A value as rules see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Written<'b> {
    Text(&'b str),
    Bytes(&'b [u8]),
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    /// A duration, in nanoseconds.
    Nanos(i128),
    Enum(i32),
    /// Any other message, which has rules of its own.
    Message,
}

/// How a value is to be read.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Scalar(Scalar),
    Enum,
    Duration,
    Wrapper(Scalar),
    Message,
}

impl Form {
    pub(super) fn of(api: &Api, value: ValueType) -> Form {
        match value {
            ValueType::Scalar(scalar) => Form::Scalar(scalar),
            ValueType::Enum(_) => Form::Enum,
            ValueType::Message(id) => match api.message_type(id).well_known {
                Some(WellKnown::Duration) => Form::Duration,
                Some(WellKnown::Wrapper(scalar)) => Form::Wrapper(scalar),
                _ => Form::Message,
            },
        }
    }

    /// What a value counts as that is not written since it is the default.
    pub(super) fn default(self) -> Written<'static> {
        match self {
            Form::Enum => Written::Enum(0),
            Form::Duration => Written::Nanos(0),
            Form::Message => Written::Message,
            Form::Scalar(scalar) | Form::Wrapper(scalar) => match scalar {
                Scalar::String => Written::Text(""),
                Scalar::Bytes => Written::Bytes(&[]),
                Scalar::Bool => Written::Bool(false),
                Scalar::Double | Scalar::Float => Written::Double(0.0),
                Scalar::Uint32 | Scalar::Uint64 | Scalar::Fixed32 | Scalar::Fixed64 => Written::Unsigned(0),
                _ => Written::Signed(0),
            },
        }
    }

    /// Takes one value, which stands without its tag.
    fn take<'b>(self, bytes: &mut &'b [u8]) -> Option<Written<'b>> {
        Some(match self {
            Form::Enum => Written::Enum(varint(bytes)? as i32),
            Form::Message => {
                delimited(bytes)?;
                Written::Message
            }
            Form::Duration => {
                let (seconds, nanos) = seconds(delimited(bytes)?);
                Written::Nanos(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
            }
            Form::Wrapper(scalar) => {
                let mut fields = delimited(bytes)?;
                field(&mut fields, scalar).map_or(self.default(), |(_, value)| value)
            }
            Form::Scalar(scalar) => self::scalar(scalar, bytes)?,
        })
    }
}

/// The seconds and nanoseconds of a duration or a point in time.
pub(super) fn seconds(mut fields: &[u8]) -> (i64, i64) {
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, value)) = field(&mut fields, Scalar::Int64) {
        if let Written::Signed(value) = value {
            *(if number == 1 { &mut seconds } else { &mut nanos }) = value;
        }
    }
    (seconds, nanos)
}

fn field<'b>(bytes: &mut &'b [u8], kind: Scalar) -> Option<(u32, Written<'b>)> {
    let (number, _) = decode_key(bytes).ok()?;
    Some((number, scalar(kind, bytes)?))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    decode_varint(bytes).ok()
}

fn delimited<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = usize::try_from(varint(bytes)?).ok()?;
    let (value, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(value)
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*value)
}

fn scalar<'b>(kind: Scalar, bytes: &mut &'b [u8]) -> Option<Written<'b>> {
    Some(match kind {
        Scalar::String => Written::Text(std::str::from_utf8(delimited(bytes)?).ok()?),
        Scalar::Bytes => Written::Bytes(delimited(bytes)?),
        Scalar::Bool => Written::Bool(varint(bytes)? != 0),
        Scalar::Double => Written::Double(f64::from_le_bytes(fixed(bytes)?)),
        Scalar::Float => Written::Double(f32::from_le_bytes(fixed(bytes)?).into()),
        Scalar::Int32 | Scalar::Int64 => Written::Signed(varint(bytes)? as i64),
        Scalar::Sint32 | Scalar::Sint64 => {
            let raw = varint(bytes)?;
            Written::Signed((raw >> 1) as i64 ^ -((raw & 1) as i64))
        }
        Scalar::Uint32 | Scalar::Uint64 => Written::Unsigned(varint(bytes)?),
        Scalar::Fixed32 => Written::Unsigned(u32::from_le_bytes(fixed(bytes)?).into()),
        Scalar::Fixed64 => Written::Unsigned(u64::from_le_bytes(fixed(bytes)?)),
        Scalar::Sfixed32 => Written::Signed(i32::from_le_bytes(fixed(bytes)?).into()),
        Scalar::Sfixed64 => Written::Signed(i64::from_le_bytes(fixed(bytes)?)),
    })
}

/// All that was written of one field, tags included: one value after another.
pub(super) struct Values<'b> {
    bytes: &'b [u8],
    /// What is left of a list of scalars in one piece.
    packed: &'b [u8],
    is_packed: bool,
    form: Form,
}

impl<'b> Values<'b> {
    /// The value of a single field, or the elements of a list.
    pub(super) fn of(api: &Api, field: &FieldType, bytes: &'b [u8]) -> Values<'b> {
        let is_packed = matches!(field.shape, Shape::List { packed: true });
        Values { bytes, packed: &[], is_packed, form: Form::of(api, field.value) }
    }
}

impl<'b> Iterator for Values<'b> {
    type Item = Written<'b>;

    fn next(&mut self) -> Option<Written<'b>> {
        if self.is_packed {
            while self.packed.is_empty() {
                decode_key(&mut self.bytes).ok()?;
                self.packed = delimited(&mut self.bytes)?;
            }
            return self.form.take(&mut self.packed);
        }
        decode_key(&mut self.bytes).ok()?;
        self.form.take(&mut self.bytes)
    }
}

/// The entries of a map as they were written: key and value.
pub(super) struct Entries<'b> {
    bytes: &'b [u8],
    key: Form,
    value: Form,
}

impl<'b> Entries<'b> {
    pub(super) fn of(api: &Api, field: &FieldType, key: Scalar, bytes: &'b [u8]) -> Entries<'b> {
        Entries { bytes, key: Form::Scalar(key), value: Form::of(api, field.value) }
    }
}

impl<'b> Iterator for Entries<'b> {
    type Item = (Written<'b>, Written<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        decode_key(&mut self.bytes).ok()?;
        let mut entry = delimited(&mut self.bytes)?;
        let (mut key, mut value) = (self.key.default(), self.value.default());
        while let Ok((number, wire_type)) = decode_key(&mut entry) {
            debug_assert!(!matches!(wire_type, WireType::StartGroup | WireType::EndGroup), "never written");
            match number {
                1 => key = self.key.take(&mut entry)?,
                _ => value = self.value.take(&mut entry)?,
            }
        }
        Some((key, value))
    }
}
