//! Envoy's API as tables: messages, fields, enums, as its descriptors say them.
//!
//! Comes in: the descriptor set that is shipped under `proto/` and sets that the user adds. Goes
//! out: [`Api`], from which the decoder reads what a key means. Built lazily, a message type when
//! it is first met; shared by all threads. Knows nothing of YAML, files, snapshots or gRPC.

mod api;
mod comments;
mod extensions;
mod extract;
mod files;
mod names;
mod rules;
mod sets;
mod tables;
mod versioning;

pub use api::Api;
pub use comments::{Comment, comment};
pub use extensions::{categories_of, type_of_name, types_in};
pub use extract::descriptors_in;
pub use rules::{
    Bound, BytesRules, Check, EnumRules, FieldRules, HttpText, Limits, ListRules, MapRules, TextRules,
};
pub use sets::ApiError;

use names::NameIndex;

/// Index of a message type in its [`Api`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u32);

/// Index of an enum type in its [`Api`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnumId(pub u32);

/// A message type.
#[derive(Debug)]
pub struct MessageType {
    /// Full name without a leading dot, such as `envoy.config.cluster.v3.Cluster`.
    pub name: Box<str>,
    /// Fields by ascending number.
    pub fields: Box<[FieldType]>,
    /// Names of the real oneofs (not those of proto3 `optional`); `FieldType::oneof` points here.
    pub oneofs: Box<[Box<str>]>,
    /// Those of `oneofs` of which one member must be given.
    pub required_oneofs: Box<[u32]>,
    /// Those of `fields` that break their rules by being absent, or may: judge their default.
    pub judged_absent: Box<[u32]>,
    /// Set when JSON has a form of its own for this type.
    pub well_known: Option<WellKnown>,
    /// `option deprecated = true`.
    pub deprecated: bool,
    /// Finds `fields` by either name.
    by_name: NameIndex,
}

impl MessageType {
    /// The field with this name, in either spelling: `connect_timeout` or `connectTimeout`.
    pub fn field(&self, key: &str) -> Option<&FieldType> {
        self.field_index(key).map(|index| &self.fields[index])
    }

    /// Where in `fields` the field with this name stands.
    pub fn field_index(&self, key: &str) -> Option<usize> {
        self.by_name.find(key, |index| {
            let field = &self.fields[index];
            *field.name == *key || *field.json_name == *key
        })
    }
}

/// The types that proto3 JSON writes in a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WellKnown {
    /// `google.protobuf.Any`.
    Any,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.FieldMask`.
    FieldMask,
    /// `google.protobuf.Struct`.
    Struct,
    /// `google.protobuf.Value`.
    Value,
    /// `google.protobuf.ListValue`.
    ListValue,
    /// `google.protobuf.Empty`.
    Empty,
    /// One of the nine wrappers, `google.protobuf.BoolValue` and so on; its one field is number 1.
    Wrapper(Scalar),
}

/// A field of a message type.
#[derive(Debug)]
pub struct FieldType {
    /// Field number.
    pub number: u32,
    /// Name as in the `.proto`, `snake_case`.
    pub name: Box<str>,
    /// Name in JSON, `camelCase`.
    pub json_name: Box<str>,
    /// Single, list or map.
    pub shape: Shape,
    /// Type of the value, of a list's elements, or of a map's values.
    pub value: ValueType,
    /// Index into `MessageType::oneofs`.
    pub oneof: Option<u32>,
    /// Whether absent and default differ on the wire (proto3 `optional`, oneof members, messages).
    pub presence: bool,
    /// `[deprecated = true]`.
    pub deprecated: bool,
    /// Marked `(envoy.annotations.disallowed_by_default)`: deprecated, and Envoy refuses it.
    pub disallowed: bool,
    /// Marked `(udpa.annotations.sensitive)`: never shown to anyone.
    pub sensitive: bool,
    /// The categories of the extensions that can stand here; empty if it is no place for one.
    pub categories: &'static [&'static str],
    /// What the value must be, if the API says so.
    pub rules: Option<Box<FieldRules>>,
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One.
    Single,
    /// A list.
    List {
        /// Whether scalars are written packed.
        packed: bool,
    },
    /// A map with keys of this type.
    Map(Scalar),
}

/// What type a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A scalar.
    Scalar(Scalar),
    /// An enum.
    Enum(EnumId),
    /// A message.
    Message(MessageId),
}

/// Scalar types, by how they are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "protobuf's own names")]
pub enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

/// An enum type.
#[derive(Debug)]
pub struct EnumType {
    /// Full name.
    pub name: Box<str>,
    /// Values in the order of declaration.
    pub values: Box<[EnumValue]>,
    /// Finds `values` by name.
    by_name: NameIndex,
}

impl EnumType {
    /// The value with exactly this name.
    pub fn by_name(&self, name: &str) -> Option<&EnumValue> {
        let index = self.by_name.find(name, |index| *self.values[index].name == *name)?;
        Some(&self.values[index])
    }

    /// The value with this name, capitals or not, as Envoy's own loader takes it.
    pub fn by_name_any_case(&self, name: &str) -> Option<&EnumValue> {
        self.by_name(name).or_else(|| self.values.iter().find(|value| value.name.eq_ignore_ascii_case(name)))
    }

    /// The value with this number; of several names for one number, the first.
    pub fn by_number(&self, number: i32) -> Option<&EnumValue> {
        self.values.iter().find(|value| value.number == number)
    }
}

/// A value of an enum.
#[derive(Debug)]
pub struct EnumValue {
    /// Name as in the `.proto`.
    pub name: Box<str>,
    /// Number.
    pub number: i32,
    /// `[deprecated = true]`.
    pub deprecated: bool,
    /// Marked `(envoy.annotations.disallowed_by_default_enum)`: Envoy refuses it.
    pub disallowed: bool,
}
